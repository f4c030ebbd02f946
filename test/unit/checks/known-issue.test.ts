import { describe, expect, test } from 'vitest';
import { decodeFeatures } from '../../../checks/host/ethtool.ts';
import type { FirewallReading } from '../../../checks/host/firewall.ts';
import { compareReleases, parseKernelVersion } from '../../../checks/kernel-version.ts';
import { knownIssue } from '../../../checks/known-issue.ts';
import { loadCatalogue } from '../../../rules/load.ts';
import { resolveProvider } from '../../../rules/resolve.ts';
import type { ParamsByKind } from '../../../rules/schema.ts';
import { type FakeMachine, fakeContext, fakeHost } from '../../support/fake-host.ts';
import { link } from '../../support/links.ts';

const catalogue = await loadCatalogue();
function issue(
  id: string,
  set: Readonly<Record<string, string>> = {},
): ParamsByKind['known-issue'] {
  const provider = id.split('.')[0] ?? '';
  const found = resolveProvider(catalogue, { provider, set }).requirements.find(
    (one) => one.id === id,
  );
  if (found?.kind !== 'known-issue') throw new Error(`no such requirement: ${id}`);
  return found.params;
}

const underlay = [
  {
    index: 2,
    interface: 'bond0',
    address: '10.0.0.1',
    prefixLength: 24,
    family: 'ipv4',
    scope: 'global',
  },
] as const;
const sys = { '/sys/class/net/bond0/lower_ens192': '' };
const driver = (name: string, on: readonly string[], version = '1.7') => ({
  driver: name,
  version,
  features: new Map([
    ['tx-udp_tnl-segmentation', on.includes('tx-udp_tnl-segmentation')],
    ['tx-udp_tnl-csum-segmentation', on.includes('tx-udp_tnl-csum-segmentation')],
    ['tx-checksum-ip-generic', on.includes('tx-checksum-ip-generic')],
  ]),
});
const bond = driver('bonding', ['tx-udp_tnl-segmentation']);

async function run(params: ParamsByKind['known-issue'], machine: FakeMachine) {
  return await knownIssue.run(
    params,
    { scope: 'node' },
    fakeContext({ host: fakeHost(machine), underlay }),
  );
}

describe('vmxnet3', () => {
  const params = issue('flannel.vmware-offload');

  test('offloads of tunnels are on, below a bond: which they are, and how to turn them off', async () => {
    const drivers = {
      bond0: bond,
      ens192: driver('vmxnet3', ['tx-udp_tnl-segmentation', 'tx-udp_tnl-csum-segmentation']),
    };
    expect(await run(params, { files: sys, drivers })).toMatchObject({
      outcome: 'fail',
      reason: 'known-issue',
      evidence: { interface: 'ens192', driver: 'vmxnet3' },
      remedy: [
        {
          manager: 'ethtool',
          commands: [
            'ethtool -K ens192 tx-udp_tnl-segmentation off',
            'ethtool -K ens192 tx-udp_tnl-csum-segmentation off',
          ],
        },
      ],
    });
  });

  test.each([
    { name: 'they are off', drivers: { bond0: bond, ens192: driver('vmxnet3', []) } },
    {
      name: 'another card',
      drivers: { bond0: bond, ens192: driver('ixgbe', ['tx-udp_tnl-segmentation']) },
    },
    { name: 'no driver tells', drivers: {} },
  ])('$name: nothing', async ({ drivers }) => {
    expect(await run(params, { files: sys, drivers })).toMatchObject({ outcome: 'pass' });
  });
});

describe('platforms', () => {
  test.each([
    { id: 'flannel.vmware-port', file: 'sys_vendor', text: 'VMware, Inc.\n', outcome: 'fail' },
    { id: 'flannel.vmware-port', file: 'sys_vendor', text: 'QEMU\n', outcome: 'pass' },
    { id: 'flannel.vmware-port', file: 'bios_vendor', text: 'VMware, Inc.\n', outcome: 'pass' },
    {
      id: 'calico.azure-ipip',
      file: 'chassis_asset_tag',
      text: '7783-7084-3265-9085-8269-3286-77\n',
      outcome: 'fail',
    },
    {
      id: 'calico.azure-ipip',
      file: 'chassis_asset_tag',
      text: '7783-7084-3265-9085-8269-3286-78\n',
      outcome: 'pass',
    },
  ])('$id where $file is $text: $outcome', async ({ id, file, text, outcome }) => {
    const set: Readonly<Record<string, string>> = id.startsWith('calico')
      ? { encapsulation: 'ipip' }
      : {};
    const files = { [`/sys/class/dmi/id/${file}`]: text };
    expect(await run(issue(id, set), { files })).toMatchObject({ outcome });
  });
});

describe('kernels', () => {
  test.each([
    { kernel: '6.11.4-201.fc40.x86_64', id: 'fedora', outcome: 'fail' },
    { kernel: '6.11.6-200.fc40.x86_64', id: 'fedora', outcome: 'pass' },
    { kernel: '6.11.3-arch1-1', id: 'arch', outcome: 'pass' },
    { kernel: '6.6.58-1-lts', id: 'arch', outcome: 'fail' },
    { kernel: '6.8.0-57-generic', id: 'ubuntu', outcome: 'fail' },
    { kernel: '6.8.0-58-generic', id: 'ubuntu', outcome: 'pass' },
    { kernel: '6.8.0-57-generic', id: 'linuxmint', outcome: 'pass' },
    { kernel: '5.15.0-127-generic', id: 'ubuntu', outcome: 'fail' },
    { kernel: 'unheard-of', id: 'ubuntu', outcome: 'pass' },
  ])('ip6tables MARK on $kernel of $id: $outcome', async ({ kernel, id, outcome }) => {
    const answer = await run(issue('flannel.kernel-ip6tables-mark'), {
      files: {},
      os: { kernel, id },
    });
    expect(answer).toMatchObject({ outcome });
  });

  test('what the kernel lists decides', async () => {
    const os = { kernel: '6.11.4', id: 'arch' };
    const targets = (ipv6: string) => ({
      '/proc/net/ip_tables_targets': 'DNAT\nMARK\nMARK\n',
      '/proc/net/ip6_tables_targets': ipv6,
    });
    const params = issue('flannel.kernel-ip6tables-mark');
    expect(await run(params, { os, files: targets('DNAT\nCONNMARK\n') })).toMatchObject({
      outcome: 'fail',
      evidence: { target: 'MARK' },
    });
    expect(await run(params, { os, files: targets('MARK\n') })).toMatchObject({ outcome: 'pass' });
    const unloaded = {
      '/proc/net/ip_tables_targets': 'ERROR\n',
      '/proc/net/ip6_tables_targets': '',
    };
    expect(await run(params, { os, files: unloaded })).toMatchObject({
      outcome: 'fail',
      evidence: { untold: 'target' },
    });
  });

  test.each([
    ['5.6.19', '5.7.0', -1],
    ['5.7.0', '5.7.0', 0],
    ['5.7.3', '5.7.0', 1],
    ['5.7.3', '5.7', 0],
    ['5.15.0-127-generic', '5.15.0', 0],
    ['5.15.0-126-generic', '5.15.0-127', -1],
    ['5.14.0-611.5.1.el9_7.x86_64', '5.14.0-611', 0],
  ])('%s against %s: %i', (running, written, order) => {
    const version = parseKernelVersion(running);
    expect(version && compareReleases(version, written)).toBe(order);
  });

  test('a release that the catalogue has wrong is told', () => {
    expect(() => compareReleases({ numbers: [5, 4, 0], build: [] }, 'five')).toThrow(RangeError);
  });
});

describe('wrong VXLAN checksums after masquerading', () => {
  const params = issue('flannel.kernel-vxlan-checksum');
  const links = [link('flannel.1', { kind: 'vxlan' })];
  const os = { kernel: '5.4.0-150-generic', id: 'ubuntu' };
  const on = { 'flannel.1': driver('vxlan', ['tx-checksum-ip-generic']) };
  const rules = (flags: number): FirewallReading =>
    ({
      readable: true,
      view: {
        ruleset: { rules: [{ family: 'ip', expressions: [{ kind: 'masq', range: { flags } }] }] },
      },
    }) as unknown as FirewallReading;

  test('an old kernel, an offload and random ports', async () => {
    expect(await run(params, { os, links, drivers: on, firewall: rules(16) })).toMatchObject({
      outcome: 'fail',
      evidence: { features: 'tx-checksum-ip-generic', masquerade: 'random-fully' },
      remedy: [{ commands: ['ethtool -K flannel.1 tx-checksum-ip-generic off'] }],
    });
  });

  test.each([
    { name: 'a kernel that has it mended', change: { os: { kernel: '5.7.1', id: 'debian' } } },
    { name: 'no offload', change: { drivers: { 'flannel.1': driver('vxlan', []) } } },
    { name: 'no random ports', change: { firewall: rules(4) } },
  ])('$name: nothing', async ({ change }) => {
    const machine = { os, links, drivers: on, firewall: rules(16), ...change };
    expect(await run(params, machine)).toMatchObject({ outcome: 'pass' });
  });

  test('before the device is there, and where rules may not be read, it is told with what is not known', async () => {
    const firewall: FirewallReading = { readable: false, reason: 'missing-net-admin', why: '' };
    expect(await run(params, { os, links: [], firewall })).toMatchObject({
      outcome: 'fail',
      evidence: { untold: 'driver,masquerade' },
    });
  });
});

test('features are the third of four words of each block', () => {
  const strings = new Uint8Array(34 * 32);
  const name = (index: number, text: string): void => {
    strings.set(new TextEncoder().encode(text), index * 32);
  };
  name(0, 'tx-scatter-gather');
  name(1, 'tx-gso');
  name(33, 'tx-udp_tnl-segmentation');
  const bits = new Uint8Array(32);
  bits[8] = 0b01;
  bits[24] = 0b10;
  expect([...decodeFeatures(strings, bits)]).toEqual([
    ['tx-scatter-gather', true],
    ['tx-gso', false],
    ['tx-udp_tnl-segmentation', true],
  ]);
  expect([...decodeFeatures(strings, bits.subarray(0, 16))].length).toBe(2);
});
