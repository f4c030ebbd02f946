/** The stations of a packet on both of its ends: each fault shows between two of them, and without a fault all see it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Flow, StationReport } from '../../checks/diagnosis/evidence.ts';
import type { Observation } from '../../checks/host/network.ts';
import type { StationsReport } from '../../checks/host/stations.ts';
import { createLab, type Fault, type Lab, StationWorker } from '../support/lab.ts';

// n1 sends, n2 receives, n3 is somebody else.
let lab: Lab;
let workers: readonly [StationWorker, StationWorker, StationWorker];
beforeAll(async () => {
  lab = await createLab({ nodes: 3 });
  const start = (node: string) => new StationWorker(lab.node(node));
  workers = [start('n1'), start('n2'), start('n3')];
  await workers[1].call('witness', {});
});
afterAll(async () => {
  await Promise.all((workers ?? []).map((worker) => worker[Symbol.asyncDispose]()));
  await lab[Symbol.asyncDispose]();
});

const port = 8472;
/** How long a probe waits for an answer, which a healthy lab gives at once. */
const timeoutMs = 1000;
/** Where none will come: in this time the probe has passed the stations that it will pass. */
const lostMs = 80;
const kinds = ['udp', 'tcp', 'icmp', 'ipip'] as const;
type Kind = (typeof kinds)[number];
const families = ['ipv4', 'ipv6'] as const;
type Family = (typeof families)[number];

/** As the lab gives them. */
function address(node: 'n1' | 'n2' | 'n3', family: Family): string {
  const number = node.slice(1);
  return family === 'ipv4' ? `10.99.${number}.2` : `fd99:${number}::2`;
}

function flowOf(kind: Kind, family: Family, from: 'n1' | 'n3' = 'n1'): Flow {
  const ends = {
    family,
    source: address(from, family),
    destination: address('n2', family),
  };
  switch (kind) {
    case 'udp':
      return { ...ends, protocol: 17, port };
    case 'tcp':
      return { ...ends, protocol: 6, port };
    case 'icmp':
      return { ...ends, protocol: family === 'ipv4' ? 1 : 58 };
    case 'ipip':
      return { ...ends, protocol: 4 };
  }
}

/** nft's words for the packets of a flow. */
function packetsOf(kind: Kind, family: Family, table: 'inet' | 'netdev'): string {
  const ofFamily =
    table === 'inet'
      ? `meta nfproto ${family}`
      : `meta protocol ${family === 'ipv4' ? 'ip' : 'ip6'}`;
  switch (kind) {
    case 'udp':
    case 'tcp':
      return `${ofFamily} ${kind} dport ${port}`;
    case 'icmp':
      return family === 'ipv4' ? 'icmp type echo-request' : 'icmpv6 type echo-request';
    case 'ipip':
      return `${ofFamily} meta l4proto 4`;
  }
}

interface Seen {
  readonly sent: Observation;
  readonly sender: StationReport;
  readonly receiver: StationsReport;
}

/** Opens the stations of both ends, sends one probe, and closes them. */
async function observe(
  flow: Flow,
  how: { readonly timeoutMs?: number; readonly totalBytes?: number } = {},
): Promise<Seen> {
  const [n1, n2] = workers;
  await Promise.all([n1.call('open', { flow }), n2.call('open', { flow, pastInput: true })]);
  const sent = await n1.call<Observation>('send', { flow, timeoutMs: lostMs, ...how });
  const stop = (worker: StationWorker) => worker.call<StationsReport>('stop', { flow });
  const [sender, receiver] = await Promise.all([stop(n1), stop(n2)]);
  return { sent, sender, receiver };
}

/** How many probes were seen at each station, in their order; and how many answers on their way back. */
function course({ sender, receiver }: Seen): Readonly<Record<'probes' | 'answers', string>> {
  const taps = [sender.out, receiver.nic, receiver.pastIngress].map((sight) => sight.probes);
  const probes = [...taps, receiver.pastInput ?? '-'];
  const answers = [receiver.out, sender.nic, sender.pastIngress].map((sight) => sight.answers);
  return { probes: probes.join(' '), answers: answers.join(' ') };
}

/** Protocol 4 is one way: nothing answers. */
const answersOf = (kind: Kind): string => (kind === 'ipip' ? '0 0 0' : '1 1 1');

/** All kinds at once, each with stations of its own. */
async function observeAll(
  family: Family,
  waitMs: (kind: Kind) => number,
): Promise<readonly (readonly [Kind, Seen])[]> {
  return await Promise.all(
    kinds.map(async (kind) => {
      const seen = await observe(flowOf(kind, family), { timeoutMs: waitMs(kind) });
      return [kind, seen] as const;
    }),
  );
}

describe.each(families)('UDP, TCP, ICMP and protocol 4 over %s', (family) => {
  test('nothing is wrong: every station sees each', async () => {
    const all = await observeAll(family, (kind) => (kind === 'ipip' ? lostMs : timeoutMs));
    for (const [kind, seen] of all) {
      expect(course(seen), `${kind} ${JSON.stringify(seen)}`).toEqual({
        probes: '1 1 1 1',
        answers: answersOf(kind),
      });
      const { sender, receiver } = seen;
      for (const sight of [sender.out, receiver.nic, receiver.pastIngress])
        expect(sight).toMatchObject({
          otherHost: 0,
          badChecksums: 0,
          fragments: 0,
          interfaces: ['e0'],
        });
      expect([sender.lost, receiver.lost]).toEqual([0, 0]);
    }
  });

  test.each([
    ['dropped by the own rules', 'n1', 'output', 'inet', '0 0 0 0'],
    ['dropped on the way', 'router', 'forward', 'inet', '1 0 0 0'],
    ['dropped at netdev ingress', 'n2', 'ingress', 'netdev', '1 1 0 0'],
    ['dropped by the rules of the receiver', 'n2', 'input', 'inet', '1 1 1 0'],
  ] as const)('%s', async (_name, place, hook, table, probes) => {
    const where = place === 'router' ? lab.router : lab.node(place);
    const rules = kinds.map((kind) => `${packetsOf(kind, family, table)} counter drop`);
    await using fault: Fault = await where.chain(hook, rules, {
      family: table,
      ...(table === 'netdev' ? { device: 'e0' } : {}),
    });
    for (const [kind, seen] of await observeAll(family, () => lostMs))
      expect(course(seen), `${kind} ${JSON.stringify(seen)}`).toEqual({ probes, answers: '0 0 0' });
    expect(await fault.packets()).toBeGreaterThanOrEqual(kinds.length);
  });

  test('the answer is dropped on its way back', async () => {
    const rule = `iifname "e2" meta nfproto ${family} ct direction reply counter drop`;
    await using _ = await lab.router.chain('forward', rule);
    for (const [kind, seen] of await observeAll(family, () => lostMs))
      expect(course(seen), kind).toEqual({
        probes: '1 1 1 1',
        answers: kind === 'ipip' ? '0 0 0' : '1 0 0',
      });
  });
});

describe.each(families)('over %s', (family) => {
  const flow = flowOf('udp', family);

  test('a frame for another link-layer address', async () => {
    const neighbour = `${address('n2', family)} dev e2`;
    await lab.router.ip([`neigh replace ${neighbour} lladdr 02:00:00:00:00:99 nud permanent`]);
    const seen = await observe(flow);
    await lab.router.ip([`neigh del ${neighbour}`]);
    expect(course(seen)).toEqual({ probes: '1 1 1 0', answers: '0 0 0' });
    expect(seen.receiver.nic.otherHost).toBe(1);
    expect(seen.receiver.pastIngress.otherHost).toBe(1);
  });

  test('a bad checksum, and the counter of it', async () => {
    const n1 = lab.node('n1');
    // Else the checksum is never computed between these devices, and the kernel would take the datagram.
    await n1.exec('ethtool', ['-K', 'e0', 'tx', 'off']);
    const good = await observe(flow, { timeoutMs });
    expect(course(good)).toEqual({ probes: '1 1 1 1', answers: '1 1 1' });
    expect(good.receiver.nic.badChecksums).toBe(0);
    {
      await using _ = await lab.router.chain('forward', [
        `oifname "e2" udp dport ${port} @th,48,16 set 0x1234`,
      ]);
      // Somebody has to take it, else the kernel never looks at its sum.
      await workers[1].call('listen', { family, port });
      const seen = await observe(flow);
      expect(seen.receiver.nic).toMatchObject({ probes: 1, badChecksums: 1 });
      expect(seen.sender.out).toMatchObject({ probes: 1, badChecksums: 0 });
      expect(seen.receiver.counters.udpInCsumErrors).toBe(1);
      // A raw socket gets it before anybody looks at its sum.
      expect(seen.receiver.pastInput).toBe(1);
      await workers[1].call('unlisten', {});
    }
    await n1.exec('ethtool', ['-K', 'e0', 'tx', 'on']);
  });

  test('an ICMP error that quotes the probe, at the stations that it passes', async () => {
    await using _ = await lab.router.chain(
      'forward',
      `meta nfproto ${family} udp dport ${port} reject with icmpx admin-prohibited`,
    );
    const seen = await observe(flow);
    expect(course(seen)).toEqual({ probes: '1 0 0 0', answers: '0 0 0' });
    const error =
      family === 'ipv4'
        ? { type: 3, code: 13, from: '10.99.1.254' }
        : { type: 1, code: 1, from: 'fd99:1::fe' };
    expect(seen.sender.nic.errors).toEqual([error]);
    expect(seen.sender.pastIngress.errors).toEqual([error]);
    expect(seen.receiver.out.errors).toEqual([]);
  });

  test('probes of somebody else, and what the two hosts have otherwise to say, are not seen', async () => {
    const [n1, n2, n3] = workers;
    await Promise.all([n1, n2].map(async (worker) => await worker.call('open', { flow })));
    await n3.call('send', { flow: flowOf('udp', family, 'n3'), timeoutMs: lostMs });
    await n1.call('send', { flow: { ...flow, port: port + 1 }, timeoutMs: lostMs });
    await n1.call('send', { flow: flowOf('icmp', family), timeoutMs });
    for (const worker of [n1, n2]) {
      const { out, nic, pastIngress } = await worker.call<StationReport>('stop', { flow });
      for (const sight of [out, nic, pastIngress])
        expect(sight).toMatchObject({ probes: 0, answers: 0, interfaces: [] });
    }
  });
});

// Over IPv6 nobody on the way cuts a packet, and our sockets send none that is larger than the interface carries.
test('fragments', async () => {
  await lab.router.pathMtu(lab.node('n2'), 1280);
  const seen = await observe(flowOf('udp', 'ipv4'), { timeoutMs, totalBytes: 1500 });
  await lab.router.pathMtu(lab.node('n2'), 1500);
  expect(course(seen)).toEqual({ probes: '1 1 1 1', answers: '1 1 1' });
  expect(seen.sender.out).toMatchObject({ probes: 1, fragments: 0 });
  for (const sight of [seen.receiver.nic, seen.receiver.pastIngress])
    expect(sight).toMatchObject({ probes: 1, fragments: 1, badChecksums: 0 });
  expect(seen.receiver.counters).toMatchObject({ ipReasmReqds: 2, ipReasmFails: 0 });
});

test('closed taps leave no socket', async () => {
  const [n1] = workers;
  const before = await n1.call<Record<string, number>>('sockets', {});
  const flow = flowOf('udp', 'ipv4');
  await n1.call('open', { flow });
  expect((await n1.call<Record<string, number>>('sockets', {}))['packet']).toBe(2);
  await n1.call('stop', { flow });
  expect(await n1.call('sockets', {})).toEqual({ ...before, packet: 0 });
});

test('the neighbour that packets go to', async () => {
  const [n1] = workers;
  await n1.call('send', { flow: flowOf('udp', 'ipv4'), timeoutMs });
  expect(await n1.call('neighbour', { address: '10.99.2.2' })).toMatchObject({
    address: '10.99.1.254',
    interface: 'e0',
    state: expect.stringMatching(/^(reachable|stale|delay|probe)$/),
    linkAddress: expect.stringMatching(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/),
  });
  await n1.call('send', {
    flow: { ...flowOf('udp', 'ipv4'), destination: '10.99.1.77' },
    timeoutMs: 10,
  });
  expect(await n1.call('neighbour', { address: '10.99.1.77' })).toMatchObject({
    state: 'incomplete',
  });
  expect(await n1.call('neighbour', { address: '10.99.1.78' })).toBeNull();
});
