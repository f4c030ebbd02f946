/** @module The words for what is wrong with a node itself. Pure. */
import type { Reason } from '../checks/check.ts';
import type { Words } from './message-facts.ts';
import { familyOf, firstUrl, oneOf, ownerOf } from './message-parts.ts';

export const nodeWords = {
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
  'sysctl-file-differs': {
    message: ({ get, has }) =>
      `${get('file')} line ${get('line')} sets ${get('key')} to ${get('found')}, not ${oneOf(get('want'))}, at the next ${has('reader') ? get('reader') : 'boot or sysctl --system'}`,
    next: ({ get }) => `sed -n ${get('line')}p ${get('file')}`,
  },
  'forwarding-off': {
    message: (facts) =>
      facts.get('interfaces') === 'all'
        ? `the node does not forward ${familyOf(facts)}`
        : `the node does not forward ${familyOf(facts)} that comes in on ${facts.get('interfaces')}: pods get nothing from there`,
    next: ({ get }) =>
      get('family') === 'ipv6'
        ? 'sysctl net.ipv6.conf.all.forwarding'
        : "sysctl -a -r 'ipv4.*forward'",
  },
  'reverse-path-filter': {
    message: ({ get }) =>
      `rp_filter in force (the larger of all and the interface's own) is ${get('interfaces')}; it must be ${oneOf(get('want'))}`,
    next: () => "sysctl -a -r 'ipv4.*[.]rp_filter'; nstat -az TcpExtIPReversePathFilter",
  },
  'return-path-refused': {
    message: ({ get, receiver }) =>
      `what ${receiver} sends to ${get('ownAddress')} is dropped on ${get('interface')}: the way back is by ${get('wayBack')}, and rp_filter is strict`,
    next: ({ get, peerAddress }) =>
      `ip route get ${get('ownAddress')} from ${peerAddress} iif ${get('interface')}; nstat -az TcpExtIPReversePathFilter`,
  },
  'table-nearly-full': {
    message: ({ get, has }) =>
      `the ${get('table')} table holds ${get('count')} of ${get('limit')} entries${
        has('refused') && get('refused') !== '0'
          ? `, and had no room ${get('refused')} times since the boot`
          : ''
      }`,
    next: ({ get }) =>
      get('table') === 'conntrack'
        ? 'conntrack -L 2>/dev/null | head; sysctl net.netfilter.nf_conntrack_max'
        : 'ip neigh show nud all | wc -l; sysctl net.ipv4.neigh.default.gc_thresh3',
  },
  'counter-high': {
    message: ({ get }) =>
      `${get('counter')}: ${get('value')} since the boot, ${get('perHour')} an hour on the average`,
    next: ({ get }) =>
      get('counter').startsWith('conntrack')
        ? 'conntrack -S'
        : 'lnstat -c 1 -f arp_cache,ndisc_cache',
  },
  'ipv6-disabled': {
    message: ({ get }) =>
      get('by') === 'kernel'
        ? 'the kernel runs without IPv6'
        : `IPv6 is switched off on ${get('interfaces')}`,
    next: ({ get }) =>
      get('by') === 'kernel'
        ? 'grep -o ipv6.disable=1 /proc/cmdline'
        : "sysctl -a -r 'disable_ipv6'",
  },
  'default-route-expires': {
    message: ({ get }) =>
      `the IPv6 default route of ${get('interfaces')} came from a router advertisement, and the node, which forwards, takes no more of them`,
    next: () => "ip -6 route show default; sysctl -a -r 'ipv6.*accept_ra$'",
  },
  'known-issue': {
    message: ({ get, has }) => {
      const parts = ['platform', 'kernel', 'driver', 'features', 'target', 'interface']
        .filter(has)
        .map((key) => `${key} ${get(key)}`);
      const untold = has('untold') ? `; not told: ${get('untold')}` : '';
      return `known of machines like this one: ${get('symptom')} (${parts.join(', ')}${untold})`;
    },
    next: ({ has, get }) =>
      has('driver') ? `ethtool -i ${get('interface')}; ethtool -k ${get('interface')}` : 'uname -r',
  },
  'foreign-filter': {
    message: ({ get }) =>
      `${get('filter')} of another program on ${get('interface')} (${get('place')}, pref ${get('priority')}) is asked before ${get('own')}`,
    next: ({ get }) =>
      `tc filter show dev ${get('interface')} ${get('place') === 'tc-egress' ? 'egress' : 'ingress'}; give the other program a larger pref`,
  },
  'selinux-denies': {
    message: ({ get }) =>
      `SELinux has forbidden ${get('program')} to ${get('denied')} ${get('name')} (${get('class')}), ${get('count')} denials since the boot, the last at ${get('at')}`,
    next: () => 'ausearch -m avc -ts boot; restorecon -Rnv /opt/cni /etc/cni',
  },
  'selinux-policy-missing': {
    message: ({ get }) =>
      `SELinux enforces, and has no policy module ${oneOf(get('modules'))}: what the network of pods needs may be forbidden`,
    next: ({ get }) => `semodule -l; install ${get('modules').split(',')[0] ?? ''}-selinux`,
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
  'firewall-rules-wiped': {
    message: ({ get, has }) => {
      const by = has('process')
        ? `; ${get('process')}${has('pid') ? ` (pid ${get('pid')})` : ''} took them away`
        : '';
      const advice = has('advice') ? `. Against the next time: ${get('advice')}` : '';
      return `rules of ${get('owners')} are gone from the firewall: ${get('lost')}${by}${advice}`;
    },
    next: () => 'nft list ruleset; iptables-save; then start again what had written them',
  },
  'no-history': {
    message: () =>
      'what was in the firewall before cannot be told from a single look; the agent keeps looking',
  },
} as const satisfies Partial<Readonly<Record<Reason, Words>>>;
