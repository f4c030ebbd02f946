/**
 * @module x_tables extensions: `match` and `target` of iptables-nft and of legacy iptables.
 *
 * A match that is not modelled may hold or not. A target that is not modelled may do anything: accept, drop, or let the packet go on with
 * another mark.
 */
import type { Expression, IpSet } from '../model.ts';
import { because, change, endWith, type Step } from './machine.ts';

export type XtExpression = Extract<Expression, { readonly kind: 'match' | 'target' }>;

/** What of a ruleset an extension may ask for. */
export interface XtScope {
  readonly findIpSet: (index: number) => IpSet | undefined;
}

/** A step that says whether the match holds: `no`, `maybe` with a reason (`because`), `yes`; or ends with a drop (hotdrop). */
export function compileMatch(expression: XtExpression, _scope: XtScope): Step {
  const why = `xt match ${expression.name} is not modelled`;
  return (machine) => because(machine, why);
}

/** A step that does what the target does: `yes` where it lets the packet go on, else `end` or `endWith` with its verdict. */
export function compileTarget(expression: XtExpression, _scope: XtScope): Step {
  const why = `xt target ${expression.name} is not modelled`;
  return (machine) => {
    change(machine, { markKnown: 0 });
    return endWith(machine, [{ code: 'accept' }, { code: 'drop' }], false, why);
  };
}
