import { describe, expect, test } from 'vitest';
import { configured, kernelFeature } from '../../../checks/kernel-feature.ts';
import type { Feature } from '../../../rules/schema.ts';
import { type FakeMachine, fakeContext, fakeHost } from '../../support/fake-host.ts';

const node = { scope: 'node' } as const;
const kernel = '6.1.0-18-amd64';
const lib = `/lib/modules/${kernel}`;

const vxlan: Feature = {
  about: 'VXLAN',
  modules: ['vxlan'],
  config: ['VXLAN'],
  devices: ['vxlan'],
  tryLink: 'vxlan',
};
const bpffs: Feature = { about: 'bpffs', modules: [], config: ['BPF_SYSCALL'], mount: 'bpf' };
const btf: Feature = { about: 'BTF', modules: [], config: [], files: ['/sys/kernel/btf/vmlinux'] };
const flannel = {
  index: 2,
  name: 'flannel.1',
  mtu: 1450,
  up: true,
  loopback: false,
  kind: 'vxlan',
} as const;
const modular = { '/proc/modules': '', '/proc/self/status': '' };
const fixed = { '/proc/self/status': '' };
const lists = {
  [`${lib}/modules.builtin`]: 'kernel/net/ipv4/tunnel4.ko\n',
  [`${lib}/modules.dep`]: 'kernel/net/ipv4/ipip.ko.xz: kernel/net/ipv4/tunnel4.ko\n',
};

async function judge(feature: Feature, machine: FakeMachine, tryModules = false) {
  const host = fakeHost({ links: [], os: { kernel }, ...machine });
  const features = new Map([['it', feature]]);
  return await kernelFeature.run(
    { feature: 'it' },
    node,
    fakeContext({ host, features, tryModules }),
  );
}

describe('kernel-feature', () => {
  test.each<{ name: string; feature: Feature; machine: FakeMachine; source: string }>([
    {
      name: 'a live device comes first',
      feature: vxlan,
      machine: { links: [flannel], files: { '/sys/module/vxlan/refcnt': '1' } },
      source: 'device flannel.1',
    },
    {
      name: 'a loaded module',
      feature: vxlan,
      machine: { files: { ...lists, '/sys/module/vxlan/refcnt': '1' } },
      source: 'module vxlan',
    },
    {
      name: 'a built-in module',
      feature: vxlan,
      machine: { files: { [`${lib}/modules.builtin`]: 'kernel/drivers/net/vxlan/vxlan.ko\n' } },
      source: 'built-in vxlan',
    },
    {
      name: 'a loadable module is as good',
      feature: vxlan,
      machine: { files: { [`${lib}/modules.dep`]: 'kernel/drivers/net/vxlan/vxlan.ko.zst:\n' } },
      source: 'loadable vxlan',
    },
    {
      name: 'a mount',
      feature: bpffs,
      machine: { files: { '/proc/1/mounts': 'bpf /sys/fs/bpf bpf rw 0 0\n' } },
      source: 'mount /sys/fs/bpf',
    },
    {
      name: 'a file',
      feature: btf,
      machine: { files: { '/sys/kernel/btf/vmlinux': 'BTF' } },
      source: 'file /sys/kernel/btf/vmlinux',
    },
    {
      name: 'the configuration as a hint',
      feature: vxlan,
      machine: { files: { ...modular, '/proc/config.gz': 'CONFIG_VXLAN=m\n' } },
      source: 'config VXLAN=m',
    },
    {
      name: 'the configuration beside the kernel',
      feature: bpffs,
      machine: { files: { [`/boot/config-${kernel}`]: 'CONFIG_BPF_SYSCALL=y\n' } },
      source: 'config BPF_SYSCALL=y',
    },
    {
      name: 'a symbol that is built in, though no module list names it',
      feature: vxlan,
      machine: { files: { ...lists, '/proc/config.gz': 'CONFIG_VXLAN=y\n' } },
      source: 'config VXLAN=y',
    },
    {
      name: 'a device that may not be seen is not the end of it',
      feature: vxlan,
      machine: { links: { error: 'EPERM' }, files: { '/sys/module/vxlan/refcnt': '1' } },
      source: 'module vxlan',
    },
  ])('pass: $name', async ({ feature, machine, source }) => {
    expect(await judge(feature, machine)).toEqual({
      outcome: 'pass',
      evidence: { feature: 'it', source },
    });
  });

  test.each<{ name: string; feature: Feature; machine: FakeMachine }>([
    {
      name: 'both module lists are there and do not name it',
      feature: vxlan,
      machine: { files: lists },
    },
    {
      name: 'it is configured as a module that is not installed',
      feature: vxlan,
      machine: { files: { ...lists, '/proc/config.gz': 'CONFIG_VXLAN=m\n' } },
    },
    {
      name: 'it is configured away, and no module can be loaded',
      feature: vxlan,
      machine: { files: { ...fixed, '/proc/config.gz': '# CONFIG_VXLAN is not set\n' } },
    },
    {
      name: 'it is no module, and configured away',
      feature: bpffs,
      machine: { files: { ...modular, '/proc/config.gz': '# CONFIG_BPF_SYSCALL is not set\n' } },
    },
    { name: 'its only file is not there', feature: btf, machine: { files: modular } },
    {
      name: 'it is not mounted, on the node itself',
      feature: { ...bpffs, config: [] },
      machine: {
        files: { '/proc/1/mounts': 'proc /proc proc rw 0 0\n', '/proc/2/comm': 'kthreadd\n' },
      },
    },
  ])('fail: $name', async ({ feature, machine }) => {
    expect(await judge(feature, machine)).toMatchObject({
      outcome: 'fail',
      reason: 'feature-missing',
      culprit: { where: 'node', node: 'this' },
    });
  });

  test.each<{ name: string; feature: Feature; machine: FakeMachine }>([
    { name: 'nothing can be read', feature: vxlan, machine: { files: modular } },
    {
      name: 'only one of the two lists is there',
      feature: vxlan,
      machine: { files: { ...modular, [`${lib}/modules.builtin`]: 'a.ko\n' } },
    },
    {
      name: 'it is configured away, but a module from elsewhere may be installed',
      feature: vxlan,
      machine: { files: { ...modular, '/proc/config.gz': '# CONFIG_VXLAN is not set\n' } },
    },
    {
      name: 'the configuration does not name it',
      feature: vxlan,
      machine: { files: { ...fixed, '/proc/config.gz': 'CONFIG_VXLAN_NG=y\n' } },
    },
    {
      name: 'it is not mounted here, which may be a container',
      feature: { ...bpffs, config: [] },
      machine: { files: { '/proc/mounts': 'proc /proc proc rw 0 0\n' } },
    },
    {
      name: 'a file is missing that comes with the module, which may be loadable',
      feature: { ...vxlan, files: ['/proc/sys/net/bridge/bridge-nf-call-iptables'] },
      machine: { files: modular },
    },
    {
      name: 'it is not mounted, but the provider can do that',
      feature: bpffs,
      machine: {
        files: { '/proc/1/mounts': 'proc /proc proc rw 0 0\n', '/proc/2/comm': 'kthreadd\n' },
      },
    },
    {
      name: 'the configuration may not be read',
      feature: vxlan,
      machine: { files: { ...fixed, '/proc/config.gz': { error: 'EACCES' } } },
    },
    {
      name: 'the directory of modules may not be read',
      feature: vxlan,
      machine: { files: { ...modular, [`${lib}/modules.dep`]: { error: 'EACCES' } } },
    },
  ])('unknown: $name', async ({ feature, machine }) => {
    expect(await judge(feature, machine)).toMatchObject({
      outcome: 'unknown',
      reason: 'feature-undetermined',
    });
  });

  test.each([
    { tried: true, outcome: 'pass' },
    { tried: false, outcome: 'fail' },
    { tried: 'refused', outcome: 'unknown' },
  ] as const)('tried, when that was asked for: $tried is $outcome', async ({ tried, outcome }) => {
    const machine = { files: modular, linkKinds: { vxlan: tried } };
    expect((await judge(vxlan, machine, true)).outcome).toBe(outcome);
  });

  test('it is not tried when that was not asked for', async () => {
    // The fake throws at a try that it was not prepared for.
    expect((await judge(vxlan, { files: modular })).outcome).toBe('unknown');
  });

  test.each([
    { text: 'CONFIG_VXLAN=y\n', want: 'y' },
    { text: 'A=1\nCONFIG_VXLAN=m\n', want: 'm' },
    { text: '# CONFIG_VXLAN is not set\n', want: 'n' },
    { text: 'CONFIG_VXLAN_GPE=y\n', want: undefined },
    { text: '# CONFIG_VXLAN is not set, says a comment\n', want: undefined },
    { text: 'XCONFIG_VXLAN=y\n', want: undefined },
  ])('$text is $want', ({ text, want }) => {
    expect(configured(text, 'VXLAN')).toBe(want);
    expect(configured(text, 'CONFIG_VXLAN')).toBe(want);
  });
});
