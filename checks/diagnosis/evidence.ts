/**
 * @module What is known of a way that failed, from both of its ends: what one diagnosis is made of. Data only.
 *
 * The stations of a packet, in order: the sender's send call, the tap at the sender's interface, the tap at the receiver's interface
 * (before tc and netdev ingress), the tap behind both and before prerouting, the witness behind the receiver's INPUT, and the socket or
 * device that it is for. The answer passes the same stations the other way round. A tap sees outgoing packets after postrouting and
 * after tc and netdev egress, and incoming ones after XDP.
 */

import type { Family } from '../family.ts';
import type { FirewallPlace, FirewallVerdict } from '../firewall-verdict.ts';
import type { PacketError } from '../host/network.ts';
import type { Remedy } from '../remedy/remedy.ts';

/** The packets that are looked for: those of one kind of probe, from one address to another one, and their answers. */
export interface Flow {
  readonly family: Family;
  /** Address of the sender of the probes. */
  readonly source: string;
  readonly destination: string;
  /** IP protocol number; 1 and 58 are echo requests. */
  readonly protocol: number;
  /** Destination port of UDP and TCP. */
  readonly port?: number;
}

/** What one tap saw. Probes are packets of the flow with a mark of ours (for TCP: connection attempts), not other packets of the two hosts. */
export interface Sight {
  readonly probes: number;
  /**
   * What answers a probe: our UDP answer, a SYN+ACK or RST from the port (other segments belong to connections that were there before),
   * an echo reply, our packet of the same protocol.
   */
  readonly answers: number;
  /** Fragments from source to destination that are not the first one. */
  readonly fragments: number;
  /** ICMP errors that quote a probe, one of each kind. */
  readonly errors: readonly IcmpError[];
  /** Probes whose frame was for another link-layer address (PACKET_OTHERHOST). */
  readonly otherHost: number;
  /** Probes whose transport checksum is wrong, where the kernel had none to compute yet. */
  readonly badChecksums: number;
  /** Interfaces that it was seen on, at most four. */
  readonly interfaces: readonly string[];
}

export interface IcmpError {
  readonly type: number;
  readonly code: number;
  readonly from: string;
}

/** What the taps of one host saw while a watch was open, and by how much the kernel's counters grew. */
export interface StationReport {
  /** Outgoing packets: for a sender the probes, for a receiver the answers and errors. */
  readonly out: Sight;
  /** Incoming packets as they came from the device (ETH_P_ALL). */
  readonly nic: Sight;
  /** Incoming packets behind tc and netdev ingress (ETH_P_IP, ETH_P_IPV6). */
  readonly pastIngress: Sight;
  readonly counters: CounterDeltas;
  /** Messages that a tap had no room for: its silence proves nothing then. */
  readonly lost: number;
}

/**
 * By how much counters of the whole network namespace grew. They belong to all packets of the host: one that did not grow proves that
 * it was not the cause, one that did grow is a hint, and a proof only together with a station behind which the probes vanished.
 */
export type CounterName =
  | 'udpNoPorts'
  | 'udpInErrors'
  | 'udpInCsumErrors'
  | 'udpRcvbufErrors'
  | 'tcpInCsumErrors'
  | 'icmpInCsumErrors'
  | 'tcpListenDrops'
  | 'ipInAddrErrors'
  | 'ipInNoRoutes'
  | 'ipOutNoRoutes'
  | 'ipForwDatagrams'
  | 'ipReasmReqds'
  | 'ipReasmFails'
  | 'ipFragCreates'
  | 'ipFragFails'
  | 'reversePathFilter'
  | 'conntrackDrop'
  | 'conntrackEarlyDrop'
  | 'conntrackInsertFailed'
  | 'conntrackInvalid'
  | 'softnetDropped'
  | 'deviceReceiveDrops'
  | 'deviceReceiveErrors'
  | 'deviceTransmitDrops'
  | 'neighbourTableFull';
export type CounterDeltas = Readonly<Partial<Record<CounterName, number>>>;

/** What the rules of one host do with one of the two packets, as far as its agent may say it to the other. */
export interface RulesVerdict {
  readonly verdict: FirewallVerdict;
  readonly place?: FirewallPlace;
  readonly candidates: readonly FirewallPlace[];
  /** Why it could not be told. */
  readonly undetermined: readonly string[];
  /** XDP and tc programs on the way, which rules say nothing of. */
  readonly programs: readonly string[];
  /** Where rules send it instead. */
  readonly rewrittenTo?: string;
  /** By how much the deciding rule's own counter grew; absent where it has none. */
  readonly counted?: number;
  /** What would let it pass, to be typed on the host that says so. */
  readonly remedies: readonly Remedy[];
}

/** The end that sent the probes. */
export interface SenderEvidence {
  /** Send calls that were made. */
  readonly sent: number;
  /** Names of the errors of those that the kernel refused. */
  readonly sendErrors: readonly string[];
  /** Errors that the sockets got about probes. */
  readonly errors: readonly PacketError[];
  /** Answers that the sockets got. */
  readonly answered: number;
  /** Whether a TCP connection was refused, and none made. */
  readonly refused: boolean;
  /** Absent where taps may not be opened. */
  readonly stations?: StationReport;
  /** Rules for the probe on its way out, and for the answer on its way in; absent where they may not be read. */
  readonly rules?: { readonly probe: RulesVerdict; readonly answer: RulesVerdict };
  /** The way that the kernel chose; absent where there is none. */
  readonly route?: { readonly interface: string; readonly gateway?: string; readonly type: string };
  /** State of the neighbour that the packets go to (linux/neighbour.h NUD_*), lower case: `reachable`, `failed`, `incomplete` ... */
  readonly neighbour?: string;
  /** rp_filter in force for the interface that the answers came in on, or would: the larger of `all` and its own. */
  readonly reversePathFilter?: 0 | 1 | 2;
  /** Whether the own process stood still while it waited: its silence proves nothing. */
  readonly stalled: boolean;
}

/** The end that the probes were for, as its agent says it. */
export interface ReceiverEvidence {
  /** Probes that the witness saw behind INPUT; absent where it has none for this protocol. */
  readonly witnessed?: number;
  readonly stations?: StationReport;
  readonly rules?: { readonly probe: RulesVerdict; readonly answer: RulesVerdict };
  /** Who has the port: `kernel` is a tunnel device. */
  readonly owner: 'nobody' | 'process' | 'kernel' | 'unknown';
  /** Whether the destination is an address of this host. */
  readonly ownsDestination: boolean;
  /** The interface that packets to the sender leave by; the probes should come in there. */
  readonly interfaceToSender?: string;
  /** rp_filter in force for the interface that the probes came in on: the larger of `all` and its own. */
  readonly reversePathFilter?: 0 | 1 | 2;
  /** Of ICMP echo: whether a sysctl keeps the kernel from answering (icmp_echo_ignore_all, icmpv6 echo_ignore_all). */
  readonly echoIgnored?: boolean;
}

/** Why the receiver's half is missing. */
export type Missing = 'no-agent' | 'refused' | 'unable' | 'key-mismatch' | 'no-peer';

/** Both halves. */
export interface PathEvidence {
  readonly flow: Flow;
  readonly sender: SenderEvidence;
  readonly receiver: ReceiverEvidence | Missing;
}
