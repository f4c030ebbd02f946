/** @module What one agent may ask of another, whatever carries the question. */
import type { Answer, OverlayFacts } from './check.ts';
import type { ReceiverEvidence } from './diagnosis/evidence.ts';
import type { Family } from './family.ts';

/** The near end of a node's tunnel device, which its peers have entries for. */
export interface TunnelEnd {
  /** Link-layer address: what frames to it have to be for. */
  readonly mac?: string;
  /** The address that its outer packets come from. */
  readonly local?: string;
  /** Whether that is no address of the node. */
  readonly stray?: boolean;
}

/** Where a node's part of the overlay begins and ends; names are those of devices. */
export interface OverlayEnds {
  /** Its addresses in the overlay, by device and family: `flannel.1/ipv4`. */
  readonly overlay: Readonly<Record<string, string>>;
  /** Those of them where its rules let a probe of a peer's agent in, for certain. */
  readonly answers: readonly string[];
  readonly tunnels: Readonly<Record<string, TunnelEnd>>;
  /** Devices that are down: their addresses answer all the same. */
  readonly down: readonly string[];
  /** Prefixes that the addresses of its pods are of; empty where they are not known. */
  readonly podSubnets: readonly string[];
}

/** What a peer's agent says of itself. */
export interface PeerFacts extends OverlayFacts, OverlayEnds {
  /** Random per start of the agent, 16 hexadecimal digits: tells two agents, and a restart, apart. */
  readonly session: string;
  readonly node: string;
  readonly version: string;
  /** Whether its witness of UDP is open for the family that the question came in. */
  readonly witness: boolean;
}

/** What the peer is asked to look out for: packets from the asker's own address, for a short while. */
export type Watch =
  | { readonly protocol: 'tcp'; readonly port: number }
  | { readonly protocol: 4 | 50 };

/** What a peer is asked to look out for at all of its stations. */
export type Observed =
  | { readonly protocol: 6 | 17; readonly port: number }
  | { readonly protocol: 'icmp' | 4 | 50 };

/** What the far witness says of packets that came from the asker. */
export interface Sighting {
  /** How many of the asked-for packets passed INPUT. */
  readonly seen: number;
  /** For protocols 4 and 50: whether conntrack knew the flow before the first packet; undefined if it could not look. */
  readonly established?: boolean;
}

/** What the far witness remembers of UDP probes. */
export interface WitnessReport {
  /** How long it has been open; 0 when it is not. Of what was sent before, its silence says nothing. */
  readonly witnessSeconds: number;
  /** How long ago it last had no room for what came; absent if it always had. Of what was sent before, its silence says nothing. */
  readonly overloadedSeconds?: number;
  /** One for each nonce that was asked for. */
  readonly heard: readonly boolean[];
}

/** One requirement that the peer is asked to test towards the asker. */
export interface ProbeWish {
  readonly id: string;
  readonly kind: string;
  readonly mustReach: boolean;
  readonly params: Readonly<Record<string, number | string>>;
}

/** What the peer's agent found when it probed the asker for one requirement. */
export interface PeerVerdict {
  readonly requirement: string;
  readonly answer: Answer;
  /** Seconds since it was found. */
  readonly ageSeconds: number;
}

/** One way to the agent on one peer address. Every method resolves to undefined when no agent answers. */
export interface PeerChannel {
  readonly address: string;
  readonly family: Family;
  /** Whether an agent is there that has another key than this one, or a key where this one has none, or none where this one has. */
  keyMismatch(): boolean;
  /** What the agent runs, asked anew: an answer proves that the agent is alive now. */
  facts(signal: AbortSignal): Promise<PeerFacts | undefined>;
  /** The same, asked at another address: whoever has it answers, which may be another agent. */
  factsAt(address: string, signal: AbortSignal): Promise<PeerFacts | undefined>;
  /** Whether these UDP probes of ours (by nonce) passed the peer's INPUT. */
  heard(nonces: readonly bigint[], signal: AbortSignal): Promise<WitnessReport | undefined>;
  /** Opens a watch for a few seconds; undefined also when the peer refuses. */
  watch(watch: Watch, signal: AbortSignal): Promise<{ readonly id: string } | undefined>;
  /** What an open watch has seen. */
  sighting(id: string, signal: AbortSignal): Promise<Sighting | undefined>;
  /**
   * Asks the peer to look out, for 3 s, for probes that this node sends to that address; `busy` where it looks out for too many already.
   * What is sent from the answer on is seen.
   */
  observe(
    what: Observed,
    signal: AbortSignal,
  ): Promise<{ readonly id: string } | 'busy' | 'unable' | undefined>;
  /** Ends a look-out: the peer's half of the evidence. */
  observed(id: string, signal: AbortSignal): Promise<ReceiverEvidence | undefined>;
  /** The peer's own answers about the way from it to us; what it has not tested so lately it tests now. */
  confirm(
    wishes: readonly ProbeWish[],
    maximumAgeSeconds: number,
    signal: AbortSignal,
  ): Promise<readonly PeerVerdict[] | undefined>;
}
