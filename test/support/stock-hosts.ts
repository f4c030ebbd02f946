/** @module What is to be seen of hosts as their distributions ship them, before anybody has changed anything. */
import type { Link } from '../../checks/host/host.ts';
import type { FakeMachine } from './fake-host.ts';

/** With its links, so that a test can add to them. */
export type StockHost = FakeMachine & { readonly links: readonly Link[] };

const lo: Link = { index: 1, name: 'lo', mtu: 65_536, up: true, loopback: true };
const card = (name: string): Link => ({ index: 2, name, mtu: 1500, up: true, loopback: false });
const empty = (...paths: string[]): Readonly<Record<string, string>> =>
  Object.fromEntries(paths.map((path) => [path, '']));
const running = (...units: string[]): Readonly<Record<string, string>> =>
  empty(...units.map((unit) => `/sys/fs/cgroup/system.slice/${unit}/cgroup.procs`));
const enabled = (target: string, ...units: string[]): Readonly<Record<string, string>> =>
  empty(...units.map((unit) => `/etc/systemd/system/${target}.wants/${unit}`));

/** Nothing is mounted over single files, as it is in containers. */
const ownMounts = `22 28 0:20 / /sys rw,nosuid - sysfs sysfs rw
28 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
30 28 0:26 / /run rw,nosuid - tmpfs tmpfs rw
`;
export const containerMounts = `605 604 0:54 / / rw,relatime - overlay overlay rw
613 605 254:1 /var/lib/kubelet/pods/1/etc-hosts /etc/hosts rw,relatime - ext4 /dev/vda1 rw
`;

const rules = `#!/usr/sbin/nft -f

flush ruleset

table inet filter {
	chain input {
		type filter hook input priority filter;
	}
}
`;

const networkFiles = {
  '/usr/lib/systemd/network/80-6rd-tunnel.network':
    '[Match]\nKind=sit\nName=6rd-*\n[Network]\nLinkLocalAddressing=no\n',
  '/usr/lib/systemd/network/80-container-host0.network':
    '[Match]\nKind=veth\nName=host0\nVirtualization=container\n[Network]\nDHCP=yes\n',
  '/usr/lib/systemd/network/80-container-ve.network':
    '[Match]\nKind=veth\nName=ve-*\n[Network]\nAddress=0.0.0.0/28\n',
  '/usr/lib/systemd/network/80-container-vz.network': '[Match]\nKind=bridge\nName=vz-*\n',
  '/usr/lib/systemd/network/89-ethernet.network.example': '[Match]\nType=ether\n',
};

/** Ubuntu 24.04 server: systemd-networkd, set up by netplan; ufw is there and switched off. */
const ubuntu: StockHost = {
  os: { id: 'ubuntu', idLike: 'debian', versionId: '24.04' },
  links: [lo, card('ens3')],
  files: {
    '/proc/self/mountinfo': ownMounts,
    ...running('systemd-networkd.service', 'systemd-resolved.service', 'ssh.service'),
    ...enabled('multi-user.target', 'systemd-networkd.service', 'ssh.service', 'ufw.service'),
    ...networkFiles,
    '/etc/systemd/networkd.conf':
      '[Network]\n#SpeedMeter=no\n#ManageForeignRoutingPolicyRules=yes\n#ManageForeignRoutes=yes\n',
    '/run/systemd/network/10-netplan-ens3.network':
      '[Match]\nName=ens3\n\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=ipv6\n',
    '/run/systemd/netif/links/1': 'ADMIN_STATE=unmanaged\nOPER_STATE=carrier\n',
    '/run/systemd/netif/links/2':
      'ADMIN_STATE=configured\nOPER_STATE=routable\nNETWORK_FILE=/run/systemd/network/10-netplan-ens3.network\n',
    '/etc/nftables.conf': rules,
    '/etc/ufw/ufw.conf': 'ENABLED=no\n',
  },
};

/** RHEL 9: NetworkManager and firewalld. */
const rhel: StockHost = {
  os: { id: 'rhel', idLike: 'fedora', versionId: '9.4' },
  links: [lo, card('eth0')],
  files: {
    '/proc/self/mountinfo': ownMounts,
    ...running('NetworkManager.service', 'firewalld.service', 'sshd.service'),
    ...enabled('multi-user.target', 'NetworkManager.service', 'firewalld.service', 'sshd.service'),
    '/etc/NetworkManager/NetworkManager.conf':
      '[main]\n#plugins=keyfile,ifcfg-rh\n\n[logging]\n#level=DEBUG\n',
    '/usr/lib/NetworkManager/conf.d/20-connectivity-redhat.conf': '[connectivity]\nenabled=true\n',
    '/run/NetworkManager/devices/1': '[device]\nmanaged=true\nnm-owned=0\n',
    '/run/NetworkManager/devices/2':
      '[device]\nmanaged=true\nconnection-uuid=5fb06bd0-0bb0-7ffb-45f1-d6edd65f3e03\nnm-owned=0\n',
    '/etc/firewalld/firewalld.conf':
      'DefaultZone=public\nFlushAllOnReload=yes\nFirewallBackend=nftables\n',
    '/usr/lib/python3.9/site-packages/firewall/config/__init__.py': "VERSION = '1.3.4'\n",
    '/etc/sysconfig/nftables.conf': '# include "/etc/nftables/main.nft"\n',
  },
};

/** Debian 12: ifupdown; nftables is there, its service is not switched on. */
const debian: StockHost = {
  os: { id: 'debian', versionId: '12' },
  links: [lo, card('ens3')],
  files: {
    '/proc/self/mountinfo': ownMounts,
    ...running('networking.service', 'ssh.service'),
    ...enabled('multi-user.target', 'networking.service', 'ssh.service'),
    ...enabled('network-online.target', 'networking.service'),
    ...networkFiles,
    '/etc/systemd/networkd.conf': '[Network]\n#ManageForeignRoutes=yes\n',
    '/etc/nftables.conf': rules,
  },
};

export const stockHosts = {
  'Ubuntu 24.04': ubuntu,
  'RHEL 9': rhel,
  'Debian 12': debian,
} as const satisfies Readonly<Record<string, StockHost>>;

/** The same host with more files, or other ones; undefined takes one away. */
export function changed(
  machine: FakeMachine,
  files: Readonly<Record<string, string | undefined>>,
  more: FakeMachine = {},
): FakeMachine {
  const all = Object.entries({ ...machine.files, ...files });
  const kept = all.flatMap(([path, text]) => (text === undefined ? [] : [[path, text] as const]));
  return { ...machine, ...more, files: Object.fromEntries(kept) };
}
