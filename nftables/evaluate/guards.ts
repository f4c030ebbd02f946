/**
 * @module Which rules of a chain can match at all. Most rules begin with a comparison of one field with one value; those of a long chain are
 * found by that value and not one after the other.
 */
import type { Expression, Rule } from '../model.ts';
import { startOf } from './expressions/payload.ts';
import { keyOf } from './expressions/sets.ts';
import type { Device, Machine } from './machine.ts';
import { reaches } from './state.ts';
import { no, yes } from './ternary.ts';

/** `rule can only match if these bits of this field have this value`. */
interface Guard {
  readonly field: string;
  readonly load: LoadExpression;
  readonly mask: Uint8Array | undefined;
  readonly length: number;
  readonly value: number | string;
}

type LoadExpression = Extract<Expression, { kind: 'payload' | 'meta' }>;

/** Reads the value of a field: undefined where some bit of it is not known, null where no rule that loads it can match. */
type Reader = (machine: Machine) => number | string | null | undefined;

interface Table {
  readonly read: Reader;
  readonly all: readonly number[];
  readonly byValue: ReadonlyMap<number | string, readonly number[]>;
}

export interface RuleIndex {
  readonly tables: readonly Table[];
  /** Rules that any packet may match. */
  readonly others: readonly number[];
}

/** Shorter chains, and fields that fewer rules ask for, are not worth it. */
const fewestRules = 8;
const fewestOfField = 4;
/** With more fields than these, the look at each costs more than it saves. */
const mostFields = 40;

export function createRuleIndex(rules: readonly Rule[]): RuleIndex | undefined {
  if (rules.length < fewestRules) return undefined;
  const places = new Map<LoadExpression, string>();
  const guards = rules.map((rule) => guardsOf(rule, places));
  const values = new Map<string, Map<number | string, number>>();
  for (const guard of guards.flat()) {
    const counts = values.get(guard.field);
    if (counts === undefined) values.set(guard.field, new Map([[guard.value, 1]]));
    else counts.set(guard.value, (counts.get(guard.value) ?? 0) + 1);
  }
  /** The field that tells a rule from most others. */
  const choose = (candidates: readonly Guard[]): Guard | undefined => {
    let best: Guard | undefined;
    let most = 0;
    for (const guard of candidates) {
      const distinct = values.get(guard.field)?.size ?? 0;
      if (distinct > most) [best, most] = [guard, distinct];
    }
    return best;
  };
  const groups = new Map<string, [Guard, number][]>();
  const others: number[] = [];
  for (const [position, candidates] of guards.entries()) {
    const guard = choose(candidates);
    if (guard === undefined) others.push(position);
    else {
      const group = groups.get(guard.field);
      if (group === undefined) groups.set(guard.field, [[guard, position]]);
      else group.push([guard, position]);
    }
  }
  const sorted = [...groups.values()].sort((a, b) => b.length - a.length);
  const tables: Table[] = [];
  for (const [order, group] of sorted.entries()) {
    if (order >= mostFields || group.length < fewestOfField) {
      others.push(...group.map(([, position]) => position));
    } else tables.push(createTable(group));
  }
  others.sort((a, b) => a - b);
  return tables.length === 0 ? undefined : { tables, others };
}

function createTable(group: readonly (readonly [Guard, number])[]): Table {
  const byValue = new Map<number | string, number[]>();
  for (const [{ value }, position] of group) {
    const list = byValue.get(value);
    if (list === undefined) byValue.set(value, [position]);
    else list.push(position);
  }
  const [first] = group;
  return {
    read: first === undefined ? () => undefined : readerOf(first[0]),
    all: group.map(([, position]) => position),
    byValue,
  };
}

interface Loaded {
  readonly load: LoadExpression;
  readonly mask: Uint8Array | undefined;
}

/** The comparisons that a rule makes before it does anything. */
function guardsOf(rule: Rule, places: Map<LoadExpression, string>): readonly Guard[] {
  const guards: Guard[] = [];
  const registers = new Map<number, Loaded>();
  for (const expression of rule.expressions) {
    switch (expression.kind) {
      case 'payload':
      case 'meta':
        overwrite(registers, expression);
        if (isIndexed(expression))
          registers.set(expression.register, { load: expression, mask: undefined });
        break;
      case 'bitwise': {
        const source = registers.get(expression.source);
        if (expression.destination !== expression.source) registers.clear();
        registers.delete(expression.destination);
        if (
          expression.operation !== 'mask-xor' ||
          source === undefined ||
          source.mask !== undefined
        )
          break;
        if (expression.xor.every((byte) => byte === 0)) {
          registers.set(expression.destination, { ...source, mask: expression.mask });
        }
        break;
      }
      case 'cmp': {
        const loaded = registers.get(expression.register);
        if (loaded === undefined || expression.comparison !== 'eq') break;
        guards.push(guardOf(loaded, expression.value, places));
        break;
      }
      case 'ct':
      case 'byteorder':
      case 'immediate':
      case 'fib':
      case 'numgen':
      case 'hash':
        // Registers that hold several words lose what was in them; forgetting all is simple and right.
        registers.clear();
        break;
      case 'range':
      case 'counter':
      case 'log':
      case 'limit':
      case 'last':
        break;
      case 'lookup':
        if (expression.gives === 'verdict') return guards;
        if (expression.gives !== undefined) registers.clear();
        break;
      default:
        return guards;
    }
  }
  return guards;
}

/** A load into a register that holds a part of what was loaded before. */
function overwrite(registers: Map<number, Loaded>, load: LoadExpression): void {
  const end = load.register + wordsOf(load);
  for (const [register, loaded] of registers) {
    if (register < end && load.register < register + wordsOf(loaded.load))
      registers.delete(register);
  }
}

function wordsOf(load: LoadExpression): number {
  return load.kind === 'meta' ? 4 : (load.length + 3) >> 2;
}

const metaKeys: ReadonlySet<string> = new Set([
  'iifname',
  'oifname',
  'l4proto',
  'mark',
  'iif',
  'oif',
]);

function isIndexed(load: LoadExpression): boolean {
  if (load.kind === 'meta') return metaKeys.has(load.key);
  return load.base === 'network' || load.base === 'transport';
}

function guardOf(
  { load, mask }: Loaded,
  value: Uint8Array,
  places: Map<LoadExpression, string>,
): Guard {
  const { length } = value;
  let place = places.get(load);
  if (place === undefined) {
    place = load.kind === 'meta' ? load.key : `${load.base} ${load.offset} ${load.length}`;
    places.set(load, place);
  }
  const part = length === (load.kind === 'meta' ? 16 : load.length) ? place : `${place}/${length}`;
  const field = mask === undefined ? part : `${part} & ${keyOf(mask, 0, length)}`;
  return { field, load, mask, length, value: keyOf(value, 0, length) };
}

function readerOf({ load, mask, length }: Guard): Reader {
  if (load.kind === 'payload') return payloadReader(load, mask, length);
  // Loading is what the step does: into registers that no rule relies on before it has loaded them itself.
  return metaReader(load.key, mask, length);
}

function payloadReader(
  load: Extract<Expression, { kind: 'payload' }>,
  mask: Uint8Array | undefined,
  length: number,
): Reader {
  const scratch = new Uint8Array(length);
  return (machine) => {
    const { state } = machine;
    const start = startOf(state, load.base, machine);
    if (start === undefined) return null;
    if (start === 'unknown') return undefined;
    const at = start + load.offset;
    const there = reaches(state, at + load.length);
    if (there === no) return null;
    if (there !== yes || length > load.length) return undefined;
    return maskedKey(scratch, mask, length, state.bytes, state.known, at);
  };
}

function maskedKey(
  scratch: Uint8Array,
  mask: Uint8Array | undefined,
  length: number,
  bytes: Uint8Array,
  known: Uint8Array,
  at = 0,
): number | string | undefined {
  for (let index = 0; index < length; index++) {
    const bits = mask === undefined ? 255 : (mask[index] ?? 0);
    if (((known[at + index] ?? 0) & bits) !== bits) return undefined;
    scratch[index] = (bytes[at + index] ?? 0) & bits;
  }
  return keyOf(scratch, 0, length);
}

const whole = new Uint8Array(16).fill(255);
const unnamed = new Uint8Array(16);

function metaReader(key: string, mask: Uint8Array | undefined, length: number): Reader {
  const scratch = new Uint8Array(length);
  const read = (bytes: Uint8Array, known: Uint8Array = whole): number | string | undefined =>
    length > bytes.length ? undefined : maskedKey(scratch, mask, length, bytes, known);
  const word = new Uint8Array(4);
  const view = new DataView(word.buffer);
  const readWord = (value: number | undefined): number | string | undefined => {
    if (value === undefined) return undefined;
    view.setUint32(0, value, true);
    return read(word);
  };
  const readName = ({ present, name, nameKnown }: Device): number | string | undefined => {
    if (present === no) return read(unnamed);
    return name === undefined ? undefined : read(name, nameKnown);
  };
  switch (key) {
    case 'iifname':
      return ({ input }) => readName(input);
    case 'oifname':
      return ({ output }) => readName(output);
    case 'iif':
      return ({ input }) => readWord(input.present === no ? 0 : input.index);
    case 'oif':
      return ({ output }) => readWord(output.present === no ? 0 : output.index);
    case 'l4proto':
      return ({ state }) => read(Uint8Array.of(state.protocol));
    case 'mark':
      return ({ state }) => {
        if (state.markKnown !== 0xffffffff) return undefined;
        return readWord(state.mark);
      };
    default:
      return () => undefined;
  }
}
