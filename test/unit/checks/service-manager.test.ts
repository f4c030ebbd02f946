import { describe, expect, test } from 'vitest';
import type { FirewallReading } from '../../../checks/host/firewall.ts';
import type { Link } from '../../../checks/host/host.ts';
import { serviceManager } from '../../../checks/service-manager.ts';
import { loadCatalogue } from '../../../rules/load.ts';
import type { ParamsByKind } from '../../../rules/schema.ts';
import { type FakeMachine, fakeContext, fakeHost } from '../../support/fake-host.ts';
import { inputBase, someChain, someRuleset, someView } from '../../support/firewall.ts';
import { changed, containerMounts, type StockHost, stockHosts } from '../../support/stock-hosts.ts';

type Service = ParamsByKind['service-manager']['service'];

const { ruleOwners } = await loadCatalogue();
const interfaces = ['cali*', 'flannel.*'];
const ubuntu = stockHosts['Ubuntu 24.04'];
const rhel = stockHosts['RHEL 9'];
const debian = stockHosts['Debian 12'];

/** The rules of kube-proxy, as it writes them by iptables or to nf_tables itself. */
function reading(backend: 'iptables' | 'nf_tables' | 'none'): FirewallReading {
  const filter = { family: 'ip', table: 'filter' } as const;
  const { base: _base, ...plain } = someChain();
  const chains = {
    iptables: [
      someChain({ ...filter, name: 'INPUT', base: inputBase }),
      { ...plain, ...filter, name: 'KUBE-FORWARD' },
    ],
    nf_tables: [{ ...plain, family: 'ip' as const, table: 'kube-proxy', name: 'services' }],
    none: [someChain()],
  };
  return {
    readable: true,
    view: someView({}, { ruleset: someRuleset({ chains: chains[backend] }) }),
  };
}

const nothing = reading('none');

async function run(service: Service, machine: FakeMachine, firewall: FirewallReading = nothing) {
  const host = { ...fakeHost(machine), firewall: async () => firewall };
  return await serviceManager.run(
    { service },
    { scope: 'node' },
    fakeContext({ host, interfaces, ruleOwners }),
  );
}

/** The host after Canal has made its devices. */
function withCanal(machine: StockHost): FakeMachine {
  const device = (index: number, name: string): Link => ({
    index,
    name,
    mtu: 1450,
    up: true,
    loopback: false,
  });
  return {
    ...machine,
    links: [...machine.links, device(5, 'flannel.1'), device(6, 'cali0a1b2c')],
  };
}

describe('NetworkManager', () => {
  const canal = withCanal(rhel);
  const own = '[device]\nmanaged=true\nconnection-uuid=1b2f\n';
  const external = '[device]\nmanaged=true\nnm-owned=0\n';

  test.each<{ name: string; machine: FakeMachine; want: object }>([
    {
      name: 'does not run',
      machine: withCanal(debian),
      want: { outcome: 'skip', reason: 'not-applicable' },
    },
    {
      name: 'runs where nothing of the host is to be seen',
      machine: { files: {}, links: [] },
      want: { outcome: 'unknown', reason: 'service-undetermined' },
    },
    { name: 'runs, and there is no CNI yet', machine: rhel, want: { outcome: 'skip' } },
    { name: 'has seen no device of the CNI', machine: canal, want: { outcome: 'pass' } },
    {
      name: 'leaves devices that others made as they are',
      machine: changed(canal, {
        '/run/NetworkManager/devices/5': external,
        '/run/NetworkManager/devices/6': '[device]\nmanaged=false\n',
      }),
      want: { outcome: 'pass' },
    },
    {
      name: 'has put a profile of its own on one',
      machine: changed(canal, { '/run/NetworkManager/devices/6': own }),
      want: {
        outcome: 'fail',
        reason: 'networkmanager-manages',
        evidence: { devices: 'cali0a1b2c', count: 1 },
        culprit: { where: 'node' },
      },
    },
  ])('$name', async ({ machine, want }) => {
    expect(await run('networkmanager', machine)).toMatchObject(want);
  });

  const told = (text: string): FakeMachine =>
    changed(rhel, { '/etc/NetworkManager/conf.d/cni.conf': text });
  const list = (value: string): FakeMachine => told(`[keyfile]\nunmanaged-devices=${value}\n`);

  test.each<{ name: string; machine: FakeMachine; want: object }>([
    {
      name: 'by names with stars',
      machine: list('interface-name:cali*;interface-name:flannel*'),
      want: { outcome: 'pass' },
    },
    { name: 'all devices', machine: list('*,except:type:ethernet'), want: { outcome: 'pass' } },
    { name: 'by kind', machine: list('type:veth;type:vxlan'), want: { outcome: 'pass' } },
    {
      name: 'in a section of its own',
      machine: told(
        '[device-cni]\nmatch-device=interface-name:cali*,interface-name:flannel.1\nmanaged=0\n',
      ),
      want: { outcome: 'pass' },
    },
    {
      name: 'in two files, one of which adds',
      machine: changed(list('interface-name:cali*'), {
        '/etc/NetworkManager/conf.d/flannel.conf':
          '[keyfile]\nunmanaged-devices+=interface-name:flannel*\n',
      }),
      want: { outcome: 'pass' },
    },
    {
      name: 'some of them',
      machine: list('interface-name:cali*'),
      want: { outcome: 'fail', evidence: { devices: 'flannel.*' } },
    },
    {
      name: 'and then not, in a later file',
      machine: changed(list('interface-name:cali*;interface-name:flannel*'), {
        '/etc/NetworkManager/conf.d/other.conf':
          '[keyfile]\nunmanaged-devices=mac:00:00:5e:00:53:01\n',
      }),
      want: { outcome: 'fail', evidence: { devices: 'cali*,flannel.*' } },
    },
    {
      name: 'but for an exception',
      machine: list('*;except:interface-name:flannel*'),
      want: { outcome: 'fail', evidence: { devices: 'flannel.*' } },
    },
    {
      name: 'in a comment',
      machine: told('[keyfile]\n#unmanaged-devices=*\n'),
      want: { outcome: 'fail', reason: 'networkmanager-not-told' },
    },
    {
      name: 'in a section that manages them',
      machine: told('[device]\nmatch-device=*\nmanaged=1\n'),
      want: { outcome: 'fail' },
    },
  ])('is told to leave devices alone: $name', async ({ machine, want }) => {
    expect(await run('networkmanager-configuration', machine)).toMatchObject(want);
  });

  test('what the remedy writes is what the check wants', async () => {
    const answer = await run('networkmanager-configuration', rhel);
    const [command = ''] = (answer.outcome === 'fail' ? answer.remedy?.[0]?.commands : []) ?? [];
    const [, list = '', path = ''] = /%s\\n' '(.*)' >(\S+)$/.exec(command) ?? [];
    const cured = changed(rhel, { [path]: `[keyfile]\nunmanaged-devices+=${list}\n` });
    expect(await run('networkmanager-configuration', cured)).toMatchObject({ outcome: 'pass' });
  });
});

describe('nm-cloud-setup', () => {
  test.each<{ name: string; machine: FakeMachine; want: object }>([
    { name: 'switched off', machine: rhel, want: { outcome: 'pass' } },
    {
      name: 'switched on',
      machine: changed(rhel, {
        '/etc/systemd/system/timers.target.wants/nm-cloud-setup.timer': '',
        '/etc/systemd/system/NetworkManager.service.wants/nm-cloud-setup.service': '',
      }),
      want: {
        outcome: 'fail',
        reason: 'nm-cloud-setup-enabled',
        remedy: [
          { commands: ['systemctl disable --now nm-cloud-setup.service nm-cloud-setup.timer'] },
        ],
      },
    },
    {
      name: 'in a container, which has units of its own',
      machine: changed(debian, { '/proc/self/mountinfo': containerMounts }),
      want: { outcome: 'unknown', reason: 'service-undetermined' },
    },
  ])('$name', async ({ machine, want }) => {
    expect(await run('nm-cloud-setup', machine)).toMatchObject(want);
  });
});

describe('systemd-networkd', () => {
  const network = (text: string): FakeMachine =>
    changed(ubuntu, { '/etc/systemd/network/10-vmware.network': text });
  const link = (text: string): FakeMachine =>
    changed(withCanal(ubuntu), { '/run/systemd/netif/links/6': text });

  test.each<{ name: string; machine: FakeMachine; want: object }>([
    { name: 'does not run', machine: debian, want: { outcome: 'skip' } },
    { name: 'has files for other devices', machine: ubuntu, want: { outcome: 'pass' } },
    {
      name: 'has a file for every device',
      machine: network('[Match]\nName=*\n[Network]\nDHCP=yes\n'),
      want: {
        outcome: 'fail',
        reason: 'networkd-manages',
        evidence: { device: 'cali*', file: '/etc/systemd/network/10-vmware.network' },
      },
    },
    {
      name: 'has one for all but some',
      machine: network('[Match]\nName=!lo docker0\n'),
      want: { outcome: 'fail' },
    },
    {
      name: 'has one for all but those of the CNI',
      machine: network('[Match]\nName=!cali* flannel*\n'),
      want: { outcome: 'pass' },
    },
    {
      name: 'has one where more than the name decides',
      machine: network('[Match]\nName=*\nDriver=!veth dummy vxlan\n'),
      want: { outcome: 'pass' },
    },
    {
      name: 'has one before it that leaves them alone',
      machine: changed(network('[Match]\nName=*\n'), {
        '/usr/lib/systemd/network/05-cni.network':
          '[Match]\nName=cali* flannel*\n[Link]\nUnmanaged=yes\n',
      }),
      want: { outcome: 'pass' },
    },
    {
      name: 'has that file masked by an empty one of the same name',
      machine: changed(network('[Match]\nName=*\n'), {
        '/usr/lib/systemd/network/05-cni.network':
          '[Match]\nName=cali* flannel*\n[Link]\nUnmanaged=yes\n',
        '/etc/systemd/network/05-cni.network': '[Match]\nName=eth9\n',
      }),
      want: { outcome: 'fail' },
    },
    {
      name: 'has taken a device of the CNI',
      machine: link(
        'ADMIN_STATE=configured\nNETWORK_FILE=/etc/systemd/network/10-vmware.network\n',
      ),
      want: { outcome: 'fail', evidence: { device: 'cali0a1b2c' } },
    },
    {
      name: 'has a file for it that leaves it alone',
      machine: link('ADMIN_STATE=unmanaged\nNETWORK_FILE=/etc/systemd/network/05-cni.network\n'),
      want: { outcome: 'pass' },
    },
    {
      name: 'has none for it',
      machine: link('ADMIN_STATE=unmanaged\nOPER_STATE=degraded\n'),
      want: { outcome: 'pass' },
    },
  ])('$name', async ({ machine, want }) => {
    expect(await run('networkd', machine)).toMatchObject(want);
  });

  const both = '[Network]\nManageForeignRoutes=no\nManageForeignRoutingPolicyRules=false\n';
  test.each<{ name: string; files: Record<string, string>; want: object }>([
    {
      name: 'not at all',
      files: {},
      want: {
        outcome: 'fail',
        reason: 'networkd-removes-foreign',
        evidence: { settings: 'ManageForeignRoutes,ManageForeignRoutingPolicyRules' },
      },
    },
    {
      name: 'in a file of its own',
      files: { '/etc/systemd/networkd.conf.d/10-cni.conf': both },
      want: { outcome: 'pass' },
    },
    {
      name: 'in the main file',
      files: { '/etc/systemd/networkd.conf': both },
      want: { outcome: 'pass' },
    },
    {
      name: 'one of the two',
      files: { '/run/systemd/networkd.conf.d/10-cni.conf': '[Network]\nManageForeignRoutes=no\n' },
      want: { outcome: 'fail', evidence: { settings: 'ManageForeignRoutingPolicyRules' } },
    },
    {
      name: 'and then not',
      files: {
        '/etc/systemd/networkd.conf.d/10-cni.conf': both,
        '/usr/lib/systemd/networkd.conf.d/20-vendor.conf': '[Network]\nManageForeignRoutes=yes\n',
      },
      want: { outcome: 'fail', evidence: { settings: 'ManageForeignRoutes' } },
    },
  ])('is told to leave what others made alone: $name', async ({ files, want }) => {
    expect(await run('networkd-configuration', changed(ubuntu, files))).toMatchObject(want);
  });
});

describe('a reload of the firewall', () => {
  const iptables = reading('iptables');
  const nft = reading('nf_tables');
  const on = { '/etc/systemd/system/sysinit.target.wants/nftables.service': '' };
  const old = {
    '/usr/lib/python3.9/site-packages/firewall/config/__init__.py': "VERSION = '0.9.11'\n",
  };
  const rhel8: FakeMachine = {
    ...changed(rhel, old),
    os: { id: 'rhel', idLike: 'fedora', versionId: '8.10' },
  };
  const backend = { '/etc/firewalld/firewalld.conf': 'FirewallBackend=iptables\n' };
  const flushes = { outcome: 'fail', reason: 'firewall-reload-flushes' };

  test.each<{ name: string; machine: FakeMachine; rules: FirewallReading; want: object }>([
    { name: 'no service', machine: debian, rules: iptables, want: { outcome: 'pass' } },
    {
      name: 'flush ruleset, switched on',
      machine: changed(debian, on),
      rules: iptables,
      want: { ...flushes, evidence: { manager: '/etc/nftables.conf', chains: 1 } },
    },
    {
      name: 'flush ruleset, and rules that kube-proxy wrote to nf_tables itself',
      machine: changed(debian, on),
      rules: nft,
      want: flushes,
    },
    {
      name: 'flush ruleset, and no rules of others yet',
      machine: changed(debian, on),
      rules: nothing,
      want: { outcome: 'pass' },
    },
    {
      name: 'a table of its own',
      machine: changed(debian, {
        ...on,
        '/etc/nftables.conf': 'destroy table inet filter\n# flush ruleset\n',
      }),
      rules: iptables,
      want: { outcome: 'pass' },
    },
    { name: 'firewalld of RHEL 9', machine: rhel, rules: iptables, want: { outcome: 'pass' } },
    {
      name: 'firewalld of RHEL 8',
      machine: rhel8,
      rules: iptables,
      want: { ...flushes, evidence: { manager: 'firewalld' } },
    },
    {
      name: 'firewalld of RHEL 8, and rules that are not of iptables',
      machine: rhel8,
      rules: nft,
      want: { outcome: 'pass' },
    },
    {
      name: 'firewalld with the backend iptables',
      machine: changed(rhel, backend),
      rules: iptables,
      want: flushes,
    },
    {
      name: 'iptables-services',
      machine: changed(debian, { '/etc/systemd/system/basic.target.wants/iptables.service': '' }),
      rules: iptables,
      want: { ...flushes, evidence: { manager: 'iptables.service' } },
    },
    {
      name: 'rules that may not be read',
      machine: changed(debian, on),
      rules: { readable: false, reason: 'missing-net-admin', why: '' },
      want: { outcome: 'unknown', reason: 'missing-net-admin' },
    },
    {
      name: 'a container',
      machine: changed(debian, { '/proc/self/mountinfo': containerMounts }),
      rules: iptables,
      want: { outcome: 'unknown', reason: 'service-undetermined' },
    },
  ])('$name', async ({ machine, rules, want }) => {
    expect(await run('firewall-reload', machine, rules)).toMatchObject(want);
  });
});
