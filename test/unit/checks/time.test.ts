import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { pause, withDeadline } from '../../../checks/time.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** Never ends before its signal does; resolves to why. */
async function untilAborted(signal: AbortSignal): Promise<unknown> {
  return await new Promise((resolve) => {
    if (signal.aborted) resolve(signal.reason);
    signal.addEventListener('abort', () => {
      resolve(signal.reason);
    });
  });
}

describe('a deadline', () => {
  test('stops the work when it is over', async () => {
    const running = withDeadline(500, new AbortController().signal, untilAborted);
    await vi.advanceTimersByTimeAsync(499);
    expect(vi.getTimerCount()).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(await running).toMatchObject({ name: 'TimeoutError' });
    expect(vi.getTimerCount()).toBe(0);
  });

  test('lets work that is done in time return, and forgets its timer', async () => {
    const work = async () => 'done';
    expect(await withDeadline(500, new AbortController().signal, work)).toBe('done');
    expect(vi.getTimerCount()).toBe(0);
  });

  test('hands on what the work throws, and forgets its timer', async () => {
    const work = async () => {
      throw new Error('broken');
    };
    await expect(withDeadline(500, new AbortController().signal, work)).rejects.toThrow('broken');
    expect(vi.getTimerCount()).toBe(0);
  });

  test('follows its parent, with the reason of the parent', async () => {
    const parent = new AbortController();
    const running = withDeadline(500, parent.signal, untilAborted);
    parent.abort('shutdown');
    expect(await running).toBe('shutdown');
  });

  test('is over at once when the parent is', async () => {
    expect(await withDeadline(500, AbortSignal.abort('shutdown'), untilAborted)).toBe('shutdown');
  });
});

describe('a pause', () => {
  test('lasts as long as asked', async () => {
    let over = false;
    void pause(100, new AbortController().signal).then(() => {
      over = true;
    });
    await vi.advanceTimersByTimeAsync(99);
    expect(over).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(over).toBe(true);
  });

  test('ends with the signal, without an error and without a timer', async () => {
    const stop = new AbortController();
    const waiting = pause(100_000, stop.signal);
    stop.abort();
    await waiting;
    await pause(100_000, stop.signal);
    expect(vi.getTimerCount()).toBe(0);
  });
});
