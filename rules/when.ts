/** @module Conditions on options: whether a requirement or a default applies. Pure. */
import type { Condition, OptionValue } from './schema.ts';

/** The name under which a condition may ask for the distribution, beside the provider's own options. */
export const distributionName = 'distribution';

/** Tells whether every option that the condition names has one of the values asked for. */
export function holds(condition: Condition, valueOfOption: (name: string) => OptionValue): boolean {
  return Object.entries(condition).every(([name, wanted]) => {
    const value = valueOfOption(name);
    return Array.isArray(wanted) ? wanted.includes(value) : wanted === value;
  });
}

/** Tells whether something with these conditions applies: `when` must hold, `unless` must not. */
export function applies(
  conditions: {
    readonly when?: Condition | undefined;
    readonly unless?: Condition | undefined;
  },
  valueOfOption: (name: string) => OptionValue,
): boolean {
  const { when, unless } = conditions;
  if (when !== undefined && !holds(when, valueOfOption)) return false;
  return unless === undefined || !holds(unless, valueOfOption);
}
