import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { runTest } from '../../../agent/run-test.ts';
import type { Answer, Context } from '../../../checks/check.ts';
import { HostError } from '../../../checks/host/host.ts';
import type { Network, UdpObservation } from '../../../checks/host/network.ts';
import {
  fakeNetwork,
  fakePeer,
  noAgent,
  peerContext,
  someTarget,
} from '../../support/fake-network.ts';
import { nodeRequirement, udpRequirement } from '../../support/findings.ts';

const forever = new AbortController().signal;
const crashes: unknown[] = [];

beforeEach(() => {
  crashes.length = 0;
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

async function run(
  given: {
    readonly requirement?: Parameters<typeof runTest>[0];
    readonly udp?: Network['udp'];
    readonly context?: Partial<Context>;
    readonly rights?: { netRaw: boolean; netAdmin: boolean };
    readonly signal?: AbortSignal;
  } = {},
): Promise<Answer> {
  const network: Network = {
    ...fakeNetwork(),
    ...(given.udp === undefined ? {} : { udp: given.udp }),
  };
  const { signal: _signal, peer: _peer, ...shared } = peerContext({ network, ...given.context });
  const host = { ...shared.host, capabilities: given.rights ?? { netRaw: true, netAdmin: true } };
  const work = runTest(
    given.requirement ?? udpRequirement(),
    someTarget(),
    { ...shared, host },
    given.context?.peer ?? noAgent,
    given.signal ?? forever,
    (error) => {
      crashes.push(error);
    },
  );
  await vi.advanceTimersByTimeAsync(120_000);
  return await work;
}

const silence: UdpObservation = { nonce: 1n, sourcePort: 1, errors: [], stalled: false };

/** Answers when the signal says so, as a socket does. */
function untilAborted(observation: UdpObservation, onEnd: () => void = () => {}): Network['udp'] {
  return async (_path, _probe, _timeoutMs, signal) => {
    await new Promise<void>((resolve) => {
      const end = (): void => {
        onEnd();
        resolve();
      };
      if (signal.aborted) resolve();
      else signal.addEventListener('abort', end);
    });
    return observation;
  };
}

test('what the check answers is the answer', async () => {
  const answer = await run({ udp: async () => ({ ...silence, witnessed: 'seen' }) });
  expect(answer).toMatchObject({ outcome: 'pass' });
  expect(crashes).toEqual([]);
});

test('the check is given the way to the peer', async () => {
  const heard = vi.fn(async () => ({ witnessSeconds: 3600, heard: [true, true, true] }));
  const peer = fakePeer({ heard });
  expect(await run({ udp: async () => silence, context: { peer } })).toMatchObject({
    outcome: 'pass',
  });
  expect(heard).toHaveBeenCalled();
});

test('a check that runs into the deadline is unknown, however it ends then', async () => {
  expect(await run({ udp: untilAborted(silence) })).toMatchObject({
    outcome: 'unknown',
    reason: 'deadline',
  });
});

test('what was seen before the deadline counts', async () => {
  const udp = untilAborted({ ...silence, witnessed: 'seen' });
  expect(await run({ udp })).toMatchObject({ outcome: 'pass' });
});

test.each([
  { timeoutMs: 100, limitMs: 10_000 },
  { timeoutMs: 1000, limitMs: 24_000 },
])('the deadline follows the timeout of $timeoutMs ms', async ({ timeoutMs, limitMs }) => {
  const started = performance.now();
  let ended = 0;
  const udp = untilAborted(silence, () => {
    ended = performance.now();
  });
  await run({ udp, context: { timeoutMs } });
  expect(ended - started).toBeCloseTo(limitMs, -1);
});

test('a shutdown ends it at once', async () => {
  const stop = new AbortController();
  stop.abort();
  const udp: Network['udp'] = async (_path, _probe, _timeout, signal) => ({
    ...silence,
    stalled: signal.aborted,
  });
  expect(await run({ udp, signal: stop.signal })).toMatchObject({
    outcome: 'unknown',
    reason: 'deadline',
  });
});

test('a crash is unknown, and told', async () => {
  const bug = new TypeError('a bug');
  const udp: Network['udp'] = async () => {
    throw bug;
  };
  expect(await run({ udp })).toEqual({
    outcome: 'unknown',
    reason: 'check-crashed',
    evidence: { error: 'a bug' },
  });
  expect(crashes).toEqual([bug]);
});

test.each([
  { code: 'missing-net-raw', reason: 'missing-net-raw' },
  { code: 'EACCES', reason: 'permission-denied' },
  { code: 'EPERM', reason: 'permission-denied' },
  { code: 'EMFILE', reason: 'inconclusive' },
  { code: 'EADDRINUSE', reason: 'inconclusive' },
])('a machine that says $code is unknown: $reason, and no crash', async ({ code, reason }) => {
  const udp: Network['udp'] = async () => {
    throw new HostError(code, 'no');
  };
  expect(await run({ udp })).toMatchObject({ outcome: 'unknown', reason });
  expect(crashes).toEqual([]);
});

test.each([
  {
    requirement: { kind: 'path-mtu', params: { overheadBytes: 50 } } as const,
    rights: { netRaw: false, netAdmin: true },
    reason: 'missing-net-raw',
  },
  {
    requirement: { kind: 'ip-protocol', params: { protocol: 4 } } as const,
    rights: { netRaw: false, netAdmin: false },
    reason: 'missing-net-raw',
  },
])('without its right $requirement.kind is not begun', async ({ requirement, rights, reason }) => {
  expect(await run({ requirement, rights })).toEqual({ outcome: 'unknown', reason, evidence: {} });
});

test('a check of this node needs no peer', async () => {
  const { kind, params } = nodeRequirement();
  const shared = peerContext();
  const host = { ...shared.host, readText: async () => '1\n' };
  const answer = await runTest(
    { kind, params },
    { scope: 'node' },
    { ...shared, host },
    undefined,
    forever,
    () => {},
  );
  expect(answer).toMatchObject({ outcome: 'pass' });
});
