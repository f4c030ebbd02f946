/** @module Deadlines that stop the work, not only the waiting. */
import { setMaxListeners } from 'node:events';

/** Gives `work` a signal that aborts after `ms` or with `parent`, and forgets both when it ends. */
export async function withDeadline<T>(
  ms: number,
  parent: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  return await withOwnSignal(parent, async (signal, abort) => {
    const timer = setTimeout(() => {
      abort(new DOMException(`no answer within ${ms} ms`, 'TimeoutError'));
    }, ms);
    try {
      return await work(signal);
    } finally {
      clearTimeout(timer);
    }
  });
}

/**
 * Gives `work` a signal that aborts with `parent`, and to which as many may listen as like: a round has dozens of tests under way, a test
 * hundreds of probes. The parent has one listener more, until `work` ends.
 */
export async function withOwnSignal<T>(
  parent: AbortSignal,
  work: (signal: AbortSignal, abort: (reason: unknown) => void) => Promise<T>,
): Promise<T> {
  const own = new AbortController();
  setMaxListeners(0, own.signal);
  const follow = (): void => {
    own.abort(parent.reason);
  };
  if (parent.aborted) follow();
  parent.addEventListener('abort', follow, { once: true });
  try {
    return await work(own.signal, (reason) => {
      own.abort(reason);
    });
  } finally {
    parent.removeEventListener('abort', follow);
  }
}

/** Waits, or ends early with the signal; never rejects. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
  });
}
