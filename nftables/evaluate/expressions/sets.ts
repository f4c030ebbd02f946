/** @module Sets and maps made ready for lookups with keys of which some bits are not known. */
import type { ElementList, Expression, NftSet, SetElement } from '../../model.ts';
import type { Found, SetFinder } from '../machine.ts';
import { isBetween, isEqual, isKnown, maybe, no, type Ternary, yes } from '../ternary.ts';

/** What rules do with a set while packets pass. */
export interface SetUse {
  readonly added: boolean;
  readonly deleted: boolean;
}

/** An element with the end of its interval. */
interface Entry {
  readonly element: SetElement;
  readonly first: Uint8Array;
  /** Included. Absent: `first` alone. */
  readonly last?: Uint8Array;
}

const none: readonly SetElement[] = [];

export function compileSet(set: NftSet, use: SetUse): SetFinder {
  const catchAll = findCatchAll(set.elements);
  const uncertainMiss = use.added ? `rules add to @${set.name}` : undefined;
  let index: Index | undefined;
  const finish = (elements: readonly SetElement[], found: Ternary): Found => {
    if (found !== yes && catchAll !== undefined) {
      const all = elements.length === 0 ? [catchAll] : [...elements, catchAll];
      return { elements: all, found: all.every(isCertain) ? yes : maybe, why: timed(set) };
    }
    if (found === no && uncertainMiss !== undefined) {
      // An added element of a map may hold anything.
      return { elements: none, found: maybe, why: uncertainMiss };
    }
    return { elements, found, why: `whether it is in ${nameOf(set)} is not known` };
  };
  /** An element that will be gone, or whose own statements may break. */
  const isCertain = (element: SetElement): boolean =>
    !use.deleted && element.expiresMs === undefined && !(element.expressions ?? []).some(mayBreak);

  return {
    keyLength: set.keyLength,
    find(value, known, at) {
      index ??= createIndex(set);
      if (isKnown(known, at, set.keyLength)) {
        const element = index.get(value, at);
        if (element === undefined) return finish(none, no);
        if (isCertain(element)) return { elements: [element], found: yes, why: '' };
        return { ...finish([element], maybe), why: timed(set) };
      }
      const { elements, complete } = findPartly(index, value, known, at);
      if (elements.length === 0) return finish(none, no);
      return finish(elements, complete && elements.every(isCertain) ? yes : maybe);
    },
  };
}

function nameOf(set: NftSet): string {
  return set.flags.anonymous ? 'the set' : `@${set.name}`;
}

function timed(set: NftSet): string {
  return `elements of ${nameOf(set)} come and go`;
}

/** Statements in an element run when it is found; the lookup breaks where one of them does. */
export function mayBreak(expression: Expression): boolean {
  return expression.kind !== 'counter' && expression.kind !== 'last';
}

function findCatchAll(elements: ElementList): SetElement | undefined {
  for (const element of elements) if (element.key === undefined) return element;
  return undefined;
}

interface Index {
  readonly keyLength: number;
  /** Exact. */
  get(value: Uint8Array, at: number): SetElement | undefined;
  readonly entries: readonly Entry[];
  /** How many bytes each component of the key fills. */
  readonly fields: readonly Field[];
}

interface Field {
  readonly at: number;
  readonly length: number;
}

function createIndex(set: NftSet): Index {
  const fields = fieldsOf(set);
  const base = { keyLength: set.keyLength, fields };
  const isRange = (element: SetElement): boolean => element.keyEnd !== undefined;
  const elements = [...set.elements].filter(({ key }) => key !== undefined);
  if (set.flags.interval && !elements.some(isRange) && set.fieldLengths === undefined) {
    return { ...base, ...intervalIndex(elements, set.keyLength) };
  }
  if (elements.some(isRange)) return { ...base, ...rangeIndex(elements, fields) };
  const byKey = new Map<number | string, SetElement>();
  for (const element of elements) byKey.set(keyOf(element.key ?? empty, 0, set.keyLength), element);
  return {
    ...base,
    entries: elements.map((element) => ({ element, first: element.key ?? empty })),
    get: (value, at) => byKey.get(keyOf(value, at, set.keyLength)),
  };
}

const empty = new Uint8Array(0);

function fieldsOf(set: NftSet): readonly Field[] {
  if (set.fieldLengths === undefined) return [{ at: 0, length: set.keyLength }];
  let at = 0;
  return set.fieldLengths.map((length) => {
    const field = { at, length };
    at += (length + 3) & ~3;
    return field;
  });
}

/** Up to four bytes a number, else text of one character a byte. */
export function keyOf(bytes: Uint8Array, at: number, length: number): number | string {
  if (length <= 4) {
    let number = 0;
    for (let index = 0; index < length; index++) number = number * 256 + (bytes[at + index] ?? 0);
    return number;
  }
  let text = '';
  for (let index = 0; index < length; index++) text += String.fromCharCode(bytes[at + index] ?? 0);
  return text;
}

/**
 * Ranges of an rbtree: starts, and first keys behind ends. The kernel takes the last of them that is not above the key; at one key a start
 * counts more than the end of the range before.
 */
function intervalIndex(
  elements: readonly SetElement[],
  keyLength: number,
): Pick<Index, 'entries' | 'get'> {
  const points = elements
    .map((element) => ({ element, key: element.key ?? empty }))
    .sort(
      (a, b) =>
        compareBytes(a.key, b.key) || Number(b.element.intervalEnd) - Number(a.element.intervalEnd),
    );
  const entries: Entry[] = [];
  const highest = new Uint8Array(keyLength).fill(255);
  for (const [index, { element, key }] of points.entries()) {
    if (element.intervalEnd) continue;
    const following = points[index + 1]?.key;
    entries.push({
      element,
      first: key,
      last: following === undefined ? highest : before(following),
    });
  }
  const get = (value: Uint8Array, at: number): SetElement | undefined => {
    let low = 0;
    let high = points.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const point = points[middle];
      if (point !== undefined && compareAt(value, at, point.key) >= 0) low = middle + 1;
      else high = middle;
    }
    const point = points[low - 1];
    return point === undefined || point.element.intervalEnd ? undefined : point.element;
  };
  return { entries, get };
}

/** The number before, big-endian. */
function before(bytes: Uint8Array): Uint8Array {
  const result = bytes.slice();
  for (let index = result.length - 1; index >= 0; index--) {
    const byte = result[index] ?? 0;
    result[index] = byte - 1;
    if (byte !== 0) break;
  }
  return result;
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  return compareAt(a, 0, b);
}

function compareAt(value: Uint8Array, at: number, key: Uint8Array): number {
  return compareParts(value, at, key, 0, key.length);
}

function compareParts(
  a: Uint8Array,
  atA: number,
  b: Uint8Array,
  atB: number,
  length: number,
): number {
  for (let index = 0; index < length; index++) {
    const difference = (a[atA + index] ?? 0) - (b[atB + index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Concatenations with ranges: hashed by the component that holds most different single values, the others one after the other. */
function rangeIndex(
  elements: readonly SetElement[],
  fields: readonly Field[],
): Pick<Index, 'entries' | 'get'> {
  const entries = elements.map((element) => ({
    element,
    first: element.key ?? empty,
    ...(element.keyEnd === undefined ? {} : { last: element.keyEnd }),
  }));
  const single = (entry: Entry, field: Field): boolean =>
    entry.last === undefined || isEqualRange(entry.first, entry.last, field);
  let best: { readonly field: Field; readonly count: number } | undefined;
  for (const field of fields) {
    const values = new Set<number | string>();
    for (const entry of entries) {
      if (single(entry, field)) values.add(keyOf(entry.first, field.at, field.length));
    }
    if (best === undefined || values.size > best.count) best = { field, count: values.size };
  }
  const hashed = best?.field ?? { at: 0, length: 0 };
  const buckets = new Map<number | string, Entry[]>();
  const others: Entry[] = [];
  for (const entry of entries) {
    if (!single(entry, hashed)) {
      others.push(entry);
      continue;
    }
    const key = keyOf(entry.first, hashed.at, hashed.length);
    const bucket = buckets.get(key);
    if (bucket === undefined) buckets.set(key, [entry]);
    else bucket.push(entry);
  }
  const get = (value: Uint8Array, at: number): SetElement | undefined => {
    const bucket = buckets.get(keyOf(value, at + hashed.at, hashed.length));
    const matches = (entry: Entry): boolean => holds(entry, fields, value, at);
    return (bucket?.find(matches) ?? others.find(matches))?.element;
  };
  return { entries, get };
}

function isEqualRange(first: Uint8Array, last: Uint8Array, { at, length }: Field): boolean {
  for (let index = at; index < at + length; index++) if (first[index] !== last[index]) return false;
  return true;
}

function holds(entry: Entry, fields: readonly Field[], value: Uint8Array, at: number): boolean {
  const { first, last = first } = entry;
  return fields.every(
    (field) =>
      compareParts(value, at + field.at, first, field.at, field.length) >= 0 &&
      compareParts(value, at + field.at, last, field.at, field.length) <= 0,
  );
}

function part(bytes: Uint8Array, { at, length }: Field): Uint8Array {
  return bytes.subarray(at, at + length);
}

/** This many unknown bits are tried one by one. */
const triedBits = 8;

interface Partly {
  readonly elements: readonly SetElement[];
  /** Whether every key that is possible is one of them. */
  readonly complete: boolean;
}

function findPartly(index: Index, value: Uint8Array, known: Uint8Array, at: number): Partly {
  const bits = unknownBits(known, at, index.keyLength);
  if (bits.length <= triedBits) return tryAll(index, value, at, bits);
  const elements: SetElement[] = [];
  for (const entry of index.entries) {
    const match = matches(entry, index.fields, value, known, at);
    // Ranges of one set do not overlap.
    if (match === yes) return { elements: [entry.element], complete: true };
    if (match === maybe) elements.push(entry.element);
  }
  return { elements, complete: false };
}

function matches(
  { first, last }: Entry,
  fields: readonly Field[],
  value: Uint8Array,
  known: Uint8Array,
  at: number,
): Ternary {
  if (last === undefined) return isEqual(value, known, at, first);
  let result: Ternary = yes;
  for (const field of fields) {
    const [low, high] = [part(first, field), part(last, field)];
    const inside = isBetween(value, known, at + field.at, low, high);
    if (inside === no) return no;
    if (inside === maybe) result = maybe;
  }
  return result;
}

/** At most one more than are tried. */
function unknownBits(
  known: Uint8Array,
  at: number,
  length: number,
): readonly (readonly [number, number])[] {
  const bits: [number, number][] = [];
  for (let index = 0; index < length && bits.length <= triedBits; index++) {
    const byte = known[at + index] ?? 0;
    for (let bit = 1; bit < 256; bit <<= 1) if ((byte & bit) === 0) bits.push([index, bit]);
  }
  return bits;
}

function tryAll(
  index: Index,
  value: Uint8Array,
  at: number,
  bits: readonly (readonly [number, number])[],
): Partly {
  const key = value.slice(at, at + index.keyLength);
  const elements = new Set<SetElement>();
  let complete = true;
  for (let number = 0; number < 1 << bits.length; number++) {
    for (const [order, [byte, bit]] of bits.entries()) {
      const one = (number >> order) & 1;
      key[byte] = one === 1 ? (key[byte] ?? 0) | bit : (key[byte] ?? 0) & ~bit;
    }
    const element = index.get(key, 0);
    if (element === undefined) complete = false;
    else elements.add(element);
  }
  return { elements: [...elements], complete };
}
