/** @module Why probes that came to the receiver's interface do not come past its INPUT. Pure. */
import {
  type Cause,
  captureOf,
  doesNotTell,
  explainOf,
  grew,
  hasProgram,
  isRefusal,
  letsPass,
  looseReversePath,
  typeable,
  type Weight,
  weightOfRules,
} from './cause.ts';
import type { PlacedRemedy } from './diagnosis.ts';
import type { Facts } from './facts.ts';

const isIngress = (hook: string, family: string): boolean =>
  hook === 'ingress' && family !== 'bridge';
const isBridge = (_hook: string, family: string): boolean => family === 'bridge';
const isPastIngress = (hook: string, family: string): boolean =>
  hook !== 'ingress' && family !== 'bridge';

const explainFrom = (facts: Facts): string => explainOf(facts, 'from', facts.flow.source);
const probeRules = ({ peer }: Facts) => peer?.rules?.probe;

export const causesOfReceiving: readonly Cause[] = [
  {
    id: 'sender-has-wrong-neighbour',
    segments: ['ingress', 'input'],
    where: 'node',
    node: 'this',
    reason: 'wrong-link-layer-address',
    weigh: (facts) => weightOfWrongNeighbour(facts, true),
    remedy: ({ flow, sender }): readonly PlacedRemedy[] => {
      const device = typeable(sender.route?.interface);
      if (device === undefined) return [];
      const commands = [`ip neigh del ${flow.destination} dev ${device}`];
      return [{ manager: 'iproute2', on: 'this', commands }];
    },
    probe: ({ flow }) => `ip neigh show to ${flow.destination}`,
  },
  {
    id: 'router-has-wrong-neighbour',
    segments: ['ingress', 'input'],
    where: 'path',
    node: 'path',
    reason: 'wrong-link-layer-address',
    weigh: (facts) => weightOfWrongNeighbour(facts, false),
    probe: captureOf,
  },
  {
    id: 'receiver-ingress-rule-drops',
    standing: true,
    segments: ['ingress'],
    where: 'receiver-ingress',
    node: 'peer',
    reason: 'dropped-by-receiver-ingress',
    weigh: (facts) =>
      weightOfRules(probeRules(facts), 'drop', isIngress) ??
      weightOfRules(probeRules(facts), 'reject', isIngress),
    rules: probeRules,
    probe: explainFrom,
  },
  {
    id: 'receiver-bridge-rule-drops',
    standing: true,
    segments: ['ingress', 'input'],
    where: 'receiver-ingress',
    node: 'peer',
    reason: 'dropped-by-receiver-firewall',
    weigh: (facts) => weightOfRules(probeRules(facts), 'drop', isBridge),
    rules: probeRules,
    probe: explainFrom,
  },
  {
    id: 'receiver-ingress-program',
    segments: ['ingress'],
    where: 'receiver-ingress',
    node: 'peer',
    reason: 'dropped-by-receiver-ingress',
    weigh: (facts) => (hasProgram(probeRules(facts), 'tc ingress') ? 'hint' : undefined),
    probe: ({ peer }) => `bpftool net show dev ${peer?.stations?.nic.interfaces[0] ?? 'IF'}`,
  },
  {
    id: 'receiver-ingress-silent',
    segments: ['ingress'],
    where: 'receiver-ingress',
    node: 'peer',
    reason: 'dropped-by-receiver-ingress',
    weigh: () => 'possible',
    probe: ({ peer }) =>
      `tc -s filter show dev ${peer?.stations?.nic.interfaces[0] ?? 'IF'} ingress; nft list hooks netdev`,
  },
  {
    id: 'way-loses-fragments',
    segments: ['ingress', 'input'],
    where: 'path',
    node: 'path',
    reason: 'fragments-lost',
    weigh: ({ sender, peer }) => {
      const left = sender.stations?.out.fragments ?? 0;
      if (left === 0 || peer?.stations === undefined) return undefined;
      return peer.stations.nic.fragments === 0 ? 'proof' : undefined;
    },
    probe: ({ flow }) => `ping -c 3 -M dont -s 3000 ${flow.destination}`,
  },
  {
    id: 'receiver-ingress-loses-fragments',
    segments: ['ingress', 'input'],
    where: 'receiver-ingress',
    node: 'peer',
    reason: 'fragments-lost',
    weigh: ({ peer }) => {
      if (peer?.stations === undefined || peer.stations.nic.fragments === 0) return undefined;
      return peer.stations.pastIngress.fragments === 0 ? 'proof' : undefined;
    },
    probe: () => 'nft list hooks netdev',
  },
  {
    id: 'receiver-does-not-reassemble',
    segments: ['input'],
    where: 'receiver-ingress',
    node: 'peer',
    reason: 'fragments-lost',
    weigh: ({ peer }) =>
      (peer?.stations?.pastIngress.fragments ?? 0) > 0 && grew(peer?.stations, 'ipReasmFails')
        ? 'hint'
        : undefined,
    probe: () => 'nstat -az IpReasmFails; sysctl net.ipv4.ipfrag_high_thresh',
  },
  {
    // The source is checked after PREROUTING and before INPUT (fib_validate_source in net/ipv4/fib_frontend.c).
    id: 'receiver-reverse-path-filter',
    segments: ['input'],
    where: 'receiver-ingress',
    node: 'peer',
    reason: 'dropped-by-reverse-path-filter',
    weigh: (facts) => (takesEarlier(facts) ? undefined : weightOfReversePath(facts)),
    remedy: ({ peer }): readonly PlacedRemedy[] => {
      const device = typeable(peer?.stations?.pastIngress.interfaces[0]);
      if (device === undefined || peer?.reversePathFilter !== 1) return [];
      return [{ manager: 'sysctl', on: 'peer', commands: [looseReversePath(device)] }];
    },
    probe: ({ flow, peer }) =>
      `ip route get ${flow.source} from ${flow.destination}; sysctl net.ipv4.conf.all.rp_filter net.ipv4.conf.${peer?.stations?.nic.interfaces[0] ?? 'IF'}.rp_filter`,
  },
  {
    id: 'receiver-rule-drops',
    standing: true,
    segments: ['input'],
    where: 'receiver-ingress',
    node: 'peer',
    reason: 'dropped-by-receiver-firewall',
    weigh: (facts) => {
      const byRules = weightOfRules(probeRules(facts), 'drop', isPastIngress);
      // Where the source was refused before, INPUT was not asked.
      const isLater = !takesEarlier(facts) && weightOfReversePath(facts) === 'proof';
      return byRules === 'proof' && isLater && facts.lostIn.length === 1 ? 'hint' : byRules;
    },
    rules: probeRules,
    probe: explainFrom,
  },
  {
    id: 'receiver-rule-rejects',
    standing: true,
    segments: ['input'],
    where: 'receiver-ingress',
    node: 'peer',
    reason: 'rejected-by-receiver-firewall',
    weigh: (facts) => weightOfRules(probeRules(facts), 'reject', isPastIngress),
    rules: probeRules,
    probe: explainFrom,
  },
  {
    id: 'receiver-refuses',
    segments: ['input'],
    where: 'receiver-ingress',
    node: 'peer',
    reason: 'rejected-by-receiver-firewall',
    weigh: (facts): Weight | undefined => {
      if (facts.seen['past-input'] !== 'no' || !wasRefusedByReceiver(facts)) return undefined;
      // A device on the way may refuse in its name.
      const isItsOwn = facts.seen.arrived === 'yes' && !letsPass(probeRules(facts));
      return isItsOwn ? 'proof' : 'hint';
    },
    probe: explainFrom,
  },
  {
    id: 'receiver-rule-sends-elsewhere',
    standing: true,
    segments: ['input'],
    where: 'receiver-ingress',
    node: 'peer',
    reason: 'rewritten',
    weigh: (facts) => weightOfRules(probeRules(facts), 'redirected', isPastIngress),
    rules: probeRules,
    probe: explainFrom,
  },
  {
    id: 'receiver-conntrack-full',
    segments: ['input'],
    where: 'receiver-ingress',
    node: 'peer',
    reason: 'conntrack-full',
    weigh: ({ peer }) =>
      grew(peer?.stations, 'conntrackDrop', 'conntrackInsertFailed') ? 'hint' : undefined,
    probe: () => 'sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max',
  },
  {
    id: 'checksum-broken-by-sender',
    segments: ['ingress', 'input', 'answering'],
    where: 'sender-egress',
    node: 'this',
    reason: 'bad-checksum',
    weigh: (facts) => {
      if (!hasBadChecksums(facts)) return undefined;
      return (facts.sender.stations?.out.badChecksums ?? 0) > 0 ? 'proof' : 'hint';
    },
    probe: ({ sender }) =>
      `ethtool -k ${sender.route?.interface ?? 'IF'} | grep -E 'checksum|udp_tnl'`,
  },
  {
    id: 'checksum-broken-on-the-way',
    segments: ['ingress', 'input', 'answering'],
    where: 'path',
    node: 'path',
    reason: 'bad-checksum',
    weigh: (facts) => (hasBadChecksums(facts) ? 'hint' : undefined),
    probe: (facts) => `${captureOf(facts)} -vv`,
  },
  {
    id: 'receiver-rules-untold',
    segments: ['input'],
    where: 'receiver-ingress',
    node: 'peer',
    reason: 'dropped-by-receiver-firewall',
    weigh: (facts) => (doesNotTell(probeRules(facts)) ? 'possible' : undefined),
    rules: probeRules,
    probe: explainFrom,
  },
  {
    // Rules that changed in the middle, or that were not understood.
    id: 'receiver-rules-contradict',
    segments: ['input'],
    where: 'receiver-ingress',
    node: 'peer',
    reason: 'dropped-by-receiver-firewall',
    weigh: (facts) => (letsPass(probeRules(facts)) ? 'possible' : undefined),
    probe: explainFrom,
  },
  {
    // An IPsec policy, a netfilter program of eBPF: what neither rules nor counters tell.
    id: 'receiver-loses',
    segments: ['input'],
    where: 'receiver-ingress',
    node: 'peer',
    reason: 'dropped',
    weigh: (facts) => (doesNotTell(probeRules(facts)) ? undefined : 'possible'),
    probe: () => 'nstat -z; ip xfrm policy; bpftool link show | grep netfilter',
  },
];

/** Whether the sender itself, or the last router, has the wrong entry: on one link it is the sender. */
function weightOfWrongNeighbour(facts: Facts, isOnLink: boolean): Weight | undefined {
  if (!wasForAnother(facts)) return undefined;
  const { route } = facts.sender;
  if (route === undefined) return 'hint';
  return (route.gateway === undefined) === isOnLink ? 'proof' : undefined;
}

/** All that came, came in frames for another station of the link. */
function wasForAnother({ peer }: Facts): boolean {
  const nic = peer?.stations?.nic;
  return nic !== undefined && nic.otherHost > 0 && nic.otherHost >= nic.probes;
}

function hasBadChecksums({ peer }: Facts): boolean {
  const nic = peer?.stations?.nic;
  return nic !== undefined && nic.badChecksums > 0 && nic.badChecksums >= nic.probes;
}

/** Whether a rule takes the packet before the kernel looks at its source. */
function takesEarlier(facts: Facts): boolean {
  const rules = probeRules(facts);
  const takes = rules?.verdict === 'drop' || rules?.verdict === 'reject';
  return takes && rules.place !== undefined && rules.place.hook !== 'input';
}

/**
 * Strict: the answer must leave by the interface that the packet came in on. Loose: there must be a route back at all. Only IPv4 has it.
 */
function weightOfReversePath({ flow, peer }: Facts): Weight | undefined {
  if (flow.family !== 'ipv4' || !grew(peer?.stations, 'reversePathFilter')) return undefined;
  const cameIn = peer?.stations?.pastIngress.interfaces ?? [];
  const back = peer?.interfaceToSender;
  const isOther = cameIn.length > 0 && (back === undefined || !cameIn.includes(back));
  if (peer?.reversePathFilter === 1) return isOther ? 'proof' : 'hint';
  return peer?.reversePathFilter === 2 && back === undefined ? 'proof' : 'hint';
}

/** What refused it left the receiver, or says that it comes from it. */
function wasRefusedByReceiver({ peer, errors, flow, kind, sender }: Facts): boolean {
  const sent = peer?.stations?.out.errors ?? [];
  if (sent.some((error) => isRefusal(error, flow))) return true;
  if (kind === 'tcp' && sender.refused) return true;
  return errors.some((error) => error.from === flow.destination && isRefusal(error, flow));
}
