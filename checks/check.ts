/** @module The one interface of every check, and the words of its answers. */
import type { RuleOwners } from '../rules/rule-owners.ts';
import type { Feature, Kind, ParamsByKind } from '../rules/schema.ts';
import type { Family } from './family.ts';
import type { FirewallPlace } from './firewall-verdict.ts';
import type { Host, InterfaceAddress } from './host/host.ts';
import type { PeerChannel } from './peer-channel.ts';
import type { NoticedWipe } from './wiped-rules.ts';

/** Knows how to test one kind of requirement, against this node or against one peer. */
export interface Check<K extends Kind> {
  readonly kind: K;
  readonly summary: string;
  readonly scope: 'node' | 'peer';
  readonly needs: readonly Need[];

  /** Looks or sends, and answers. Throws only for a bug; the network misbehaving is an answer. */
  run(params: ParamsByKind[K], target: Target, context: Context): Promise<Answer>;
}

/** What the process must be allowed to do; tested by the runner, never by a check. */
export type Need = 'net-admin' | 'net-raw';

export interface NodeTarget {
  readonly scope: 'node';
}

/** The far node of an outbound probe; the inbound direction of a probe is the peer's own outbound answer. */
export interface PeerTarget {
  readonly scope: 'peer';
  readonly name: string;
  readonly address: string;
  readonly family: Family;
  /** False inverts the requirement: a host-local port that can be reached is the finding. */
  readonly mustReach: boolean;
  /** Only where this node can tell of packets that the peer sends: by its own firewall's rules. */
  readonly direction?: 'inbound';
}

export type Target = NodeTarget | PeerTarget;

export interface Context {
  /** Sockets, files, netlink: all of the machine that a check may touch. */
  readonly host: Host;
  /** Deadline or shutdown; passed to every await. */
  readonly signal: AbortSignal;
  /** How long one probe may take. */
  readonly timeoutMs: number;
  /** The way to ask the peer's agent; absent for a node target. */
  readonly peer?: PeerChannel;
  /** What this node runs, or would run: compared with the peer's own. */
  readonly facts: OverlayFacts;
  /** Option values of the chosen provider. */
  readonly options: Readonly<Record<string, string | number | boolean>>;
  readonly distribution: string;
  /** Names of the network devices of the chosen provider; a trailing `*` matches any ending (`matchesName`). */
  readonly interfaces: readonly string[];
  /** Addresses of this node that talk to the peers, with their interfaces. */
  readonly underlay: readonly InterfaceAddress[];
  /** Addresses by which the peers know this node, as far as it was told them. */
  readonly ownAddresses: readonly string[];
  /** Whether `--try-modules` was given: a feature may be tried in a throw-away namespace. */
  readonly tryModules: boolean;
  /** How the presence of each kernel feature is established. */
  readonly features: ReadonlyMap<string, Feature>;
  /** The names of CNI configuration files of every known provider, by provider. */
  readonly knownConfigurations: ReadonlyMap<string, readonly string[]>;
  /** Whose rules a firewall may hold, and who takes them away. */
  readonly ruleOwners: RuleOwners;
  /**
   * What was taken from the firewall's rules and is not there again; undefined before anybody has looked. Absent where nobody keeps
   * looking: a single look has no before.
   */
  readonly wipes?: () => readonly NoticedWipe[] | undefined;
}

/** How a node carries its pods' packets; compared between peers. Zero or empty where unknown. */
export interface OverlayFacts {
  readonly provider: string;
  readonly encapsulation: string;
  readonly vni: number;
  readonly port: number;
  readonly mtu: number;
}

export type Answer =
  | { readonly outcome: 'pass'; readonly evidence: Evidence; readonly partialLoss?: PartialLoss }
  | {
      readonly outcome: 'fail';
      readonly reason: Reason;
      readonly evidence: Evidence;
      readonly culprit?: AnswerCulprit;
      /** What to type. */
      readonly remedy?: readonly AnswerRemedy[];
    }
  | { readonly outcome: 'skip'; readonly reason: Reason; readonly evidence?: Evidence }
  | { readonly outcome: 'unknown'; readonly reason: Reason; readonly evidence?: Evidence };

/** Commands, all of which are to be typed, in the words of whoever is in charge: a firewall's manager, the writer of the rules. */
export interface AnswerRemedy {
  readonly manager: string;
  /** On which node, as the sender of the probes calls the two; on the one that answers where it is not said. */
  readonly on?: 'this' | 'peer';
  readonly commands: readonly string[];
}

/** Some but not all probes of a path were lost: which source ports lost theirs. */
export interface PartialLoss {
  readonly sent: number;
  readonly lost: number;
  readonly lostSourcePorts: readonly number[];
}

/** Who is to blame, as far as the sender alone can tell. */
export interface AnswerCulprit {
  readonly where: CulpritPlace;
  /** `path`: something between the two, which the evidence names where it showed itself. */
  readonly node: 'this' | 'peer' | 'path';
  /** The rule or policy of a firewall, where it is known. */
  readonly firewall?: FirewallPlace;
  /** Others that decide the same: which of them the kernel asks first is not known. */
  readonly candidates?: readonly FirewallPlace[];
}

export type CulpritPlace =
  | 'sender-egress'
  | 'path'
  | 'receiver-ingress'
  | 'receiver-listener'
  | 'receiver-forward'
  | 'mtu'
  | 'node'
  | 'peer-agent';

/** Measured facts, small and flat. Lists are comma-separated. Never a secret. */
export type Evidence = Readonly<Record<string, string | number | boolean>>;

/** Every reason there is: a metric label, and an anchor in docs/troubleshooting.md. */
export const reasons = [
  // this node
  'kernel-too-old',
  'kernel-version-unreadable',
  'feature-missing',
  'feature-undetermined',
  'sysctl-absent',
  'sysctl-differs',
  'sysctl-not-available',
  'sysctl-file-differs',
  'forwarding-off',
  'reverse-path-filter',
  'return-path-refused',
  'table-nearly-full',
  'counter-high',
  'ipv6-disabled',
  'default-route-expires',
  'known-issue',
  'foreign-filter',
  'selinux-denies',
  'selinux-policy-missing',
  'foreign-cni-config',
  'port-taken',
  'listens-beyond-loopback',
  'device-conflict',
  'datastore-unreachable',
  'datastore-unhealthy',
  'no-endpoint-given',
  'policy-rule-missing',
  'policy-route-captures',
  'firewall-rules-wiped',
  'no-history',
  'networkmanager-manages',
  'networkmanager-not-told',
  'nm-cloud-setup-enabled',
  'networkd-manages',
  'networkd-removes-foreign',
  'firewall-reload-flushes',
  'iptables-backends-mixed',
  'cni-plugin-missing',
  'iptables-missing',
  'cni-token-expired',
  'cni-token-not-yet',
  // a path
  'dropped',
  'dropped-by-sender-firewall',
  'dropped-by-sender-egress',
  'rejected-by-sender-firewall',
  'dropped-by-receiver-firewall',
  'rejected-by-receiver-firewall',
  'rejected-by-firewall',
  'dropped-on-the-way',
  'dropped-by-receiver-device',
  'dropped-by-receiver-ingress',
  'dropped-by-reverse-path-filter',
  'wrong-address',
  'wrong-link-layer-address',
  'routing-loop',
  'conntrack-full',
  'neighbour-table-full',
  'echo-ignored',
  'listener-hangs',
  'no-return-route',
  'answer-dropped-by-receiver-firewall',
  'answer-dropped-by-receiver-egress',
  'answer-dropped-on-the-way',
  'answer-dropped-by-sender-ingress',
  'answer-dropped-by-sender-firewall',
  'answer-dropped-by-reverse-path-filter',
  'refused-unwitnessed',
  'no-route',
  'neighbour-unresolved',
  'unreachable',
  'no-reply',
  'timed-out',
  'rewritten',
  'bad-checksum',
  'tproxy-possible',
  'firewall-undetermined',
  'established-by-reverse',
  'other-slot',
  'path-mtu-too-small',
  'fragments-lost',
  'latency-too-high',
  'peer-disagrees',
  'exposed',
  'partial-loss',
  'wrong-host',
  // the overlay
  'overlay-device-down',
  'overlay-source-address',
  'overlay-route-missing',
  'overlay-entry-missing',
  'pod-route-diverted',
  'vtep-mac-differs',
  'fdb-destination-stale',
  'pod-subnet-shared',
  'pod-subnet-overlaps',
  'large-packets-lost',
  'pod-network-unreachable',
  'pod-source-filtered',
  'pod-source-rewritten',
  'dropped-by-forward',
  'rejected-by-forward',
  'overlay-untested',
  // could not tell, or does not apply
  'no-witness',
  'key-mismatch',
  'peer-unreachable',
  'peer-has-not-probed',
  'unconfirmed',
  'inconclusive',
  'stale',
  'service-undetermined',
  'missing-net-raw',
  'missing-net-admin',
  'permission-denied',
  'check-crashed',
  'deadline',
  'no-peers',
  'no-address',
  'no-overlay-device',
  'not-applicable',
  'not-in-the-catalogue-of-the-peer',
  'no-provider-detected',
] as const;
export type Reason = (typeof reasons)[number];

/** Says that what was required was seen. */
export function pass(evidence: Evidence): Answer {
  return { outcome: 'pass', evidence };
}

/** Says that what was required is not so. */
export function fail(
  reason: Reason,
  evidence: Evidence,
  culprit?: AnswerCulprit,
  remedy: readonly AnswerRemedy[] = [],
): Answer {
  return {
    outcome: 'fail',
    reason,
    evidence,
    ...(culprit === undefined ? {} : { culprit }),
    ...(remedy.length === 0 ? {} : { remedy }),
  };
}

/** Says that it does not apply here. */
export function skip(reason: Reason, evidence: Evidence = {}): Answer {
  return { outcome: 'skip', reason, evidence };
}

/** Says that it could not be determined. */
export function unknown(reason: Reason, evidence: Evidence = {}): Answer {
  return { outcome: 'unknown', reason, evidence };
}
