/**
 * @module x_tables extensions: `match` and `target` of iptables-nft and of legacy iptables.
 *
 * A match that is not modelled may hold or not. A target that is not modelled may do anything: accept, drop, or let the packet go on with
 * another mark.
 */
import type { Expression } from '../model.ts';
import { decodeMatch } from '../xt/matches.ts';
import { decodeTarget } from '../xt/targets.ts';
import type { XtFamily, XtMatch } from '../xt/types.ts';
import { uncertain } from './expressions/statements.ts';
import { because, change, endWith, type Step } from './machine.ts';
import { maybe, yes } from './ternary.ts';
import { packetTest } from './xt-packet.ts';
import { type SetScope, setTest } from './xt-set.ts';
import { stateTest } from './xt-state.ts';
import { targetStep } from './xt-target.ts';
import type { Test } from './xt-tests.ts';

export type XtExpression = Extract<Expression, { readonly kind: 'match' | 'target' }>;

/** What of a ruleset an extension may ask for. */
export type XtScope = SetScope;

/** A step that says whether the match holds: `no`, `maybe` with a reason, `yes`. */
export function compileMatch(expression: XtExpression, scope: XtScope): Step {
  return perFamily((family) => {
    const match = decodeMatch(expression, family);
    return match === undefined
      ? uncertain(`xt match ${expression.name} is not modelled`)
      : matchStep(match, scope);
  });
}

/** A step that does what the target does: `yes` where it lets the packet go on, else it ends with a verdict. */
export function compileTarget(expression: XtExpression, _scope: XtScope): Step {
  return perFamily((family) => {
    const target = decodeTarget(expression, family);
    return target === undefined ? unknownTarget(expression.name) : targetStep(target);
  });
}

/** Some structures differ between IPv4 and IPv6: they are read when the first packet of a family comes. */
function perFamily(compile: (family: XtFamily) => Step): Step {
  const steps: { [F in XtFamily]?: Step } = {};
  return (machine) => {
    const { family } = machine.state;
    const step = steps[family] ?? compile(family);
    steps[family] = step;
    return step(machine);
  };
}

function unknownTarget(name: string): Step {
  const why = `xt target ${name} is not modelled`;
  return (machine) => {
    change(machine, { markKnown: 0 });
    return endWith(machine, [{ code: 'accept' }, { code: 'drop' }], false, why);
  };
}

function matchStep(match: XtMatch, scope: XtScope): Step {
  const test = testOf(match, scope);
  if (test === undefined) return chance(match);
  const why = `xt match ${match.kind} cannot be told for this packet`;
  return (machine) => {
    const result = test(machine);
    return result === maybe ? because(machine, why) : result;
  };
}

function testOf(match: XtMatch, scope: XtScope): Test | undefined {
  if (match.kind === 'comment') return () => yes;
  if (match.kind === 'set') return setTest(match, scope);
  return packetTest(match) ?? stateTest(match);
}

/** Matches that depend on what came before, on chance, or on what nobody told. */
function chance(match: XtMatch): Step {
  switch (match.kind) {
    case 'limit':
    case 'hashlimit':
      return uncertain(`whether the ${match.kind} is reached is not known`);
    case 'statistic':
      return uncertain('statistic: which packets match is not known');
    case 'socket':
      return (machine) => {
        // Only a packet that matches gets the socket's mark; which one it is nobody knows.
        if (match.restoreMark) change(machine, { markKnown: 0 });
        return because(machine, 'whether there is a socket is not known');
      };
    default:
      return uncertain(`xt match ${match.kind} is not told`);
  }
}
