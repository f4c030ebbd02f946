import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createScheduler, type SchedulerOptions } from '../../../agent/scheduler.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A scheduler whose rounds take `roundMs`, and the times at which they began. */
function scheduler(change: Partial<SchedulerOptions> & { roundMs?: number } = {}) {
  const { roundMs = 1_000, ...options } = change;
  const startedAt = performance.now();
  const starts: number[] = [];
  const errors: unknown[] = [];
  let running = 0;
  let overlapped = false;
  const made = createScheduler({
    intervalMs: 30_000,
    now: () => performance.now(),
    random: () => 0.5,
    onError: (error) => errors.push(error),
    run: (signal) =>
      new Promise((resolve) => {
        starts.push(performance.now() - startedAt);
        running += 1;
        overlapped ||= running > 1;
        const finish = () => {
          clearTimeout(timer);
          running -= 1;
          resolve();
        };
        const timer = setTimeout(finish, roundMs);
        signal.addEventListener('abort', finish, { once: true });
      }),
    ...options,
  });
  return { made, starts, errors, overlapped: () => overlapped };
}

describe('rounds', () => {
  test('the first is at once, the next an interval after its start', async () => {
    const { made, starts } = scheduler();
    made.start();
    expect(starts).toEqual([0]);
    await vi.advanceTimersByTimeAsync(95_000);
    expect(starts).toEqual([0, 30_000, 60_000, 90_000]);
  });

  test.each([
    { random: 0, want: 27_000 },
    { random: 1, want: 33_000 },
  ])('come up to a tenth early or late', async ({ random, want }) => {
    const { made, starts } = scheduler({ random: () => random });
    made.start();
    await vi.advanceTimersByTimeAsync(want - 1);
    expect(starts).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(starts).toEqual([0, want]);
  });

  test('never overlap: the next follows one that took too long', async () => {
    const { made, starts, overlapped } = scheduler({ roundMs: 50_000 });
    made.start();
    await vi.advanceTimersByTimeAsync(120_000);
    // No pause is a timer of 1 ms.
    expect(starts).toEqual([0, 50_001, 100_002]);
    expect(overlapped()).toBe(false);
  });

  test('go on after one that throws', async () => {
    const boom = new Error('boom');
    let ran = 0;
    const { made, errors } = scheduler({
      run: () => {
        ran += 1;
        return Promise.reject(boom);
      },
    });
    made.start();
    await vi.advanceTimersByTimeAsync(30_000);
    expect(ran).toBe(2);
    expect(errors).toEqual([boom, boom]);
  });

  test('take a new interval at once', async () => {
    const { made, starts } = scheduler();
    made.start();
    await vi.advanceTimersByTimeAsync(5_000);
    made.setInterval(10_000);
    await vi.advanceTimersByTimeAsync(16_000);
    expect(starts).toEqual([0, 10_000, 20_000]);
  });

  test('nothing begins before start', async () => {
    const { made, starts } = scheduler();
    void made.runNow();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(starts).toEqual([]);
    made.start();
    expect(starts).toEqual([60_000]);
  });
});

describe('runNow', () => {
  test('begins a round at once, and the interval counts from it', async () => {
    const { made, starts } = scheduler();
    made.start();
    await vi.advanceTimersByTimeAsync(12_000);
    let done = false;
    void made.runNow().then(() => {
      done = true;
    });
    await vi.advanceTimersByTimeAsync(999);
    expect(done).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(done).toBe(true);
    await vi.advanceTimersByTimeAsync(30_000);
    expect(starts).toEqual([0, 12_000, 42_000]);
  });

  test('callers share one round, and it is one that began after they called', async () => {
    const { made, starts } = scheduler();
    made.start();
    await vi.advanceTimersByTimeAsync(500);
    const [one, other] = [made.runNow(), made.runNow()];
    expect(one).toBe(other);
    await vi.advanceTimersByTimeAsync(501);
    expect(starts).toEqual([0, 1_001]);
    const third = made.runNow();
    expect(third).not.toBe(one);
    await vi.advanceTimersByTimeAsync(1_000);
    await one;
    await vi.advanceTimersByTimeAsync(3_999);
    expect(starts).toEqual([0, 1_001]);
    await vi.advanceTimersByTimeAsync(1);
    expect(starts).toEqual([0, 1_001, 6_001]);
    await vi.advanceTimersByTimeAsync(1_000);
    await third;
  });

  test('a hundred callers in a minute get a round in 5 s', async () => {
    const { made, starts } = scheduler({ roundMs: 100 });
    made.start();
    await vi.advanceTimersByTimeAsync(200);
    for (let count = 0; count < 100; count += 1) {
      void made.runNow();
      await vi.advanceTimersByTimeAsync(600);
    }
    const asked = starts.slice(1);
    for (const [index, start] of asked.entries()) {
      const before = asked[index - 1];
      if (before !== undefined) expect(start - before).toBeGreaterThanOrEqual(5_000);
    }
    expect(asked).toHaveLength(13);
  });

  test('a planned round in the meantime serves the callers, too', async () => {
    const { made, starts } = scheduler();
    made.start();
    await vi.advanceTimersByTimeAsync(27_000);
    await Promise.all([made.runNow(), vi.advanceTimersByTimeAsync(1_000)]);
    made.setInterval(4_000);
    const asked = made.runNow();
    await vi.advanceTimersByTimeAsync(4_000);
    await asked;
    expect(starts).toEqual([0, 27_000, 31_000]);
  });

  test('a round that throws lets its callers go', async () => {
    const { made } = scheduler({ run: () => Promise.reject(new Error('boom')) });
    made.start();
    const asked = made.runNow();
    await vi.advanceTimersByTimeAsync(0);
    await expect(asked).resolves.toBeUndefined();
  });
});

describe('stop', () => {
  test('aborts the round that runs, waits for its end, and begins no other', async () => {
    const { made, starts } = scheduler({ roundMs: 60_000 });
    made.start();
    await vi.advanceTimersByTimeAsync(1_000);
    const asked = made.runNow();
    await made.stop();
    await asked;
    await made.runNow();
    await vi.advanceTimersByTimeAsync(120_000);
    expect(starts).toEqual([0]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('between rounds leaves no timer', async () => {
    const { made } = scheduler();
    made.start();
    await vi.advanceTimersByTimeAsync(5_000);
    await made.stop();
    expect(vi.getTimerCount()).toBe(0);
  });

  test('is no error, though the round throws for it', async () => {
    const { made, errors } = scheduler({
      run: (signal) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => {
            reject(new Error('aborted'));
          });
        }),
    });
    made.start();
    await made.stop();
    expect(errors).toEqual([]);
  });
});

test('idleMs is the time since a round began or ended', async () => {
  const { made } = scheduler({ roundMs: 10_000 });
  made.start();
  await vi.advanceTimersByTimeAsync(9_000);
  expect(made.idleMs()).toBe(9_000);
  await vi.advanceTimersByTimeAsync(3_000);
  expect(made.idleMs()).toBe(2_000);
});
