/** @module When the firewall's rules are asked anew: soon after they changed, and never for more than a tenth of the time. */
import { pause } from '../checks/time.ts';

/** Changes that come within so long are one: a manager replaces its rules in many steps. */
const coalesceMs = 250;
/** A review that took so long is followed by nine times that without one: kube-proxy may change a large ruleset all the time. */
const restFactor = 9;

export interface ReviewOptions {
  readonly review: (signal: AbortSignal) => Promise<void>;
  readonly signal: AbortSignal;
  /** Milliseconds on a clock that never jumps. */
  readonly now: () => number;
  /** Gets what a review throws: reviews go on. */
  readonly onError: (error: unknown) => void;
}

export interface Reviews extends AsyncDisposable {
  /** Something may have changed. */
  changed(): void;
}

/** Makes reviews; two never run at once. */
export function createReviews({ review, signal, now, onError }: ReviewOptions): Reviews {
  const stopping = new AbortController();
  const stop = (): void => {
    stopping.abort();
  };
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  let isAsked = false;
  let notBeforeMs = Number.NEGATIVE_INFINITY;
  let running: Promise<void> | undefined;

  async function run(): Promise<void> {
    while (isAsked && !stopping.signal.aborted) {
      await pause(Math.max(coalesceMs, notBeforeMs - now()), stopping.signal);
      if (stopping.signal.aborted) return;
      // What changes from here on is asked about again.
      isAsked = false;
      const started = now();
      try {
        await review(stopping.signal);
      } catch (error) {
        onError(error);
      }
      const ended = now();
      notBeforeMs = ended + restFactor * (ended - started);
    }
  }

  function start(): void {
    running ??= run().finally(() => {
      running = undefined;
      if (isAsked && !stopping.signal.aborted) start();
    });
  }

  return {
    changed() {
      isAsked = true;
      start();
    },
    async [Symbol.asyncDispose]() {
      stop();
      signal.removeEventListener('abort', stop);
      await running;
    },
  };
}
