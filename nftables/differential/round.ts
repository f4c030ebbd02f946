/** @module One ruleset: loaded, read back, asked and shot at. */
import type { Answer, Environment, Packet } from '../evaluate/types.ts';
import type { Expression, Rule, Ruleset } from '../model.ts';
import { connectionKey, mixedShot, shotsAt } from './aim.ts';
import type { ConntrackSocket } from './conntrack.ts';
import { chainKeyOf, courseOf, type Ended, type RuleKey, ruleKeyOf } from './course.ts';
import type { Aim, Generated } from './generate.ts';
import { type Judgement, judge, kernelVerdict } from './judge.ts';
import type { Observation, Oracle } from './oracle.ts';
import type { Random } from './random.ts';
import type { Loader, Script } from './script.ts';
import { questionOf, type Shot } from './shot.ts';

/** Makes the function that answers questions to one ruleset. */
export type Evaluator = (ruleset: Ruleset, environment: Environment) => (packet: Packet) => Answer;

export interface Bench {
  readonly loader: Loader;
  readonly oracle: Oracle;
  readonly conntrack: ConntrackSocket;
  readonly environment: Environment;
  readonly read: () => Promise<Ruleset>;
  readonly evaluator: Evaluator;
}

export interface Decision {
  readonly shot: Shot;
  readonly seen: Observation;
  readonly answer: Answer;
  /** Undefined where the kernel lost the packet for reasons of its own, */
  readonly judgement: Judgement | undefined;
  /** which is that conntrack refused its connection. */
  readonly isRefused: boolean;
  readonly kinds: ReadonlySet<string>;
}

export interface Loaded {
  readonly ruleset: Ruleset;
  readonly rules: ReadonlyMap<RuleKey, Rule>;
  readonly ask: (packet: Packet) => Answer;
}

export async function load(bench: Bench, script: Script): Promise<Loaded> {
  bench.loader.load(script);
  const ruleset = await bench.read();
  return {
    ruleset,
    rules: new Map(ruleset.rules.map((rule) => [ruleKeyOf(rule), rule])),
    ask: bench.evaluator(ruleset, bench.environment),
  };
}

interface Asked {
  readonly shot: Shot;
  readonly answer: Answer;
}

/** Sends them as packets that nothing is known of yet, and judges each. No two of one connection. */
export function decide(bench: Bench, loaded: Loaded, shots: readonly Shot[]): Decision[] {
  const asked = apart(shots.map((shot) => ({ shot, answer: loaded.ask(questionOf(shot)) })));
  const { conntrack } = bench;
  conntrack.flush();
  for (const { shot } of asked) if (shot.connection !== undefined) conntrack.add(shot);
  const refused = conntrack.refused();
  const seen = bench.oracle.fire(asked.map(({ shot }) => shot));
  const decisions = asked.map((one, index) => decisionOf(loaded, one, seen[index] ?? unseen));
  return withCauses(decisions, conntrack.refused() - refused);
}

const unseen: Observation = { events: [], legacy: [], delivered: false, left: [] };

/**
 * Two connections from one port whose destination NAT makes the same: the kernel gives the second another source port (nf_nat_used_tuple),
 * which rules behind it see. Nothing in a question tells of other connections, so only the first is sent.
 */
function apart(asked: readonly Asked[]): readonly Asked[] {
  const seen = new Map<string, 'as it is' | 'rewritten'>();
  return asked.filter(({ shot, answer }) => {
    const key = `${shot.family} ${shot.protocol} ${shot.source} ${shot.sourcePort}`;
    const isRewritten = answer.rewrites.some(({ kind }) => kind === 'dnat' || kind === 'redirect');
    const before = seen.get(key);
    if (before !== undefined && (isRewritten || before === 'rewritten')) return false;
    seen.set(key, isRewritten ? 'rewritten' : 'as it is');
    return true;
  });
}

/**
 * Where NAT makes two connections the same and has no other port to choose, conntrack refuses the second one behind the last hook
 * (__nf_conntrack_confirm counts it as insert_failed), and the packet is gone without a rule having dropped it.
 */
function withCauses(decisions: readonly Decision[], refused: number): Decision[] {
  let left = refused;
  return decisions.map((decision) => {
    const { judgement, answer } = decision;
    if (judgement !== undefined || left === 0 || answer.rewrites.length === 0) return decision;
    left -= 1;
    return { ...decision, isRefused: true };
  });
}

function decisionOf(loaded: Loaded, { shot, answer }: Asked, seen: Observation): Decision {
  const course = courseOf(seen);
  const kernel = kernelVerdict(course, seen, (ended) => canDrop(loaded, ended));
  const kinds = new Set<string>();
  for (const key of course.matched) {
    for (const one of loaded.rules.get(key)?.expressions ?? []) kinds.add(kindOf(one));
  }
  return {
    shot,
    seen,
    answer,
    judgement: kernel === undefined ? undefined : judge(shot, answer, kernel, seen),
    isRefused: false,
    kinds,
  };
}

/** Whether a rule or policy of legacy iptables is one that drops. */
function canDrop({ ruleset, rules }: Loaded, { base, rule }: Ended): boolean {
  if (rule === undefined) {
    const chain = ruleset.chains.find((one) => chainKeyOf(one) === base);
    return chain?.base?.policy === 'drop';
  }
  return (rules.get(rule)?.expressions ?? []).some((one) =>
    one.kind === 'verdict'
      ? one.verdict.code === 'drop'
      : one.kind === 'target' && one.name === 'REJECT',
  );
}

function kindOf(one: Expression): string {
  if (one.kind === 'payload') return `payload ${one.base}`;
  if (one.kind === 'meta' || one.kind === 'ct') return `${one.kind} ${one.key}`;
  if (one.kind === 'match' || one.kind === 'target') return `xt ${one.kind} ${one.name}`;
  if (one.kind !== 'lookup' || one.gives === undefined) return one.kind;
  return one.gives === 'verdict' ? 'lookup (verdict map)' : 'lookup (map)';
}

export interface Round {
  readonly decisions: readonly Decision[];
  readonly rules: number;
  readonly hit: ReadonlySet<string>;
  readonly missed: readonly Aim[];
}

const retries = 5;

/** Aims at every rule, then again at those that nothing hit. */
export async function playRound(
  bench: Bench,
  random: Random,
  generated: Generated,
): Promise<Round> {
  const loaded = await load(bench, generated.script);
  const decisions: Decision[] = [];
  const hit = new Set<string>();
  const shoot = (shots: readonly Shot[]): void => {
    // Rules may change a set or use up a limit, so what was sent before belongs to the state; a connection does not.
    const keys = new Set<string>();
    const unique = shots.filter((shot) => {
      const key = connectionKey(shot);
      return !keys.has(key) && keys.add(key);
    });
    for (const decision of decide(bench, loaded, unique)) {
      decisions.push(decision);
      for (const key of courseOf(decision.seen).matched) {
        const rule = loaded.rules.get(key);
        if (rule !== undefined) hit.add(placeOf(rule));
      }
    }
  };
  const { aims } = generated;
  const first = aims.flatMap((aim) => shotsAt(random, aim, 2, 4));
  for (let i = 0; i < aims.length; i++) {
    const mixed = mixedShot(random, aims);
    if (mixed !== undefined) first.push(mixed);
  }
  shoot(random.shuffle(first));
  let missed = aims.filter(({ place }) => !hit.has(place));
  for (let i = 0; i < retries && missed.length > 0; i++) {
    shoot(missed.flatMap((aim) => shotsAt(random, aim, 6, 0)));
    missed = missed.filter(({ place }) => !hit.has(place));
  }
  return { decisions, rules: aims.length, hit, missed };
}

const placeOf = (rule: Rule): string =>
  `${rule.backend === 'iptables-legacy' ? 'legacy ' : ''}${rule.family} ${rule.table} ${rule.chain} ${rule.index}`;
