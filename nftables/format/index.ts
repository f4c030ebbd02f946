/** @module Rules and rulesets as text, from what was decoded: no program is called. Pure. */
export { formatRule } from './rule.ts';
export { formatChainHeader, formatRuleset, formatSet } from './ruleset.ts';
