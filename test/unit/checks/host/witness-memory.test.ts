import { describe, expect, test } from 'vitest';
import {
  createBuckets,
  createHeardLog,
  createLog,
  createReplayGuard,
} from '../../../../checks/host/witness-memory.ts';

describe('the log of what was heard', () => {
  test('keeps what each source sent, apart from the others', () => {
    const log = createLog<string>({ sources: 10, perSource: 10, entries: 100 });
    log.set('a', 1n, 'seen');
    expect(log.get('a', 1n)).toBe('seen');
    expect(log.get('b', 1n)).toBeUndefined();
    expect(log.get('a', 2n)).toBeUndefined();
  });

  test('forgets the oldest of a source first', () => {
    const log = createLog<number>({ sources: 2, perSource: 3, entries: 100 });
    for (let nonce = 1n; nonce <= 5n; nonce++) log.set('a', nonce, Number(nonce));
    expect([1n, 2n, 3n, 4n, 5n].map((nonce) => log.get('a', nonce))).toEqual([
      undefined,
      undefined,
      3,
      4,
      5,
    ]);
  });

  test('forgets the source that was quiet longest, not the first one', () => {
    const log = createLog<number>({ sources: 2, perSource: 3, entries: 100 });
    log.set('a', 1n, 1);
    log.set('b', 1n, 1);
    log.set('a', 2n, 2);
    log.set('c', 1n, 1);
    expect(log.get('b', 1n)).toBeUndefined();
    expect(log.get('a', 1n)).toBe(1);
    expect(log.get('c', 1n)).toBe(1);
  });

  test('lists the newest of a source, oldest first', () => {
    const log = createLog<number>({ sources: 2, perSource: 5, entries: 100 });
    for (const nonce of [7n, 3n, 9n]) log.set('a', nonce, 0);
    expect(log.latest('a', 2)).toEqual([3n, 9n]);
    expect(log.latest('a', 8)).toEqual([7n, 3n, 9n]);
    expect(log.latest('stranger', 8)).toEqual([]);
  });
});

describe('the bound of all sources together', () => {
  test('forgets whole sources, the one that was quiet longest first, and never the newest', () => {
    const log = createLog<number>({ sources: 10, perSource: 10, entries: 6 });
    const fill = (source: string, count: number): void => {
      for (let nonce = 1; nonce <= count; nonce++) log.set(source, BigInt(nonce), nonce);
    };
    const sizes = () => ['a', 'b', 'c'].map((source) => log.latest(source, 99).length);
    fill('a', 2);
    fill('b', 2);
    fill('c', 2);
    expect(sizes()).toEqual([2, 2, 2]);
    // What is overwritten takes no room.
    fill('c', 2);
    expect(sizes()).toEqual([2, 2, 2]);
    fill('c', 3);
    expect(sizes()).toEqual([0, 2, 3]);
    fill('c', 9);
    expect(sizes()).toEqual([0, 0, 9]);
    fill('a', 1);
    expect(sizes()).toEqual([1, 0, 0]);
    // Room that was given back is there again.
    fill('b', 5);
    expect(sizes()).toEqual([1, 5, 0]);
  });

  test('strangers, however many, push out nothing of a peer', () => {
    const log = createHeardLog<string>((source) => source === 'peer');
    log.set('peer', 1n, 'seen');
    for (let stranger = 0; stranger < 5000; stranger++) {
      for (let nonce = 0n; nonce < 20n; nonce++) log.set(`stranger ${stranger}`, nonce, 'seen');
    }
    expect(log.get('peer', 1n)).toBe('seen');
    expect(log.latest('peer', 9)).toEqual([1n]);
    expect(log.latest('stranger 4999', 99)).toHaveLength(20);
    expect(log.get('stranger 0', 1n)).toBeUndefined();
    // 16,384 entries, 20 each.
    const kept = Array.from({ length: 5000 }, (_, index) => log.latest(`stranger ${index}`, 99));
    expect(kept.filter((nonces) => nonces.length > 0)).toHaveLength(819);
  });

  test('what was heard of a stranger is known when it becomes a peer', () => {
    const peers = new Set<string>();
    const log = createHeardLog<string>((source) => peers.has(source));
    log.set('a', 1n, 'seen');
    peers.add('a');
    expect(log.get('a', 1n)).toBe('seen');
    expect(log.latest('a', 9)).toEqual([1n]);
  });
});

describe('token buckets', () => {
  const bounds = { sources: 2, perSecond: 10, burst: 3 };

  test('let a burst through, then so many a second', () => {
    let now = 0;
    const buckets = createBuckets(bounds, () => now);
    const take = (times: number) =>
      Array.from({ length: times }, () => buckets.take('a')).filter(Boolean).length;
    expect(take(10)).toBe(3);
    now = 99;
    expect(take(1)).toBe(0);
    now = 100;
    expect(take(2)).toBe(1);
    now = 60_000;
    expect(take(10)).toBe(3);
  });

  test('are one a source', () => {
    const buckets = createBuckets(bounds, () => 0);
    for (let count = 0; count < 3; count++) buckets.take('a');
    expect(buckets.take('a')).toBe(false);
    expect(buckets.take('b')).toBe(true);
  });

  test('are bounded: a third source costs the quietest its bucket', () => {
    const buckets = createBuckets(bounds, () => 0);
    for (let count = 0; count < 3; count++) buckets.take('a');
    buckets.take('b');
    buckets.take('c');
    expect(buckets.take('a')).toBe(true);
  });
});

describe('the replay guard', () => {
  const bounds = { sessions: 3, window: 8 };

  test('accepts each nonce of a session once, in any order inside of the window', () => {
    const guard = createReplayGuard(bounds);
    for (const nonce of [10n, 12n, 11n, 17n, 13n]) expect(guard.accept('a', 1n, nonce)).toBe(true);
    for (const nonce of [10n, 11n, 12n, 13n, 17n]) expect(guard.accept('a', 1n, nonce)).toBe(false);
  });

  test('refuses what is just too old, and accepts the oldest inside', () => {
    const guard = createReplayGuard(bounds);
    expect(guard.accept('a', 1n, 100n)).toBe(true);
    expect(guard.accept('a', 1n, 92n)).toBe(false);
    expect(guard.accept('a', 1n, 93n)).toBe(true);
    expect(guard.accept('a', 1n, 93n)).toBe(false);
  });

  test.each([1n, 7n, 8n, 9n, 1n << 40n, (1n << 64n) - 101n])(
    'survives a jump by %i and still knows what it must',
    (jump) => {
      const guard = createReplayGuard(bounds);
      guard.accept('a', 1n, 100n);
      expect(guard.accept('a', 1n, 100n + jump)).toBe(true);
      expect(guard.accept('a', 1n, 100n + jump)).toBe(false);
      // Seen before or too old by now: refused in either case.
      expect(guard.accept('a', 1n, 100n)).toBe(false);
    },
  );

  test('agrees with a set of everything accepted, whatever comes', () => {
    const guard = createReplayGuard({ sessions: 3, window: 64 });
    const accepted = new Set<bigint>();
    let newest = 0n;
    let state = 7;
    for (let count = 0; count < 5000; count++) {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      const nonce = BigInt(count + ((state >>> 8) % 100));
      const fresh = !accepted.has(nonce) && (nonce > newest || newest - nonce < 64n);
      expect(guard.accept('a', 1n, nonce)).toBe(fresh);
      if (fresh) accepted.add(nonce);
      if (nonce > newest) newest = nonce;
    }
  });

  test('keeps sessions and sources apart: a restarted peer begins anew', () => {
    const guard = createReplayGuard(bounds);
    expect(guard.accept('a', 1n, 100n)).toBe(true);
    expect(guard.accept('a', 2n, 5n)).toBe(true);
    expect(guard.accept('b', 1n, 100n)).toBe(true);
    expect(guard.accept('a', 1n, 100n)).toBe(false);
  });

  test('is bounded: the session that was quiet longest is forgotten', () => {
    const guard = createReplayGuard(bounds);
    for (const session of [1n, 2n, 3n]) guard.accept('a', session, 50n);
    guard.accept('a', 1n, 51n);
    guard.accept('a', 4n, 50n);
    expect(guard.accept('a', 1n, 51n)).toBe(false);
    expect(guard.accept('a', 2n, 50n)).toBe(true);
  });
});
