/** @module The sentence that a rule becomes: what was said, what the packet is known to be, what the registers hold. */
import type { Expression, Family, NftSet } from '../model.ts';
import { identifier } from './bytes.ts';
import { type DataFormat, types } from './datatypes.ts';
import { addedMatches, type Context, initialContext, learn } from './dependencies.ts';
import { describeAll, type Speaker } from './describe.ts';
import { dataComponents, keyComponents, writeElements } from './elements.ts';
import type { Match } from './matches.ts';
import { allNeeds, atom, joined, type Part } from './part.ts';
import { writeSimple } from './statements.ts';
import { createRegisters, type Registers, type Value } from './value.ts';

interface Clause {
  readonly text: string;
  /** The matches for equality that it loads as, those that nft adds before it first; absent for what is no such match. */
  readonly matches?: readonly string[];
  /** What was known before all of them. */
  readonly before: Context;
}

type Said = Pick<Match, 'text' | 'equality'>;

export interface Writer {
  readonly family: Family;
  readonly registers: Registers;
  readonly context: () => Context;
  readonly say: (text: string) => void;
  /** Adds what `make` gives, without the matches that nft will add for it. False if there are no words. */
  readonly tell: (make: (speaker: Speaker) => Match | readonly Match[] | undefined) => boolean;
  readonly findSet: (name: string) => NftSet | undefined;
  readonly observe: (set: string, key: string) => void;
  readonly words: () => string;
}

export interface Sources {
  readonly findSet: (name: string) => NftSet | undefined;
  /** Told of each set what is looked up in it, or added to it. */
  readonly observe?: (set: string, key: string) => void;
}

export function createWriter(family: Family, { findSet, observe }: Sources): Writer {
  let clauses: readonly Clause[] = [];
  let context = initialContext(family);
  const push = (before: Context, added: readonly string[], { text, equality }: Said): void => {
    const matches = equality === undefined ? undefined : [...added, equality];
    clauses = [...clauses, { text, before, ...(matches === undefined ? {} : { matches }) }];
    if (equality !== undefined) context = learn(context, family, equality);
  };
  /**
   * Adds words that need protocols, after taking back the last clauses if they are exactly what nft adds for these needs. False if nft
   * would add anything else.
   */
  const claim = (said: Match): boolean => {
    for (let count = Math.min(4, clauses.length); count >= 0; count--) {
      const kept = clauses.length - count;
      const before = clauses[kept]?.before ?? context;
      const added = addedMatches(before, family, said.needs);
      const taken = clauses.slice(kept);
      const matches = taken.flatMap((clause) => clause.matches ?? []);
      const isMatching = taken.every((clause) => clause.matches !== undefined);
      if (!isMatching || matches.join() !== added?.matches.join()) continue;
      clauses = clauses.slice(0, kept);
      context = added.context;
      push(before, added.matches, said);
      return true;
    }
    return false;
  };
  const speaker = (isRaw: boolean): Speaker => ({
    family,
    context,
    isRaw,
    writeMap: (map) => writeMap(map, speaker(isRaw), findSet, observe),
  });
  return {
    family,
    registers: createRegisters(),
    context: () => context,
    say: (text) => {
      push(context, [], { text });
    },
    tell(make) {
      for (const isRaw of [false, true]) {
        const made = make(speaker(isRaw));
        const matches: readonly Match[] = made === undefined ? [] : [made].flat();
        if (matches.length === 0) continue;
        // Several fields of one header: if the first is not out of reach, none is.
        const [first, ...others] = matches;
        if (first !== undefined && claim(first)) return others.every(claim);
      }
      return false;
    },
    findSet,
    observe: (set, key) => observe?.(set, key),
    words: () => clauses.map(({ text }) => text).join(' '),
  };
}

/** `@name`, or the elements of a set that has none. */
export function writeSet(set: NftSet, parts: readonly Part[]): string | undefined {
  if (!set.flags.anonymous) return identifier(set.name) && `@${set.name}`;
  const declared = keyComponents(set);
  // What is looked up tells more than the set's own types, which know no bits of a field.
  const components = parts.map((part, index) => ({
    type: part.type,
    length: part.length,
    order: part.order,
    shift: part.shift,
    ...(parts.length === declared.length || declared[index] === undefined ? {} : declared[index]),
  }));
  const words = writeElements(set, components, writeSimple);
  return words === undefined ? undefined : `{ ${words.join(', ')} }`;
}

/** Whether the keys that are looked up have the byte order that the set's keys have. */
export function fits(set: NftSet, parts: readonly Part[]): boolean {
  return parts.every((part) => {
    if (part.length === 1 || part.type.kind === 'string') return true;
    return part.order === (set.flags.interval ? 'big' : part.type.order);
  });
}

function writeMap(
  map: Extract<Value, { kind: 'map' }>,
  speaker: Speaker,
  findSet: Sources['findSet'],
  observe: Sources['observe'],
): Part | undefined {
  const set = findSet(map.set);
  const parts = describeAll(map.key, speaker);
  if (set === undefined || parts === undefined || !fits(set, parts)) return undefined;
  const words = writeSet(set, parts);
  if (words === undefined) return undefined;
  observe?.(set.name, joined(parts));
  return atom(`${joined(parts)} map ${words}`, dataType(set), map.length, allNeeds(parts));
}

/** Of the values that a map gives. */
export function dataType(set: NftSet): DataFormat {
  const [data] = dataComponents(set) ?? [];
  return data?.type ?? types.hostInteger;
}

/** What to call an expression for which there are no words. */
export function nameOf(expression: Expression): string {
  switch (expression.kind) {
    case 'opaque':
    case 'match':
    case 'target':
      return expression.kind === 'opaque'
        ? expression.name
        : `xt ${expression.kind} ${expression.name}`;
    default:
      return expression.kind;
  }
}
