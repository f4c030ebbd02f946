/** @module When a round runs: at intervals with jitter, or because somebody asks; never two at once. */
import { setMaxListeners } from 'node:events';

export interface SchedulerOptions {
  readonly intervalMs: number;
  /** One round of all planned tests; ends soon after its signal aborts. */
  readonly run: (signal: AbortSignal) => Promise<void>;
  /** Milliseconds on a clock that never jumps. */
  readonly now: () => number;
  /** From 0 to 1. */
  readonly random: () => number;
  /** Gets what a round throws: rounds go on. */
  readonly onError: (error: unknown) => void;
}

/** Runs rounds until it is stopped. */
export interface Scheduler {
  /** Starts the first round at once. */
  start(): void;
  /** Resolves when a round that began after the call has ended; rounds that are asked for begin at least 5 s apart. */
  runNow(): Promise<void>;
  /** Takes a new interval, from the next pause on. */
  setInterval(intervalMs: number): void;
  /** How long ago a round last began or ended; for `/healthz`. */
  idleMs(): number;
  /** Aborts the round that runs, and resolves when it has ended. Callers of `runNow` are let go. */
  stop(): Promise<void>;
}

/** Share of the interval by which a start may come early or late: agents that were started together drift apart. */
const jitter = 0.1;
const askedApartMs = 5_000;

/** Makes a scheduler that has not started. */
export function createScheduler(options: SchedulerOptions): Scheduler {
  const { run, now, random, onError } = options;
  let { intervalMs } = options;
  const stopping = new AbortController();
  // Every probe under way listens to it; more than ten at a time is no leak.
  setMaxListeners(0, stopping.signal);
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;
  let started = false;
  let lastStartMs = now();
  let lastActivityMs = now();
  let lastAskedMs = Number.NEGATIVE_INFINITY;
  let asked: { readonly promise: Promise<void>; readonly settle: () => void } | undefined;

  function arm(): void {
    clearTimeout(timer);
    if (stopping.signal.aborted || !started || running !== undefined) return;
    const plannedMs = lastStartMs + intervalMs * (1 + jitter * (2 * random() - 1));
    const askedMs = asked === undefined ? Number.POSITIVE_INFINITY : lastAskedMs + askedApartMs;
    timer = setTimeout(begin, Math.max(0, Math.min(plannedMs, askedMs) - now()));
  }

  function begin(): void {
    lastStartMs = now();
    lastActivityMs = lastStartMs;
    const waiting = asked;
    asked = undefined;
    if (waiting !== undefined) lastAskedMs = lastStartMs;
    running = run(stopping.signal)
      .catch((error: unknown) => {
        if (!stopping.signal.aborted) onError(error);
      })
      .finally(() => {
        running = undefined;
        lastActivityMs = now();
        waiting?.settle();
        arm();
      });
  }

  return {
    start() {
      started = true;
      begin();
    },
    runNow() {
      if (stopping.signal.aborted) return Promise.resolve();
      if (asked === undefined) {
        let settle = (): void => {};
        const promise = new Promise<void>((resolve) => {
          settle = resolve;
        });
        asked = { promise, settle };
        arm();
      }
      return asked.promise;
    },
    setInterval(changedMs) {
      intervalMs = changedMs;
      arm();
    },
    idleMs() {
      return now() - lastActivityMs;
    },
    async stop() {
      stopping.abort(new DOMException('the agent stops', 'AbortError'));
      clearTimeout(timer);
      asked?.settle();
      asked = undefined;
      await running;
    },
  };
}
