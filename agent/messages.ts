/** @module The words of a finding: one sentence for every reason, and what to type next. Pure. */
import type { Evidence, Reason } from '../checks/check.ts';
import type { Finding, FindingTarget } from './model.ts';

/** What a sentence is made of. */
export type FindingFacts = Pick<
  Finding,
  'requirement' | 'kind' | 'outcome' | 'target' | 'evidence'
> & { readonly reason?: Reason; readonly culprit?: Finding['culprit'] };

/** Says a finding in one sentence, without the peer's name: that stands beside it. */
export function messageOf(finding: FindingFacts): string {
  const facts = factsOf(finding);
  return finding.reason === undefined ? passMessage(facts) : words[finding.reason].message(facts);
}

/** The first thing to type or to do; undefined where there is nothing to be done. */
export function nextStep(finding: FindingFacts): string | undefined {
  if (finding.reason === undefined) return undefined;
  const facts = factsOf(finding);
  // Some evidence is a peer's word, and people paste what they read here into a shell.
  const get = (key: string): string => facts.get(key).replaceAll(/[^\w .,:/@%+=[\]-]/g, '?');
  return words[finding.reason].next?.({ ...facts, get });
}

/** The words of a finding, as the store of findings wants them. */
export function describeFinding(finding: FindingFacts): {
  readonly message: string;
  readonly documentation?: string;
} {
  const message = messageOf(finding);
  return finding.reason === undefined
    ? { message }
    : { message, documentation: documentationOf(finding.reason) };
}

/** Where the manual explains a reason. */
export function documentationOf(reason: Reason): string {
  return `docs/troubleshooting.md#${reason}`;
}

/** A finding prepared for sentences. */
interface Facts {
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
  /** Whether evidence of this name is there. */
  has(key: string): boolean;
  /** Evidence as text; a question mark where it is missing. */
  get(key: string): string;
}

interface Words {
  readonly message: (facts: Facts) => string;
  readonly next?: (facts: Facts) => string;
}

/** Leave a reason out and the compiler says which. */
const words: Readonly<Record<Reason, Words>> = {
  'kernel-too-old': {
    message: ({ get }) => `kernel ${get('kernel')} is not ${get('want')}`,
    next: () => 'uname -r; then install a newer kernel from the distribution and reboot',
  },
  'kernel-version-unreadable': {
    message: ({ get }) =>
      `the kernel calls itself "${get('kernel')}", which cannot be compared with ${get('want')}`,
    next: () => 'uname -r',
  },
  'feature-missing': {
    message: ({ get }) => `the kernel lacks ${get('feature')} (${get('source')})`,
    next: ({ get }) =>
      `modinfo ${get('feature')}; the module may be in a package of its own (kernel-modules-extra, linux-modules-extra)`,
  },
  'feature-undetermined': {
    message: ({ get }) => `whether the kernel has ${get('feature')} cannot be told from here`,
    next: ({ get }) =>
      `modprobe --dry-run ${get('feature')}; or check --try-modules, which may load it`,
  },
  'sysctl-absent': {
    message: ({ get }) => `${get('key')} does not exist; it must be ${oneOf(get('want'))}`,
    next: ({ get }) =>
      get('key').startsWith('net/bridge/') ? 'lsmod | grep br_netfilter' : `sysctl ${get('key')}`,
  },
  'sysctl-differs': {
    message: ({ get }) => `${get('key')} is ${get('found')}, not ${oneOf(get('want'))}`,
    next: ({ get }) =>
      `grep -rs ${get('key').split('/').at(-1) ?? ''} /etc/sysctl.conf /etc/sysctl.d /usr/lib/sysctl.d`,
  },
  'sysctl-not-available': {
    message: ({ get }) => `${get('key')} does not exist in this kernel, and need not`,
  },
  'foreign-cni-config': {
    message: ({ get, has }) => {
      const whose = has('provider')
        ? `it belongs to ${get('provider')}`
        : `it runs the plugin ${get('plugin')}`;
      return `${get('directory')}/${get('foreign')} is in the way of ${get('own')}: ${whose}`;
    },
    next: ({ get }) => `ls -l ${get('directory')}; move the file away if nothing uses it any more`,
  },
  'port-taken': {
    message: (facts) => `${facts.thing} is taken by ${ownerOf(facts)}`,
    next: ({ get }) =>
      get('transport') === 'tcp'
        ? `ss -tlnpe 'sport = :${get('port')}'`
        : `ss -ulnpe 'sport = :${get('port')}'`,
  },
  'listens-beyond-loopback': {
    message: (facts) =>
      `${facts.thing} is for this node alone, but ${ownerOf(facts)} listens on ${facts.get('address')}`,
    next: ({ get }) => `ss -lnpe 'sport = :${get('port')}'`,
  },
  'device-conflict': {
    message: ({ get }) => {
      switch (get('conflict')) {
        case 'port':
          return `${get('link')} runs on UDP port ${get('linkPort')}, not ${get('port')}`;
        case 'vni':
          return `${get('link')} already has this VNI on UDP port ${get('port')}, so the provider's own device cannot come up`;
        default:
          return `${get('link')} holds UDP port ${get('port')} in another mode, so the provider's own device cannot come up`;
      }
    },
    next: ({ get }) => `ip -details link show dev ${get('link')}`,
  },
  'datastore-unreachable': {
    message: ({ get }) => `no endpoint of ${get('store')} answers: ${get('unreachable')}`,
    next: ({ get }) => `curl -kv ${firstUrl(get('unreachable'))}`,
  },
  'datastore-unhealthy': {
    message: ({ get }) => `${get('store')} answers, but is not healthy: ${get('unhealthy')}`,
    next: ({ get }) =>
      `curl -k ${firstUrl(get('unhealthy'))}${get('store') === 'etcd' ? '/health' : '/readyz?verbose'}`,
  },
  'no-endpoint-given': {
    message: ({ get }) => `no endpoint of ${get('store')} was given`,
    next: ({ get }) => `--set ${get('option')}=URL[,URL]`,
  },
  'dropped': {
    message: (facts) =>
      `${facts.thing}: none of ${probesOf(facts)} got past the firewall of ${facts.receiver}, and nobody refused them`,
    next: (facts) =>
      `on ${facts.receiver}: ${listRules(facts)}; then the network between (security groups), then ${facts.sender}`,
  },
  'dropped-by-sender-firewall': {
    message: (facts) =>
      `${facts.thing}: the firewall of ${facts.sender} drops what it sends${ruleOf(facts)}`,
    next: (facts) => `on ${facts.sender}: ${listRules(facts)} (output and postrouting)`,
  },
  'dropped-by-sender-egress': {
    message: (facts) =>
      `${facts.thing}: a tc or netdev egress rule of ${facts.sender} drops what it sends`,
    next: ({ sender }) => `on ${sender}: tc filter show dev IF egress; nft list hooks`,
  },
  'rejected-by-sender-firewall': {
    message: (facts) =>
      `${facts.thing}: the firewall of ${facts.sender} rejects what it sends${ruleOf(facts)}`,
    next: (facts) => `on ${facts.sender}: ${listRules(facts)} (output)`,
  },
  'dropped-by-receiver-firewall': {
    message: (facts) =>
      `${facts.thing}: the firewall of ${facts.receiver} drops what comes in${ruleOf(facts)}`,
    next: explainIt,
  },
  'rejected-by-receiver-firewall': {
    message: (facts) =>
      `${facts.thing}: the firewall of ${facts.receiver} rejects what comes in${ruleOf(facts)}`,
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
      }: one of several paths may be dead`,
    next: ({ sender, address }) =>
      `on ${sender}: ip route get ${address}; look at each member of the bond, and at each equal-cost path`,
  },
  'wrong-host': {
    message: ({ get }) =>
      `${get('overlayAddress')} on ${get('device')} is answered by another host than the peer`,
    next: ({ sender, get }) =>
      `on ${sender}: ip route get ${get('overlayAddress')}; bridge fdb show dev ${get('device')}`,
  },
  'no-witness': {
    message: (facts) =>
      facts.kind === 'peer-agreement' || facts.kind === 'overlay-path'
        ? `no agent answers on ${facts.receiver}, so its settings are not known`
        : `${facts.thing}: no agent answers on ${facts.receiver}, so nobody can say what arrived`,
    next: runAgent,
  },
  'key-mismatch': {
    message: ({ sender, receiver }) =>
      `the agents on ${sender} and ${receiver} have different keys, or only one has a key: neither answers the other`,
    next: () => 'sha256sum KEYFILE on both nodes; give every node the same --key-file, or none',
  },
  'peer-unreachable': {
    // Of the peer's own way to this node nothing was heard: it is the peer that does not answer.
    message: ({ get, sender, receiver }) =>
      `nothing answers on ${get('agent') === 'unreachable' ? sender : receiver}: no agent, no echo, no TCP port`,
    next: ({ get, sender, address, receiver, peerAddress }) =>
      get('agent') === 'unreachable'
        ? `on ${receiver}: ping -c 3 ${peerAddress}; ip route get ${peerAddress}`
        : `on ${sender}: ping -c 3 ${address}; ip route get ${address}`,
  },
  'peer-has-not-probed': {
    message: ({ sender, get }) =>
      get('agent') === 'absent'
        ? `no agent answers on ${sender}, so nobody has tested this way`
        : `${sender} has not tested this way yet`,
    next: ({ sender, get }) =>
      get('agent') === 'absent'
        ? `run cni-preflight on ${sender}, too: check --wait 60 on all nodes at once, or the agent`
        : 'wait for its next round; check has --wait S',
  },
  'unconfirmed': {
    message: (facts) =>
      `${facts.thing}: failed once${facts.has('suspected') ? ` (${facts.get('suspected')})` : ''}, the next round will tell`,
  },
  'inconclusive': {
    message: ({ thing, has, receiver }) =>
      has('witnessOverloaded')
        ? `${thing}: the witness on ${receiver} had no room for all that came, so silence proves nothing`
        : `${thing}: this process stalled while it waited, so silence proves nothing`,
    next: ({ has, receiver }) =>
      has('witnessOverloaded')
        ? `uptime on ${receiver}; its metric cni_preflight_datagrams_dropped_total tells a flood of forged probes`
        : 'uptime; run it again when the node is less busy',
  },
  'stale': {
    message: ({ has, get }) =>
      `not tested for three rounds${has('lastOutcome') ? `; the last answer was ${get('lastOutcome')}` : ''}`,
    next: ({ sender }) => `look at the log of the agent on ${sender}`,
  },
  'missing-net-raw': {
    message: () => 'could not look: raw sockets need CAP_NET_RAW',
    next: () => 'run it as root, or grant CAP_NET_RAW',
  },
  'missing-net-admin': {
    message: () => 'could not look: reading the firewall needs CAP_NET_ADMIN',
    next: () => 'run it as root, or grant CAP_NET_ADMIN',
  },
  'permission-denied': {
    message: ({ has, get }) =>
      `could not look: ${has('unreadable') ? `${get('unreadable')} may not be read` : 'permission was denied'}`,
    next: () => 'run it as root',
  },
  'check-crashed': {
    message: ({ kind, has, get }) =>
      `the check ${kind} itself failed${has('error') ? `: ${get('error')}` : ''}; this is a bug`,
    next: () => 'please report it with the output of --format json',
  },
  'deadline': {
    message: (facts) => `${facts.thing}: not finished in time`,
    next: () => 'a larger --timeout gives it more',
  },
  'no-peers': {
    message: () => 'no node is known besides this one, so no path was tested',
    next: () => '--peer ADDR[=NAME], or --peers-file FILE',
  },
  'no-address': {
    message: () => 'the two nodes have no address family in common',
    next: () => 'ip -brief address; give the peer an address of the same family',
  },
  'no-overlay-device': {
    message: () => 'the overlay does not run on both nodes yet',
  },
  'not-applicable': {
    message: ({ has, get }) =>
      has('setBy')
        ? `${get('key')} is set by ${get('setBy')} when it starts`
        : 'does not apply here',
  },
  'not-in-the-catalogue-of-the-peer': {
    message: ({ sender }) => `the agent on ${sender} does not know this requirement`,
    next: () => 'run the same version, provider and --rules on all nodes',
  },
  'no-provider-detected': {
    message: () => 'no CNI runs on this node yet, and none was named',
    next: () => '--provider NAME',
  },
};

function passMessage(facts: Facts): string {
  const { kind, thing, get, has } = facts;
  const rtt = has('rttSeconds') ? ` in ${milliseconds(get('rttSeconds'))}` : '';
  switch (kind) {
    case 'kernel-version':
      return `kernel ${get('kernel')} is ${get('want')}${has('backport') ? ' by its vendor’s backports' : ''}`;
    case 'kernel-feature':
      return `the kernel has ${get('feature')} (${get('source')})`;
    case 'sysctl':
      return `${get('key')} is ${get('found')}`;
    case 'cni-files':
      return has('files') ? `nothing stands before ${get('files')}` : 'no CNI is configured yet';
    case 'port-owner':
      return get('owner') === 'nobody'
        ? `${thing} is free`
        : `${thing} belongs to ${ownerOf(facts)}`;
    case 'device-conflict':
      return `no ${get('device')} device is in the way on UDP port ${get('port')}`;
    case 'datastore':
      return `${get('store')} answers: ${get('healthy')}`;
    case 'icmp-echo':
      return `answers${rtt}`;
    case 'udp-port':
    case 'vxlan-path':
    case 'ip-protocol':
      return `${thing}: arrives${rtt}`;
    case 'host-firewall':
      return `${thing}: this node's firewall lets it pass`;
    case 'tcp-port':
      if (has('listening')) {
        return get('listening') === 'true'
          ? `${thing}: connected`
          : `${thing}: the path is open, nobody listens yet`;
      }
      return `${thing} cannot be reached from outside, as it should be`;
    case 'path-mtu':
      return `the path carries ${get('pathMtuBytes')} bytes, as the overlay needs`;
    case 'overlay-path':
      return `${get('overlayAddress')} answers over ${get('device')}${rtt}`;
    case 'latency':
      return `the round trip takes ${milliseconds(get('rttSeconds'))}`;
    case 'peer-agreement':
      return 'both nodes are set up alike';
    case 'agent':
      return 'as it should be';
  }
}

function factsOf({ kind, outcome, target, evidence, culprit }: FindingFacts): Facts {
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
    receiverIsToBlame: culprit?.where === 'receiver-ingress',
    has,
    get,
  };
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
    case 'kernel-version':
    case 'kernel-feature':
    case 'sysctl':
    case 'cni-files':
    case 'device-conflict':
    case 'datastore':
    case 'agent':
      return kind;
  }
}

/** The rule that decides, where it is known: of this node's own firewall only. */
function ruleOf({ has, get }: Facts): string {
  return has('decidedBy') ? ` (${get('decidedBy')})` : '';
}

function becauseOf({ has, get }: Facts): string {
  const parts = [
    has('why') ? get('why') : '',
    has('undetermined') ? get('undetermined') : '',
    has('notModelled') ? `not modelled: ${get('notModelled')}` : '',
  ].filter((part) => part !== '');
  return parts.length === 0 ? '' : `: ${parts.join('; ')}`;
}

/** The question to this node's own firewall, as one types it. */
function explainIt({ get, has, kind, peerAddress, receiver }: Facts): string {
  const protocol = protocolOf(kind, get, has);
  const way = receiver === 'this node' ? '--from' : '--to';
  return `on this node: cni-preflight explain ${protocol} ${way} ${peerAddress}`;
}

function protocolOf(kind: Facts['kind'], get: Facts['get'], has: Facts['has']): string {
  const word =
    kind === 'tcp-port' ? 'tcp' : kind === 'udp-port' || kind === 'vxlan-path' ? 'udp' : '';
  const protocol = word !== '' ? word : has('protocol') ? get('protocol') : 'icmp';
  return has('port') ? `${protocol}/${get('port')}` : protocol;
}

/** How to see the rules that matter, with whichever tool is there. */
function listRules({ kind, get, has }: Facts): string {
  const word = has('port') ? get('port') : kind === 'ip-protocol' ? 'proto' : 'icmp';
  return `nft -a list ruleset | grep -nw ${word}; iptables-save | grep -w -e ${word} -e policy -e DROP -e REJECT`;
}

function runAgent({ receiver, sender }: Facts): string {
  const where = receiver === 'this node' ? sender : receiver;
  return `run cni-preflight on ${where}, too: check --wait 60 on all nodes at once, or the agent`;
}

function probesOf({ get, has }: Facts): string {
  if (!has('sent')) return 'the probes';
  return get('sent') === '1' ? '1 probe' : `${get('sent')} probes`;
}

function ownerOf({ get, has }: Facts): string {
  const owner = get('owner');
  if (owner === 'kernel') return 'the kernel (a tunnel device)';
  if (owner === 'unnamed') return `a process of uid ${get('uid')} whose name may not be seen`;
  return has('pid') ? `${owner} (pid ${get('pid')})` : owner;
}

function icmpOf({ get, has }: Facts): string {
  return has('icmp') ? ` (ICMP ${get('icmp')})` : '';
}

function differencesOf({ get, has }: Facts): string {
  return ['provider', 'encapsulation', 'vni', 'port', 'mtu']
    .filter((field) => has(`${field}Here`) && get(`${field}Here`) !== get(`${field}There`))
    .map((field) => `${field} ${get(`${field}Here`)} here, ${get(`${field}There`)} there`)
    .join('; ');
}

function shortfall(get: Facts['get']): string {
  const missing = Number(get('neededBytes')) - Number(get('pathMtuBytes'));
  return Number.isFinite(missing) ? String(missing) : '?';
}

function milliseconds(seconds: string): string {
  const ms = Number(seconds) * 1000;
  if (!Number.isFinite(ms)) return '?';
  return `${ms >= 100 ? ms.toFixed(0) : ms >= 1 ? ms.toFixed(1) : ms.toFixed(2)} ms`;
}

function oneOf(values: string): string {
  return values.replaceAll(',', ' or ');
}

/** Evidence lists `URL detail` pairs. */
function firstUrl(list: string): string {
  return list.split(/[ ,]/)[0] ?? '';
}
