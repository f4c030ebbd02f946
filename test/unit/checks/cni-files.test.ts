import { describe, expect, test } from 'vitest';
import { cniFiles, parsePlugin } from '../../../checks/cni-files.ts';
import { type FakeFile, type FakeMachine, fakeContext, fakeHost } from '../../support/fake-host.ts';

const node = { scope: 'node' } as const;

describe('cni-files', () => {
  const directory = '/etc/cni/net.d';
  const known = new Map([
    ['canal', ['10-canal.conflist']],
    ['flannel', ['10-flannel.conflist']],
    ['cilium', ['05-cilium.conflist', '05-cilium.conf']],
  ]);
  const plugin = (type: string): string => JSON.stringify({ plugins: [{ type }] });
  const run = async (files: Readonly<Record<string, FakeFile>>, more: FakeMachine = {}) => {
    const named = Object.entries(files).map(([name, text]) => [`${directory}/${name}`, text]);
    const host = fakeHost({ files: Object.fromEntries(named), ...more });
    const params = { directories: ['/none', directory], own: ['10-canal.conflist'] };
    return await cniFiles.run(params, node, fakeContext({ host, knownConfigurations: known }));
  };

  test.each<{ name: string; files: Record<string, FakeFile>; want: object }>([
    {
      name: 'nothing',
      files: {},
      want: { outcome: 'pass', evidence: { configured: 'nothing yet' } },
    },
    { name: 'the own one', files: { '10-canal.conflist': '{}' }, want: { outcome: 'pass' } },
    {
      name: 'files that the runtime does not load',
      files: { '05-cilium.conflist.cilium_bak': '', 'calico-kubeconfig': '' },
      want: { outcome: 'pass' },
    },
    {
      name: 'another provider before the own one',
      files: { '05-cilium.conflist': '{}', '10-canal.conflist': '{}' },
      want: {
        outcome: 'fail',
        reason: 'foreign-cni-config',
        evidence: {
          foreign: '05-cilium.conflist',
          provider: 'cilium',
          first: '05-cilium.conflist',
        },
      },
    },
    {
      name: 'another provider behind the own one',
      files: { '10-canal.conflist': '{}', '10-flannel.conflist': '{}' },
      want: { outcome: 'fail', evidence: { provider: 'flannel', first: '10-canal.conflist' } },
    },
    {
      name: 'another provider alone',
      files: { '10-flannel.conflist': '{}' },
      want: { outcome: 'fail', evidence: { provider: 'flannel' } },
    },
    {
      name: 'an unknown one before the own one',
      files: { '10-aws.conflist': plugin('aws-cni'), '10-canal.conflist': '{}' },
      want: { outcome: 'fail', evidence: { foreign: '10-aws.conflist', plugin: 'aws-cni' } },
    },
    {
      name: 'an unknown one that would come before the own one',
      files: { '10-bridge.conf': JSON.stringify({ type: 'bridge' }) },
      want: { outcome: 'fail', evidence: { plugin: 'bridge' } },
    },
    {
      name: 'an unknown one behind the own one',
      files: { '10-canal.conflist': '{}', '87-podman-bridge.conflist': plugin('bridge') },
      want: { outcome: 'pass' },
    },
    {
      name: 'Multus, which delegates',
      files: { '00-multus.conf': JSON.stringify({ type: 'multus' }), '10-canal.conflist': '{}' },
      want: { outcome: 'pass' },
    },
    {
      name: 'an unknown one that may not be read',
      files: { '00-x.conf': { error: 'EACCES' }, '10-canal.conflist': '{}' },
      want: { outcome: 'unknown', reason: 'permission-denied' },
    },
  ])('$name', async ({ files, want }) => {
    expect(await run(files)).toMatchObject(want);
  });

  test('a directory that may not be listed is the runner’s to say', async () => {
    await expect(
      run({}, { directories: { [directory]: { error: 'EACCES' } } }),
    ).rejects.toMatchObject({ code: 'EACCES' });
  });

  test.each([
    { text: '{"plugins":[{"type":"calico"},{"type":"portmap"}]}', want: 'calico' },
    { text: '{"type":"bridge"}', want: 'bridge' },
    { text: '{"plugins":[]}', want: 'unparsable' },
    { text: '{"type":7}', want: 'unparsable' },
    { text: 'null', want: 'unparsable' },
    { text: '{', want: 'unparsable' },
    { text: '', want: 'unparsable' },
  ])('$text is $want', ({ text, want }) => {
    expect(parsePlugin(text)).toBe(want);
  });
});
