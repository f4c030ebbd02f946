/** @module A whole firewall as text of ours, for the tools to load again. */
import { formatIptables, formatRule, formatRuleset } from '../../../nftables/format/index.ts';
import type { Expression, Rule, Ruleset, Table } from '../../../nftables/model.ts';

const builtIn = ['INPUT', 'FORWARD', 'OUTPUT', 'PREROUTING', 'POSTROUTING'];

/** Made by iptables, whichever of both: it has chains of iptables' names. */
function isOfIptables(table: Table, ruleset: Ruleset): boolean {
  if (table.backend === 'iptables-legacy') return true;
  if (table.family !== 'ip' && table.family !== 'ip6') return false;
  return ruleset.chains.some(
    ({ family, table: name, name: chain }) =>
      family === table.family && name === table.name && builtIn.includes(chain),
  );
}

const isOf =
  (table: Table) =>
  (one: Pick<Rule, 'backend' | 'family' | 'table'>): boolean =>
    one.backend === table.backend && one.family === table.family && one.table === table.name;

export interface Texts {
  /** For `nft -f`. */
  readonly nft: string;
  /** By program, for its standard input. */
  readonly restores: ReadonlyMap<string, string>;
  /** Rules for which there are no words. */
  readonly unknown: readonly string[];
}

export function textsOf(ruleset: Ruleset): Texts {
  const ours = ruleset.tables.filter((table) => isOfIptables(table, ruleset));
  const others = ruleset.tables.filter((table) => !ours.includes(table));
  const restores = new Map<string, string>();
  const unknown: string[] = [];
  for (const table of ours) {
    const rules = ruleset.rules.filter(isOf(table));
    const program = `${table.family === 'ip' ? 'iptables' : 'ip6tables'}-${table.backend === 'nf_tables' ? 'nft' : 'legacy'}-restore`;
    const chains = ruleset.chains
      .filter(isOf(table))
      .map(({ name, base }) => `:${name} ${base?.policy.toUpperCase() ?? '-'} [0:0]`);
    const lines = rules.map((rule) => {
      const line = formatIptables(rule, ruleset);
      if (line === undefined) unknown.push(formatRule(rule, ruleset));
      return line ?? '';
    });
    const text = [`*${table.name}`, ...chains, ...lines, 'COMMIT', ''].join('\n');
    restores.set(program, `${restores.get(program) ?? ''}${text}`);
  }
  for (const table of others) {
    for (const rule of ruleset.rules.filter(isOf(table))) {
      const line = formatRule(rule, ruleset);
      if (line.startsWith('#')) unknown.push(line);
    }
  }
  return { nft: formatRuleset({ ...ruleset, tables: others }), restores, unknown };
}

/** What the packets that went through it left behind: counts, and elements that rules added. */
export function withoutCounts(ruleset: Ruleset): Ruleset {
  return {
    ...ruleset,
    objects: [],
    sets: ruleset.sets.map((set) => (set.flags.dynamic ? { ...set, elements: [] } : set)),
    rules: ruleset.rules.map((rule) => ({
      ...rule,
      expressions: rule.expressions
        .map((expression) =>
          expression.kind === 'counter' ? { ...expression, packets: 0, bytes: 0 } : expression,
        )
        .filter((expression, index, all) => !isIdle(expression, all[index + 1])),
    })),
  };
}

/** iptables-nft loads the name of an interface that is any (`-i +`), and does nothing with it. */
function isIdle(expression: Expression, next: Expression | undefined): boolean {
  if (expression.kind !== 'meta' || next === undefined) return false;
  return next.kind === 'counter' || (next.kind === 'meta' && next.register === expression.register);
}
