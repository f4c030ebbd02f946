import { expect, test } from 'vitest';
import type { Change } from '../../../agent/findings.ts';
import { createLogger, type LogLevel, logChanges } from '../../../agent/log.ts';
import { type FindingChange, someFinding } from '../../support/findings.ts';

function linesOf(level: LogLevel, changes: readonly Change[]): Record<string, unknown>[] {
  const lines: string[] = [];
  const log = createLogger({
    level,
    node: 'worker-1',
    version: '0.1.0',
    destination: { write: (line) => lines.push(line) },
  });
  logChanges(log, changes);
  return lines.map((line): Record<string, unknown> => JSON.parse(line));
}

const change = (
  finding: FindingChange,
  previous?: Change['previous'],
  gone: Change['gone'] = false,
): Change => ({
  finding: someFinding(finding),
  gone,
  ...(previous === undefined ? {} : { previous }),
});
const passed = { outcome: 'pass' } as const;

test('a change is one line of JSON with everything that one searches for', () => {
  const [line] = linesOf('info', [
    change(
      {
        outcome: 'fail',
        reason: 'dropped',
        peer: 'worker-2',
        evidence: { port: 8472 },
        culprit: { where: 'receiver-ingress', node: 'worker-2' },
      },
      passed,
    ),
  ]);
  expect(line).toMatchObject({
    level: 'warn',
    requirementLevel: 'required',
    node: 'worker-1',
    version: '0.1.0',
    requirement: 'canal.vxlan',
    outcome: 'fail',
    reason: 'dropped',
    previous: { outcome: 'pass' },
    peer: 'worker-2',
    address: '10.0.0.2',
    family: 'ipv4',
    direction: 'outbound',
    evidence: { port: 8472 },
    culprit: { where: 'receiver-ingress', node: 'worker-2' },
    detail: 'a sentence',
    msg: 'finding changed',
  });
  expect(line?.['time']).toMatch(/^\d{4}-\d\d-\d\dT.*Z$/);
});

test('about the node it names no peer', () => {
  const [line] = linesOf('info', [change({ outcome: 'fail', reason: 'sysctl-differs' })]);
  for (const key of ['peer', 'address', 'family', 'direction', 'previous', 'culprit']) {
    expect(line).not.toHaveProperty(key);
  }
});

const failed = { outcome: 'fail', reason: 'dropped' } as const;
test.each([
  { name: 'a new required fail', given: change(failed), want: 'warn' },
  {
    name: 'a new recommended fail',
    given: change({ ...failed, level: 'recommended' }),
    want: 'warn',
  },
  { name: 'a new info fail', given: change({ ...failed, level: 'info' }), want: 'info' },
  {
    name: 'an unknown',
    given: change({ outcome: 'unknown', reason: 'no-witness' }, passed),
    want: 'info',
  },
  { name: 'a pass after a fail', given: change({}, failed), want: 'info' },
  { name: 'a first pass', given: change({}), want: 'debug' },
  { name: 'a first skip', given: change({ outcome: 'skip', reason: 'no-peers' }), want: 'debug' },
  { name: 'a fail that is gone', given: change(failed, failed, true), want: 'info' },
  { name: 'a pass that is gone', given: change({}, passed, true), want: 'debug' },
])('$name is written as $want', ({ given, want }) => {
  const [line] = linesOf('trace', [given]);
  expect(line?.['level']).toBe(want);
  expect(line?.['msg']).toBe(given.gone ? 'finding gone' : 'finding changed');
});

test('no line has a name twice', () => {
  const raw: string[] = [];
  const log = createLogger({
    level: 'info',
    node: 'worker-1',
    version: '0.1.0',
    destination: { write: (line) => raw.push(line) },
  });
  logChanges(log, [change({ ...failed, peer: 'worker-2', evidence: {} })]);
  const names = [...(raw[0] ?? '').matchAll(/"(\w+)":/g)].map(([, name]) => name);
  expect(new Set(names).size).toBe(names.length);
});

test('a line below the level is not written', () => {
  expect(linesOf('info', [change({})])).toEqual([]);
  expect(linesOf('silent', [change(failed)])).toEqual([]);
});
