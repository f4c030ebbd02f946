/** @module Sockets as checks see them: one call sends one probe and resolves to what was observed of it. */

import type { Payload } from '../../rules/schema.ts';
import type { Flow, StationReport } from '../diagnosis/evidence.ts';
import type { Family } from '../family.ts';

/** An error that the kernel reported about a packet of ours (linux/errqueue.h, or ICMP read from a raw socket). */
export interface PacketError {
  /** errno name, e.g. `ECONNREFUSED`. */
  readonly errno: string;
  /** ICMP type and code; absent for an error of the own stack. */
  readonly type?: number;
  readonly code?: number;
  /** Address of whoever sent the ICMP error. */
  readonly offender?: string;
  /** MTU that a router or the own stack reported with EMSGSIZE. */
  readonly mtu?: number;
}

/** What can happen to any probe. Times are the kernel's, in nanoseconds since the epoch. */
export interface Observation {
  readonly sourcePort: number;
  /** errno name when the kernel refused to send. */
  readonly sendError?: string;
  readonly errors: readonly PacketError[];
  /** Round trip time in seconds, when something came back. */
  readonly rttSeconds?: number;
  /** True when our own process stalled while it waited, so silence proves nothing. */
  readonly stalled: boolean;
}

/** What the far witness said of one UDP probe. */
export type Witnessed = 'seen' | 'seen-rewritten' | 'seen-bad-checksum' | 'seen-tproxy-possible';

export interface UdpObservation extends Observation {
  readonly nonce: bigint;
  /** The witness's word; absent when no answer came. */
  readonly witnessed?: Witnessed;
  /** With `seen-rewritten`: the destination that the far witness found in the header. */
  readonly rewrittenTo?: string;
  /** Session of the agent that answered, 16 hexadecimal digits. */
  readonly session?: string;
}

export interface EchoObservation extends Observation {
  readonly replied: boolean;
}

export interface TcpObservation extends Observation {
  readonly result: 'connected' | 'refused' | 'timed-out' | 'error';
  /** errno name of a failed connect. */
  readonly errno?: string;
}

/** A path on the underlay: the far address and the own address that talks to it. */
export interface Path {
  readonly family: Family;
  readonly destination: string;
  /** Own address; chosen by the route when absent. */
  readonly source?: string;
}

/** What the taps of one flow saw. */
export interface TapReport extends Omit<StationReport, 'counters'> {
  /** Probes that passed this host's INPUT hook, as a raw socket sees them; where that was asked for. */
  readonly pastInput?: number;
}

/** Taps that are open: all packets of the host pass their filter. */
export interface Tap {
  /** Handles what has come, closes the taps and says what they saw; asked again, it says the same. */
  stop(): Promise<TapReport>;
}

/** Sends probes. Every method resolves; it rejects only when a socket could not be had (HostError). */
export interface Network {
  /** One UDP probe of ours from a fresh port. `totalBytes` pads the IP packet; `dontFragment` sets DF by hand (IPv4) or forbids fragments (IPv6). */
  udp(
    path: Path,
    probe: {
      readonly port: number;
      readonly payload: Payload;
      readonly totalBytes?: number;
      readonly dontFragment?: boolean;
    },
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<UdpObservation>;
  /** One ICMP echo request (8/0, ICMPv6 128/0). `dontFragment` is for IPv4 only: on IPv6 it would change the route cache. */
  echo(
    path: Path,
    probe: { readonly totalBytes?: number; readonly dontFragment?: boolean },
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<EchoObservation>;
  /** One TCP connect, closed at once. */
  tcp(path: Path, port: number, timeoutMs: number, signal: AbortSignal): Promise<TcpObservation>;
  /** Whether the peer has said lately, in a probe of its own, that it heard a probe of ours to this port. */
  wasReported(destination: string, port: number): boolean;
  /** One packet of IP protocol 4 or 50. The far end says by a sighting whether it came. */
  ipProtocol(
    path: Path,
    protocol: 4 | 50,
    waitMs: number,
    signal: AbortSignal,
  ): Promise<Observation & { readonly nonce: bigint }>;
  /**
   * Opens taps for the packets of one flow, on all interfaces; where its probes come to this host, also behind the INPUT hook. Throws
   * HostError `missing-net-raw` where it may not.
   */
  tap(flow: Flow, options?: { readonly pastInput: boolean }): Tap;
}
