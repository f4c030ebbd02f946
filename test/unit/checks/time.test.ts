import { getEventListeners } from 'node:events';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { pause, withDeadline, withOwnSignal } from '../../../checks/time.ts';

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

describe('a signal of its own', () => {
  const listening = (signal: AbortSignal): number => getEventListeners(signal, 'abort').length;

  test('lets as many listen as like, and the parent has one listener until the work ends', async () => {
    const warned = vi.spyOn(process, 'emitWarning');
    const parent = new AbortController();
    const counts: number[] = [];
    await withOwnSignal(parent.signal, async (signal) => {
      const waiting = Array.from({ length: 64 }, () => withDeadline(500, signal, untilAborted));
      counts.push(listening(parent.signal), listening(signal));
      parent.abort('shutdown');
      expect(new Set(await Promise.all(waiting))).toEqual(new Set(['shutdown']));
      counts.push(listening(signal));
    });
    expect(counts).toEqual([1, 64, 0]);
    expect(warned).not.toHaveBeenCalled();
    warned.mockRestore();
    expect(listening(parent.signal)).toBe(0);
  });

  test('is forgotten by a parent that lives on, also when the work fails', async () => {
    const parent = new AbortController();
    const broken = withOwnSignal(parent.signal, async () => {
      throw new Error('broken');
    });
    await expect(broken).rejects.toThrow('broken');
    expect(listening(parent.signal)).toBe(0);
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
