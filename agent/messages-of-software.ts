/** @module The words for what other programs on a node do to a CNI. Pure. */
import type { Reason } from '../checks/check.ts';
import type { Facts, Words } from './message-facts.ts';

export const softwareWords = {
  'policy-rule-missing': {
    message: ({ get }) =>
      `no policy rule asks the routing table ${get('table')} (${get('family')}); the rules are ${get('rules')}`,
    next: ({ get }) =>
      `${ipOf(get)} rule add pref ${get('table') === 'local' ? '0' : '32766'} lookup ${get('table')}`,
  },
  'policy-route-captures': {
    message: ({ get, has }) => {
      const packets = `packets to ${get('destination')}${has('from') ? ` from ${get('from')}` : ''}`;
      const rule = has('rule') ? `the policy rule "${get('rule')}"` : 'a policy rule';
      const where = has('wanted')
        ? `${get('found')} instead of ${get('wanted')}`
        : `${get('found')} (table ${get('table')})`;
      return has('wanted')
        ? `${rule} sends ${packets} to ${where}`
        : `${rule} will send ${packets} to ${where}`;
    },
    next: ({ get, has }) =>
      has('wanted')
        ? `ip rule; ip route get ${get('destination').split('/')[0] ?? '?'}${has('from') ? ` from ${get('from')}` : ''}`
        : `ip rule; ip route show table ${get('table')}`,
  },
  'networkmanager-manages': {
    message: ({ get }) =>
      `NetworkManager has put profiles of its own on devices of the CNI: ${get('devices')}`,
    next: () => 'nmcli device status; nmcli -f NAME,DEVICE connection show --active',
  },
  'networkmanager-not-told': {
    message: ({ get }) => `NetworkManager is not told to leave ${get('devices')} alone`,
    next: () => 'NetworkManager --print-config | grep -A5 keyfile; nmcli device status',
  },
  'nm-cloud-setup-enabled': {
    message: ({ get }) =>
      `${get('units')} is switched on: it writes policy rules and routes every few minutes`,
    next: ({ get }) => `systemctl disable --now ${get('units').replaceAll(',', ' ')}`,
  },
  'networkd-manages': {
    message: ({ get }) =>
      `systemd-networkd takes ${get('device')} for its own, by ${get('file')}: it removes addresses and routes that the file does not name`,
    next: ({ get }) => `networkctl status ${get('device')}; cat ${get('file')}`,
  },
  'networkd-removes-foreign': {
    message: ({ get }) =>
      `systemd-networkd is not told to leave routes and policy rules of other programs alone (${get('settings')})`,
    next: () => 'systemd-analyze cat-config systemd/networkd.conf',
  },
  'firewall-reload-flushes': {
    message: ({ get }) =>
      `a reload of ${get('manager')} takes ${get('chains')} chains of kube-proxy and the CNI away`,
    next: ({ get }) => get('cure'),
  },
  'iptables-backends-mixed': {
    message: ({ get }) =>
      get('where') === 'both'
        ? `rules of ${get('legacy')} are in both backends of iptables (${get('family')}): ${get('legacyChains')} chains in legacy, ${get('nftChains')} in nf_tables`
        : `rules of ${get('legacy')} are in legacy iptables (${get('legacyFirst')}), those of ${get('nft')} in nf_tables (${get('nftFirst')})`,
    next: () =>
      'iptables-legacy-save | grep -c -e KUBE- -e cali- -e FLANNEL; iptables-nft-save | grep -c -e KUBE- -e cali- -e FLANNEL; readlink -f /usr/sbin/iptables',
  },
  'cni-plugin-missing': {
    message: ({ get }) =>
      `${get('file')} calls ${get('missing')}, which is not in ${get('directories')}`,
    next: ({ get }) => `ls -l ${get('directories').replaceAll(',', ' ')}`,
  },
  'iptables-missing': {
    message: ({ get }) =>
      `the plugin ${get('plugin')} of ${get('file')} calls iptables, which is not on this host`,
    next: () => 'apt install iptables, or dnf install iptables-nft',
  },
  'cni-token-expired': {
    message: ({ get }) =>
      `the token in ${get('file')} expired ${get('sinceSeconds')} s ago: the API server refuses the CNI plugins`,
    next: () => 'kubectl -n kube-system rollout restart ds/calico-node, or ds/canal; date -u',
  },
  'cni-token-not-yet': {
    message: ({ get }) =>
      `the token in ${get('file')} is in force in ${get('inSeconds')} s only: the clock of this node is behind`,
    next: () => 'timedatectl; chronyc tracking',
  },
} as const satisfies Partial<Readonly<Record<Reason, Words>>>;

function ipOf(get: Facts['get']): string {
  return get('family') === 'ipv6' ? 'ip -6' : 'ip';
}
