/** @module Runs the chains of one base chain as nft_do_chain does, along every way that is possible. */
import type { Expression } from '../model.ts';
import type { CompiledChain, CompiledRule } from './compile.ts';
import { type Ending, ends, joinStates, type Machine, mayEnd } from './machine.ts';
import type { PacketState } from './state.ts';
import { maybe, no, yes } from './ternary.ts';
import type { Decider, Step as PathStep, Possibility, Unknown } from './types.ts';
import { verdictWord } from './words.ts';

/** What became of the packet in one base chain. */
export interface BaseResult {
  readonly base: CompiledChain;
  /** Whether the packet met it for sure. */
  readonly met: boolean;
  readonly possible: readonly Possibility[];
  /** The packet that goes on, where it may. */
  readonly accepted: PacketState | undefined;
}

/** What is noted over all chains. */
export interface Notes {
  readonly path: PathStep[];
  readonly unknowns: Unknown[];
}

/** NFT_JUMP_STACK_SIZE: the kernel loads no ruleset with a longer way of jumps and gotos, and drops the packet at a deeper jump. */
const deepest = 16;
/** Legacy iptables makes room for as many as there are; a hostile table may have a loop. */
const deepestLegacy = 500;
const longestPath = 10_000;

interface Run {
  readonly base: CompiledChain;
  readonly record: Notes;
  readonly possible: Map<string, Possibility>;
  accepted: PacketState | undefined;
  /** How often some way has ended so far. */
  ended: number;
  /** What a chain did with a packet that it may have met before. */
  readonly memory: Map<
    CompiledChain,
    { readonly version: number; readonly result: PacketState | undefined }
  >;
}

/** `met`: whether the packet comes here for sure. */
export function runBase(
  machine: Machine,
  base: CompiledChain,
  met: boolean,
  record: Notes,
): BaseResult {
  const run: Run = {
    base,
    record,
    possible: new Map(),
    accepted: undefined,
    ended: 0,
    memory: new Map(),
  };
  const returned = runChain(machine, run, base, 0, met);
  const definition = base.chain.base;
  if (returned !== undefined && definition !== undefined) {
    const decidedBy: Decider = { kind: 'policy', chain: base.chain, base: definition };
    machine.state = returned;
    if (definition.policy === 'accept') accept(machine, run, decidedBy);
    else addPossibility(run, { verdict: 'drop', decidedBy });
  }
  return { base, met, possible: [...run.possible.values()], accepted: run.accepted };
}

function accept(machine: Machine, run: Run, decidedBy: Decider): void {
  run.accepted = joinStates(machine, run.accepted, machine.state);
  addPossibility(run, { verdict: 'accept', decidedBy });
}

function addPossibility(run: Run, possibility: Possibility): void {
  const { decidedBy, verdict } = possibility;
  const who =
    decidedBy.kind === 'rule'
      ? `${decidedBy.chain.name} ${decidedBy.rule.index} ${decidedBy.rule.handle}`
      : '';
  const key = `${decidedBy.kind} ${who} ${verdict}`;
  if (!run.possible.has(key)) run.possible.set(key, possibility);
  run.ended += 1;
}

/** Gives the state of the packet that comes back from the chain, if it may. */
function runChain(
  machine: Machine,
  run: Run,
  compiled: CompiledChain,
  depth: number,
  met: boolean,
): PacketState | undefined {
  if (!met) {
    const before = run.memory.get(compiled);
    if (before?.version === machine.state.version) return before.result;
  }
  const { version } = machine.state;
  const result = walkChain(machine, run, compiled, depth, met);
  run.memory.set(compiled, { version, result });
  return result;
}

function walkChain(
  machine: Machine,
  run: Run,
  compiled: CompiledChain,
  depth: number,
  metFirst: boolean,
): PacketState | undefined {
  let met = metFirst;
  let returned: PacketState | undefined;
  const cursor = compiled.walk();
  for (let position = cursor.next(machine); position !== -1; position = cursor.next(machine)) {
    if (machine.budget <= 0) return exhausted(machine, run, compiled, position);
    machine.budget -= 1;
    const outcome = runRule(machine, run, compiled, compiled.rule(position), depth, met);
    returned = joinStates(machine, returned, outcome.returned);
    if (outcome.next === undefined) return returned;
    machine.state = outcome.next;
    met &&= outcome.certain;
  }
  return joinStates(machine, returned, machine.state);
}

/** Too much to look at: whatever the rest does is possible. */
function exhausted(
  machine: Machine,
  run: Run,
  compiled: CompiledChain,
  position: number,
): undefined {
  const { rule } = compiled.rule(position);
  const decidedBy = deciderOf(run, compiled, rule);
  if (decidedBy === undefined) return undefined;
  machine.state = { ...machine.state, markKnown: 0, known: machine.state.known.map(() => 0) };
  accept(machine, run, decidedBy);
  addPossibility(run, { verdict: 'drop', decidedBy });
  addPossibility(run, { verdict: 'reject', decidedBy });
  const [expression] = rule.expressions;
  if (expression !== undefined)
    noteUnknown(run, compiled, position, expression, 'the rules are too many to follow');
  return undefined;
}

function noteUnknown(
  run: Run,
  compiled: CompiledChain,
  position: number,
  expression: Expression,
  why: string,
): void {
  const { rule } = compiled.rule(position);
  const { unknowns } = run.record;
  if (unknowns.some((one) => one.rule === rule && one.expression === expression)) return;
  unknowns.push({ rule, expression, why });
}

function deciderOf(
  run: Run,
  compiled: CompiledChain,
  rule: CompiledRule['rule'],
): Decider | undefined {
  const { base } = run.base.chain;
  if (base === undefined) return undefined;
  return { kind: 'rule', chain: compiled.chain, base, rule, baseChain: run.base.chain };
}

interface RuleOutcome {
  /** The packet that comes to the next rule; undefined if none does. */
  readonly next: PacketState | undefined;
  /** The packet that leaves the chain. */
  readonly returned: PacketState | undefined;
  /** Whether it comes to the next rule for sure, if it came to this one. */
  readonly certain: boolean;
}

interface Doubt {
  readonly expression: Expression | undefined;
  readonly why: string;
}

function runRule(
  machine: Machine,
  run: Run,
  compiled: CompiledChain,
  compiledRule: CompiledRule,
  depth: number,
  met: boolean,
): RuleOutcome {
  const { rule, steps, words } = compiledRule;
  const before = machine.state;
  machine.rule = rule;
  machine.certain = met;
  /** The packets that some step does not match. */
  let skipped: PacketState | undefined;
  let doubts: Doubt[] | undefined;
  let ending = false;
  /** The packets that a target may have sent back to the chain before. */
  let returned: PacketState | undefined;
  const endedBefore = run.ended;
  for (let index = 0; index < steps.length; index++) {
    const result = steps[index]?.(machine) ?? yes;
    if (result === yes) continue;
    if (result === no) {
      const certain = run.ended === endedBefore;
      if (!certain) noteStep(run, compiled, compiledRule, 'maybe', words);
      if (!certain && doubts !== undefined) noteDoubts(run, rule, doubts);
      return { next: joinStates(machine, skipped, machine.state), returned, certain };
    }
    if (result !== ends || !machine.endingCertain || machine.endings.length > 1) {
      doubts ??= [];
      doubts.push({ expression: rule.expressions[index], why: machine.why });
    }
    if (result === mayEnd) {
      const { state } = machine;
      const { endings } = machine;
      const way = { endings, skipped: undefined, met: false };
      returned = finish(machine, run, compiled, rule, depth, way).returned;
      machine.state = state;
    }
    if (result === maybe || result === mayEnd) {
      skipped = joinStates(machine, skipped, machine.state);
      machine.certain = false;
      continue;
    }
    if (result === ends) {
      ending = true;
      break;
    }
  }
  const matched = doubts === undefined && met ? 'yes' : 'maybe';
  const { endings, endingCertain } = machine;
  const did = ending ? describe(compiledRule, endings) : words;
  noteStep(run, compiled, compiledRule, matched, did);
  const outcome: RuleOutcome = ending
    ? finish(machine, run, compiled, rule, depth, {
        endings,
        skipped: endingCertain ? skipped : joinStates(machine, skipped, machine.state),
        met: matched === 'yes',
      })
    : {
        next: joinStates(machine, skipped, machine.state),
        returned,
        certain: run.ended === endedBefore && returned === undefined,
      };
  if (doubts !== undefined) {
    const matters =
      run.ended !== endedBefore ||
      outcome.returned !== undefined ||
      outcome.next?.version !== before.version;
    if (matters) noteDoubts(run, rule, doubts);
  }
  return outcome;
}

function noteStep(
  run: Run,
  { chain }: CompiledChain,
  { rule }: CompiledRule,
  matched: PathStep['matched'],
  did: readonly string[],
): void {
  const { path } = run.record;
  if (path.length < longestPath)
    path.push({ chain, baseChain: run.base.chain, rule, matched, did });
}

function noteDoubts(run: Run, rule: CompiledRule['rule'], doubts: readonly Doubt[]): void {
  const { unknowns } = run.record;
  for (const { expression, why } of doubts) {
    if (expression === undefined) continue;
    if (unknowns.some((one) => one.rule === rule && one.expression === expression)) continue;
    unknowns.push({ rule, expression, why });
  }
}

/** A map of verdicts has no word of its own: what it gave is said. */
function describe({ rule, words }: CompiledRule, endings: readonly Ending[]): readonly string[] {
  const mapped = rule.expressions.some(
    (expression) => expression.kind === 'lookup' && expression.gives === 'verdict',
  );
  if (!mapped) return words;
  return [...words, ...endings.flatMap((one) => (one.code === 'reject' ? [] : [verdictWord(one)]))];
}

interface EndingOf {
  readonly endings: readonly Ending[];
  readonly skipped: PacketState | undefined;
  readonly met: boolean;
}

function finish(
  machine: Machine,
  run: Run,
  compiled: CompiledChain,
  rule: CompiledRule['rule'],
  depth: number,
  { endings, skipped, met }: EndingOf,
): RuleOutcome {
  const { state } = machine;
  const decidedBy = deciderOf(run, compiled, rule);
  if (decidedBy === undefined) return { next: state, returned: undefined, certain: false };
  let next = skipped;
  let returned: PacketState | undefined;
  const endedBefore = run.ended;
  const only = met && endings.length === 1;
  for (const ending of endings) {
    machine.state = state;
    switch (ending.code) {
      case 'accept':
        accept(machine, run, decidedBy);
        break;
      case 'drop':
      case 'stolen':
      case 'queue':
        addPossibility(run, { verdict: ending.code, decidedBy });
        break;
      case 'reject':
        addPossibility(run, { verdict: 'reject', decidedBy, reject: ending.reject });
        break;
      case 'continue':
      case 'break':
        next = joinStates(machine, next, state);
        break;
      case 'return':
        returned = joinStates(machine, returned, state);
        break;
      case 'jump':
      case 'goto': {
        const back = jump(machine, run, compiled, ending, depth, only, decidedBy);
        if (ending.code === 'goto') returned = joinStates(machine, returned, back);
        else next = joinStates(machine, next, back);
        break;
      }
    }
  }
  return { next, returned, certain: run.ended === endedBefore && returned === undefined };
}

function jump(
  machine: Machine,
  run: Run,
  compiled: CompiledChain,
  ending: Extract<Ending, { readonly chain: string }>,
  depth: number,
  met: boolean,
  decidedBy: Decider,
): PacketState | undefined {
  const target = compiled.target(ending.chain);
  const limit = compiled.chain.backend === 'iptables-legacy' ? deepestLegacy : deepest;
  if (target === undefined || depth >= limit) {
    addPossibility(run, { verdict: 'drop', decidedBy });
    return undefined;
  }
  return runChain(machine, run, target, depth + 1, met);
}
