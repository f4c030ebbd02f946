/** @module Elements of sets and maps in nft's words. */
import type { Expression, NftSet, SetElement, Verdict } from '../model.ts';
import {
  allOnes,
  type ByteOrder,
  bitLength,
  fromNumber,
  identifier,
  prefixLength,
  quote,
  toNumber,
} from './bytes.ts';
import { type DataFormat, typesOf, writeConstant, writeString, writeTime } from './datatypes.ts';

/** One component of a key or of data. */
export interface Component {
  readonly type: DataFormat;
  readonly length: number;
  readonly order: ByteOrder;
  readonly shift: number;
}

const padded = (length: number): number => 4 * Math.ceil(length / 4);

/** What a set's own declaration tells about its keys. Sets of intervals hold numbers so that bytes sort like them. */
export function keyComponents(set: NftSet): readonly Component[] {
  const types = typesOf(set.keyType, set.keyByteOrder ?? 'big');
  return types.map((type, index) => ({
    type,
    length: set.fieldLengths?.[index] ?? (types.length === 1 ? set.keyLength : (type.length ?? 4)),
    order: set.flags.interval ? 'big' : type.order,
    shift: 0,
  }));
}

/** `{ 22, 80-90 : accept }` without its braces; undefined where an element has no words. */
export function writeElements(
  set: NftSet,
  components: readonly Component[],
  writeStatement: (expression: Expression) => string | undefined,
): readonly string[] | undefined {
  const words: string[] = [];
  for (const { element, first, last } of rangesOf(set, components)) {
    const key = first === undefined ? '*' : writeKey(components, first, last ?? first);
    const extras = key === undefined ? undefined : writeExtras(element, writeStatement);
    const data = writeData(set, element);
    if (extras === undefined || data === undefined) return undefined;
    words.push(`${key}${extras}${data}`);
  }
  return words;
}

/** One value of a map of values, as its declaration types it. */
export function dataComponents(set: NftSet): readonly Component[] | undefined {
  if (set.data?.kind !== 'value') return undefined;
  const { length } = set.data;
  const types = typesOf(set.data.type, set.dataByteOrder ?? 'host');
  return types.map((type) => ({
    type,
    length: type.length ?? (types.length === 1 ? length : 4),
    order: type.order,
    shift: 0,
  }));
}

interface Range {
  readonly element: SetElement;
  /** Absent for `*`. */
  readonly first?: Uint8Array;
  readonly last?: Uint8Array;
}

function rangesOf(set: NftSet, components: readonly Component[]): readonly Range[] {
  const elements = [...set.elements];
  const ranges: Range[] = [];
  const isTree = set.flags.interval && components.length === 1;
  const number = (key: Uint8Array): bigint => toNumber(key, 'big');
  const keyed = elements.flatMap((element) =>
    element.key === undefined ? [] : [{ element, key: element.key, at: number(element.key) }],
  );
  if (isTree) {
    // An end is the first key behind its range: it comes before a range that starts there.
    keyed.sort((one, other) =>
      one.at === other.at
        ? Number(other.element.intervalEnd) - Number(one.element.intervalEnd)
        : compare(one.at, other.at),
    );
    for (const [index, { element, key, at }] of keyed.entries()) {
      if (element.intervalEnd) continue;
      const end = keyed.slice(index + 1).find((next) => next.at > at || next.element.intervalEnd);
      const last = end === undefined ? allOnes(key.length) : end.at - 1n;
      ranges.push({ element, first: key, last: fromNumber(last, key.length, 'big') });
    }
    if (set.flags.anonymous && !set.flags.map) splitOnly(ranges);
  } else {
    const ranked = keyed.map((entry) => ({ ...entry, rank: rankOf(components, entry.key) }));
    ranked.sort((one, other) => compareRanks(one.rank, other.rank));
    for (const { element, key } of ranked) {
      ranges.push({ element, first: key, last: element.keyEnd ?? key });
    }
  }
  for (const element of elements) if (element.key === undefined) ranges.push({ element });
  return ranges;
}

/** Of a single range nft would make a comparison without a set; of the same range in two parts it makes the same set. */
function splitOnly(ranges: Range[]): void {
  const [only] = ranges;
  if (ranges.length !== 1 || only?.first === undefined || only.last === undefined) return;
  const { element, first, last } = only;
  const low = toNumber(first, 'big');
  if (low >= toNumber(last, 'big')) return;
  const second = fromNumber(low + 1n, first.length, 'big');
  ranges.splice(0, 1, { element, first, last: first }, { element, first: second, last });
}

/** nft lists elements in the order of their numbers; values of several flags have none and come first. */
function rankOf(components: readonly Component[], key: Uint8Array): readonly bigint[] {
  return split(components, key).map(({ component, bytes }) => {
    const value = toNumber(bytes, component.order);
    return component.type.kind === 'flags' && (value & (value - 1n)) !== 0n ? 0n : value;
  });
}

function compare(one: bigint, other: bigint): number {
  return one < other ? -1 : one > other ? 1 : 0;
}

function compareRanks(one: readonly bigint[], other: readonly bigint[]): number {
  for (const [index, value] of one.entries()) {
    const order = compare(value, other[index] ?? 0n);
    if (order !== 0) return order;
  }
  return 0;
}

function split(
  components: readonly Component[],
  bytes: Uint8Array,
): readonly { readonly component: Component; readonly bytes: Uint8Array }[] {
  let at = 0;
  return components.map((component) => {
    const part = bytes.subarray(at, at + component.length);
    at += padded(component.length);
    return { component, bytes: part };
  });
}

function writeKey(
  components: readonly Component[],
  first: Uint8Array,
  last: Uint8Array,
): string | undefined {
  const words: string[] = [];
  const ends = split(components, last);
  for (const [index, { component, bytes }] of split(components, first).entries()) {
    const word = writeRange(component, bytes, ends[index]?.bytes ?? bytes);
    if (word === undefined) return undefined;
    words.push(word);
  }
  return words.join(' . ');
}

/** A value, `10.0.0.0/8` or `22-25`. */
export function writeRange(
  { type, order: declared, shift }: Component,
  first: Uint8Array,
  last: Uint8Array,
): string | undefined {
  const order = type.kind === 'string' ? 'big' : declared;
  const low = toNumber(first, order);
  const high = toNumber(last, order);
  if (low === high) return writeConstant(type, first, order, shift);
  const bits = 8 * first.length;
  const prefix = low <= high ? rangePrefix(low, high, bits) : undefined;
  if (type.kind === 'string') {
    if (prefix === undefined || prefix % 8 !== 0 || prefix === 0) return undefined;
    return writeString(first.subarray(0, prefix / 8), true);
  }
  const isPrefixed = type.kind === 'ipv4' || type.kind === 'ipv6' || type.kind === 'mark';
  if (prefix !== undefined && isPrefixed) {
    return `${writeConstant(type, first, order)}/${prefix}`;
  }
  return writeSpan({ type, order, shift }, first, last);
}

/** `22-25`, whatever prefix it may be. */
export function writeSpan(
  { type, order, shift }: Pick<Component, 'type' | 'order' | 'shift'>,
  first: Uint8Array,
  last: Uint8Array,
): string | undefined {
  const start = writeEnd(type, first, order, shift);
  const end = writeEnd(type, last, order, shift);
  return start === undefined || end === undefined ? undefined : `${start}-${end}`;
}

/** Length of the prefix that covers exactly a range. */
export function rangePrefix(low: bigint, high: bigint, bits: number): number | undefined {
  const host = low ^ high;
  if ((low & host) !== 0n) return undefined;
  return prefixLength(((1n << BigInt(bits)) - 1n) ^ host, bits) === undefined
    ? undefined
    : bits - bitLength(host);
}

/** Ends of ranges are numbers, and times are seconds. */
function writeEnd(
  type: DataFormat,
  bytes: Uint8Array,
  order: ByteOrder,
  shift: number,
): string | undefined {
  const value = toNumber(bytes, order) >> BigInt(shift);
  if (type.kind === 'flags' || type.kind === 'label') return undefined;
  if (type.name === 'dscp') return `0x${value.toString(16).padStart(2, '0')}`;
  if (type.names !== undefined) return value.toString();
  if (type.kind === 'milliseconds' && value % 1000n === 0n) return `${value / 1000n}s`;
  return writeConstant(type, bytes, order, shift);
}

/** Statements, times and comment of an element. */
function writeExtras(
  element: SetElement,
  writeStatement: (expression: Expression) => string | undefined,
): string | undefined {
  let text = '';
  for (const expression of element.expressions ?? []) {
    const words = writeStatement(expression);
    if (words === undefined) return undefined;
    text += ` ${words}`;
  }
  if (element.timeoutMs !== undefined && element.timeoutMs > 0) {
    text += ` timeout ${writeTime(element.timeoutMs)}`;
  }
  if (element.expiresMs !== undefined && element.expiresMs > 0) {
    text += ` expires ${writeTime(element.expiresMs)}`;
  }
  if (element.comment === undefined) return text;
  const comment = quote(element.comment);
  return comment === undefined ? undefined : `${text} comment ${comment}`;
}

/** ` : VALUE` of a map's element, nothing for a set. */
function writeData(set: NftSet, element: SetElement): string | undefined {
  if (!set.flags.map && !set.flags.object) return '';
  if (element.verdict !== undefined) {
    const verdict = writeVerdict(element.verdict);
    return verdict === undefined ? undefined : ` : ${verdict}`;
  }
  if (element.object !== undefined) return identifier(element.object) && ` : "${element.object}"`;
  const components = dataComponents(set);
  if (components === undefined || element.value === undefined) return undefined;
  const whole =
    components.length === 1
      ? (components[0]?.length ?? 0)
      : components.reduce((sum, { length }) => sum + padded(length), 0);
  // Data of two values is a range, of addresses to translate to.
  const isRange = element.value.length === 2 * padded(whole);
  const first = isRange ? element.value.subarray(0, padded(whole)) : element.value;
  const last = isRange ? element.value.subarray(padded(whole)) : element.value;
  const word = writeKey(components, first, last);
  return word === undefined ? undefined : ` : ${word}`;
}

export function writeVerdict(verdict: Verdict): string | undefined {
  switch (verdict.code) {
    case 'jump':
    case 'goto':
      return identifier(verdict.chain) && `${verdict.code} ${verdict.chain}`;
    case 'accept':
    case 'drop':
    case 'continue':
    case 'return':
      return verdict.code;
    default:
      return undefined;
  }
}
