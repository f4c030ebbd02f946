/** What a peer's agent says of packets that it was asked to look out for. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Flow, ReceiverEvidence } from '../../checks/diagnosis/evidence.ts';
import { createLab, type Lab, type LabAgent, StationWorker } from '../support/lab.ts';
import { until } from '../support/wait.ts';

// n2 has the agent, and takes n1 and n3 for peers; n4 is a stranger to it.
let lab: Lab;
let agent: LabAgent;
let n1: StationWorker;
let n3: StationWorker;
let n4: StationWorker;
beforeAll(async () => {
  lab = await createLab({ nodes: 4 });
  const [one, two, three, four] = lab.nodes;
  if (one === undefined || two === undefined || three === undefined || four === undefined)
    throw new Error('four nodes');
  [n1, n3, n4] = [one, three, four].map((node) => new StationWorker(node)) as [
    StationWorker,
    StationWorker,
    StationWorker,
  ];
  const peers = [one, three].flatMap(({ name, address4, address6 }) => [
    '--peer',
    `${address4}=${name}`,
    '--peer',
    `[${address6}]=${name}`,
  ]);
  const selection = ['--provider', 'flannel', '--only', 'flannel.module-vxlan'];
  agent = await two.agent([...selection, '--interval', '60', ...peers]);
});
afterAll(async () => {
  await Promise.all([n1, n3, n4].map((worker) => worker?.[Symbol.asyncDispose]()));
  await lab[Symbol.asyncDispose]();
});

const port = 8472;
const ways = ['http', 'datagram'] as const;
const families = ['ipv4', 'ipv6'] as const;
type Family = (typeof families)[number];
const address = (node: number, family: Family): string =>
  family === 'ipv4' ? `10.99.${node}.2` : `fd99:${node}::2`;
const udp = (family: Family, from = 1): Flow => ({
  family,
  source: address(from, family),
  destination: address(2, family),
  protocol: 17,
  port,
});

type Over = (typeof ways)[number];
async function observe(
  worker: StationWorker,
  over: Over,
  family: Family,
  what: object = { protocol: 17, port },
): Promise<string | { readonly id: string } | null> {
  return await worker.call('observe', { address: address(2, family), over, what });
}

async function observed(
  worker: StationWorker,
  over: Over,
  family: Family,
  opened: Awaited<ReturnType<typeof observe>>,
): Promise<ReceiverEvidence> {
  if (opened === null || typeof opened === 'string') throw new Error(`not opened: ${opened}`);
  const found = await worker.call<ReceiverEvidence | null>('observed', {
    address: address(2, family),
    over,
    lookout: opened.id,
  });
  if (found === null) throw new Error('nothing was observed');
  return found;
}

async function packetSockets(): Promise<number> {
  const { stdout } = await lab.node('n2').exec('cat', ['/proc/net/packet']);
  return stdout.trim().split('\n').length - 1;
}

async function noPacketSocket(): Promise<void> {
  await until('n2 has no packet socket', async () =>
    (await packetSockets()) === 0 ? true : undefined,
  );
}

test.each(ways.flatMap((over) => families.map((family) => [over, family] as const)))(
  'asked over %s, nothing is wrong over %s',
  async (over, family) => {
    const opened = await observe(n1, over, family);
    await n1.call('send', { flow: udp(family), timeoutMs: 1000 });
    const evidence = await observed(n1, over, family, opened);
    const one = { probes: 1, fragments: 0, otherHost: 0, badChecksums: 0, interfaces: ['e0'] };
    expect(evidence).toMatchObject({
      witnessed: 1,
      stations: { nic: one, pastIngress: one, out: { probes: 0, answers: 1 }, lost: 0 },
      rules: {
        probe: { verdict: 'accept', candidates: [], remedies: [] },
        answer: { verdict: 'accept' },
      },
      owner: 'nobody',
      ownsDestination: true,
      interfaceToSender: 'e0',
    });
    expect(evidence.stations?.counters).toMatchObject({ udpInCsumErrors: 0, ipInAddrErrors: 0 });
    if (family === 'ipv4') expect(evidence.reversePathFilter).toBeDefined();
    else expect(evidence.reversePathFilter).toBeUndefined();
  },
);

test.each([
  ['udp', udp('ipv4'), { protocol: 17, port }, `udp dport ${port}`],
  ['tcp', { ...udp('ipv4'), protocol: 6 }, { protocol: 6, port }, `tcp dport ${port}`],
  ['icmp', { ...udp('ipv4'), protocol: 1 }, { protocol: 'icmp' }, 'icmp type echo-request'],
  ['protocol 4', { ...udp('ipv4'), protocol: 4 }, { protocol: 4 }, 'ip protocol 4'],
] as const)('%s is dropped by a rule of the receiver', async (_name, flow, what, match) => {
  const n2 = lab.node('n2');
  await using _ = await n2.chain('input', `${match} ip saddr 10.99.1.2 counter drop`);
  const opened = await observe(n1, 'http', 'ipv4', what);
  await n1.call('send', { flow, timeoutMs: 100 });
  const evidence = await observed(n1, 'http', 'ipv4', opened);
  expect(evidence).toMatchObject({
    witnessed: 0,
    stations: { nic: { probes: 1 }, pastIngress: { probes: 1 }, out: { answers: 0 } },
    rules: {
      probe: {
        verdict: 'drop',
        place: { backend: 'nf_tables', chain: 'c', hook: 'input', handle: expect.any(Number) },
        counted: 1,
      },
      answer: { verdict: 'accept' },
    },
  });
  const [remedy] = evidence.rules?.probe.remedies ?? [];
  expect(remedy).toMatchObject({ manager: 'nftables' });
  expect(remedy?.commands[0]).toMatch(/^nft insert rule inet fault_[0-9a-f]+ c position \d+ /);
  // The cure cures.
  const [command = ''] = remedy?.commands ?? [];
  await n2.exec('sh', ['-c', command]);
  const again = await observe(n1, 'http', 'ipv4', what);
  await n1.call('send', { flow, timeoutMs: 100 });
  expect((await observed(n1, 'http', 'ipv4', again)).witnessed).toBe(1);
});

test('packets of others are none of the asker', async () => {
  const opened = await observe(n1, 'datagram', 'ipv4');
  await n3.call('send', { flow: udp('ipv4', 3), timeoutMs: 100 });
  await n4.call('send', { flow: udp('ipv4', 4), timeoutMs: 100 });
  const evidence = await observed(n1, 'datagram', 'ipv4', opened);
  expect(evidence.witnessed).toBe(0);
  const nothing = { probes: 0, answers: 0, interfaces: [] };
  expect(evidence.stations).toMatchObject({ out: nothing, nic: nothing, pastIngress: nothing });
  // And what one has opened is nobody else's to ask for.
  const mine = await observe(n1, 'http', 'ipv4');
  await expect(observed(n3, 'http', 'ipv4', mine)).rejects.toThrow('nothing was observed');
  await observed(n1, 'http', 'ipv4', mine);
});

test('who is no peer is refused', async () => {
  expect(await observe(n4, 'http', 'ipv4')).toBeNull();
  expect(await observe(n4, 'datagram', 'ipv4')).toEqual(null);
});

test('the seventeenth is refused, and all end by themselves', async () => {
  await noPacketSocket();
  // At once, for none may end before the last is asked for.
  const opened = await Promise.all(
    Array.from({ length: 16 }, (_, count) => observe(count % 2 === 0 ? n1 : n3, 'http', 'ipv6')),
  );
  expect(opened.every((one) => one !== null && typeof one === 'object')).toBe(true);
  expect(await packetSockets()).toBe(32);
  expect(await observe(n3, 'http', 'ipv6')).toBe('busy');
  expect(await observe(n1, 'datagram', 'ipv6')).toBe('busy');
  await noPacketSocket();
  // What was seen is kept a while.
  expect((await observed(n1, 'http', 'ipv6', opened[0] ?? null)).witnessed).toBe(0);
  const { stdout } = await lab.node('n2').exec('sh', ['-c', 'cat /proc/net/raw /proc/net/raw6']);
  // ICMP, and what it sends with; UDP of the witness.
  expect(stdout.trim().split('\n').length).toBeLessThan(14);
});

test('an agent that ends while it looks out leaves nothing', async () => {
  expect(await observe(n3, 'http', 'ipv4')).toMatchObject({ id: expect.any(String) });
  expect(await packetSockets()).toBe(2);
  expect(await agent.stop()).toMatchObject({ exitCode: 0 });
  expect(await packetSockets()).toBe(0);
});
