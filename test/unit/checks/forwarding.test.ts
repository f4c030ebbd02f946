import { expect, test } from 'vitest';
import { forwarding } from '../../../checks/forwarding.ts';
import type { ParamsByKind } from '../../../rules/schema.ts';
import { type FakeFile, fakeContext, fakeHost } from '../../support/fake-host.ts';
import { link } from '../../support/links.ts';

const links = [
  link('lo', { loopback: true }),
  link('eth0'),
  link('flannel.1'),
  link('cni0'),
  link('vethX'),
];
const underlay = [
  {
    index: 2,
    interface: 'eth0',
    address: '10.0.0.1',
    prefixLength: 24,
    family: 'ipv4',
    scope: 'global',
  },
] as const;
const ipv4 = (values: Readonly<Record<string, string>>): Record<string, FakeFile> => ({
  '/proc/sys/net/ipv4/ip_forward': `${values['all'] ?? '1'}\n`,
  ...Object.fromEntries(
    ['eth0', 'flannel.1', 'cni0', 'vethX'].map((name) => [
      `/proc/sys/net/ipv4/conf/${name}/forwarding`,
      `${values[name] ?? values['all'] ?? '1'}\n`,
    ]),
  ),
});

async function run(
  files: Readonly<Record<string, FakeFile>>,
  given: Partial<ParamsByKind['forwarding']> = {},
  interfaces: readonly string[] = ['flannel.*', 'cni0', 'veth*'],
) {
  const host = fakeHost({ files, links });
  const params = { family: 'ipv4', setBy: 'flannel', ...given } as const;
  return await forwarding.run(
    params,
    { scope: 'node' },
    fakeContext({ host, interfaces, underlay }),
  );
}

test('every interface forwards', async () => {
  expect(await run(ipv4({}))).toMatchObject({ outcome: 'pass' });
});

test('none does: one command sets them all', async () => {
  expect(await run(ipv4({ all: '0' }))).toMatchObject({
    outcome: 'fail',
    reason: 'forwarding-off',
    evidence: { interfaces: 'flannel.1,cni0,vethX,eth0' },
    remedy: [
      {
        manager: 'sysctl',
        commands: [
          'sysctl -w net.ipv4.ip_forward=1',
          "echo 'net.ipv4.ip_forward = 1' >> /etc/sysctl.d/99-zz-cni.conf",
        ],
      },
    ],
  });
});

test.each(['flannel.1', 'cni0', 'eth0'])(
  '%s alone does not: it is the one that is named',
  async (name) => {
    expect(await run(ipv4({ [name]: '0' }))).toMatchObject({
      outcome: 'fail',
      evidence: { interfaces: name, found: 1 },
      remedy: [{ commands: [expect.stringMatching(/forwarding=1$/), expect.any(String)] }],
    });
  },
);

test('a port of a bridge is not asked: packets come in on the bridge', async () => {
  const files = { ...ipv4({ vethX: '0' }), '/sys/class/net/vethX/master': '' };
  expect(await run(files)).toMatchObject({ outcome: 'pass' });
});

test('before the provider has made its devices it is not yet wrong', async () => {
  const answer = await run(ipv4({ all: '0' }), {}, ['cali*']);
  expect(answer).toMatchObject({
    outcome: 'skip',
    reason: 'not-applicable',
    evidence: { setBy: 'flannel' },
  });
  expect(await run(ipv4({ all: '0' }), { once: ['cali*'] })).toMatchObject({ outcome: 'skip' });
  expect(await run(ipv4({}), {}, ['cali*'])).toMatchObject({ outcome: 'pass' });
});

test('where nobody turns it on, it must be on beforehand', async () => {
  const params = { family: 'ipv4' } as const;
  const host = fakeHost({ files: ipv4({ all: '0' }), links });
  const answer = await forwarding.run(
    params,
    { scope: 'node' },
    fakeContext({ host, interfaces: ['weave'] }),
  );
  expect(answer).toMatchObject({ outcome: 'fail', evidence: { interfaces: 'all' } });
});

test('IPv6 asks the switch of all interfaces, and since 6.17 another one of each', async () => {
  const switchOf = (name: string) => `/proc/sys/net/ipv6/conf/${name}/force_forwarding`;
  const off = { '/proc/sys/net/ipv6/conf/all/forwarding': '0' };
  const forced = Object.fromEntries(
    ['eth0', 'flannel.1', 'cni0', 'vethX'].map((name) => [switchOf(name), '1']),
  );
  const family = { family: 'ipv6' } as const;
  expect(await run({ '/proc/sys/net/ipv6/conf/all/forwarding': '1' }, family)).toMatchObject({
    outcome: 'pass',
  });
  expect(await run(off, family)).toMatchObject({
    outcome: 'fail',
    remedy: [{ commands: ['sysctl -w net.ipv6.conf.all.forwarding=1', expect.any(String)] }],
  });
  expect(await run({ ...off, ...forced }, family)).toMatchObject({ outcome: 'pass' });
  expect(await run({ ...off, ...forced, [switchOf('cni0')]: '0' }, family)).toMatchObject({
    outcome: 'fail',
    evidence: { interfaces: 'cni0' },
  });
  expect(await run({}, family)).toMatchObject({ outcome: 'skip', reason: 'sysctl-not-available' });
});

test('files that may not be read leave a remedy for now', async () => {
  const files = { ...ipv4({ all: '0' }), '/etc/sysctl.d/50-a.conf': { error: 'EACCES' } };
  expect(await run(files)).toMatchObject({
    outcome: 'fail',
    remedy: [{ commands: ['sysctl -w net.ipv4.ip_forward=1'] }],
  });
});
