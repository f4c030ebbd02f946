import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createReviews } from '../../../agent/firewall-reviews.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function reviewsThatTake(ms: number) {
  const begun: number[] = [];
  const errors: unknown[] = [];
  const ending = new AbortController();
  const start = performance.now();
  const reviews = createReviews({
    review: async () => {
      begun.push(Math.round(performance.now() - start));
      await new Promise((resolve) => setTimeout(resolve, ms));
      if (begun.length === 1 && ms === 13) throw new Error('once');
    },
    signal: ending.signal,
    now: () => performance.now(),
    onError: (error) => errors.push(error),
  });
  return { reviews, begun, errors, ending };
}

describe('reviews', () => {
  test('changes within 250 ms are one', async () => {
    const { reviews, begun } = reviewsThatTake(0);
    for (let count = 0; count < 20; count++) {
      reviews.changed();
      await vi.advanceTimersByTimeAsync(10);
    }
    await vi.advanceTimersByTimeAsync(1000);
    expect(begun).toEqual([250]);
    reviews.changed();
    await vi.advanceTimersByTimeAsync(1000);
    expect(begun).toHaveLength(2);
  });

  test('a change while one runs is asked about again', async () => {
    const { reviews, begun } = reviewsThatTake(20);
    reviews.changed();
    await vi.advanceTimersByTimeAsync(260);
    reviews.changed();
    await vi.advanceTimersByTimeAsync(2000);
    expect(begun).toHaveLength(2);
  });

  test('a tenth of the time is the most, however often something changes', async () => {
    const { reviews, begun } = reviewsThatTake(1000);
    for (let count = 0; count < 600; count++) {
      reviews.changed();
      await vi.advanceTimersByTimeAsync(100);
    }
    expect(begun).toHaveLength(6);
    expect((begun[1] ?? 0) - (begun[0] ?? 0)).toBeGreaterThanOrEqual(10_000);
  });

  test('what one throws is told, and the next comes', async () => {
    const { reviews, begun, errors } = reviewsThatTake(13);
    reviews.changed();
    await vi.advanceTimersByTimeAsync(1000);
    reviews.changed();
    await vi.advanceTimersByTimeAsync(1000);
    expect(errors).toEqual([new Error('once')]);
    expect(begun).toHaveLength(2);
  });

  test('none begins after the end', async () => {
    const { reviews, begun, ending } = reviewsThatTake(0);
    reviews.changed();
    ending.abort();
    await reviews[Symbol.asyncDispose]();
    reviews.changed();
    await vi.advanceTimersByTimeAsync(1000);
    expect(begun).toEqual([]);
  });
});
