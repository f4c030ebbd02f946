/** @module Rulesets without what differs from load to load, to hold one against another. */
import type { Expression, NftSet, Ruleset } from '../../../nftables/model.ts';
import { decodeMatch } from '../../../nftables/xt/matches.ts';
import { decodeTarget } from '../../../nftables/xt/targets.ts';

/** Without what differs from load to load: handles, names of anonymous sets, the kernel's order of elements. */
export function comparable(ruleset: Ruleset): unknown {
  return {
    tables: ruleset.tables.map((table) => ({ ...table, handle: 0 })),
    chains: ruleset.chains.map((chain) => ({ ...chain, handle: 0 })),
    sets: ruleset.sets.filter(({ flags }) => !flags.anonymous).map(plainSet),
    objects: ruleset.objects.map((object) => ({ ...object, handle: 0 })),
    rules: comparableRules(ruleset),
  };
}

export function comparableRules(ruleset: Ruleset): readonly string[] {
  const sets = new Map(ruleset.sets.map((set) => [`${set.family} ${set.table} ${set.name}`, set]));
  return ruleset.rules.map((rule) => {
    const expressions = rule.expressions.map((expression) => {
      const named = expression.kind === 'objref' ? expression.map : expression;
      const name = named !== undefined && 'set' in named ? named.set : '';
      const set = sets.get(`${rule.family} ${rule.table} ${name}`);
      if (set?.flags.anonymous === true)
        return { ...expression, set: plainSet(set), map: undefined };
      return withoutState(expression, rule.family === 'ip6' ? 'ip6' : 'ip');
    });
    return plain({ ...rule, handle: 0, index: 0, expressions });
  });
}

function plainSet(set: NftSet): unknown {
  return {
    ...set,
    handle: 0,
    name: set.flags.anonymous ? '' : set.name,
    elements: Array.from(set.elements, plain).toSorted(),
  };
}

/** One line of text, with its bytes in hexadecimal. */
export function plain(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    inner instanceof Uint8Array ? Buffer.from(inner).toString('hex') : inner,
  );
}

/** Extensions keep pointers and what they counted in their own bytes: only what is decoded of them is meant. */
function withoutState(expression: Expression, family: 'ip' | 'ip6'): unknown {
  if (expression.kind === 'match') {
    return { ...expression, info: decodeMatch(expression, family) ?? expression.info };
  }
  if (expression.kind === 'target') {
    return { ...expression, info: decodeTarget(expression, family) ?? expression.info };
  }
  return expression;
}
