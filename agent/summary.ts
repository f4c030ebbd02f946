/** @module How many findings came out how. Pure. */
import type { Finding, Summary } from './model.ts';

/** Counts findings; a failed recommended one is a warning, a failed info one information. */
export function summarise(findings: readonly Pick<Finding, 'outcome' | 'level'>[]): Summary {
  const summary = { pass: 0, fail: 0, warn: 0, info: 0, unknown: 0, skip: 0 };
  for (const { outcome, level } of findings) {
    if (outcome !== 'fail') summary[outcome] += 1;
    else summary[failedAs[level]] += 1;
  }
  return summary;
}

const failedAs = { required: 'fail', recommended: 'warn', info: 'info' } as const;
