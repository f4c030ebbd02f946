/** @module The sums of a run. */
import type { Judgement } from './judge.ts';

export interface KindCount {
  decisions: number;
  wrong: number;
  undetermined: number;
}

export interface Totals {
  rulesets: number;
  decisions: number;
  determined: number;
  undetermined: number;
  wrongVerdicts: number;
  wrongHandles: number;
  /** Undetermined answers whose possible verdicts leave out the kernel's. */
  notAmongPossible: number;
  wrongPaths: number;
  wrongArrivals: number;
  /** Right, with the rule among several candidates. */
  candidates: number;
  /** Conntrack refused the connection, behind all rules: not counted as decisions. */
  refused: number;
  /** The kernel lost the packet between two hooks: no decisions either. */
  unexplained: number;
  /** Batches sent again because the kernel could not hand over every trace. */
  repeated: number;
  rules: number;
  rulesHit: number;
  readonly kinds: Map<string, KindCount>;
}

export const createTotals = (): Totals => ({
  rulesets: 0,
  decisions: 0,
  determined: 0,
  undetermined: 0,
  wrongVerdicts: 0,
  wrongHandles: 0,
  notAmongPossible: 0,
  wrongPaths: 0,
  wrongArrivals: 0,
  candidates: 0,
  refused: 0,
  unexplained: 0,
  repeated: 0,
  rules: 0,
  rulesHit: 0,
  kinds: new Map(),
});

/** `kinds`: the expressions of the rules that this packet matched. */
export function count(totals: Totals, judgement: Judgement, kinds: ReadonlySet<string>): void {
  const { faults, isDetermined, isAmongCandidates } = judgement;
  totals.decisions += 1;
  if (isDetermined) totals.determined += 1;
  else totals.undetermined += 1;
  if (isAmongCandidates) totals.candidates += 1;
  const seen = new Set(faults.map(({ fault }) => fault));
  if (seen.has('wrong verdict')) totals.wrongVerdicts += 1;
  if (seen.has('wrong handle')) totals.wrongHandles += 1;
  if (seen.has('verdict not among the possible')) totals.notAmongPossible += 1;
  if (seen.has('wrong path')) totals.wrongPaths += 1;
  if (seen.has('wrong arrival')) totals.wrongArrivals += 1;
  for (const kind of kinds) {
    const one = totals.kinds.get(kind) ?? { decisions: 0, wrong: 0, undetermined: 0 };
    one.decisions += 1;
    if (faults.length > 0) one.wrong += 1;
    if (!isDetermined) one.undetermined += 1;
    totals.kinds.set(kind, one);
  }
}

export const wrongOf = (totals: Totals): number =>
  totals.wrongVerdicts +
  totals.wrongHandles +
  totals.notAmongPossible +
  totals.wrongPaths +
  totals.wrongArrivals;

const share = (part: number, whole: number): number =>
  whole === 0 ? 0 : Math.round((part / whole) * 10_000) / 10_000;

/** Of one line of JSON. */
export function summaryOf(totals: Totals, seed: number, seconds: number): object {
  const { kinds, ...rest } = totals;
  return {
    seed,
    seconds: Math.round(seconds * 10) / 10,
    ...rest,
    determinedShare: share(totals.determined, totals.decisions),
    rulesHitShare: share(totals.rulesHit, totals.rules),
    expressions: Object.fromEntries([...kinds].sort(([a], [b]) => (a < b ? -1 : 1))),
  };
}

export function tableOf(totals: Totals): string {
  const rows = [...totals.kinds].sort(([, a], [, b]) => b.decisions - a.decisions);
  const lines = rows.map(
    ([kind, { decisions, wrong, undetermined }]) =>
      `| ${kind} | ${decisions} | ${wrong} | ${undetermined} |`,
  );
  return ['| expression | decisions | wrong | undetermined |', '|---|--:|--:|--:|', ...lines].join(
    '\n',
  );
}
