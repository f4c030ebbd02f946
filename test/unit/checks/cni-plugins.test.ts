import { describe, expect, test } from 'vitest';
import { parseConfiguration } from '../../../checks/cni-configuration.ts';
import { cniPlugins } from '../../../checks/cni-plugins.ts';
import { type FakeFile, fakeContext, fakeHost } from '../../support/fake-host.ts';
import { containerMounts } from '../../support/stock-hosts.ts';

const canal = JSON.stringify({
  cniVersion: '0.3.1',
  plugins: [
    {
      type: 'calico',
      ipam: { type: 'host-local' },
      kubernetes: { kubeconfig: '/etc/cni/net.d/calico-kubeconfig' },
    },
    { type: 'portmap', capabilities: { portMappings: true } },
    { type: 'bandwidth' },
  ],
});
const flannel = JSON.stringify({
  plugins: [{ type: 'flannel', delegate: { isDefaultGateway: true } }, { type: 'portmap' }],
});
const files = (directory: string, ...names: string[]): Record<string, FakeFile> =>
  Object.fromEntries(names.map((name) => [`${directory}/${name}`, '']));
const all = ['calico', 'host-local', 'portmap', 'bandwidth', 'loopback'];
const host = { '/proc/self/mountinfo': '28 1 254:1 / / rw - ext4 /dev/vda1 rw\n' };
const conflist = { '/etc/cni/net.d/10-canal.conflist': canal };

const run = async (need: 'plugins' | 'iptables', given: Readonly<Record<string, FakeFile>>) =>
  await cniPlugins.run(
    { need },
    { scope: 'node' },
    fakeContext({
      host: fakeHost({ files: { ...host, ...given } }),
      knownConfigurations: new Map([['canal', ['10-canal.conflist', '10-flannel.conflist']]]),
    }),
  );

describe('plugins', () => {
  test.each<{ name: string; given: Record<string, FakeFile>; want: object }>([
    { name: 'no configuration yet', given: {}, want: { outcome: 'skip' } },
    {
      name: 'all of them',
      given: { ...conflist, ...files('/opt/cni/bin', ...all) },
      want: { outcome: 'pass' },
    },
    {
      name: 'all of them, in two directories',
      given: {
        ...conflist,
        ...files('/opt/cni/bin', 'calico', 'bandwidth'),
        ...files('/usr/lib/cni', 'host-local', 'portmap', 'loopback'),
      },
      want: { outcome: 'pass' },
    },
    {
      name: 'all of them, where containerd is told to look',
      given: {
        ...conflist,
        ...files('/srv/cni', ...all),
        '/etc/containerd/config.toml': '[plugins.cri.cni]\n  bin_dir = "/srv/cni/"\n',
      },
      want: { outcome: 'pass' },
    },
    {
      name: 'two missing',
      given: { ...conflist, ...files('/opt/cni/bin', 'calico', 'host-local', 'loopback') },
      want: {
        outcome: 'fail',
        reason: 'cni-plugin-missing',
        evidence: { missing: 'portmap,bandwidth', directories: '/opt/cni/bin' },
        culprit: { where: 'node' },
      },
    },
    {
      name: 'no directory at all',
      given: conflist,
      want: { outcome: 'fail', evidence: { directories: '/opt/cni/bin' } },
    },
    {
      name: 'what flannel calls unless it is told otherwise',
      given: {
        '/etc/cni/net.d/10-flannel.conflist': flannel,
        ...files('/opt/cni/bin', 'flannel', 'portmap', 'loopback'),
      },
      want: { outcome: 'fail', evidence: { missing: 'bridge,host-local' } },
    },
    {
      name: 'loopback',
      given: { ...conflist, ...files('/opt/cni/bin', ...all.filter((one) => one !== 'loopback')) },
      want: { outcome: 'fail', evidence: { missing: 'loopback' } },
    },
    {
      name: 'loopback, which containerd does itself',
      given: {
        ...conflist,
        ...files('/opt/cni/bin', ...all.filter((one) => one !== 'loopback')),
        '/etc/containerd/config.toml': '  use_internal_loopback = true\n',
      },
      want: { outcome: 'pass' },
    },
    {
      name: 'in a container, which sees not all of the host',
      given: {
        ...conflist,
        ...files('/opt/cni/bin', 'calico'),
        '/proc/self/mountinfo': containerMounts,
      },
      want: { outcome: 'unknown', reason: 'permission-denied' },
    },
    {
      name: 'of a file that is no configuration',
      given: { '/etc/cni/net.d/10-canal.conflist': '{' },
      want: { outcome: 'skip' },
    },
  ])('$name', async ({ given, want }) => {
    expect(await run('plugins', given)).toMatchObject(want);
  });
});

describe('iptables', () => {
  const noIptables = JSON.stringify({
    plugins: [{ type: 'calico' }, { type: 'portmap', backend: 'nftables' }],
  });
  test.each<{ name: string; given: Record<string, FakeFile>; want: object }>([
    {
      name: 'there',
      given: { ...conflist, ...files('/usr/sbin', 'iptables') },
      want: { outcome: 'pass', evidence: { plugin: 'portmap', command: '/usr/sbin/iptables' } },
    },
    {
      name: 'missing',
      given: conflist,
      want: { outcome: 'fail', reason: 'iptables-missing', evidence: { plugin: 'portmap' } },
    },
    {
      name: 'called by nobody',
      given: { '/etc/cni/net.d/10-canal.conflist': noIptables },
      want: { outcome: 'skip' },
    },
    {
      name: 'not to be seen from a container',
      given: { ...conflist, '/proc/self/mountinfo': containerMounts },
      want: { outcome: 'unknown' },
    },
    {
      name: 'perhaps in what RKE2 brings along',
      given: { ...conflist, ...files('/var/lib/rancher/rke2/data/v1.30/bin', 'kubelet') },
      want: { outcome: 'unknown' },
    },
  ])('$name', async ({ given, want }) => {
    expect(await run('iptables', given)).toMatchObject(want);
  });
});

test.each([
  { text: canal, want: ['calico', 'host-local', 'portmap', 'bandwidth'] },
  { text: flannel, want: ['flannel', 'bridge', 'host-local', 'portmap'] },
  { text: '{"type":"bridge","ipMasq":true,"ipam":{"type":"dhcp"}}', want: ['bridge', 'dhcp'] },
  { text: '{"type":"../../bin/sh"}', want: undefined },
  { text: '{"plugins":[{"type":7},null,"x"]}', want: undefined },
  { text: '[]', want: undefined },
  { text: '', want: undefined },
])('the programs of $text', ({ text, want }) => {
  expect(parseConfiguration('/x', text)?.plugins).toEqual(want);
});
