/** @module A ruleset with one rule more, as the manager's command would leave it. Pure: the ruleset that was given stays. */
import type { Chain, Expression, Rule, Ruleset } from 'node-nftables';

/** Which chain: handles are not needed, for a name is unique in its table. */
export type ChainKey = Pick<Chain, 'backend' | 'family' | 'table' | 'name'>;

/** One rule more in one chain. */
export interface Edit {
  readonly chain: ChainKey;
  /** Before the rule of this place (from 1), or behind the last. */
  readonly at: number | 'end';
  readonly expressions: readonly Expression[];
}

export function sameChain(one: ChainKey, other: ChainKey): boolean {
  return (
    one.name === other.name &&
    one.table === other.table &&
    one.family === other.family &&
    one.backend === other.backend
  );
}

export function chainOf({ backend, family, table, chain }: Rule): ChainKey {
  return { backend, family, table, name: chain };
}

/** The rules of one chain, in order. */
export function rulesOf({ rules }: Ruleset, chain: ChainKey): readonly Rule[] {
  return rules.filter((rule) => sameChain(chainOf(rule), chain));
}

/** Finds a chain by its name in the table of another. */
export function chainNamed(ruleset: Ruleset, table: ChainKey, name: string): Chain | undefined {
  return ruleset.chains.find((chain) => sameChain(chain, { ...table, name }));
}

/** The ruleset after the edit; undefined when the place does not exist. */
export function applyEdit(ruleset: Ruleset, { chain, at, expressions }: Edit): Ruleset | undefined {
  if (!ruleset.chains.some((known) => sameChain(known, chain))) return undefined;
  const { backend, family, table, name } = chain;
  let handle = 0;
  let first = -1;
  let count = 0;
  for (const [place, rule] of ruleset.rules.entries()) {
    handle = Math.max(handle, rule.handle);
    if (!sameChain(chainOf(rule), chain)) continue;
    if (first < 0) first = place;
    count++;
  }
  const index = at === 'end' ? count + 1 : at;
  if (index < 1 || index > count + 1) return undefined;
  const added: Rule = {
    backend,
    family,
    table,
    chain: name,
    handle: backend === 'nf_tables' ? handle + 1 : 0,
    index,
    expressions,
  };
  const start = first < 0 ? ruleset.rules.length : first;
  const before = start + index - 1;
  const later = ruleset.rules
    .slice(before, start + count)
    .map((rule) => ({ ...rule, index: rule.index + 1 }));
  return {
    ...ruleset,
    rules: [
      ...ruleset.rules.slice(0, before),
      added,
      ...later,
      ...ruleset.rules.slice(start + count),
    ],
  };
}
