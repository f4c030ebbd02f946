/** @module The words for what a diagnosis between two agents finds: each names the one who has to act. Pure. */
import type { Reason } from '../checks/check.ts';
import type { Words } from './message-facts.ts';
import { captureIt, listRules, probesOf } from './message-parts.ts';

export const diagnosisWords = {
  'dropped-on-the-way': {
    message: (facts) =>
      `the network between drops ${facts.thing}: ${probesOf(facts)} left ${facts.sender}, none came to ${facts.receiver}`,
    next: (facts) =>
      `open it between ${facts.sender} and ${facts.receiver}: security group, network ACL, firewall of the fabric, hypervisor; ${captureIt(facts)} on each hop`,
  },
  'dropped-by-receiver-device': {
    message: ({ thing, receiver }) =>
      `the network card of ${receiver} drops ${thing}: its receive queue overflows, or frames arrive damaged`,
    next: ({ receiver }) =>
      `on ${receiver}: ip -s -s link; ethtool -S IF; cat /proc/net/softnet_stat`,
  },
  'dropped-by-receiver-ingress': {
    message: ({ thing, receiver }) =>
      `a program or rule at the ingress of ${receiver} (XDP, tc, netdev) drops ${thing}`,
    next: ({ receiver }) =>
      `on ${receiver}: bpftool net; tc -s filter show dev IF ingress; nft list hooks netdev`,
  },
  'dropped-by-reverse-path-filter': {
    message: ({ thing, receiver, get, has }) =>
      `the reverse path filter of ${receiver} (rp_filter) drops ${thing}${
        has('arrivedOn')
          ? `: it came in on ${get('arrivedOn')}, and the way back leaves by another interface`
          : ''
      }`,
    next: ({ receiver, sender }) =>
      `on ${receiver}: ip route get ADDRESS of ${sender}; sysctl -a -r 'conf.*.rp_filter'`,
  },
  'wrong-address': {
    message: ({ receiver, address }) =>
      `${receiver} does not have the address ${address}: it is translated on the way, or has moved`,
    next: ({ receiver, address }) => `on ${receiver}: ip addr show to ${address}`,
  },
  'wrong-link-layer-address': {
    message: ({ thing, receiver, blamed }) =>
      `${thing} comes to ${receiver} in frames for another link-layer address: a stale neighbour entry of ${blamed === '' ? 'a router' : blamed}`,
    next: ({ sender, address, blamed }) =>
      `on ${blamed === '' ? 'the last router' : sender}: ip neigh show to ${address}`,
  },
  'routing-loop': {
    message: ({ thing, get, has }) =>
      `${thing} goes round in circles until its time to live is over${has('rejectedBy') ? `, says ${get('rejectedBy')}` : ''}`,
    next: ({ sender, address }) => `on ${sender}: tracepath -n ${address}`,
  },
  'conntrack-full': {
    message: ({ thing, blamed, receiver }) =>
      `the connection tracking table of ${blamed === '' ? receiver : blamed} is full, so it drops ${thing}`,
    next: ({ blamed, receiver }) =>
      `on ${blamed === '' ? receiver : blamed}: sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max; conntrack -S`,
  },
  'neighbour-table-full': {
    message: ({ thing, sender }) =>
      `the neighbour table of ${sender} is full, so ${thing} finds no link-layer address`,
    next: ({ sender }) =>
      `on ${sender}: ip neigh | wc -l; sysctl net.ipv4.neigh.default.gc_thresh3`,
  },
  'echo-ignored': {
    message: ({ receiver, thing }) =>
      `${receiver} is set to ignore ${thing} (icmp_echo_ignore_all)`,
    next: ({ receiver }) =>
      `on ${receiver}: sysctl net.ipv4.icmp_echo_ignore_all net.ipv6.icmp.echo_ignore_all`,
  },
  'listener-hangs': {
    message: ({ receiver, thing }) =>
      `the process on ${receiver} that listens on ${thing} takes no more connections: its accept queue is full`,
    next: ({ receiver, get }) =>
      `on ${receiver}: ss -tlnp 'sport = :${get('port')}' (Recv-Q against Send-Q); nstat -az TcpExtListenOverflows`,
  },
  'no-return-route': {
    message: ({ receiver, sender, thing }) =>
      `${receiver} has no route back to ${sender}, so ${thing} is never answered`,
    next: ({ receiver, sender }) => `on ${receiver}: ip route get ADDRESS of ${sender}; ip rule`,
  },
  'answer-dropped-by-receiver-firewall': {
    message: ({ receiver, thing }) =>
      `${thing} arrives, and the firewall of ${receiver} drops the answer on its way out`,
    next: (facts) => `on ${facts.receiver}: ${listRules(facts)} (output and postrouting)`,
  },
  'answer-dropped-by-receiver-egress': {
    message: ({ receiver, thing }) =>
      `${thing} arrives, and a tc or netdev egress rule of ${receiver} drops the answer`,
    next: ({ receiver }) =>
      `on ${receiver}: tc -s filter show dev IF egress; nft list hooks netdev`,
  },
  'answer-dropped-on-the-way': {
    message: ({ receiver, sender, thing }) =>
      `${thing} arrives, and the network between drops the answer: it left ${receiver} and did not come to ${sender}`,
    next: (facts) =>
      `let answers pass from ${facts.receiver} to ${facts.sender}: a stateless network ACL, an asymmetric way, a firewall that saw one half; ${captureIt(facts)} on each hop`,
  },
  'answer-dropped-by-sender-ingress': {
    message: ({ sender, thing }) =>
      `the answer to ${thing} comes back, and a program or rule at the ingress of ${sender} (XDP, tc, netdev) drops it`,
    next: ({ sender }) =>
      `on ${sender}: bpftool net; tc -s filter show dev IF ingress; nft list hooks netdev`,
  },
  'answer-dropped-by-sender-firewall': {
    message: ({ sender, thing }) =>
      `the answer to ${thing} comes back, and the firewall of ${sender} drops it on its way in`,
    next: (facts) => `on ${facts.sender}: ${listRules(facts)} (prerouting and input)`,
  },
  'answer-dropped-by-reverse-path-filter': {
    message: ({ sender, thing }) =>
      `the answer to ${thing} comes back on another interface than ${sender} sends by, and its reverse path filter (rp_filter) drops it`,
    next: ({ sender, address }) =>
      `on ${sender}: ip route get ${address}; sysctl -a -r 'conf.*.rp_filter'`,
  },
} as const satisfies Partial<Readonly<Record<Reason, Words>>>;
