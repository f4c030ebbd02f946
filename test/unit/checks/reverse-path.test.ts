import { expect, test } from 'vitest';
import { reversePath } from '../../../checks/reverse-path.ts';
import { reversePathInForce } from '../../../checks/settings/reverse-path.ts';
import { type FakeFile, fakeContext, fakeHost } from '../../support/fake-host.ts';
import { link } from '../../support/links.ts';

const links = [link('eth0'), link('cilium_host'), link('lxc1')];
const key = (name: string) => `/proc/sys/net/ipv4/conf/${name}/rp_filter`;
const values = (given: Readonly<Record<string, number>>): Record<string, FakeFile> =>
  Object.fromEntries(
    ['all', 'default', 'eth0', 'cilium_host', 'lxc1'].map((name) => [
      key(name),
      `${given[name] ?? 0}\n`,
    ]),
  );

async function run(files: Readonly<Record<string, FakeFile>>, present = links) {
  const context = fakeContext({
    host: fakeHost({ files, links: present }),
    interfaces: ['cilium_*', 'lxc*'],
  });
  return await reversePath.run({ allowed: [0], setBy: 'cilium-agent' }, { scope: 'node' }, context);
}

test.each([
  [0, 0, 0],
  [0, 1, 1],
  [1, 0, 1],
  [2, 1, 2],
  [1, 2, 2],
  [0, 7, 2],
  [-1, 0, 0],
])('all %i and own %i: %i is in force', (all, own, inForce) => {
  expect(reversePathInForce(all, own)).toBe(inForce);
});

test('no filter on the provider’s own; others may have one', async () => {
  expect(await run(values({ eth0: 1 }))).toMatchObject({ outcome: 'pass' });
});

test('a new device got one from a wildcard of sysctl.d', async () => {
  const answer = await run({
    ...values({ lxc1: 2, eth0: 2 }),
    '/usr/lib/sysctl.d/50-default.conf':
      'net.ipv4.conf.*.rp_filter = 2\n-net.ipv4.conf.all.rp_filter\n',
  });
  expect(answer).toMatchObject({
    outcome: 'fail',
    reason: 'reverse-path-filter',
    evidence: { interfaces: 'lxc1=2', all: 0, want: '0' },
    remedy: [
      {
        manager: 'sysctl',
        commands: [
          'for f in /proc/sys/net/ipv4/conf/cilium_*/rp_filter /proc/sys/net/ipv4/conf/lxc*/rp_filter; do [ ! -e $f ] || echo 0 > $f; done',
          "echo 'net.ipv4.conf.cilium_*.rp_filter = 0' >> /etc/sysctl.d/99-zz-cni.conf",
          "echo 'net.ipv4.conf.lxc*.rp_filter = 0' >> /etc/sysctl.d/99-zz-cni.conf",
          "echo 'net.ipv4.conf.all.rp_filter = 0' >> /etc/sysctl.d/99-zz-cni.conf",
        ],
      },
    ],
  });
});

test('one of all interfaces counts for each; the others keep it', async () => {
  const answer = await run(values({ all: 2, eth0: 1 }));
  expect(answer).toMatchObject({
    outcome: 'fail',
    evidence: { interfaces: 'cilium_host=2,lxc1=2' },
  });
  expect(answer).toMatchObject({
    remedy: [
      {
        commands: expect.arrayContaining([
          'sysctl -w net.ipv4.conf.default.rp_filter=2',
          'sysctl -w net.ipv4.conf.eth0.rp_filter=2',
          'sysctl -w net.ipv4.conf.all.rp_filter=0',
        ]),
      },
    ],
  });
});

test('before the agent has made its devices it says nothing', async () => {
  const answer = await run(values({ all: 1 }), [link('eth0')]);
  expect(answer).toMatchObject({ outcome: 'skip', reason: 'not-applicable' });
});
