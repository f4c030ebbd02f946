/** @module Deadlines that stop the work, not only the waiting. */
import { setMaxListeners } from 'node:events';

/** Gives `work` a signal that aborts after `ms` or with `parent`, and forgets both when it ends. */
export async function withDeadline<T>(
  ms: number,
  parent: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const deadline = new AbortController();
  // One test may have hundreds of probes under way, each listening.
  setMaxListeners(0, deadline.signal);
  const follow = (): void => {
    deadline.abort(parent.reason);
  };
  const timer = setTimeout(() => {
    deadline.abort(new DOMException(`no answer within ${ms} ms`, 'TimeoutError'));
  }, ms);
  if (parent.aborted) follow();
  parent.addEventListener('abort', follow, { once: true });
  try {
    return await work(deadline.signal);
  } finally {
    clearTimeout(timer);
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
