/** @module A finding prepared for sentences. Pure. */
import type { Evidence, Reason } from '../checks/check.ts';
import type { FirewallPlace } from '../checks/firewall-verdict.ts';
import type { Finding, FindingTarget } from './model.ts';

/** What a sentence is made of. */
export type FindingFacts = Pick<
  Finding,
  'requirement' | 'kind' | 'outcome' | 'target' | 'evidence'
> & { readonly reason?: Reason; readonly culprit?: Finding['culprit'] };

/** The facts as sentences use them. */
export interface Facts {
  readonly kind: FindingFacts['kind'];
  readonly outcome: FindingFacts['outcome'];
  /** What was tested: `UDP port 8472`. */
  readonly thing: string;
  /** The two nodes of a path, as this node calls them. */
  readonly sender: string;
  readonly receiver: string;
  /** Where the sender sends to. */
  readonly address: string;
  /** Where this node reaches the other one. */
  readonly peerAddress: string;
  /** Whether the receiver itself is known to be to blame. */
  readonly receiverIsToBlame: boolean;
  /** The node that is to blame, as this node calls it; empty where it is none or nobody knows. */
  readonly blamed: string;
  /** The rule of a firewall that is known to be to blame. */
  readonly place: FirewallPlace | undefined;
  /** Whether evidence of this name is there. */
  has(key: string): boolean;
  /** Evidence as text; a question mark where it is missing. */
  get(key: string): string;
}

/** What is said of a reason, and what to type next. */
export interface Words {
  readonly message: (facts: Facts) => string;
  readonly next?: (facts: Facts) => string;
}

/** Prepares a finding. */
export function factsOf({ kind, outcome, target, evidence, culprit }: FindingFacts): Facts {
  const own = 'this node';
  const peer = target.scope === 'peer' ? target.name : own;
  const inbound = target.scope === 'peer' && target.direction === 'inbound';
  const has = (key: string): boolean => Object.hasOwn(evidence, key) && evidence[key] !== '';
  const get = (key: string): string => (has(key) ? String(evidence[key]) : '?');
  return {
    kind,
    outcome,
    thing: thingOf(kind, evidence, target),
    sender: inbound ? peer : own,
    receiver: inbound ? own : peer,
    // Which of its addresses the peer uses is not known here.
    address: target.scope === 'node' ? '' : inbound ? 'ADDRESS-OF-THIS-NODE' : target.address,
    peerAddress: target.scope === 'node' ? '' : target.address,
    blamed: blamedOf(culprit, peer),
    receiverIsToBlame: culprit?.where === 'receiver-ingress',
    place: culprit?.firewall,
    has,
    get,
  };
}

function blamedOf(culprit: FindingFacts['culprit'], peer: string): string {
  if (culprit === undefined || culprit === null || culprit.node === 'path') return '';
  return culprit.node === peer ? peer : 'this node';
}

function thingOf(kind: FindingFacts['kind'], evidence: Evidence, target: FindingTarget): string {
  const port = evidence['port'];
  const numbered = (transport: string): string =>
    port === undefined ? `${transport} port` : `${transport} port ${port}`;
  switch (kind) {
    case 'udp-port':
      return numbered('UDP');
    case 'tcp-port':
      return numbered('TCP');
    case 'vxlan-path':
      return `full-sized VXLAN packets to ${numbered('UDP')}`;
    case 'host-firewall':
      if (evidence['protocol'] === 'udp') return numbered('UDP');
      if (evidence['protocol'] === 'tcp') return numbered('TCP');
      if (evidence['protocol'] === 'icmp') return 'ICMP echo';
      return `IP protocol ${evidence['protocol'] ?? '?'}`;
    case 'port-owner':
      return numbered(evidence['transport'] === 'tcp' ? 'TCP' : 'UDP');
    case 'ip-protocol':
      return evidence['protocol'] === 50 ? 'IP protocol 50 (ESP)' : 'IP protocol 4 (IPIP)';
    case 'icmp-echo':
    case 'latency':
      return target.scope === 'peer' && target.family === 'ipv6' ? 'ICMPv6 echo' : 'ICMP echo';
    case 'path-mtu':
      return 'the path MTU';
    case 'overlay-path':
      return evidence['overlayAddress'] === undefined
        ? 'the overlay'
        : `the overlay address ${evidence['overlayAddress']}`;
    case 'peer-agreement':
      return "the peer's settings";
    case 'overlay-device':
      return "the overlay's devices";
    case 'overlay-state':
      return "the way to the peer's pods";
    case 'host-forward':
    case 'pod-source':
      return 'packets between pods of different nodes';
    case 'kernel-version':
    case 'kernel-feature':
    case 'sysctl':
    case 'sysctl-files':
    case 'forwarding':
    case 'reverse-path':
    case 'return-path':
    case 'kernel-table':
    case 'kernel-counter':
    case 'ipv6-state':
    case 'known-issue':
    case 'traffic-filters':
    case 'selinux':
    case 'cni-files':
    case 'policy-routing':
    case 'service-manager':
    case 'firewall-backends':
    case 'cni-plugins':
    case 'cni-token':
    case 'device-conflict':
    case 'datastore':
    case 'firewall-wipe':
    case 'agent':
      return kind;
  }
}
