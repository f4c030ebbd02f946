/** @module `lookup`, `objref` by map, and `dynset` (nft_lookup.c, nft_objref.c, nft_dynset.c). */
import type { Expression, ExpressionOf, NftSet, SetElement, Verdict } from '../../model.ts';
import {
  because,
  type Ending,
  endWith,
  type Found,
  type Machine,
  type Scope,
  type Step,
  type StepResult,
  store,
  storeUnknown,
} from '../machine.ts';
import { maybe, no, not, yes } from '../ternary.ts';
import { mayBreak } from './sets.ts';

export function compileLookup(expression: ExpressionOf<'lookup'>, scope: Scope): Step {
  const { set: name, register, inverted, gives } = expression;
  const find = finder(name, register, scope);
  if (gives === undefined) {
    return (machine) => {
      const { found, why } = find(machine);
      const result = inverted ? not(found) : found;
      return result === maybe ? because(machine, reason(machine, register, why)) : result;
    };
  }
  if (gives === 'verdict') {
    return (machine) => {
      const { elements, found, why } = find(machine);
      if (found === no) return no;
      const endings = verdictsOf(elements);
      // An element that is added later may hold any verdict that its chains have: of the kind that others have.
      return endWith(machine, endings, found === yes, reason(machine, register, why));
    };
  }
  return (machine) => {
    const { elements, found, why } = find(machine);
    if (found === no) return no;
    storeValues(machine, gives.register, elements, `the value of @${name}`);
    return found === yes ? yes : because(machine, reason(machine, register, why));
  };
}

function finder(name: string, register: number, scope: Scope): (machine: Machine) => Found {
  const set = scope.findSet(name);
  if (set === undefined)
    return () => ({ elements: [], found: maybe, why: `the set ${name} is missing` });
  return ({ registers, known }) => set.find(registers, known, register * 4);
}

function reason(machine: Machine, register: number, why: string): string {
  const origin = machine.origins[register] ?? '';
  return why.startsWith('whether') && origin !== '' ? origin : why;
}

/** Each different verdict once. */
function verdictsOf(elements: readonly SetElement[]): readonly Ending[] {
  const verdicts = new Map<string, Ending>();
  for (const { verdict } of elements) {
    if (verdict === undefined) continue;
    verdicts.set(verdictKey(verdict), verdict);
  }
  return [...verdicts.values()];
}

function verdictKey(verdict: Verdict): string {
  return 'chain' in verdict ? `${verdict.code} ${verdict.chain}` : verdict.code;
}

/** The bits in which all agree. */
function storeValues(
  machine: Machine,
  register: number,
  elements: readonly SetElement[],
  origin: string,
): void {
  const [first, ...others] = elements.map(({ value }) => value);
  if (first === undefined || others.includes(undefined)) {
    storeUnknown(machine, register, 16, origin);
    return;
  }
  const known = new Uint8Array(first.length).fill(255);
  for (const other of others) {
    for (let index = 0; index < first.length; index++) {
      known[index] = (known[index] ?? 0) & ~((first[index] ?? 0) ^ (other?.[index] ?? 0));
    }
  }
  store(machine, register, first, known, first.length, `${origin} is not known`);
}

/** A map from a key to a named object: without an element the rule does not match. */
export function compileObjectMap(
  { set: name, register }: { readonly set: string; readonly register: number },
  scope: Scope,
): Step {
  const find = finder(name, register, scope);
  return (machine) => {
    const { found, why } = find(machine);
    // Which object it is is left open: a limit or a quota may not match.
    if (found === no) return no;
    return because(machine, found === yes ? `the object in @${name} is not modelled` : why);
  };
}

/**
 * nft_dynset_eval: the rule goes on where the element is there or could be added, which fails when the set is full. Its own statements decide
 * then.
 */
export function compileDynset(expression: ExpressionOf<'dynset'>, set: NftSet | undefined): Step {
  const { operation, inverted, expressions } = expression;
  if (operation === 'delete') return () => yes;
  const statement = (set?.expressions ?? expressions).find(mayBreak) ?? expressions.find(mayBreak);
  const room = set === undefined || set.size === undefined || set.elements.length < set.size;
  const why =
    statement === undefined
      ? `@${expression.set} may be full`
      : `${wordOf(statement)} in @${expression.set}`;
  const uncertain = set === undefined || !room || statement !== undefined;
  return (machine): StepResult => {
    if (uncertain) return because(machine, why);
    return inverted ? no : yes;
  };
}

function wordOf(expression: Expression): string {
  return expression.kind === 'limit' ? 'the limit' : expression.kind;
}
