import { expect, test } from 'vitest';
import type { Target } from '../../../checks/check.ts';
import { returnPath } from '../../../checks/return-path.ts';
import { type FakeMachine, fakeContext, fakeHost } from '../../support/fake-host.ts';
import { link } from '../../support/links.ts';

const eth0 = link('eth0');
const eth1 = link('eth1');
const target: Target = {
  scope: 'peer',
  name: 'worker-2',
  address: '10.0.0.2',
  family: 'ipv4',
  mustReach: true,
};
const address = (one: typeof eth0, text: string) =>
  ({
    index: one.index,
    interface: one.name,
    address: text,
    prefixLength: 24,
    family: 'ipv4',
    scope: 'global',
  }) as const;
const filter = (name: string, value: number) => [
  `/proc/sys/net/ipv4/conf/${name}/rp_filter`,
  `${value}\n`,
];

/** The peers know this node by 10.0.0.1 on eth0; the way back to them is by eth1. */
const machine: FakeMachine = {
  links: [eth0, eth1],
  addresses: [address(eth0, '10.0.0.1'), address(eth1, '10.1.0.1')],
  ways: { '10.0.0.2': { interface: 'eth1', index: eth1.index, type: 'unicast' } },
  files: Object.fromEntries([filter('all', 0), filter('eth0', 1), filter('eth1', 1)]),
  incoming: { [eth0.index]: 'refused', [eth1.index]: 'taken' },
};

async function run(
  change: FakeMachine = {},
  given: { ownAddresses?: readonly string[]; target?: Target } = {},
) {
  const context = fakeContext({
    host: fakeHost({ ...machine, ...change }),
    ownAddresses: given.ownAddresses ?? ['10.0.0.1'],
  });
  return await returnPath.run({}, given.target ?? target, context);
}

test('the strict filter drops what comes in on the other interface', async () => {
  expect(await run()).toMatchObject({
    outcome: 'fail',
    reason: 'return-path-refused',
    evidence: { wayBack: 'eth1', interface: 'eth0', ownAddress: '10.0.0.1' },
    culprit: { where: 'node', node: 'this' },
    remedy: [
      {
        manager: 'sysctl',
        commands: [
          'sysctl -w net.ipv4.conf.eth0.rp_filter=2',
          "echo 'net.ipv4.conf.eth0.rp_filter = 2' >> /etc/sysctl.d/99-zz-cni.conf",
        ],
      },
    ],
  });
});

test('the address of a VXLAN device is one that peers send to', async () => {
  const links = [eth0, eth1, link('flannel.1', { kind: 'vxlan', local: '10.0.0.1' })];
  expect(await run({ links }, { ownAddresses: [] })).toMatchObject({ outcome: 'fail' });
});

test.each([
  { name: 'loose', files: Object.fromEntries([filter('all', 2), filter('eth0', 1)]) },
  { name: 'none', files: Object.fromEntries([filter('all', 0), filter('eth0', 0)]) },
])('$name: no filter asks for another way', async ({ files }) => {
  expect(await run({ files })).toMatchObject({ outcome: 'pass' });
});

test('the way back is by the interface of the address', async () => {
  const ways = { '10.0.0.2': { interface: 'eth0', index: eth0.index, type: 'unicast' } };
  expect(await run({ ways })).toMatchObject({ outcome: 'pass', evidence: { wayBack: 'eth0' } });
});

test('what the kernel takes is no fault, and what it refuses everywhere is none of the filter', async () => {
  expect(await run({ incoming: { [eth0.index]: 'taken' } })).toMatchObject({ outcome: 'pass' });
  const refused = { [eth0.index]: 'refused', [eth1.index]: 'refused' } as const;
  expect(await run({ incoming: refused })).toMatchObject({ outcome: 'pass' });
});

test('by which address the peers know this node is not guessed', async () => {
  expect(await run({}, { ownAddresses: [] })).toMatchObject({
    outcome: 'skip',
    reason: 'not-applicable',
  });
});

test('without a way back there is nothing to compare, and IPv6 has no such filter', async () => {
  expect(await run({ ways: { '10.0.0.2': 'none' } })).toMatchObject({ outcome: 'skip' });
  const ipv6 = { ...target, address: 'fd00::2', family: 'ipv6' } as const;
  expect(await run({}, { target: ipv6 })).toMatchObject({ outcome: 'skip' });
});
