/** @module One expression -> the step that runs it. */
import type { Expression, NftSet } from '../model.ts';
import {
  compileBitwise,
  compileByteorder,
  compileCmp,
  compileImmediate,
  compileRange,
} from './expressions/compare.ts';
import { compileCt, compileCtSet, compileNotrack } from './expressions/conntrack.ts';
import { compileFib } from './expressions/fib.ts';
import { compileDynset, compileLookup, compileObjectMap } from './expressions/lookup.ts';
import { compileMeta, compileMetaSet } from './expressions/meta.ts';
import {
  compileMasquerade,
  compileNat,
  compileRedirect,
  compileTproxy,
} from './expressions/nat.ts';
import { compilePayload, compilePayloadSet } from './expressions/payload.ts';
import {
  compileExthdr,
  compileExthdrSet,
  compileLimit,
  compileNumber,
  compileObject,
  compileOpaque,
  compileQueue,
  compileSynproxy,
  uncertain,
} from './expressions/statements.ts';
import { end, type Scope, type Step } from './machine.ts';
import { yes } from './ternary.ts';
import { compileMatch, compileTarget } from './xt.ts';

/** What the steps of one table's rules need. */
export interface StepScope extends Scope {
  readonly findDefinition: (set: string) => NftSet | undefined;
}

const goOn: Step = () => yes;

export function compileStep(expression: Expression, scope: StepScope): Step {
  switch (expression.kind) {
    case 'payload':
      return compilePayload(expression);
    case 'payload-set':
      return compilePayloadSet(expression);
    case 'inner':
      return inner(expression.expression);
    case 'meta':
      return compileMeta(expression);
    case 'meta-set':
      return compileMetaSet(expression);
    case 'cmp':
      return compileCmp(expression);
    case 'range':
      return compileRange(expression);
    case 'bitwise':
      return compileBitwise(expression);
    case 'byteorder':
      return compileByteorder(expression);
    case 'immediate':
      return compileImmediate(expression);
    case 'verdict': {
      const { verdict } = expression;
      // `break` ends the rule as if it had not matched.
      if (verdict.code === 'break') return () => 0;
      return (machine) => end(machine, verdict);
    }
    case 'lookup':
      return compileLookup(expression, scope);
    case 'ct':
      return compileCt(expression);
    case 'ct-set':
      return compileCtSet(expression);
    case 'fib':
      return compileFib(expression);
    case 'exthdr':
      return compileExthdr(expression);
    case 'exthdr-set':
      return compileExthdrSet(expression);
    case 'counter':
    case 'log':
    case 'last':
    case 'dup':
      return goOn;
    case 'limit':
      return compileLimit(expression);
    case 'quota':
      return uncertain(`quota ${expression.over ? 'over ' : ''}${expression.bytes} bytes`);
    case 'connlimit':
      return uncertain(`ct count ${expression.over ? 'over ' : ''}${expression.count}`);
    case 'reject': {
      const ending = { code: 'reject', reject: expression.reject } as const;
      return (machine) => end(machine, ending);
    }
    case 'nat':
      return compileNat(expression);
    case 'masq':
      return compileMasquerade(expression);
    case 'redir':
      return compileRedirect(expression);
    case 'tproxy':
      return compileTproxy(expression);
    case 'queue':
      return compileQueue(expression);
    case 'fwd':
      return (machine) => end(machine, { code: 'stolen' });
    case 'notrack':
      return compileNotrack();
    case 'dynset':
      return compileDynset(expression, scope.findDefinition(expression.set));
    case 'objref': {
      const { object, map } = expression;
      if (map !== undefined) return compileObjectMap(map, scope);
      if (object === undefined) return uncertain('an object that is not named');
      const found = scope.findObject(object.type, object.name);
      return compileObject(found, (one) => compileStep(one, scope), object.type);
    }
    case 'hash': {
      const why = `a hash (${expression.type}) is not computed`;
      return compileNumber(expression, why);
    }
    case 'numgen':
      return compileNumber(expression, `numgen ${expression.type} is not told`);
    case 'socket':
      return uncertain('whether there is a socket is not known', expression.register);
    case 'osf':
      return uncertain('the operating system of the sender is not known', expression.register, 16);
    case 'rt':
      return uncertain(`rt ${expression.key} is not known`, expression.register, 16);
    case 'xfrm':
      return uncertain(`ipsec ${expression.key} is not known`, expression.register, 16);
    case 'tunnel':
      return uncertain(`tunnel ${expression.key} is not known`, expression.register);
    case 'synproxy':
      return compileSynproxy();
    case 'flow-offload':
      return uncertain(`whether the connection goes into @${expression.table} is not known`);
    case 'match':
      return compileMatch(expression, scope);
    case 'target':
      return compileTarget(expression, scope);
    case 'opaque':
      return compileOpaque(expression);
  }
}

/** Behind a tunnel header nothing is looked at. */
function inner(expression: Expression): Step {
  const why = 'what lies in the tunnel is not known';
  if (expression.kind === 'payload') return uncertain(why, expression.register, expression.length);
  if (expression.kind === 'meta') return uncertain(why, expression.register, 16);
  return uncertain(why);
}
