/** @module A ruleset -> chains that can be run. What a packet never meets is never compiled. */
import type { Backend, Chain, Expression, Family, NftSet, Rule, Ruleset } from '../model.ts';
import { type Cursor, walkAll, walkIndex } from './candidates.ts';
import { compileSet, type SetUse } from './expressions/sets.ts';
import { createRuleIndex, type RuleIndex } from './guards.ts';
import type { SetFinder, Step } from './machine.ts';
import { compileStep, type StepScope } from './step.ts';
import { wordsOf } from './words.ts';
import { changedIpSets } from './xt-set.ts';

export interface CompiledRule {
  readonly rule: Rule;
  readonly steps: readonly Step[];
  readonly words: readonly string[];
}

export interface CompiledChain {
  readonly chain: Chain;
  readonly rule: (position: number) => CompiledRule;
  readonly walk: () => Cursor;
  /** Undefined for a chain that is missing. */
  readonly target: (name: string) => CompiledChain | undefined;
}

export interface Program {
  readonly ruleset: Ruleset;
  /** Those of tables that are not dormant. */
  readonly baseChains: readonly CompiledChain[];
  /** Whether some rule has conntrack loaded for this family. */
  readonly tracks: (family: 'ip' | 'ip6') => boolean;
}

interface Named {
  readonly backend?: Backend;
  readonly family: Family;
  readonly table: string;
}

export function compileRuleset(ruleset: Ruleset): Program {
  const rules = new Map<string, Rule[]>();
  for (const rule of ruleset.rules) {
    const key = `${tableKey(rule)} ${rule.chain}`;
    const list = rules.get(key);
    if (list === undefined) rules.set(key, [rule]);
    else list.push(rule);
  }
  const scopes = new Map<string, TableScope>();
  const tables = new Map<string, Map<string, CompiledChain>>();
  const chains = new Map<string, CompiledChain>();
  const scopeOf = (named: Named): TableScope => {
    const key = tableKey(named);
    const scope = scopes.get(key) ?? createScope(ruleset, named);
    scopes.set(key, scope);
    return scope;
  };
  for (const chain of ruleset.chains) {
    const key = tableKey(chain);
    const own = rules.get(`${key} ${chain.name}`) ?? [];
    const table = tables.get(key) ?? new Map<string, CompiledChain>();
    tables.set(key, table);
    const compiled = compileChain(chain, own, () => scopeOf(chain), table);
    table.set(chain.name, compiled);
    chains.set(`${key} ${chain.name}`, compiled);
  }
  const dormant = new Set(
    ruleset.tables
      .filter((table) => table.dormant)
      .map((table) => tableKey({ ...table, table: table.name })),
  );
  const baseChains = [...chains.values()].filter(
    ({ chain }) => chain.base !== undefined && !dormant.has(tableKey(chain)),
  );
  return { ruleset, baseChains, tracks: trackingOf(ruleset) };
}

function tableKey({ backend = 'nf_tables', family, table }: Named): string {
  return `${backend} ${family} ${table}`;
}

function compileChain(
  chain: Chain,
  rules: readonly Rule[],
  scope: () => TableScope,
  table: ReadonlyMap<string, CompiledChain>,
): CompiledChain {
  const compiled: (CompiledRule | undefined)[] = [];
  let index: RuleIndex | undefined | 'not-yet' = 'not-yet';
  const compileRule = (position: number): CompiledRule => {
    const rule = rules[position];
    if (rule === undefined) throw new RangeError(`chain ${chain.name} has no rule ${position}`);
    const { stepOf } = scope();
    const steps = rule.expressions.map(stepOf);
    return { rule, steps, words: wordsOf(rule) };
  };
  return {
    chain,
    target: (name) => table.get(name),
    rule: (position) => (compiled[position] ??= compileRule(position)),
    walk: () => {
      if (index === 'not-yet') index = createRuleIndex(rules);
      return index === undefined ? walkAll(rules.length) : walkIndex(index);
    },
  };
}

interface TableScope extends StepScope {
  readonly stepOf: (expression: Expression) => Step;
}

function createScope(ruleset: Ruleset, { backend, family, table }: Named): TableScope {
  const here = (named: { readonly family: Family; readonly table: string }): boolean =>
    backend !== 'iptables-legacy' && named.family === family && named.table === table;
  const definitions = new Map<string, NftSet>();
  for (const set of ruleset.sets) if (here(set)) definitions.set(set.name, set);
  const finders = new Map<string, SetFinder>();
  const uses = new Map<string, SetUse>();
  for (const rule of ruleset.rules) if (here(rule)) noteUses(rule.expressions, uses);
  let changedSets: ReadonlySet<number> | undefined;
  const ipSets = new Map(ruleset.ipsets.map((set) => [set.index, set]));
  // The reader makes equal expressions one object.
  const steps = new Map<Expression, Step>();
  const scope: TableScope = {
    stepOf(expression) {
      const known = steps.get(expression);
      if (known !== undefined) return known;
      const step = compileStep(expression, scope);
      steps.set(expression, step);
      return step;
    },
    findDefinition: (name) => definitions.get(name),
    findIpSet: (index) => ipSets.get(index),
    findIpSetNamed: (name) => ruleset.ipsets.find((set) => set.name === name),
    isIpSetChanged: (index) => (changedSets ??= changedIpSets(ruleset)).has(index),
    findObject: (type, name) =>
      ruleset.objects.find(
        (object) =>
          here(object) && object.name === name && (type === undefined || object.type === type),
      )?.expression,
    findSet(name) {
      const known = finders.get(name);
      const set = definitions.get(name);
      if (known !== undefined || set === undefined) return known;
      const finder = compileSet(set, uses.get(name) ?? { added: false, deleted: false });
      finders.set(name, finder);
      return finder;
    },
  };
  return scope;
}

function noteUses(expressions: readonly Expression[], uses: Map<string, SetUse>): void {
  for (const expression of expressions) {
    if (expression.kind !== 'dynset') continue;
    const use = uses.get(expression.set) ?? { added: false, deleted: false };
    const deletes = expression.operation === 'delete';
    uses.set(expression.set, { added: use.added || !deletes, deleted: use.deleted || deletes });
  }
}

const trackingKinds: ReadonlySet<string> = new Set([
  'ct',
  'ct-set',
  'masq',
  'redir',
  'connlimit',
  'synproxy',
  'flow-offload',
]);
const trackingExtensions =
  /^(?:conntrack|state|connmark|CONNMARK|connlimit|connbytes|connlabel|CT|NOTRACK|helper|cluster|DNAT|SNAT|MASQUERADE|REDIRECT|NETMAP|SYNPROXY)$/;

/** conntrack's hooks are there once a rule of the family asks for it (nf_ct_netns_get); a chain of type nat alone does not. */
function trackingOf(ruleset: Ruleset): (family: 'ip' | 'ip6') => boolean {
  const families = new Set<Family>();
  for (const { family, expressions } of ruleset.rules) {
    if (families.has(family)) continue;
    for (const expression of expressions) {
      if (expression.kind === 'nat') {
        families.add(expression.family === 'unspecified' ? family : expression.family);
      } else if (asksForTracking(expression)) families.add(family);
    }
  }
  return (family) => families.has(family) || families.has('inet');
}

function asksForTracking(expression: Expression): boolean {
  switch (expression.kind) {
    case 'match':
    case 'target':
      return trackingExtensions.test(expression.name);
    case 'objref':
      return expression.object?.type.startsWith('ct ') === true;
    case 'dynset':
      return expression.expressions.some(asksForTracking);
    default:
      return trackingKinds.has(expression.kind);
  }
}
