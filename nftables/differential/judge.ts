/** @module Holds an answer of the evaluator against what the kernel did. */
import type { Answer, Decider, Outcome, Possibility } from '../evaluate/types.ts';
import { type Course, chainKeyOf, type Ended, ruleKeyOf } from './course.ts';
import type { Observation } from './oracle.ts';
import { endTable, startTable } from './scaffold.ts';
import type { Shot } from './shot.ts';

export type Fault =
  | 'wrong verdict'
  | 'wrong handle'
  | 'verdict not among the possible'
  | 'wrong path'
  | 'wrong arrival';

export interface Judgement {
  /** Empty where all agrees. */
  readonly faults: readonly { readonly fault: Fault; readonly text: string }[];
  readonly isDetermined: boolean;
  /** The kernel's rule or policy was one of several candidates: base chains of equal priority. */
  readonly isAmongCandidates: boolean;
}

export interface Kernel {
  readonly verdict: 'accept' | 'drop' | 'stolen';
  readonly course: Course;
}

/** What became of the packet; undefined where the kernel lost it between two hooks, for its own reasons. */
export function kernelVerdict(
  course: Course,
  seen: Observation,
  canDrop: (ended: Ended) => boolean,
): Kernel | undefined {
  const last = course.ended.at(-1);
  if (last?.verdict === 'drop') {
    // Legacy iptables tells no verdict: a packet may have been lost behind it.
    const isLegacy = last.base.startsWith('legacy ');
    return isLegacy && !canDrop(last) ? undefined : { verdict: 'drop', course };
  }
  if (last?.verdict === 'stolen') return { verdict: 'stolen', course };
  const ends = course.ended.some(({ base }) => base.split(' ')[1] === endTable);
  if (ends && (seen.delivered || seen.left.length > 0)) return { verdict: 'accept', course };
  return undefined;
}

const plain = (verdict: Outcome): 'accept' | 'drop' | 'stolen' | 'queue' =>
  verdict === 'reject' ? 'drop' : verdict;

export function judge(shot: Shot, answer: Answer, kernel: Kernel, seen: Observation): Judgement {
  const faults: { fault: Fault; text: string }[] = [];
  const add = (fault: Fault, text: string): void => {
    faults.push({ fault, text });
  };
  const possible = new Set(answer.possible.map(({ verdict }) => plain(verdict)));
  const isDetermined = answer.verdict !== 'undetermined';
  // One that is sent back to this host comes in again by loopback, which was not asked about.
  const goesElsewhere = shot.direction === 'out' && answer.arrives !== 'as-asked';
  if (answer.verdict !== 'undetermined' && plain(answer.verdict) !== kernel.verdict) {
    if (!goesElsewhere || kernel.verdict === 'accept') {
      add('wrong verdict', `kernel ${kernel.verdict}, we ${answer.verdict}`);
    }
  } else if (!isDetermined && !goesElsewhere && !possible.has(kernel.verdict)) {
    add(
      'verdict not among the possible',
      `kernel ${kernel.verdict}, we ${[...possible].join(' or ')}`,
    );
  }
  const isCertain = isDetermined && !goesElsewhere && answer.unknowns.length === 0;
  judgeChains(answer, kernel, isCertain, add);
  const isAmongCandidates = judgeDecider(answer, kernel, goesElsewhere, add);
  if (isDetermined && !goesElsewhere) judgePath(answer, kernel.course, add);
  judgeArrival(shot, answer, kernel, seen, add);
  return { faults, isDetermined, isAmongCandidates };
}

type Add = (fault: Fault, text: string) => void;

/** Every base chain that the kernel went through must have ended in a way that we hold possible. */
function judgeChains(answer: Answer, { course }: Kernel, isStrict: boolean, add: Add): void {
  const ours = new Map(answer.chains.map((one) => [chainKeyOf(one.chain), one.possible]));
  for (const ended of course.ended) {
    const possible = ours.get(ended.base);
    if (possible === undefined) {
      // Before a drop there may be chains of equal priority; who dropped it is judged by itself.
      if (isStrict && course.ended.at(-1)?.verdict !== 'drop')
        add('wrong path', `kernel met ${ended.base}, we did not`);
    } else if (!possible.some((one) => isSame(one, ended))) {
      add(
        'wrong handle',
        `${ended.base}: kernel ${describe(ended)}, we ${possible.map(describePossibility).join(' or ') || 'nothing'}`,
      );
    }
  }
  if (!isStrict || course.ended.at(-1)?.verdict === 'drop') return;
  const met = new Set(course.ended.map(({ base }) => base));
  for (const { chain, possible } of answer.chains) {
    const isNat = chain.base?.type === 'nat';
    if (chain.table === startTable || met.has(chainKeyOf(chain))) continue;
    // Nat chains are walked only where some rule switched conntrack on; a walk to the policy changes nothing.
    const isIdle = possible.every(
      (one) => one.verdict === 'accept' && one.decidedBy.kind === 'policy',
    );
    if (isNat && isIdle) continue;
    add('wrong path', `we met ${chainKeyOf(chain)}, the kernel did not`);
  }
}

function isSame({ verdict, decidedBy }: Possibility, ended: Ended): boolean {
  if (plain(verdict) !== ended.verdict) return false;
  return deciderText(decidedBy) === (ended.rule ?? 'policy');
}

export function deciderText(decider: Decider): string {
  return decider.kind === 'rule' ? ruleKeyOf(decider.rule) : decider.kind;
}

const describe = ({ verdict, rule }: Ended): string => `${verdict} by ${rule ?? 'policy'}`;
const describePossibility = ({ verdict, decidedBy }: Possibility): string =>
  `${verdict} by ${deciderText(decidedBy)}`;

/** Of a drop there is one that decided; of an accept it must be one of those that accepted. True where it was a candidate. */
function judgeDecider(
  answer: Answer,
  { verdict, course }: Kernel,
  goesElsewhere: boolean,
  add: Add,
): boolean {
  if (answer.verdict === 'undetermined' || goesElsewhere || plain(answer.verdict) !== verdict)
    return false;
  const full = (decider: Decider): string =>
    decider.kind === 'none'
      ? 'none'
      : decider.kind === 'rule'
        ? `${chainKeyOf(decider.baseChain)}: ${ruleKeyOf(decider.rule)}`
        : `${chainKeyOf(decider.chain)}: policy`;
  const ends = course.ended.map(({ base, rule }) => `${base}: ${rule ?? 'policy'}`);
  const last = ends.at(-1);
  const accepted = verdict === 'accept' ? ends : last === undefined ? [] : [last];
  if (accepted.includes(full(answer.decidedBy))) return false;
  if (answer.candidates.some((one) => accepted.includes(full(one)))) return true;
  add('wrong handle', `decided: kernel ${accepted.join(', ')}, we ${full(answer.decidedBy)}`);
  return false;
}

/** What we say matched must have matched, and the other way round. */
function judgePath(answer: Answer, course: Course, add: Add): void {
  const matched = new Set(course.matched);
  // Before a drop there may be chains of equal priority that one of the two did not come to.
  const isDrop = course.ended.at(-1)?.verdict === 'drop';
  const met = new Set(course.ended.map(({ base }) => base));
  const ours = new Map<string, 'yes' | 'maybe'>();
  for (const { rule, matched: how, baseChain } of answer.path) {
    if (rule.table === startTable || (isDrop && !met.has(chainKeyOf(baseChain)))) continue;
    const key = ruleKeyOf(rule);
    if (ours.get(key) !== 'yes') ours.set(key, how);
  }
  const known = new Set(answer.chains.map(({ chain }) => chainKeyOf(chain)));
  const isComplete = !isDrop || course.ended.every(({ base }) => known.has(base));
  for (const key of matched) {
    if (isComplete && !ours.has(key)) add('wrong path', `the kernel matched ${key}, we did not`);
  }
  for (const [key, how] of ours) {
    if (how === 'yes' && !matched.has(key)) {
      add('wrong path', `we matched ${key}, the kernel did not`);
    }
  }
}

function judgeArrival(
  shot: Shot,
  answer: Answer,
  kernel: Kernel,
  seen: Observation,
  add: Add,
): void {
  const asAsked =
    shot.direction === 'in' ? seen.delivered : seen.left.includes(shot.outInterface ?? '');
  if (kernel.verdict === 'drop' && asAsked) add('wrong arrival', 'dropped, and yet it arrived');
  if (
    kernel.verdict === 'accept' &&
    answer.verdict === 'accept' &&
    answer.arrives === 'as-asked' &&
    !asAsked
  ) {
    add('wrong arrival', 'we say that it arrives as asked, and it did not');
  }
  if (seen.error !== undefined && kernel.verdict === 'drop' && answer.verdict === 'drop') {
    add('wrong verdict', `rejected with ICMP ${seen.error.type}/${seen.error.code}, we say drop`);
  }
}
