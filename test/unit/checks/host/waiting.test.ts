import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Waiters } from '../../../../checks/host/waiting.ts';

let drained: (() => void)[] = [];
let waiters: Waiters;
const forever = new AbortController().signal;

beforeEach(() => {
  vi.useFakeTimers();
  drained = [];
  waiters = new Waiters({
    drain: () => {
      for (const work of drained) work();
    },
  });
});
afterEach(() => {
  vi.useRealTimers();
});

/** Remembers what a wait came to. */
function watch(over: Promise<boolean>): { stalled?: boolean } {
  const result: { stalled?: boolean } = {};
  void over.then((stalled) => {
    result.stalled = stalled;
  });
  return result;
}

/** The process does not run for so long: its timers fire late. */
async function sleepThrough(ms: number): Promise<void> {
  const now = performance.now();
  const spy = vi.spyOn(performance, 'now').mockImplementation(() => now + ms);
  await vi.advanceTimersByTimeAsync(ms);
  spy.mockRestore();
}

test('a wait ends after its time, not before, and at the next point of the grid at the latest', async () => {
  for (const ms of [1, 15, 16, 17, 100, 999, 1000]) {
    await vi.advanceTimersByTimeAsync(3);
    const result = watch(waiters.wait(ms, forever).over);
    await vi.advanceTimersByTimeAsync(ms - 1);
    expect(result.stalled).toBeUndefined();
    await vi.advanceTimersByTimeAsync(18);
    expect(result.stalled).toBe(false);
  }
});

test('what was waited for ends it at once, without a stall', async () => {
  const waiting = waiters.wait(1000, forever);
  const result = watch(waiting.over);
  waiting.end();
  await vi.advanceTimersByTimeAsync(0);
  expect(result.stalled).toBe(false);
  waiting.end();
  await vi.advanceTimersByTimeAsync(2000);
  expect(vi.getTimerCount()).toBe(0);
});

test('many waits share one timer', async () => {
  const results = Array.from({ length: 1000 }, () => watch(waiters.wait(1000, forever).over));
  expect(vi.getTimerCount()).toBe(1);
  await vi.advanceTimersByTimeAsync(1020);
  expect(results.every(({ stalled }) => stalled === false)).toBe(true);
  expect(vi.getTimerCount()).toBe(0);
});

test('a shorter wait that comes later still ends in time, and the longer one too', async () => {
  const long = watch(waiters.wait(1000, forever).over);
  const short = watch(waiters.wait(50, forever).over);
  await vi.advanceTimersByTimeAsync(70);
  expect(short.stalled).toBe(false);
  expect(long.stalled).toBeUndefined();
  await vi.advanceTimersByTimeAsync(950);
  expect(long.stalled).toBe(false);
});

test('the signal ends it at once; silence then proves nothing', async () => {
  const stop = new AbortController();
  const result = watch(waiters.wait(1000, stop.signal).over);
  stop.abort();
  await vi.advanceTimersByTimeAsync(0);
  expect(result.stalled).toBe(true);
});

test('a signal that has aborted ends a new wait at once', async () => {
  const stop = new AbortController();
  stop.abort();
  const result = watch(waiters.wait(1000, stop.signal).over);
  await vi.advanceTimersByTimeAsync(0);
  expect(result.stalled).toBe(true);
});

test('one signal has one listener, however many wait', async () => {
  const stop = new AbortController();
  const added = vi.spyOn(stop.signal, 'addEventListener');
  const results = Array.from({ length: 50 }, () => watch(waiters.wait(1000, stop.signal).over));
  expect(added).toHaveBeenCalledTimes(1);
  stop.abort();
  await vi.advanceTimersByTimeAsync(0);
  expect(results.every(({ stalled }) => stalled === true)).toBe(true);
});

test('what ended before the signal keeps its end', async () => {
  const stop = new AbortController();
  const waiting = waiters.wait(1000, stop.signal);
  const result = watch(waiting.over);
  waiting.end();
  stop.abort();
  await vi.advanceTimersByTimeAsync(0);
  expect(result.stalled).toBe(false);
});

test('an end that is near is near, and never later than the end that was set', async () => {
  const near = waiters.wait(1000, forever);
  const nearResult = watch(near.over);
  near.endWithin(30);
  const late = waiters.wait(100, forever);
  const lateResult = watch(late.over);
  late.endWithin(5000);
  await vi.advanceTimersByTimeAsync(50);
  expect(nearResult.stalled).toBe(false);
  expect(lateResult.stalled).toBeUndefined();
  await vi.advanceTimersByTimeAsync(70);
  expect(lateResult.stalled).toBe(false);
});

test('an end that is near does not bring back what is over', async () => {
  const waiting = waiters.wait(1000, forever);
  waiting.end();
  waiting.endWithin(30);
  await vi.advanceTimersByTimeAsync(1100);
  expect(vi.getTimerCount()).toBe(0);
});

test('a timer that fires late is a stall', async () => {
  const result = watch(waiters.wait(100, forever).over);
  await sleepThrough(400);
  expect(result.stalled).toBe(true);
});

test('a little late is ordinary load', async () => {
  const result = watch(waiters.wait(100, forever).over);
  await sleepThrough(180);
  expect(result.stalled).toBe(false);
});

test('what lay in the sockets during a stall is handled first, and may end it well', async () => {
  const waiting = waiters.wait(100, forever);
  const other = watch(waiters.wait(100, forever).over);
  const result = watch(waiting.over);
  drained.push(() => {
    waiting.end();
  });
  await sleepThrough(400);
  expect(result.stalled).toBe(false);
  expect(other.stalled).toBe(true);
});
