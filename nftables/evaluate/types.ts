/** @module A question to the evaluator and its answer. Pure types. */
import type { BaseChain, Chain, Expression, Reject, Rule } from '../model.ts';

/** Which way the packet takes through the host. */
export type Direction = 'in' | 'out' | 'forward';

/** conntrack's idea of the packet. If not said `new`, or what conntrack calls such an ICMP message: `untracked`, `invalid`. */
export type ConntrackState = 'new' | 'established' | 'related' | 'invalid' | 'untracked';

/**
 * A packet, the first of its connection if `conntrack` is `new`. What is left out is open: the answer then holds for every value of it, and says
 * `undetermined` where it depends on it. IPv4 has no options, IPv6 no extension header but that of a fragment. A packet of an established
 * connection is taken as NAT has left it.
 */
export interface Packet {
  readonly direction: Direction;
  /** IP protocol number: 6 tcp, 17 udp, 1 icmp, 58 icmpv6, 4 ipip … */
  readonly protocol: number;
  readonly family: 'ip' | 'ip6';
  /** Text; a prefix (`10.0.0.0/8`) leaves the host bits open. */
  readonly source?: string;
  readonly destination?: string;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly icmpType?: number;
  readonly icmpCode?: number;
  /** Default for a new TCP connection: SYN alone (0x02). */
  readonly tcpFlags?: number;
  readonly inInterface?: string;
  readonly outInterface?: string;
  readonly conntrack?: ConntrackState;
  /** A packet from the network has 0, unless XDP, tc or another namespace set it: say so, many rules ask for it. */
  readonly mark?: number;
  readonly connectionMark?: number;
  readonly ttl?: number;
  readonly dscp?: number;
  /** Bytes of the IP packet. */
  readonly length?: number;
  /** Default: not a fragment. */
  readonly fragment?: 'none' | 'first' | 'later';
  readonly sourceMac?: string;
  readonly destinationMac?: string;
  /** VXLAN, Geneve … : bytes behind the transport header that are known. */
  readonly payload?: Uint8Array;
  /** Owner of the socket of an outgoing packet. */
  readonly userId?: number;
  readonly groupId?: number;
}

/** What the host is, as far as rules can ask. What is left out is not known. */
export interface Environment {
  readonly interfaces?: readonly Interface[];
  /** Routes of the main and local tables, for fib, rpfilter and addrtype. Absent: not known. */
  readonly routes?: readonly Route[];
  /** Policy rules beyond the three of every Linux (0, 32766, 32767) exist: then fib is told only by local addresses. */
  readonly hasPolicyRouting?: boolean;
  /** Seconds since the epoch and minutes east of UTC, for `meta hour`, `day`, `time`. Absent: not known. */
  readonly now?: { readonly unixSeconds: number; readonly offsetMinutes: number };
}

/** A network interface of the host. */
export interface Interface {
  readonly name: string;
  readonly index: number;
  /** ARPHRD_*: 1 ethernet, 772 loopback, 65534 none. */
  readonly type: number;
  readonly group: number;
  readonly kind?: string;
  /** Text with prefix length: `10.0.0.1/24`. */
  readonly addresses: readonly string[];
  /** The bridge or VRF that it belongs to. */
  readonly master?: string;
}

/** A route of the host. */
export interface Route {
  readonly family: 'ip' | 'ip6';
  /** `0.0.0.0/0`, `10.0.0.0/24`. */
  readonly destination: string;
  /** enum rtn_type by iproute2's words. */
  readonly type:
    | 'unicast'
    | 'local'
    | 'broadcast'
    | 'anycast'
    | 'multicast'
    | 'blackhole'
    | 'unreachable'
    | 'prohibit'
    | 'throw'
    | 'nat';
  readonly table: 'main' | 'local' | 'default' | number;
  readonly metric: number;
  /** More than one for multipath. */
  readonly interfaces: readonly string[];
  readonly gateway?: string;
}

/** What happens to the packet. `reject` is a drop with an answer; `stolen`: some rule keeps it (fwd, queue without bypass …). */
export type Outcome = 'accept' | 'drop' | 'reject' | 'queue' | 'stolen';

/** Who decided: a rule, a base chain's policy, or the absence of any chain. */
export type Decider =
  | {
      readonly kind: 'rule';
      readonly chain: Chain;
      readonly base: BaseChain;
      readonly rule: Rule;
      readonly baseChain: Chain;
    }
  | { readonly kind: 'policy'; readonly chain: Chain; readonly base: BaseChain }
  /** No base chain sees such a packet. */
  | { readonly kind: 'none' };

/** One way that the packet may go, and who decides it. */
export interface Possibility {
  readonly verdict: Outcome;
  readonly decidedBy: Decider;
  readonly reject?: Reject;
}

/** A rule that the packet met and that matched, or may have. */
export interface Step {
  readonly chain: Chain;
  /** The base chain in whose course it was met. */
  readonly baseChain: Chain;
  readonly rule: Rule;
  readonly matched: 'yes' | 'maybe';
  /** What it did, in nft's words: `accept`, `jump KUBE-SERVICES`, `meta mark set 0x4000`, `dnat to 10.0.0.1:80`. */
  readonly did: readonly string[];
}

/** Why a match could not be told. */
export interface Unknown {
  readonly rule: Rule;
  readonly expression: Expression;
  /** For a person: `the source port is open`, `limit rate 3/minute`, `xt match u32 is not modelled`. */
  readonly why: string;
}

/** A rule that gave the packet another address or port, or handed it to another socket. */
export interface Rewrite {
  readonly rule: Rule;
  readonly kind: 'dnat' | 'snat' | 'masquerade' | 'redirect' | 'tproxy';
  /** Absent where it is not known. */
  readonly address?: string;
  readonly port?: number;
  readonly certain: boolean;
}

/** How one base chain ended. */
export interface ChainResult {
  readonly chain: Chain;
  /** `maybe` where a chain before it may have ended the way, or its order is not known. */
  readonly met: 'yes' | 'maybe';
  /** Outcomes that remain possible; one when it is certain. */
  readonly possible: readonly Possibility[];
}

/** What the firewall does with the packet, and why. */
export interface Answer {
  /** `undetermined` when `possible` holds more than one verdict. */
  readonly verdict: Outcome | 'undetermined';
  readonly reject?: Reject;
  /**
   * Of a drop or reject: the rule or policy. Of an accept: the last explicit rule that accepted in a filter chain of the last hook that has
   * any, else the policy of its last base chain.
   */
  readonly decidedBy: Decider;
  /** Others that could have decided the same: order of equal priority not known, or several rules that may match. */
  readonly candidates: readonly Decider[];
  /** Every verdict that remains possible, with who would decide it. */
  readonly possible: readonly Possibility[];
  /** Rules that matched or may have, in order. */
  readonly path: readonly Step[];
  /** Each base chain that the packet met, in order. */
  readonly chains: readonly ChainResult[];
  readonly unknowns: readonly Unknown[];
  readonly rewrites: readonly Rewrite[];
  /**
   * Where the packet goes at the end, when it is not dropped. `elsewhere`: it was asked for `in`, but a rule sends it to another host or
   * another local port (see `rewrites`), so no listener on the asked port sees it. `maybe-elsewhere` when that is not certain.
   */
  readonly arrives: 'as-asked' | 'elsewhere' | 'maybe-elsewhere';
}
