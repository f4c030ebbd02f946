import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { startProgress } from '../../../agent/check-progress.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function start(change: { isTty?: boolean; columns?: number } = {}) {
  const written: string[] = [];
  const line = startProgress({
    isTty: true,
    columns: 80,
    write: (text) => written.push(text),
    ...change,
  });
  return { line, written };
}
const wipe = '\r\u001B[2K';

describe('the line of a check that takes its time', () => {
  test('a check of less than a second writes nothing, not even a wipe', () => {
    const { line, written } = start();
    line.show({ doing: 'testing' });
    vi.advanceTimersByTime(999);
    line.end();
    vi.advanceTimersByTime(10_000);
    expect(written).toEqual([]);
  });

  test('after a second it shows the latest, and is wiped at the end', () => {
    const { line, written } = start();
    line.show({ doing: 'reading the node' });
    line.show({ doing: 'testing 3 peers', done: 1, of: 3 });
    vi.advanceTimersByTime(1000);
    vi.advanceTimersByTime(100);
    line.show({ doing: 'testing 3 peers', done: 2, of: 3 });
    line.end();
    expect(written).toEqual([
      `${wipe}testing 3 peers (1 of 3) …`,
      `${wipe}testing 3 peers (2 of 3) …`,
      wipe,
    ]);
  });

  test('a flood of steps is drawn ten times a second', () => {
    const { line, written } = start();
    vi.advanceTimersByTime(1000);
    for (let ms = 0; ms < 1000; ms++) {
      vi.advanceTimersByTime(1);
      line.show({ doing: 'x', done: ms, of: 1000 });
    }
    expect(written).toHaveLength(11);
  });

  test('nobody watches: nothing is written', () => {
    const { line, written } = start({ isTty: false });
    line.show({ doing: 'testing' });
    vi.advanceTimersByTime(5000);
    line.end();
    expect(written).toEqual([]);
  });

  test('it never wraps: a wrapped line could not be wiped', () => {
    const { line, written } = start({ columns: 20 });
    line.show({ doing: 'testing the way to worker-2 and others' });
    vi.advanceTimersByTime(1000);
    expect(written[0]?.replace(wipe, '').length).toBeLessThan(20);
    line.end();
  });
});
