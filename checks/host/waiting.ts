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

/** Waits end on a grid this wide, so that one timer serves all that are due together. */
const gridMs = 16;

interface Wait {
  /** Point of the grid at which it ends. */
  due: number;
  readonly timeoutMs: number;
  readonly finish: (stalled: boolean) => void;
}

/** Makes waits. One timer and one listener a signal, however many probes wait: a thousand a second are dear. */
export class Waiters {
  readonly #reactor: Pick<Reactor, 'drain'>;
  readonly #bySignal = new WeakMap<AbortSignal, Set<() => void>>();
  readonly #byDue = new Map<number, Set<Wait>>();
  #timer: NodeJS.Timeout | undefined;
  #timerDue = Number.POSITIVE_INFINITY;

  constructor(reactor: Pick<Reactor, 'drain'>) {
    this.#reactor = reactor;
  }

  wait(timeoutMs: number, signal: AbortSignal): Waiting {
    const started = performance.now();
    const stops = this.#stopsOf(signal);
    let settle: (stalled: boolean) => void = () => {};
    const over = new Promise<boolean>((resolve) => {
      settle = resolve;
    });
    const stop = (): void => {
      this.#remove(wait);
      stops.delete(stop);
      settle(true);
    };
    const wait: Wait = {
      due: gridPoint(started + timeoutMs),
      timeoutMs,
      finish: (stalled) => {
        this.#remove(wait);
        stops.delete(stop);
        settle(stalled);
      },
    };
    this.#add(wait);
    stops.add(stop);
    if (signal.aborted) stop();
    return {
      over,
      end: () => {
        wait.finish(false);
      },
      endWithin: (ms) => {
        this.#remove(wait);
        wait.due = gridPoint(Math.min(performance.now() + ms, started + timeoutMs));
        this.#add(wait);
      },
    };
  }

  #add(wait: Wait): void {
    const together = this.#byDue.get(wait.due);
    if (together === undefined) this.#byDue.set(wait.due, new Set([wait]));
    else together.add(wait);
    if (wait.due < this.#timerDue) this.#arm(wait.due);
  }

  #remove(wait: Wait): void {
    const together = this.#byDue.get(wait.due);
    together?.delete(wait);
    if (together?.size === 0) this.#byDue.delete(wait.due);
  }

  #arm(due: number): void {
    clearTimeout(this.#timer);
    this.#timerDue = due;
    this.#timer = setTimeout(
      () => {
        this.#expire();
      },
      Math.max(0, due - performance.now()),
    );
  }

  #expire(): void {
    this.#timerDue = Number.POSITIVE_INFINITY;
    const now = performance.now();
    const due = [...this.#byDue].filter(([at]) => at <= now).flatMap(([, waits]) => [...waits]);
    // What came in meanwhile is handled first, and may end some of them well.
    if (due.length > 0) this.#reactor.drain();
    for (const wait of due) {
      if (this.#byDue.get(wait.due)?.has(wait) !== true) continue;
      wait.finish(now - wait.due > Math.max(leastStallMs, wait.timeoutMs / 2));
    }
    const [next] = [...this.#byDue.keys()].sort((one, other) => one - other);
    if (next !== undefined) this.#arm(next);
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

function gridPoint(at: number): number {
  return Math.ceil(at / gridMs) * gridMs;
}
