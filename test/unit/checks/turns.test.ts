import { expect, test } from 'vitest';
import { isOwnTurn } from '../../../checks/turns.ts';

const minute = 60_000;
const addresses = [
  '10.0.0.1',
  '10.0.0.2',
  '10.0.0.11',
  '10.0.1.1',
  '192.168.200.7',
  '2001:db8::1',
  '2001:db8::2',
];
const pairs = addresses.flatMap((one, at) =>
  addresses.slice(at + 1).map((other) => [one, other] as const),
);
const start = Date.UTC(2026, 10, 23);

test('of every pair exactly one has the turn in the first half, none in the second', () => {
  for (const [one, other] of pairs) {
    for (let at = 0; at < 120; at++) {
      const now = start + at * minute + 17;
      const turns = [isOwnTurn(one, other, now), isOwnTurn(other, one, now)];
      const first = now % (20 * minute) < 10 * minute;
      expect(turns.filter(Boolean)).toHaveLength(first ? 1 : 0);
    }
  }
});

test('both get their turns, one after the other', () => {
  for (const [one, other] of pairs) {
    const turns = [0, 20, 40, 60].map((at) => isOwnTurn(one, other, start + at * minute));
    expect(turns.filter(Boolean)).toHaveLength(2);
    expect(turns[0]).toBe(turns[2]);
    expect(turns[0]).not.toBe(turns[1]);
  }
});

test('conntrack has forgotten the flow of one before the other begins', () => {
  const conntrackMs = 10 * minute;
  for (const [one, other] of pairs) {
    let lastOf = { who: '', at: Number.NEGATIVE_INFINITY };
    for (let now = start; now < start + 120 * minute; now += minute / 4) {
      for (const [who, whom] of [
        [one, other],
        [other, one],
      ] as const) {
        if (!isOwnTurn(who, whom, now)) continue;
        if (lastOf.who !== who) expect(now - lastOf.at).toBeGreaterThan(conntrackMs);
        lastOf = { who, at: now };
      }
    }
  }
});

test('not all peers of a node have their turn at the same time', () => {
  const peers = Array.from({ length: 40 }, (_, index) => `10.0.0.${index + 2}`);
  const mine = peers.filter((peer) => isOwnTurn('10.0.0.1', peer, start)).length;
  expect(mine).toBeGreaterThan(10);
  expect(mine).toBeLessThan(30);
});
