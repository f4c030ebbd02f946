/** @module The words for what is wrong with the way between two nodes. Pure. */
import type { Reason } from '../checks/check.ts';
import type { Words } from './message-facts.ts';
import {
  becauseOf,
  differencesOf,
  explainIt,
  icmpOf,
  listRules,
  milliseconds,
  probesOf,
  runAgent,
  shortfall,
} from './message-parts.ts';

export const pathWords = {
  'dropped': {
    message: (facts) =>
      `${facts.thing}: none of ${probesOf(facts)} got past the firewall of ${facts.receiver}, and nobody refused them`,
    next: (facts) =>
      `on ${facts.receiver}: ${listRules(facts)}; then the network between (security groups), then ${facts.sender}`,
  },
  'dropped-by-sender-firewall': {
    message: (facts) => `${facts.thing}: the firewall of ${facts.sender} drops what it sends`,
    next: (facts) => `on ${facts.sender}: ${listRules(facts)} (output and postrouting)`,
  },
  'dropped-by-sender-egress': {
    message: (facts) =>
      `${facts.thing}: a tc or netdev egress rule of ${facts.sender} drops what it sends`,
    next: ({ sender }) => `on ${sender}: tc filter show dev IF egress; nft list hooks`,
  },
  'rejected-by-sender-firewall': {
    message: (facts) => `${facts.thing}: the firewall of ${facts.sender} rejects what it sends`,
    next: (facts) => `on ${facts.sender}: ${listRules(facts)} (output)`,
  },
  'dropped-by-receiver-firewall': {
    message: (facts) => `${facts.thing}: the firewall of ${facts.receiver} drops what comes in`,
    next: explainIt,
  },
  'rejected-by-receiver-firewall': {
    message: (facts) => `${facts.thing}: the firewall of ${facts.receiver} rejects what comes in`,
    next: explainIt,
  },
  'rejected-by-firewall': {
    message: (facts) => {
      const who =
        facts.has('rejectedBy') && !facts.receiverIsToBlame
          ? facts.get('rejectedBy')
          : facts.receiver;
      return `${facts.thing}: a firewall rejects it, and answers from ${who}${icmpOf(facts)}`;
    },
    next: (facts) =>
      facts.has('rejectedBy') && !facts.receiverIsToBlame
        ? `ask whoever runs ${facts.get('rejectedBy')} to let it pass`
        : `on ${facts.receiver}: ${listRules(facts)}`,
  },
  'refused-unwitnessed': {
    message: (facts) =>
      `${facts.thing} is refused: nobody listens, or a firewall rejects; without an agent on ${facts.receiver} the two look alike`,
    next: runAgent,
  },
  'no-route': {
    message: (facts) =>
      `${facts.thing}: ${facts.sender} has no way out${facts.has('errno') ? ` (${facts.get('errno')})` : ''}`,
    next: ({ sender, address }) => `on ${sender}: ip route get ${address}`,
  },
  'neighbour-unresolved': {
    message: ({ sender, receiver }) =>
      `${receiver} does not answer ${sender} on the link (ARP or neighbour discovery)`,
    next: ({ sender, address }) =>
      `on ${sender}: ip neigh show to ${address}; is the host up, and on the same segment?`,
  },
  'unreachable': {
    message: (facts) =>
      `a router says that ${facts.receiver} cannot be reached${icmpOf(facts)}${
        facts.has('rejectedBy') ? ` (${facts.get('rejectedBy')})` : ''
      }`,
    next: ({ sender, address }) => `on ${sender}: ip route get ${address}; tracepath -n ${address}`,
  },
  'no-reply': {
    message: (facts) => `${facts.thing}: no reply to ${probesOf(facts)}`,
    next: (facts) =>
      facts.kind === 'icmp-echo'
        ? `on ${facts.receiver}: nft -a list ruleset | grep -i icmp; iptables-save | grep -i icmp`
        : `on ${facts.sender}: ping -c 3 ${facts.address}`,
  },
  'timed-out': {
    message: (facts) => `${facts.thing}: no connection within the timeout, and nobody refused it`,
    next: (facts) => `on ${facts.receiver}: ${listRules(facts)}; then the network between`,
  },
  'rewritten': {
    message: (facts) =>
      facts.kind === 'host-firewall'
        ? `${facts.thing}: a rule sends it to ${facts.get('rewrittenTo')} instead`
        : `${facts.thing}: probes arrive at another destination (${facts.get('rewrittenTo')}): REDIRECT or DNAT`,
    next: (facts) =>
      `on ${facts.receiver}: nft -a list ruleset | grep -E 'dnat|redirect'; iptables-save -t nat`,
  },
  'bad-checksum': {
    message: (facts) =>
      `${facts.thing}: probes arrive with a wrong UDP checksum, so the kernel drops them`,
    next: ({ sender }) => `on ${sender}: ethtool -k IF | grep -E 'checksum|udp_tnl'`,
  },
  'tproxy-possible': {
    message: (facts) =>
      `${facts.thing}: probes arrive, but a TPROXY rule may take them away from the port`,
    next: ({ receiver }) =>
      `on ${receiver}: nft -a list ruleset | grep tproxy; iptables-save -t mangle | grep TPROXY`,
  },
  'firewall-undetermined': {
    message: (facts) =>
      `${facts.thing}: the rules of this node's firewall do not tell what they do with it${becauseOf(facts)}`,
    next: explainIt,
  },
  'established-by-reverse': {
    message: (facts) =>
      `${facts.thing}: arrives, but conntrack of ${facts.receiver} may let it pass as a reply only`,
    next: ({ receiver, get }) =>
      `on ${receiver}: conntrack -L -p ${get('protocol')}; it is probed again when the entry is gone`,
  },
  'other-slot': {
    message: (facts) =>
      `${facts.thing}: it is the peer's turn to probe, this node's comes within 20 minutes`,
  },
  'path-mtu-too-small': {
    message: ({ get, has }) => {
      const by = has('reportedBy')
        ? `, says ${get('reportedBy')}`
        : ', and no router says so (ICMP is filtered: a black hole)';
      return `the path carries packets of ${get('pathMtuBytes')} bytes, the overlay needs ${get('neededBytes')}${by}`;
    },
    next: ({ sender, address, get }) =>
      `on ${sender}: tracepath -n ${address}; or lower the overlay's MTU by ${shortfall(get)} bytes on every node`,
  },
  'fragments-lost': {
    message: (facts) => `${facts.thing}: small ones arrive, fragmented ones are lost`,
    next: ({ sender, address }) =>
      `on ${sender}: ping -c 3 -M dont -s 3000 ${address}; raise the path MTU or lower the overlay's`,
  },
  'latency-too-high': {
    message: ({ get }) =>
      `the round trip takes ${milliseconds(get('rttSeconds'))}, more than ${milliseconds(get('maximumSeconds'))}`,
    next: ({ sender, address }) => `on ${sender}: ping -c 20 ${address}`,
  },
  'peer-disagrees': {
    message: (facts) => `the two nodes are set up differently: ${differencesOf(facts)}`,
    next: () => 'ip -details link show type vxlan (on both nodes)',
  },
  'exposed': {
    message: (facts) =>
      `${facts.thing} is for ${facts.receiver} alone, but ${facts.sender} can connect to it`,
    next: ({ receiver, get }) => `on ${receiver}: ss -tlnp 'sport = :${get('port')}'`,
  },
  'partial-loss': {
    message: ({ get, has }) =>
      `${get('lost')} of ${get('sent')} probes were lost${
        has('lostSourcePorts') ? `, from source ports ${get('lostSourcePorts')}` : ''
      }: one of several paths may be dead${since(get('roundsSinceLoss'))}`,
    next: ({ sender, address }) =>
      `on ${sender}: ip route get ${address}; look at each member of the bond, and at each equal-cost path`,
  },
  'wrong-host': {
    message: ({ get }) =>
      `${get('overlayAddress')} on ${get('device')} is answered by another host than the peer`,
    next: ({ sender, get }) =>
      `on ${sender}: ip route get ${get('overlayAddress')}; bridge fdb show dev ${get('device')}`,
  },
} as const satisfies Partial<Readonly<Record<Reason, Words>>>;

/** One probe a round meets a dead path among several only now and then: it is shown on for some rounds, and said to be over. */
function since(rounds: string): string {
  if (!/^[1-9]/.test(rounds)) return '';
  return `; none in the last ${rounds === '1' ? 'round' : `${rounds} rounds`}`;
}
