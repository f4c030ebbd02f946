import { describe, expect, test, vi } from 'vitest';
import type { AgentPresence } from '../../../agent/model.ts';
import type { PlannedTest } from '../../../agent/plan.ts';
import { runRound } from '../../../agent/round.ts';
import { type Answer, skip } from '../../../checks/check.ts';
import type { UdpObservation } from '../../../checks/host/network.ts';
import type { PeerChannel, PeerVerdict, ProbeWish } from '../../../checks/peer-channel.ts';
import { isOwnTurn } from '../../../checks/turns.ts';
import type { Requirement } from '../../../rules/schema.ts';
import {
  fakePeer,
  noAgent,
  peerAddress,
  peerContext,
  someFacts,
  someTarget,
} from '../../support/fake-network.ts';
import { type FakeNode, fakeNode } from '../../support/fake-node.ts';
import { nodeTest, udpRequirement } from '../../support/findings.ts';

const seen: Partial<UdpObservation> = { witnessed: 'seen' };

function towards(
  requirement: Requirement,
  change: Parameters<typeof someTarget>[0] = {},
): PlannedTest {
  return { requirement, target: someTarget(change), everyRounds: 1 };
}

function protocolRequirement(): Requirement<'ip-protocol'> {
  const { params: _params, ...rest } = udpRequirement();
  return { ...rest, id: 'calico.ipip', kind: 'ip-protocol', params: { protocol: 4 } };
}

interface Outcome {
  readonly answers: [string, Answer][];
  readonly inbound: [string, PeerVerdict][];
  readonly presence: [string, AgentPresence][];
}

async function round(
  node: FakeNode,
  tests: readonly PlannedTest[],
  change: { readonly takesTurns?: boolean; readonly signal?: AbortSignal } = {},
): Promise<Outcome> {
  const outcome: Outcome = { answers: [], inbound: [], presence: [] };
  const { signal: _signal, peer: _peer, ...shared } = peerContext();
  await runRound({
    tests,
    node,
    shared: { ...shared, host: node.host },
    takesTurns: change.takesTurns ?? false,
    verdictSeconds: 47,
    signal: change.signal ?? new AbortController().signal,
    onAnswer: ({ requirement }, answer) => {
      outcome.answers.push([requirement.id, answer]);
    },
    onInbound: ({ requirement }, verdict) => {
      outcome.inbound.push([requirement.id, verdict]);
    },
    onPresence: (address, presence) => {
      outcome.presence.push([address, presence]);
    },
    onCrash: (_test, error) => {
      throw error;
    },
  });
  return outcome;
}

/** An agent that has tested everything and found it good. */
function agent(verdicts: (wishes: readonly ProbeWish[]) => readonly PeerVerdict[]): PeerChannel {
  return fakePeer({
    facts: someFacts(),
    heard: 'silent',
    watch: 'silent',
    confirm: async (wishes, maximumAgeSeconds) => {
      expect(maximumAgeSeconds).toBe(47);
      return verdicts(wishes);
    },
  });
}
const passed: Answer = { outcome: 'pass', evidence: {} };
const allGood = agent((wishes) =>
  wishes.map(({ id }) => ({ requirement: id, answer: passed, ageSeconds: 1 })),
);

test('every test is answered once, and the peer is asked for the way back', async () => {
  const node = fakeNode({ network: { udp: () => seen }, channel: () => allGood });
  const { answers, inbound, presence } = await round(node, [towards(udpRequirement())]);
  expect(answers).toMatchObject([['canal.vxlan', { outcome: 'pass' }]]);
  expect(inbound).toEqual([
    ['canal.vxlan', { requirement: 'canal.vxlan', answer: passed, ageSeconds: 1 }],
  ]);
  expect(presence).toEqual([[peerAddress.ipv4, 'reachable']]);
});

test('what was found is kept for the peer under the wish that it would send', async () => {
  const node = fakeNode({ network: { udp: () => seen }, channel: () => allGood });
  await round(node, [towards(udpRequirement())]);
  expect(node.remembered).toMatchObject([
    [
      peerAddress.ipv4,
      {
        id: 'canal.vxlan',
        kind: 'udp-port',
        mustReach: true,
        params: { port: 8472, payload: 'vxlan' },
      },
      { outcome: 'pass' },
    ],
  ]);
});

test('a port that must not be reached is asked for as such, whatever else the peer is asked', async () => {
  const confirm = vi.fn((wishes: readonly ProbeWish[]) =>
    wishes.map(({ id }) => ({ requirement: id, answer: passed, ageSeconds: 1 })),
  );
  const node = fakeNode({ network: { udp: () => seen }, channel: () => agent(confirm) });
  const hostLocal = { ...udpRequirement(), id: 'canal.host-local', scope: 'host-local' } as const;
  await round(node, [towards(udpRequirement()), towards(hostLocal, { mustReach: false })]);
  expect(confirm.mock.calls[0]?.[0].map(({ id, mustReach }) => [id, mustReach])).toEqual([
    ['canal.vxlan', true],
    ['canal.host-local', false],
  ]);
});

test('a presumed answer is taken as it is, and nobody is asked', async () => {
  const presumed = skip('no-peers');
  const test = { ...nodeTest(udpRequirement()), presumed };
  const { answers, presence } = await round(fakeNode(), [test]);
  expect(answers).toEqual([['canal.vxlan', presumed]]);
  expect(presence).toEqual([]);
});

describe('a peer that says nothing of the way to us', () => {
  const silentUdp = { udp: () => ({}), tcp: () => ({}) };

  test.each<{
    name: string;
    replied: boolean;
    channel: PeerChannel;
    presence: AgentPresence;
    reason: string;
  }>([
    {
      name: 'has an agent that has not probed yet',
      replied: true,
      channel: agent(() => []),
      presence: 'reachable',
      reason: 'peer-has-not-probed',
    },
    {
      name: 'has no agent',
      replied: true,
      channel: noAgent,
      presence: 'absent',
      reason: 'peer-has-not-probed',
    },
    {
      name: 'has an agent with another key',
      replied: true,
      channel: { ...noAgent, keyMismatch: () => true },
      presence: 'reachable',
      reason: 'key-mismatch',
    },
    {
      name: 'is not there',
      replied: false,
      channel: noAgent,
      presence: 'unreachable',
      reason: 'peer-unreachable',
    },
  ])('$name: $reason', async ({ replied, channel, presence, reason }) => {
    const node = fakeNode({
      network: { ...silentUdp, echo: () => ({ replied }) },
      channel: () => channel,
    });
    const outcome = await round(node, [towards(udpRequirement())]);
    expect(outcome.presence).toEqual([[peerAddress.ipv4, presence]]);
    expect(outcome.inbound).toMatchObject([
      ['canal.vxlan', { answer: { outcome: 'unknown', reason, evidence: { agent: presence } } }],
    ]);
  });
});

test.each([
  { keyMismatch: true, reason: 'key-mismatch' },
  { keyMismatch: false, reason: 'no-witness' },
])('silence of a peer is $reason when its key differs: $keyMismatch', async (given) => {
  const channel = { ...noAgent, keyMismatch: () => given.keyMismatch };
  const network = { udp: () => ({}), tcp: () => ({}), echo: () => ({ replied: true }) };
  const node = fakeNode({ network, channel: () => channel });
  const { answers } = await round(node, [towards(udpRequirement())]);
  expect(answers).toMatchObject([['canal.vxlan', { outcome: 'unknown', reason: given.reason }]]);
});

test('a key that differs is no matter where something was seen', async () => {
  const channel = { ...noAgent, keyMismatch: () => true };
  const node = fakeNode({ network: { udp: () => seen }, channel: () => channel });
  const { answers } = await round(node, [towards(udpRequirement())]);
  expect(answers).toMatchObject([['canal.vxlan', { outcome: 'pass' }]]);
});

test.each<{ witnesses: FakeNode['witnesses']; reason: string }>([
  { witnesses: ['ipv4'], reason: 'no-witness' },
  { witnesses: ['ipv6'], reason: 'missing-net-raw' },
  { witnesses: [], reason: 'missing-net-raw' },
])('a peer that misses our witness tells of our own rights: $reason', async (given) => {
  const channel = agent((wishes) =>
    wishes.map(({ id }) => ({
      requirement: id,
      answer: { outcome: 'unknown', reason: 'no-witness' },
      ageSeconds: 0,
    })),
  );
  const node = fakeNode({
    network: { udp: () => seen },
    channel: () => channel,
    witnesses: given.witnesses,
  });
  const { inbound } = await round(node, [towards(udpRequirement())]);
  expect(inbound).toMatchObject([['canal.vxlan', { answer: { reason: given.reason } }]]);
});

test('only what a peer may be asked for is asked for, and each address apart', async () => {
  const asked: string[][] = [];
  const channel = (address: string): PeerChannel =>
    agent((wishes) => {
      asked.push([address, ...wishes.map(({ id }) => id)]);
      return [];
    });
  const { params: _params, ...rest } = udpRequirement();
  const latency: Requirement<'latency'> = {
    ...rest,
    id: 'canal.latency',
    kind: 'latency',
    params: { maximumMilliseconds: 10 },
  };
  const node = fakeNode({
    network: { udp: () => seen, echo: () => ({ replied: true, rttSeconds: 0.001 }) },
    channel,
  });
  const { inbound } = await round(node, [
    towards(udpRequirement()),
    towards(latency),
    towards(udpRequirement(), { family: 'ipv6' }),
  ]);
  expect(asked).toEqual([
    [peerAddress.ipv4, 'canal.vxlan'],
    [peerAddress.ipv6, 'canal.vxlan'],
  ]);
  expect(inbound).toHaveLength(2);
});

describe('a protocol without ports', () => {
  const silentProtocol = {
    ipProtocol: () => ({}),
    udp: () => seen,
    echo: () => ({}),
    tcp: () => ({}),
  };

  test('is left to the other one outside of the own turn', async () => {
    const own = fakeNode().underlay.find(({ family }) => family === 'ipv4')?.address ?? '';
    const start = Date.UTC(2026, 10, 23);
    vi.useFakeTimers({ toFake: ['Date'] });
    try {
      const said: [boolean, string][] = [];
      for (const minute of [0, 5, 10, 20, 25, 39]) {
        vi.setSystemTime(start + minute * 60_000);
        const node = fakeNode({ network: silentProtocol, channel: () => allGood });
        const { answers } = await round(node, [towards(protocolRequirement())], {
          takesTurns: true,
        });
        const answer = answers[0]?.[1];
        const reason = answer === undefined || answer.outcome === 'pass' ? '' : answer.reason;
        said.push([isOwnTurn(own, peerAddress.ipv4, Date.now()), reason]);
      }
      expect(said.every(([turn, reason]) => (reason === 'other-slot') === !turn)).toBe(true);
      expect(new Set(said.map(([turn]) => turn)).size).toBe(2);
    } finally {
      vi.useRealTimers();
    }
  });

  test('is not asked of the peer by a check, which takes no turns', async () => {
    const node = fakeNode({ network: silentProtocol, channel: () => allGood });
    const { inbound, answers } = await round(node, [towards(protocolRequirement())]);
    expect(inbound).toEqual([]);
    expect(answers).toMatchObject([['calico.ipip', { outcome: 'unknown', reason: 'no-witness' }]]);
  });
});

describe('how much runs at once', () => {
  async function most(usage: { count: number; limit: number } | undefined): Promise<number> {
    let running = 0;
    let highest = 0;
    const node = fakeNode({ host: { conntrackUsage: async () => usage } });
    const network = {
      ...node.host.network,
      udp: async () => {
        highest = Math.max(highest, ++running);
        await new Promise((resolve) => {
          setTimeout(resolve, 2);
        });
        running--;
        return { nonce: 1n, sourcePort: 1, errors: [], stalled: false, ...seen };
      },
      echo: async () => ({ sourcePort: 0, errors: [], stalled: false, replied: true }),
    };
    const tests = Array.from({ length: 100 }, (_, index) =>
      towards(udpRequirement({ id: `a.${index}` })),
    );
    const busy = { ...node, host: { ...node.host, network } };
    expect((await round(busy, tests)).answers).toHaveLength(100);
    return highest;
  }

  test.each([
    { name: 'without conntrack', usage: undefined, want: 64 },
    { name: 'with room in conntrack', usage: { count: 80, limit: 100 }, want: 64 },
    { name: 'with conntrack nearly full', usage: { count: 81, limit: 100 }, want: 4 },
  ])('$name: $want', async ({ usage, want }) => {
    expect(await most(usage)).toBe(want);
  });
});

test('a shutdown ends the round without an answer that was cut short', async () => {
  const stop = new AbortController();
  const node = fakeNode({
    network: {
      udp: () => {
        stop.abort();
        return {};
      },
      echo: () => ({}),
      tcp: () => ({}),
    },
  });
  const tests = Array.from({ length: 100 }, () => towards(udpRequirement()));
  const { answers, inbound, presence } = await round(node, tests, { signal: stop.signal });
  expect([answers, inbound, presence]).toEqual([[], [], []]);
});
