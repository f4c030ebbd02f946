/** @module What a match asks of a packet, one field at a time, and values that satisfy all of it. */
import type { Random } from './random.ts';

/** The fields of a packet that rules are aimed at. Addresses are bigints, names strings, all else numbers. */
export type Field =
  | 'source'
  | 'destination'
  | 'sourcePort'
  | 'destinationPort'
  | 'icmpType'
  | 'icmpCode'
  | 'tcpFlags'
  | 'protocol'
  | 'ttl'
  | 'dscp'
  | 'length'
  | 'inInterface'
  | 'outInterface'
  | 'mark'
  | 'connection'
  | 'connectionMark'
  | 'mss'
  | 'word';

export type Value = number | bigint | string;

export interface Constraint {
  readonly field: Field;
  readonly holds: (value: Value) => boolean;
  /** Some that hold. */
  readonly values: readonly Value[];
  /** At the borders and just beyond them: some hold, some do not. */
  readonly edges: readonly Value[];
}

export type Draft = ReadonlyMap<Field, Value>;

/** A value for every constrained field, or undefined when none is found among those that the constraints name. */
export function solve(random: Random, constraints: readonly Constraint[]): Draft | undefined {
  const byField = new Map<Field, Constraint[]>();
  for (const constraint of constraints) {
    const list = byField.get(constraint.field);
    if (list === undefined) byField.set(constraint.field, [constraint]);
    else list.push(constraint);
  }
  const draft = new Map<Field, Value>();
  for (const [field, list] of byField) {
    const candidates = list
      .flatMap(({ values }) => values)
      .filter((value) => list.every(({ holds }) => holds(value)));
    if (candidates.length === 0) return undefined;
    draft.set(field, random.pick(candidates));
  }
  return draft;
}

export const equal = (field: Field, value: Value): Constraint => ({
  field,
  holds: (other) => other === value,
  values: [value],
  edges: [],
});

/** What the packet must have where it is sent, for a field that the host counts down by one before the rule sees it. */
export function countedDown(constraint: Constraint): Constraint {
  const up = (value: Value): Value => (typeof value === 'number' ? value + 1 : value);
  return {
    ...constraint,
    holds: (value) => typeof value === 'number' && constraint.holds(value - 1),
    values: constraint.values.map(up),
    edges: constraint.edges.map(up),
  };
}
