/** @module Waiting for a condition instead of for a time. */
import { performance } from 'node:perf_hooks';

export interface UntilOptions {
  readonly deadlineMs?: number;
  readonly everyMs?: number;
  /** What was seen last; printed when the deadline passes. */
  readonly describe?: () => string;
}

/** Asks again and again until there is an answer; after the deadline it throws with what was seen last. */
export async function until<T>(
  what: string,
  look: () => Promise<T | undefined>,
  { deadlineMs = 45_000, everyMs = 50, describe }: UntilOptions = {},
): Promise<T> {
  const started = performance.now();
  let problem = '';
  for (;;) {
    try {
      const found = await look();
      if (found !== undefined) return found;
      problem = '';
    } catch (error) {
      problem = error instanceof Error ? error.message : String(error);
    }
    if (performance.now() - started > deadlineMs) break;
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
  const seen = [problem, describe?.() ?? ''].filter((text) => text !== '').join('\n');
  throw new Error(`waited ${deadlineMs} ms in vain until ${what}\n${seen}`);
}
