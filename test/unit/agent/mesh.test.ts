import { createServer, type RequestListener } from 'node:http';
import { Check } from 'typebox/value';
import { afterEach, describe, expect, test, vi } from 'vitest';
import {
  createMeshCache,
  createStatusClient,
  meshOf,
  type PeerAnswer,
  type StatusWanted,
} from '../../../agent/mesh.ts';
import type { Finding, StatusDocument } from '../../../agent/model.ts';
import { MeshSchema, publicDocument, StatusSchema } from '../../../agent/status-schema.ts';
import { type FindingChange, someDocument, someFinding } from '../../support/findings.ts';

const addresses: Readonly<Record<string, string>> = { A: '10.0.0.1', B: '10.0.0.2', C: '10.0.0.3' };
const peersOf = (own: string) =>
  Object.entries(addresses)
    .filter(([name]) => name !== own)
    .map(([name, address]) => ({ name, address, agent: 'reachable' as const }));

/** A path finding; its address is that of the peer. */
function path(peer: string, change: FindingChange = {}): Finding {
  const finding = someFinding({ peer, ...change });
  const { target } = finding;
  return target.scope === 'node'
    ? finding
    : { ...finding, target: { ...target, address: addresses[peer] ?? '10.9.9.9' } };
}

const documentOf = (name: string, findings: readonly Finding[]): StatusDocument => {
  const node = { ...someDocument().node, name, addresses: [addresses[name] ?? ''] };
  return someDocument({ node, peers: peersOf(name), findings });
};
const reachable = (name: string, findings: readonly Finding[]): PeerAnswer => ({
  agent: 'reachable',
  report: publicDocument(documentOf(name, findings)),
});
const failed = { outcome: 'fail', reason: 'dropped' } as const;

function mesh(
  own: StatusDocument,
  answers: Record<string, PeerAnswer>,
  wanted: StatusWanted = 'all',
) {
  const collectedAtMs = Date.parse('2026-11-23T12:00:00.000Z');
  return meshOf({ own, answers: new Map(Object.entries(answers)), wanted, collectedAtMs });
}

/** A line a pair. */
const lines = (pairs: ReturnType<typeof meshOf>['pairs']) =>
  pairs.map(
    ({ sender, receiver, outcome, reason, reportedBy }) =>
      `${sender}>${receiver} ${outcome}${reason === undefined ? '' : `:${reason}`} by ${reportedBy}`,
  );

describe('the matrix', () => {
  test('is what each sender says, and valid by its schema', () => {
    const got = mesh(documentOf('A', [path('B'), path('C', failed)]), {
      B: reachable('B', [path('A'), path('C')]),
      C: reachable('C', [path('A'), path('B', { outcome: 'unknown', reason: 'no-witness' })]),
    });
    expect(Check(MeshSchema, got)).toBe(true);
    expect(got.complete).toBe(true);
    expect(lines(got.pairs)).toEqual([
      'A>C fail:dropped by A',
      'C>B unknown:no-witness by C',
      'A>B pass by A',
      'B>A pass by B',
      'B>C pass by B',
      'C>A pass by C',
    ]);
    expect(got.nodes.map(({ name, agent }) => `${name} ${agent}`)).toEqual([
      'A reachable',
      'B reachable',
      'C reachable',
    ]);
  });

  test('has the receiver’s word where the sender has none', () => {
    const inbound = path('B', { ...failed, direction: 'inbound' });
    const got = mesh(
      documentOf('A', [path('B'), inbound, path('C'), path('C', { direction: 'inbound' })]),
      {
        B: { agent: 'absent' },
        C: reachable('C', [path('A', failed)]),
      },
    );
    expect(lines(got.pairs)).toEqual([
      'C>A fail:dropped by C',
      'B>A fail:dropped by A',
      'A>B pass by A',
      'A>C pass by A',
    ]);
    expect(got.nodes[1]).toEqual({
      name: 'B',
      address: '10.0.0.2',
      agent: 'absent',
      readiness: 'unknown',
    });
  });

  test('shows the worst required outcome of a pair', () => {
    const own = documentOf('A', [
      path('B'),
      path('B', { requirement: 'canal.mtu', outcome: 'unknown', reason: 'no-witness' }),
      path('B', { requirement: 'canal.api', ...failed }),
      path('B', {
        requirement: 'canal.ping',
        level: 'recommended',
        outcome: 'fail',
        reason: 'no-route',
      }),
      someFinding({ requirement: 'canal.node', outcome: 'fail', reason: 'sysctl-differs' }),
    ]);
    const got = mesh(own, {});
    expect(got.pairs).toEqual([
      {
        sender: 'A',
        receiver: 'B',
        outcome: 'fail',
        requirement: 'canal.api',
        reason: 'dropped',
        reportedBy: 'A',
      },
    ]);
    expect(got.nodes[1]).toMatchObject({ name: 'B', agent: 'unknown' });
  });

  test('uses this node’s names for nodes that call each other otherwise', () => {
    const own = documentOf('A', []);
    const otherNames = path('B');
    const { target } = otherNames;
    const renamed =
      target.scope === 'peer'
        ? { ...otherNames, target: { ...target, name: 'b.example.org' } }
        : otherNames;
    expect(lines(mesh(own, { C: reachable('C', [renamed]) }).pairs)).toEqual(['C>B pass by C']);
  });

  test('of a large cluster lists what does not pass', () => {
    const got = mesh(documentOf('A', [path('B'), path('C', failed)]), {}, 'trouble');
    expect(got.complete).toBe(false);
    expect(lines(got.pairs)).toEqual(['A>C fail:dropped by A']);
  });

  test('is bounded', () => {
    const findings = Array.from({ length: 10_050 }, (_, index) => {
      const finding = path('B');
      const { target } = finding;
      const address = `10.1.${index >> 8}.${index & 255}`;
      return target.scope === 'peer'
        ? { ...finding, target: { ...target, name: `n${index}`, address } }
        : finding;
    });
    const got = mesh(documentOf('A', findings), {});
    expect(got.pairs).toHaveLength(10_000);
    expect(got.omitted).toBe(50);
  });
});

describe('the cache', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  function cache(count: number, change: { fails?: boolean; hangs?: boolean } = {}) {
    let nowMs = 1_000;
    let running = 0;
    let most = 0;
    const asked: { address: string; wanted: StatusWanted }[] = [];
    const peers = Array.from({ length: count }, (_, index) => ({
      name: `w${index}`,
      address: `10.1.0.${index}`,
      agent: 'unknown' as const,
    }));
    const state = { fails: change.fails ?? false };
    const get = createMeshCache({
      document: () => someDocument({ peers, findings: [] }),
      now: () => nowMs,
      signal: new AbortController().signal,
      fetchPeerStatus: async (address, wanted, signal) => {
        asked.push({ address, wanted });
        running += 1;
        most = Math.max(most, running);
        if (change.hangs === true) {
          await new Promise<void>((resolve) => {
            signal.addEventListener('abort', () => {
              resolve();
            });
          });
        } else await Promise.resolve();
        running -= 1;
        if (state.fails) throw new Error('a bug');
        return { agent: 'unreachable' };
      },
    });
    return { get, asked, state, most: () => most, pass: (ms: number) => (nowMs += ms) };
  }

  test('asks each peer once, 32 at a time, and once for all callers in 10 s', async () => {
    const { get, asked, most, pass } = cache(63);
    const [one, other] = await Promise.all([get(), get()]);
    expect(one).toBe(other);
    expect(new Set(asked.map(({ address }) => address)).size).toBe(63);
    expect(asked).toHaveLength(63);
    expect(most()).toBe(32);
    expect(asked[0]?.wanted).toBe('all');
    expect(Math.abs(Date.parse(one.collectedAt) - Date.now())).toBeLessThan(60_000);
    pass(9_999);
    expect(await get()).toBe(one);
    pass(1);
    expect(await get()).not.toBe(one);
    expect(asked).toHaveLength(126);
  });

  test('asks for less in a large cluster', async () => {
    const { get, asked } = cache(64);
    expect((await get()).complete).toBe(false);
    expect(asked.every(({ wanted }) => wanted === 'trouble')).toBe(true);
  });

  test('gives a peer two seconds', async () => {
    vi.useFakeTimers();
    const { get } = cache(3, { hangs: true });
    let done = false;
    const got = get().then(({ nodes }) => {
      done = true;
      return nodes;
    });
    await vi.advanceTimersByTimeAsync(1_999);
    expect(done).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect((await got).filter(({ agent }) => agent === 'unreachable')).toHaveLength(3);
  });

  test('does not keep an error', async () => {
    const { get, state } = cache(1, { fails: true });
    await expect(get()).rejects.toThrow('a bug');
    state.fails = false;
    await expect(get()).resolves.toBeDefined();
  });
});

describe('asking a peer', () => {
  const open: { close(): void }[] = [];
  afterEach(() => {
    for (const server of open.splice(0)) server.close();
  });

  async function ask(listener: RequestListener, wanted: StatusWanted = 'all'): Promise<PeerAnswer> {
    const server = createServer(listener);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    open.push({
      close() {
        server.close();
        server.closeAllConnections();
      },
    });
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    return createStatusClient(port)('127.0.0.1', wanted, new AbortController().signal);
  }

  test('gives what it says', async () => {
    const document = publicDocument(documentOf('B', [path('A', failed)]));
    expect(Check(StatusSchema, document)).toBe(true);
    const urls: (string | undefined)[] = [];
    const answer = await ask((request, response) => {
      urls.push(request.url);
      response.end(JSON.stringify({ ...document, fromTheFuture: true }));
    });
    expect(urls).toEqual(['/status']);
    expect(answer).toMatchObject({ agent: 'reachable', report: { findings: document.findings } });
  });

  test('asks a peer of a large cluster for its trouble only', async () => {
    const urls: (string | undefined)[] = [];
    await ask((request, response) => {
      urls.push(request.url);
      response.end();
    }, 'trouble');
    expect(urls).toEqual(['/status?outcome=fail,unknown']);
  });

  test.each<{ name: string; listener: RequestListener; want: string }>([
    {
      name: 'what is not JSON',
      listener: (_, response) => response.end('<html>'),
      want: 'unknown',
    },
    {
      name: 'another document',
      listener: (_, response) => response.end('{"findings":[{}]}'),
      want: 'unknown',
    },
    {
      name: 'an error',
      listener: (_, response) => response.writeHead(500).end('{}'),
      want: 'unknown',
    },
    {
      name: 'a body over 2 MiB',
      listener: (_, response) =>
        response.end(
          JSON.stringify({ readiness: 'ready', findings: [], pad: 'x'.repeat(2 ** 21) }),
        ),
      want: 'unknown',
    },
    {
      name: 'a body that breaks off',
      listener: (_, response) => {
        response.writeHead(200, { 'content-length': '1000' });
        response.write('{"readiness"', () => response.destroy());
      },
      want: 'unknown',
    },
    {
      name: 'a connection that breaks off',
      listener: (request) => request.socket.destroy(),
      want: 'unreachable',
    },
  ])('$name is $want', async ({ listener, want }) => {
    expect((await ask(listener)).agent).toBe(want);
  });

  test('a host without an agent is absent', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    await new Promise((resolve) => server.close(resolve));
    const answer = await createStatusClient(port)('127.0.0.1', 'all', new AbortController().signal);
    expect(answer).toEqual({ agent: 'absent' });
  });

  test('a peer that stays silent is unreachable when the time is up', async () => {
    const server = createServer(() => {});
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    open.push({
      close() {
        server.close();
        server.closeAllConnections();
      },
    });
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const deadline = new AbortController();
    const answer = createStatusClient(port)('127.0.0.1', 'all', deadline.signal);
    deadline.abort();
    expect(await answer).toEqual({ agent: 'unreachable' });
  });
});
