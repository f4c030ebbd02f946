/** @module Rules and rulesets as text, from what was decoded: no program is called. Pure. */
import type { Rule, Ruleset } from '../model.ts';
import { formatIptables } from './iptables.ts';
import { formatRule, oneLine } from './rule.ts';

export { formatIptables } from './iptables.ts';
export { formatRule } from './rule.ts';
export { formatChainHeader, formatRuleset, formatSet } from './ruleset.ts';

/**
 * A rule as the tool that made it shows it: `iptables-save` of legacy iptables and of rules with x_tables extensions, else `nft list
 * ruleset`. Where there are no words for it the line is a comment (`# unknown expression: …`).
 */
export function format(rule: Rule, ruleset: Pick<Ruleset, 'sets' | 'ipsets'>): string {
  const isLegacy = rule.backend === 'iptables-legacy';
  const hasExtension = rule.expressions.some(({ kind }) => kind === 'match' || kind === 'target');
  if (!isLegacy && !hasExtension) return formatRule(rule, ruleset);
  const text = formatIptables(rule, ruleset);
  if (text !== undefined) return oneLine(text);
  const line = formatRule(rule, ruleset);
  return line.startsWith('#') ? line : `# unknown expression: ${line}`;
}
