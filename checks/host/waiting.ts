/** @module Waiting for what comes back, with the truth about how well this process kept awake meanwhile. */
import type { Reactor } from './reactor.ts';

/** The wait for the end of one probe. */
export interface Waiting {
  /**
   * Resolves at the end to whether this process stalled. Then what lay in the sockets has been handled first, and
   * silence still proves nothing: the far end may have answered into a full buffer.
   */
  readonly over: Promise<boolean>;
  /** Ends it now: what was waited for is there. */
  end(): void;
  /** Ends it soon: only an error of the own stack can still come. */
  endWithin(ms: number): void;
}

/** A timer that fires so late says that the process did not run; the shortest that is told from ordinary load. */
const leastStallMs = 100;

/** Makes waits that end with a signal. One listener a signal, however many probes wait: listeners are dear. */
export class Waiters {
  readonly #reactor: Reactor;
  readonly #bySignal = new WeakMap<AbortSignal, Set<() => void>>();

  constructor(reactor: Reactor) {
    this.#reactor = reactor;
  }

  wait(timeoutMs: number, signal: AbortSignal): Waiting {
    const started = performance.now();
    const stops = this.#stopsOf(signal);
    let settle: (stalled: boolean) => void = () => {};
    const over = new Promise<boolean>((resolve) => {
      settle = resolve;
    });
    let timer: NodeJS.Timeout;
    const finish = (stalled: boolean): void => {
      clearTimeout(timer);
      stops.delete(stop);
      settle(stalled);
    };
    const stop = (): void => {
      finish(true);
    };
    const arm = (ms: number): NodeJS.Timeout => {
      const due = performance.now() + ms;
      return setTimeout(() => {
        const lateMs = performance.now() - due;
        this.#reactor.drain();
        finish(lateMs > Math.max(leastStallMs, timeoutMs / 2));
      }, ms);
    };
    timer = arm(timeoutMs);
    stops.add(stop);
    if (signal.aborted) stop();
    return {
      over,
      end: () => {
        finish(false);
      },
      endWithin: (ms) => {
        clearTimeout(timer);
        timer = arm(Math.min(ms, Math.max(0, timeoutMs - (performance.now() - started))));
      },
    };
  }

  #stopsOf(signal: AbortSignal): Set<() => void> {
    const known = this.#bySignal.get(signal);
    if (known !== undefined) return known;
    const stops = new Set<() => void>();
    this.#bySignal.set(signal, stops);
    signal.addEventListener(
      'abort',
      () => {
        for (const stop of stops) stop();
      },
      { once: true },
    );
    return stops;
  }
}
