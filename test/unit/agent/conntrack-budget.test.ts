import { describe, expect, test } from 'vitest';
import { peerBudget } from '../../../agent/conntrack-budget.ts';

const requirements = [{ kind: 'udp-port' }, { kind: 'tcp-port' }, { kind: 'sysctl' }] as const;

describe('the budget of connection tracking', () => {
  test.each([
    { name: 'no conntrack here', usage: undefined, want: undefined },
    { name: 'nothing is tracked here', usage: { count: 0, limit: 65_536 }, want: undefined },
    { name: 'a usual node', usage: { count: 100, limit: 262_144 }, want: 58 },
    { name: 'a small node', usage: { count: 100, limit: 65_536 }, want: 14 },
    { name: 'a tiny table', usage: { count: 100, limit: 1024 }, want: 0 },
  ])('$name', ({ usage, want }) => {
    expect(peerBudget(usage, requirements, 30)).toBe(want);
  });

  test('entries of all rounds that still live stay below 1 % of the table', () => {
    for (const limit of [8192, 65_536, 262_144, 1_048_576]) {
      for (const interval of [5, 10, 30, 60, 300]) {
        const peers = peerBudget({ count: 1, limit }, requirements, interval) ?? 0;
        const perPeer = 5 + 2 + 2;
        expect(peers * perPeer * (120 / interval)).toBeLessThanOrEqual(limit / 100);
      }
    }
  });
});
