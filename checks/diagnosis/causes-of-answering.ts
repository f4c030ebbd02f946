/** @module Why no answer comes from a receiver that the probes reached: its listener, its OUTPUT, and the sender's own way in. Pure. */
import {
  type Cause,
  captureOf,
  doesNotTell,
  grew,
  grown,
  hasProgram,
  letsPass,
  looseReversePath,
  typeable,
  type Weight,
  weightOfRules,
} from './cause.ts';
import type { PlacedRemedy } from './diagnosis.ts';
import type { Facts } from './facts.ts';

const isEgress = (hook: string): boolean => hook === 'egress';
const isBeforeEgress = (hook: string): boolean => hook !== 'egress';
const isIngress = (hook: string, family: string): boolean =>
  hook === 'ingress' && family !== 'bridge';
const isPastIngress = (hook: string, family: string): boolean => !isIngress(hook, family);

const rulesOfReceiver = ({ peer }: Facts) => peer?.rules?.answer;
const rulesOfSender = ({ sender }: Facts) => sender.rules?.answer;

const listRules = (facts: Facts): string =>
  `nft -a list ruleset | grep -nw -e ${facts.flow.port ?? 'icmp'} -e policy; iptables-save -c`;

export const causesOfAnswering: readonly Cause[] = [
  {
    id: 'answer-receiver-rule-drops',
    standing: true,
    segments: ['answering'],
    where: 'node',
    node: 'peer',
    reason: 'answer-dropped-by-receiver-firewall',
    weigh: (facts) => taken(rulesOfReceiver(facts), isBeforeEgress),
    rules: rulesOfReceiver,
    probe: listRules,
  },
  {
    id: 'answer-receiver-egress-rule-drops',
    standing: true,
    segments: ['answering'],
    where: 'node',
    node: 'peer',
    reason: 'answer-dropped-by-receiver-egress',
    weigh: (facts) => taken(rulesOfReceiver(facts), isEgress),
    rules: rulesOfReceiver,
    probe: listRules,
  },
  {
    id: 'answer-receiver-egress-program',
    segments: ['answering'],
    where: 'node',
    node: 'peer',
    reason: 'answer-dropped-by-receiver-egress',
    weigh: (facts) => (hasProgram(rulesOfReceiver(facts), 'tc egress') ? 'hint' : undefined),
    probe: ({ peer }) => `bpftool net show dev ${peer?.interfaceToSender ?? 'IF'}`,
  },
  {
    id: 'receiver-ignores-echo',
    standing: true,
    segments: ['answering'],
    where: 'node',
    node: 'peer',
    reason: 'echo-ignored',
    weigh: ({ kind, peer }) =>
      kind === 'icmp' && peer?.echoIgnored === true ? 'proof' : undefined,
    remedy: ({ flow }): readonly PlacedRemedy[] => [
      { manager: 'sysctl', on: 'peer', commands: [`sysctl -w ${echoKey(flow.family)}=0`] },
    ],
    probe: ({ flow }) => `sysctl ${echoKey(flow.family)}`,
  },
  {
    id: 'listener-hangs',
    segments: ['answering'],
    where: 'receiver-listener',
    node: 'peer',
    reason: 'listener-hangs',
    weigh: (facts): Weight | undefined => {
      if (facts.kind !== 'tcp' || !grew(facts.peer?.stations, 'tcpListenDrops')) return undefined;
      // The counter is the whole host's: it decides where nothing else takes the answer.
      const isAlone = facts.seen['past-input'] === 'yes' && letsPass(rulesOfReceiver(facts));
      return isAlone && facts.peer?.owner !== 'nobody' ? 'proof' : 'hint';
    },
    probe: ({ flow }) => `ss -tlnp 'sport = :${flow.port ?? 0}'; nstat -az TcpExtListenOverflows`,
  },
  {
    id: 'receiver-no-route-back',
    segments: ['answering'],
    where: 'node',
    node: 'peer',
    reason: 'no-return-route',
    weigh: ({ peer }): Weight | undefined => {
      if (peer === undefined || peer.interfaceToSender !== undefined) return undefined;
      return grew(peer.stations, 'ipOutNoRoutes') ? 'proof' : 'hint';
    },
    probe: ({ flow }) => `ip route get ${flow.source} from ${flow.destination}`,
  },
  {
    // The kernel drops it without a word, behind the place where the witness sits.
    id: 'receiver-drops-bad-checksum',
    segments: ['answering'],
    where: 'path',
    node: 'path',
    reason: 'bad-checksum',
    weigh: ({ kind, peer }) =>
      kind === 'tcp' && grew(peer?.stations, 'tcpInCsumErrors') ? 'hint' : undefined,
    probe: (facts) => `${captureOf(facts)} -vv`,
  },
  {
    id: 'answer-receiver-conntrack-full',
    segments: ['answering'],
    where: 'node',
    node: 'peer',
    reason: 'conntrack-full',
    weigh: ({ peer, seen }) =>
      seen['past-input'] === 'yes' && grew(peer?.stations, 'conntrackDrop') ? 'hint' : undefined,
    probe: () => 'sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max',
  },
  {
    id: 'answer-receiver-rules-untold',
    segments: ['answering'],
    where: 'node',
    node: 'peer',
    reason: 'answer-dropped-by-receiver-firewall',
    weigh: (facts) => (doesNotTell(rulesOfReceiver(facts)) ? 'possible' : undefined),
    rules: rulesOfReceiver,
    probe: listRules,
  },
  {
    id: 'answer-receiver-rules-contradict',
    segments: ['answering'],
    where: 'node',
    node: 'peer',
    reason: 'answer-dropped-by-receiver-firewall',
    weigh: (facts) => (letsPass(rulesOfReceiver(facts)) ? 'possible' : undefined),
    probe: listRules,
  },
  {
    id: 'listener-silent',
    segments: ['answering'],
    where: 'receiver-listener',
    node: 'peer',
    reason: 'listener-hangs',
    // A queue that is full is counted: one that did not grow was not full.
    weigh: ({ kind, peer }) =>
      kind === 'tcp' && grown(peer?.stations, 'tcpListenDrops') !== 0 && peer?.owner !== 'nobody'
        ? 'possible'
        : undefined,
    probe: ({ flow }) => `ss -tlnp 'sport = :${flow.port ?? 0}'; nstat -az TcpExtListenOverflows`,
  },
  {
    id: 'receiver-silent',
    segments: ['answering'],
    where: 'receiver-listener',
    node: 'peer',
    reason: 'timed-out',
    weigh: () => 'possible',
    probe: () => 'nstat -z; bpftool cgroup tree; sysctl net.ipv4.icmp_echo_ignore_all',
  },
  {
    id: 'answer-sender-ingress-rule-drops',
    standing: true,
    segments: ['ingress-back'],
    where: 'node',
    node: 'this',
    reason: 'answer-dropped-by-sender-ingress',
    weigh: (facts) => taken(rulesOfSender(facts), isIngress),
    rules: rulesOfSender,
    probe: listRules,
  },
  {
    id: 'answer-sender-ingress-program',
    segments: ['ingress-back'],
    where: 'node',
    node: 'this',
    reason: 'answer-dropped-by-sender-ingress',
    weigh: (facts) => (hasProgram(rulesOfSender(facts), 'tc ingress') ? 'hint' : undefined),
    probe: ({ sender }) => `bpftool net show dev ${sender.stations?.nic.interfaces[0] ?? 'IF'}`,
  },
  {
    id: 'answer-sender-ingress-silent',
    segments: ['ingress-back'],
    where: 'node',
    node: 'this',
    reason: 'answer-dropped-by-sender-ingress',
    weigh: () => 'possible',
    probe: ({ sender }) =>
      `tc -s filter show dev ${sender.stations?.nic.interfaces[0] ?? 'IF'} ingress; nft list hooks netdev`,
  },
  {
    id: 'answer-reverse-path-filter',
    segments: ['input-back'],
    where: 'node',
    node: 'this',
    reason: 'answer-dropped-by-reverse-path-filter',
    weigh: ({ flow, sender }): Weight | undefined => {
      if (flow.family !== 'ipv4' || !grew(sender.stations, 'reversePathFilter')) return undefined;
      const cameIn = sender.stations?.pastIngress.interfaces ?? [];
      const way = sender.route?.interface;
      const isOther = way !== undefined && cameIn.length > 0 && !cameIn.includes(way);
      return sender.reversePathFilter === 1 && isOther ? 'proof' : 'hint';
    },
    remedy: ({ sender }): readonly PlacedRemedy[] => {
      const device = typeable(sender.stations?.pastIngress.interfaces[0]);
      if (device === undefined || sender.reversePathFilter !== 1) return [];
      return [{ manager: 'sysctl', on: 'this', commands: [looseReversePath(device)] }];
    },
    probe: ({ flow }) => `ip route get ${flow.destination}; nstat -az TcpExtIPReversePathFilter`,
  },
  {
    id: 'answer-sender-rule-drops',
    standing: true,
    segments: ['input-back'],
    where: 'node',
    node: 'this',
    reason: 'answer-dropped-by-sender-firewall',
    weigh: (facts) => taken(rulesOfSender(facts), isPastIngress),
    rules: rulesOfSender,
    probe: listRules,
  },
  {
    id: 'answer-sender-drops-bad-checksum',
    segments: ['input-back'],
    where: 'path',
    node: 'path',
    reason: 'bad-checksum',
    weigh: ({ kind, sender }) =>
      kind === 'tcp' && grew(sender.stations, 'tcpInCsumErrors') ? 'hint' : undefined,
    probe: (facts) => `${captureOf(facts)} -vv`,
  },
  {
    id: 'answer-sender-conntrack-full',
    segments: ['input-back'],
    where: 'node',
    node: 'this',
    reason: 'conntrack-full',
    weigh: ({ sender }) => (grew(sender.stations, 'conntrackDrop') ? 'hint' : undefined),
    probe: () => 'sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max',
  },
  {
    id: 'answer-sender-rules-untold',
    segments: ['input-back'],
    where: 'node',
    node: 'this',
    reason: 'answer-dropped-by-sender-firewall',
    weigh: (facts) => (doesNotTell(rulesOfSender(facts)) ? 'possible' : undefined),
    rules: rulesOfSender,
    probe: listRules,
  },
  {
    id: 'answer-sender-rules-contradict',
    segments: ['input-back'],
    where: 'node',
    node: 'this',
    reason: 'answer-dropped-by-sender-firewall',
    weigh: (facts) => (letsPass(rulesOfSender(facts)) ? 'possible' : undefined),
    probe: listRules,
  },
  {
    id: 'sender-loses-answers',
    segments: ['input-back'],
    where: 'node',
    node: 'this',
    reason: 'no-reply',
    weigh: (facts) => (doesNotTell(rulesOfSender(facts)) ? undefined : 'possible'),
    probe: () => 'nstat -z; ip xfrm policy; bpftool cgroup tree',
  },
];

/** Whether the rules take an answer: whoever rejects one is not heard by the one that waits for it. */
function taken(
  rules: Parameters<typeof weightOfRules>[0],
  isHere: Parameters<typeof weightOfRules>[2],
): Weight | undefined {
  return (
    weightOfRules(rules, 'drop', isHere) ??
    weightOfRules(rules, 'reject', isHere) ??
    weightOfRules(rules, 'redirected', isHere)
  );
}

function echoKey(family: Facts['flow']['family']): string {
  return family === 'ipv4' ? 'net.ipv4.icmp_echo_ignore_all' : 'net.ipv6.icmp.echo_ignore_all';
}
