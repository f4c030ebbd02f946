/** @module The results as figures, and as a table. Pure. */
import type { Outcome } from './matrix.ts';
import type { Result } from './run.ts';

export interface Figures {
  readonly matrix: 'faults';
  readonly seeds: number;
  readonly classes: number;
  readonly runs: number;
  readonly right: number;
  readonly ambiguous: number;
  readonly wrong: number;
  readonly rightPercent: number;
  readonly falseAlarms: number;
  readonly rules: { readonly asked: number; readonly right: number };
  readonly cures: { readonly typed: number; readonly cured: number; readonly sideEffects: number };
  readonly leftSockets: number;
  readonly secondsToVerdict: { readonly p50: number; readonly p99: number; readonly most: number };
}

export function figuresOf({ results, leftSockets }: Outcome, seeds: number): Figures {
  const count = (is: (result: Result) => boolean): number => results.filter(is).length;
  const right = count(({ score }) => score.grade === 'right');
  const seconds = results.map((result) => result.seconds).sort((one, other) => one - other);
  const at = (share: number): number =>
    Math.round(
      (seconds[Math.min(seconds.length - 1, Math.floor(seconds.length * share))] ?? 0) * 100,
    ) / 100;
  return {
    matrix: 'faults',
    seeds,
    classes: new Set(results.map(({ fault }) => fault)).size,
    runs: results.length,
    right,
    ambiguous: count(({ score }) => score.grade === 'ambiguous'),
    wrong: count(({ score }) => score.grade === 'wrong'),
    rightPercent: Math.round((right / Math.max(1, results.length)) * 10_000) / 100,
    falseAlarms: count((result) => result.falseAlarms.length > 0),
    rules: {
      asked: count(({ score }) => score.rule !== undefined),
      right: count(({ score }) => score.rule === 'right'),
    },
    cures: {
      typed: count(({ cure }) => cure.cured !== 'none'),
      cured: count(({ cure }) => cure.cured === 'yes'),
      sideEffects: count(({ cure }) => cure.cured !== 'none' && cure.sideEffects.length > 0),
    },
    leftSockets: leftSockets.length,
    secondsToVerdict: { p50: at(0.5), p99: at(0.99), most: at(1) },
  };
}

/** Fault class by protocol: runs, right, ambiguous, wrong, and of the remedies typed those that cured. */
export function tableOf(results: readonly Result[], about: ReadonlyMap<string, string>): string {
  const groups = new Map<string, Result[]>();
  for (const result of results) {
    const key = `${result.fault} ${result.protocol}`;
    groups.set(key, [...(groups.get(key) ?? []), result]);
  }
  const rows = [...groups.values()].map((group) => {
    const [first] = group;
    const count = (is: (result: Result) => boolean): number => group.filter(is).length;
    const typed = count(({ cure }) => cure.cured !== 'none');
    return [
      first?.fault ?? '',
      about.get(first?.fault ?? '') ?? '',
      first?.protocol ?? '',
      group.length,
      count(({ score }) => score.grade === 'right'),
      count(({ score }) => score.grade === 'ambiguous'),
      count(({ score }) => score.grade === 'wrong'),
      typed === 0 ? '' : `${count(({ cure }) => cure.cured === 'yes')} of ${typed}`,
    ].join(' | ');
  });
  return [
    'fault | what is wrong | protocol | runs | right | ambiguous | wrong | cured',
    '--- | --- | --- | --: | --: | --: | --: | --:',
    ...rows,
    '',
  ].join('\n');
}
