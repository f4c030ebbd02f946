/** @module Why probes do not leave their sender: its routes, its rules, its neighbours, its queues. Pure. */
import {
  type Cause,
  doesNotTell,
  explainOf,
  grew,
  hasProgram,
  isRefusal,
  isUnreachable,
  letsPass,
  type Weight,
  weightOfRules,
} from './cause.ts';
import type { Facts } from './facts.ts';

/** Errors of a send call or connect() that the routing table gives (net/ipv4/route.c, net/ipv6/route.c). */
const routeErrors = new Set([
  'ENETUNREACH',
  'EHOSTUNREACH',
  'EACCES',
  'EINVAL',
  'EADDRNOTAVAIL',
  'ENETDOWN',
]);
const dead = new Set(['blackhole', 'unreachable', 'prohibit', 'throw']);
/** Nobody on the link has answered. */
const unresolved = new Set(['failed', 'incomplete']);

const isEgress = (hook: string): boolean => hook === 'egress';
const isBeforeEgress = (hook: string): boolean => hook !== 'egress';

function refusedWith({ sender }: Facts, isSuch: (errno: string) => boolean): boolean {
  const { sendErrors } = sender;
  return sendErrors.length > 0 && sendErrors.every(isSuch);
}

/** Own errors about own packets: the neighbour did not answer, or an own rule rejects. */
function ownError({ errors, flow }: Facts, isSuch: typeof isRefusal): boolean {
  return errors.some((error) => error.from === flow.source && isSuch(error, flow));
}

const explainTo = (facts: Facts): string => explainOf(facts, 'to', facts.flow.destination);

export const causesOfSending: readonly Cause[] = [
  {
    id: 'sender-no-route',
    segments: ['sending'],
    where: 'node',
    node: 'this',
    reason: 'no-route',
    weigh: (facts) => {
      const { route } = facts.sender;
      if (refusedWith(facts, (errno) => routeErrors.has(errno))) return 'said';
      return route !== undefined && dead.has(route.type) ? 'proof' : undefined;
    },
    probe: ({ flow }) => `ip route get ${flow.destination}`,
  },
  {
    id: 'sender-rule-rejects',
    standing: true,
    segments: ['sending'],
    where: 'sender-egress',
    node: 'this',
    reason: 'rejected-by-sender-firewall',
    weigh: (facts) => {
      const byRules = weightOfRules(facts.sender.rules?.probe, 'reject', isBeforeEgress);
      if (byRules !== undefined) return byRules;
      const wasRefused = refusedWith(facts, (errno) => errno === 'EPERM');
      // Without a word of an own address nobody says that it was a rejection.
      return (wasRefused || facts.sender.refused) && ownError(facts, isRefusal)
        ? 'said'
        : undefined;
    },
    rules: ({ sender }) => sender.rules?.probe,
    probe: explainTo,
  },
  {
    id: 'sender-rule-drops',
    standing: true,
    segments: ['sending'],
    where: 'sender-egress',
    node: 'this',
    reason: 'dropped-by-sender-firewall',
    weigh: ({ sender }) => weightOfRules(sender.rules?.probe, 'drop', isBeforeEgress),
    rules: ({ sender }) => sender.rules?.probe,
    probe: explainTo,
  },
  {
    id: 'sender-rule-sends-elsewhere',
    standing: true,
    segments: ['sending'],
    where: 'sender-egress',
    node: 'this',
    reason: 'rewritten',
    weigh: ({ sender }) => weightOfRules(sender.rules?.probe, 'redirected', isBeforeEgress),
    rules: ({ sender }) => sender.rules?.probe,
    probe: explainTo,
  },
  {
    id: 'sender-conntrack-full',
    segments: ['sending'],
    where: 'node',
    node: 'this',
    reason: 'conntrack-full',
    weigh: ({ sender }) =>
      grew(sender.stations, 'conntrackDrop', 'conntrackInsertFailed') ? 'hint' : undefined,
    probe: () => 'sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max',
  },
  {
    // EPERM is the word of a netfilter hook or of a cgroup's eBPF program.
    id: 'sender-refuses',
    segments: ['sending'],
    where: 'sender-egress',
    node: 'this',
    reason: 'dropped-by-sender-firewall',
    weigh: (facts): Weight | undefined => {
      if (!refusedWith(facts, (errno) => errno === 'EPERM')) return undefined;
      const rules = facts.sender.rules?.probe;
      return letsPass(rules) || grew(facts.sender.stations, 'conntrackDrop') ? 'hint' : 'said';
    },
    probe: () => 'bpftool cgroup tree',
  },
  {
    id: 'sender-neighbour-table-full',
    segments: ['sending'],
    where: 'node',
    node: 'this',
    reason: 'neighbour-table-full',
    weigh: ({ sender }) => (grew(sender.stations, 'neighbourTableFull') ? 'hint' : undefined),
    probe: ({ flow }) =>
      flow.family === 'ipv4'
        ? 'ip -4 neigh | wc -l; sysctl net.ipv4.neigh.default.gc_thresh3'
        : 'ip -6 neigh | wc -l; sysctl net.ipv6.neigh.default.gc_thresh3',
  },
  {
    id: 'sender-neighbour-unresolved',
    segments: ['sending'],
    where: 'path',
    node: 'path',
    reason: 'neighbour-unresolved',
    weigh: (facts) => {
      if (grew(facts.sender.stations, 'neighbourTableFull')) return undefined;
      if (ownError(facts, isUnreachable)) return 'said';
      return unresolved.has(facts.sender.neighbour ?? '') ? 'proof' : undefined;
    },
    probe: ({ flow, sender }) => `ip neigh show to ${sender.route?.gateway ?? flow.destination}`,
  },
  {
    id: 'sender-egress-rule-drops',
    standing: true,
    segments: ['sending'],
    where: 'sender-egress',
    node: 'this',
    reason: 'dropped-by-sender-egress',
    weigh: ({ sender }) =>
      weightOfRules(sender.rules?.probe, 'drop', isEgress) ??
      weightOfRules(sender.rules?.probe, 'reject', isEgress),
    rules: ({ sender }) => sender.rules?.probe,
    probe: explainTo,
  },
  {
    // ENOBUFS is the word of tc, of a netdev egress chain or of a full queue.
    id: 'sender-egress-refuses',
    segments: ['sending'],
    where: 'sender-egress',
    node: 'this',
    reason: 'dropped-by-sender-egress',
    weigh: (facts) => (refusedWith(facts, (errno) => errno === 'ENOBUFS') ? 'said' : undefined),
    probe: ({ sender }) => `tc -s filter show dev ${interfaceOf(sender)} egress`,
  },
  {
    id: 'sender-egress-program',
    segments: ['sending'],
    where: 'sender-egress',
    node: 'this',
    reason: 'dropped-by-sender-egress',
    weigh: ({ sender }) => (hasProgram(sender.rules?.probe, 'tc egress') ? 'hint' : undefined),
    probe: ({ sender }) => `bpftool net show dev ${interfaceOf(sender)}`,
  },
  {
    id: 'sender-device-drops',
    segments: ['sending'],
    where: 'sender-egress',
    node: 'this',
    reason: 'dropped-by-sender-egress',
    weigh: ({ sender }) => (grew(sender.stations, 'deviceTransmitDrops') ? 'hint' : undefined),
    probe: ({ sender }) => `ip -s -s link show dev ${interfaceOf(sender)}`,
  },
  {
    id: 'sender-rules-untold',
    segments: ['sending'],
    where: 'sender-egress',
    node: 'this',
    reason: 'dropped-by-sender-firewall',
    // A datagram that a rule drops is refused with EPERM; of a connection the kernel says nothing.
    weigh: ({ kind, sender }) =>
      kind === 'tcp' && doesNotTell(sender.rules?.probe) ? 'possible' : undefined,
    rules: ({ sender }) => sender.rules?.probe,
    probe: explainTo,
  },
  {
    // Policy rules by port or user hide which route it took.
    id: 'sender-neighbour-untold',
    segments: ['sending'],
    where: 'path',
    node: 'path',
    reason: 'neighbour-unresolved',
    weigh: ({ sender }) =>
      sender.neighbour === undefined && sender.sendErrors.length === 0 ? 'possible' : undefined,
    probe: () => 'ip neigh | grep -e FAILED -e INCOMPLETE',
  },
  {
    id: 'sender-egress-silent',
    segments: ['sending'],
    where: 'sender-egress',
    node: 'this',
    reason: 'dropped-by-sender-egress',
    weigh: () => 'possible',
    probe: ({ sender }) => `tc -s qdisc show dev ${interfaceOf(sender)}`,
  },
];

function interfaceOf({ route }: Facts['sender']): string {
  return route?.interface ?? 'IF';
}
