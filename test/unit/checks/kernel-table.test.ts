import { expect, test } from 'vitest';
import { kernelCounter } from '../../../checks/kernel-counter.ts';
import { kernelTable } from '../../../checks/kernel-table.ts';
import { type FakeFile, type FakeMachine, fakeContext, fakeHost } from '../../support/fake-host.ts';

const node = { scope: 'node' } as const;
const header = 'entries  allocs   destroys table_fulls\n';
const neighbours = (entries: string, fulls: string): Record<string, FakeFile> => ({
  '/proc/sys/net/ipv4/neigh/default/gc_thresh1': '128\n',
  '/proc/sys/net/ipv4/neigh/default/gc_thresh3': '1024\n',
  // A line for each processor: the first column is the same in all, the others add up.
  '/proc/net/stat/arp_cache': `${header}${entries} 00000001 00000002 ${fulls}\n${entries} 00000001 00000002 00000001\n`,
});
const limits = {
  'net/ipv4/neigh/default/gc_thresh1': 8192,
  'net/ipv4/neigh/default/gc_thresh3': 65536,
};

async function table(
  machine: FakeMachine,
  name: 'conntrack' | 'neighbour-ipv4' = 'neighbour-ipv4',
) {
  const wanted = name === 'conntrack' ? { 'net/netfilter/nf_conntrack_max': 262144 } : limits;
  const params = { table: name, share: 0.9, limits: wanted };
  return await kernelTable.run(params, node, fakeContext({ host: fakeHost(machine) }));
}

test('neighbours of all namespaces against the limit', async () => {
  expect(await table({ files: neighbours('00000399', '00000000') })).toMatchObject({
    outcome: 'pass',
    evidence: { count: 0x399, limit: 1024, refused: 1 },
  });
  expect(await table({ files: neighbours('0000039a', '00000004') })).toMatchObject({
    outcome: 'fail',
    reason: 'table-nearly-full',
    evidence: { count: 0x39a, refused: 5 },
    remedy: [
      {
        manager: 'sysctl',
        commands: [
          'sysctl -w net.ipv4.neigh.default.gc_thresh3=65536',
          expect.stringContaining('gc_thresh3 = 65536'),
          'sysctl -w net.ipv4.neigh.default.gc_thresh1=8192',
          expect.stringContaining('gc_thresh1 = 8192'),
        ],
      },
    ],
  });
});

test('entries that stay for ever always have room', async () => {
  const lines = Array.from(
    { length: 40 },
    (_, index) => `10.244.${index}.0 0x1 0x6 02:00:00:00:00:01 * flannel.1`,
  );
  const arp = `IP address HW type Flags HW address Mask Device\n${lines.join('\n')}\n10.0.0.9 0x1 0x2 02:00:00:00:00:02 * eth0\n`;
  const files = { ...neighbours('000003a0', '00000000'), '/proc/net/arp': arp };
  expect(await table({ files })).toMatchObject({
    outcome: 'pass',
    evidence: { count: 0x3a0 - 40 },
  });
});

test('another network namespace than the first one of the machine shows none', async () => {
  expect(await table({ files: {} })).toMatchObject({ outcome: 'skip' });
});

test.each([
  { count: 235_929, outcome: 'pass' },
  { count: 235_930, outcome: 'fail' },
])('$count connections of 262144: $outcome', async ({ count, outcome }) => {
  const files = { '/proc/sys/net/netfilter/nf_conntrack_max': '262144\n' };
  const answer = await table({ files, conntrack: { count, limit: 262_144 } }, 'conntrack');
  expect(answer).toMatchObject({ outcome });
  if (answer.outcome === 'fail')
    expect(answer.remedy?.[0]?.commands[0]).toBe('sysctl -w net.netfilter.nf_conntrack_max=524288');
});

test('a limit of none is never full', async () => {
  const conntrack = { count: 5, limit: 0 };
  expect(await table({ files: {}, conntrack }, 'conntrack')).toMatchObject({ outcome: 'pass' });
});

const statistics =
  'entries  found insert_failed drop\n00000010 00000000 00000100 00000000\n00000010 00000000 00000020 00000000\n';

test.each([
  { counter: 'conntrack-insert-failed', uptime: '7200.00 1.00', outcome: 'fail' },
  { counter: 'conntrack-insert-failed', uptime: '72000.00 1.00', outcome: 'pass' },
  { counter: 'conntrack-insert-failed', uptime: '10.00 1.00', outcome: 'fail' },
  { counter: 'conntrack-drop', uptime: '7200.00 1.00', outcome: 'pass' },
  { counter: 'neighbour-full-ipv4', uptime: '7200.00 1.00', outcome: 'skip' },
] as const)('$counter after $uptime s: $outcome', async ({ counter, uptime, outcome }) => {
  const files = { '/proc/net/stat/nf_conntrack': statistics, '/proc/uptime': uptime };
  const perHour = counter === 'conntrack-insert-failed' ? 60 : 0;
  const answer = await kernelCounter.run(
    { counter, perHour },
    node,
    fakeContext({ host: fakeHost({ files }) }),
  );
  expect(answer).toMatchObject({ outcome });
  if (counter === 'conntrack-insert-failed')
    expect(answer.evidence).toMatchObject({ value: 0x120 });
});
