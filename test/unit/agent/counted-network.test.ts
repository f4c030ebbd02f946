import { expect, test, vi } from 'vitest';
import { countAnswer, countedNetwork, isProbing } from '../../../agent/counted-network.ts';
import { createMetrics, type Metrics } from '../../../agent/metrics.ts';
import type { Answer } from '../../../checks/check.ts';
import { kinds } from '../../../rules/schema.ts';
import { fakeNetwork, peerAddress } from '../../support/fake-network.ts';

const path = { family: 'ipv4', destination: peerAddress.ipv4 } as const;
const forever = new AbortController().signal;

function counting() {
  const metrics: Metrics = createMetrics({ version: '0.1.0' });
  const counts = { sent: 0, lost: 0, inconclusive: 0, rtts: [] as number[] };
  vi.spyOn(metrics, 'probeSent').mockImplementation(() => {
    counts.sent++;
  });
  vi.spyOn(metrics, 'probeLost').mockImplementation(() => {
    counts.lost++;
  });
  vi.spyOn(metrics, 'probeInconclusive').mockImplementation(() => {
    counts.inconclusive++;
  });
  vi.spyOn(metrics, 'rtt').mockImplementation((_kind, seconds) => {
    counts.rtts.push(seconds);
  });
  return { metrics, counts };
}

test('every probe is counted and handed on', async () => {
  const { metrics, counts } = counting();
  const inner = fakeNetwork({
    udp: () => ({ witnessed: 'seen', rttSeconds: 0.001 }),
    echo: () => ({ replied: true, rttSeconds: 0.002 }),
    tcp: () => ({ stalled: true }),
    ipProtocol: () => ({}),
    reported: [`${peerAddress.ipv4} 8472`],
  });
  const network = countedNetwork(inner, 'udp-port', metrics);
  const probe = { port: 8472, payload: 'vxlan' } as const;
  expect((await network.udp(path, probe, 1, forever)).witnessed).toBe('seen');
  expect((await network.echo(path, {}, 1, forever)).replied).toBe(true);
  expect((await network.tcp(path, 179, 1, forever)).result).toBe('timed-out');
  await network.ipProtocol(path, 4, 1, forever);
  expect(network.wasReported(peerAddress.ipv4, 8472)).toBe(true);
  expect(counts).toEqual({ sent: 4, lost: 0, inconclusive: 1, rtts: [0.001, 0.002] });
});

test.each<{ name: string; answer: Answer; lost: number; inconclusive: number }>([
  {
    name: 'a pass loses nothing',
    answer: { outcome: 'pass', evidence: { sent: 3, witnessed: 1 } },
    lost: 0,
    inconclusive: 0,
  },
  {
    name: 'partial loss loses what it says',
    answer: {
      outcome: 'pass',
      evidence: { sent: 3, witnessed: 1 },
      partialLoss: { sent: 3, lost: 2, lostSourcePorts: [1, 2] },
    },
    lost: 2,
    inconclusive: 0,
  },
  {
    name: 'a fail loses what did not arrive',
    answer: { outcome: 'fail', reason: 'no-reply', evidence: { sent: 3, replied: 0 } },
    lost: 3,
    inconclusive: 0,
  },
  {
    name: 'unknown loses nothing',
    answer: { outcome: 'unknown', reason: 'no-witness', evidence: { sent: 3, witnessed: 0 } },
    lost: 0,
    inconclusive: 3,
  },
  {
    name: 'what says nothing of probes counts for nothing',
    answer: { outcome: 'fail', reason: 'peer-disagrees', evidence: {} },
    lost: 0,
    inconclusive: 0,
  },
])('$name', ({ answer, lost, inconclusive }) => {
  const { metrics, counts } = counting();
  countAnswer(answer, 'udp-port', metrics);
  expect(counts).toMatchObject({ lost, inconclusive });
});

test('the kinds that send are the kinds that are counted', () => {
  expect(kinds.filter((kind) => isProbing(kind)).sort()).toEqual([
    'icmp-echo',
    'ip-protocol',
    'latency',
    'overlay-path',
    'path-mtu',
    'peer-agreement',
    'tcp-port',
    'udp-port',
    'vxlan-path',
  ]);
});
