import { expect, test } from 'vitest';
import { summarise } from '../../../agent/summary.ts';

test('counts outcomes, and failures by their level', () => {
  const summary = summarise([
    { outcome: 'pass', level: 'required' },
    { outcome: 'pass', level: 'info' },
    { outcome: 'fail', level: 'required' },
    { outcome: 'fail', level: 'required' },
    { outcome: 'fail', level: 'required' },
    { outcome: 'fail', level: 'recommended' },
    { outcome: 'fail', level: 'recommended' },
    { outcome: 'fail', level: 'info' },
    { outcome: 'unknown', level: 'recommended' },
    { outcome: 'skip', level: 'required' },
  ]);
  expect(summary).toEqual({ pass: 2, fail: 3, warn: 2, info: 1, unknown: 1, skip: 1 });
});

test('counts nothing as nothing', () => {
  expect(summarise([])).toEqual({ pass: 0, fail: 0, warn: 0, info: 0, unknown: 0, skip: 0 });
});
