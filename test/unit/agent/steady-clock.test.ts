import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { steadyNowMs, wallTimeOf } from '../../../agent/steady-clock.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'] });
});
afterEach(() => {
  vi.useRealTimers();
});

test('a step of the wall clock moves no steady time, and all that is shown', () => {
  const before = steadyNowMs();
  vi.setSystemTime(new Date('2020-01-01T00:00:00.000Z'));
  const after = steadyNowMs();
  expect(after - before).toBeGreaterThanOrEqual(0);
  expect(after - before).toBeLessThan(10_000);
  expect(new Date(wallTimeOf(after)).toISOString().slice(0, 10)).toMatch(
    /^(2020-01-01|2019-12-31)$/,
  );
});
