/** @module Expressions that work on registers: comparisons, arithmetic, sets. Pure. Each function quotes the attributes that it reads. */
import type { Expression } from '../model.ts';
import { type AttributeReader, given, hostNumber, valueOf } from './attributes.ts';
import { decodeVerdict } from './verdict.ts';

const comparisons = ['eq', 'neq', 'lt', 'lte', 'gt', 'gte'] as const;

/** 1 source register, 2 operator (NFT_CMP_EQ is 0), 3 data. */
export function decodeCmp(data: AttributeReader): Expression {
  const value = data.value(3);
  const comparison = data.oneOf(2, comparisons) ?? 'eq';
  return { kind: 'cmp', register: data.register(1, value.length), comparison, value };
}

/** 1 source register, 2 operator (NFT_RANGE_EQ is 0), 3 first, 4 last. */
export function decodeRange(data: AttributeReader): Expression {
  const comparison = data.oneOf(2, ['eq', 'neq'] as const) ?? 'eq';
  const first = data.value(3);
  const last = data.value(4);
  if (first.length !== last.length) data.fail();
  return { kind: 'range', register: data.register(1, first.length), comparison, first, last };
}

/**
 * 1 source, 2 destination, 3 length, 4 mask, 5 xor, 6 operation (0 or absent mask-xor, 1 and 2 shifts, 3 and, 4 or, 5 xor), 7 data: bits to
 * shift, in host byte order, or the second operand, 8 second source: the other form of it.
 */
export function decodeBitwise(data: AttributeReader): Expression {
  const length = data.u32(3);
  const source = data.register(1, length);
  const destination = data.register(2, length);
  const place = { kind: 'bitwise', source, destination, length } as const;
  const operation = data.maybeU32(6) ?? 0;
  if (operation === 0) {
    const mask = data.value(4);
    const xor = data.value(5);
    if (mask.length !== length || xor.length !== length) data.fail();
    return { ...place, operation: 'mask-xor', mask, xor };
  }
  if (operation <= 2) {
    const value = data.value(7);
    // The kernel shifts every word that the length touches: of `ip dscp` that is one byte.
    if (value.length !== 4) data.fail();
    const name = operation === 1 ? 'shift-left' : 'shift-right';
    return { ...place, operation: name, bits: hostNumber(value, 0) };
  }
  const name = (['and', 'or', 'xor'] as const)[operation - 3];
  if (name === undefined || data.has(7) === data.has(8)) data.fail();
  const source2 = data.maybeRegister(8, length);
  const operand = data.maybeValue(7);
  if (operand !== undefined && operand.length !== length) data.fail();
  return { ...place, operation: name ?? 'and', ...given({ source2, data: operand }) };
}

/** 1 source, 2 destination, 3 operation, 4 length, 5 size of each number. */
export function decodeByteorder(data: AttributeReader): Expression {
  const operation = data.oneOf(3, ['ntoh', 'hton'] as const) ?? 'ntoh';
  const length = data.u32(4);
  const size = data.u32(5);
  if (size !== 2 && size !== 4 && size !== 8) data.fail();
  const [source, destination] = [data.register(1, length), data.register(2, length)];
  return { kind: 'byteorder', operation, source, destination, length, size };
}

/** 1 destination register, 2 data: a value, or for register 0 (NFT_REG_VERDICT) a verdict. */
export function decodeImmediate(data: AttributeReader): Expression {
  const nested = data.nested(2);
  if (!nested.has(2)) {
    const value = valueOf(nested);
    return { kind: 'immediate', register: data.register(1, value.length), value };
  }
  const verdict = decodeVerdict(nested);
  if (verdict === undefined || data.u32(1) !== 0) data.fail();
  return { kind: 'verdict', verdict: verdict ?? { code: 'continue' } };
}

/** 1 set, 2 source register, 3 destination register: NFT_REG_VERDICT (0) for a verdict map, 5 flags: 1 inverts. */
export function decodeLookup(data: AttributeReader): Expression {
  const place = { set: data.text(1), register: data.register(2) };
  const inverted = data.flags(5, 1) !== 0;
  if (!data.has(3)) return { kind: 'lookup', ...place, inverted };
  // A map that gives something where nothing is found gives nothing.
  if (inverted) data.fail();
  const destination = data.verdictOrRegister(3);
  const gives = destination === 'verdict' ? destination : { register: destination };
  return { kind: 'lookup', ...place, inverted, gives };
}

/**
 * 1 set, 3 operation, 4 key register, 5 data register, 6 timeout, 9 flags (1 inverts, 2 has expressions), and what each new element carries:
 * 7 one expression, or 10 a list of them.
 */
export function decodeDynset(
  data: AttributeReader,
  decode: (element: Uint8Array) => Expression,
): Expression {
  const operation = data.oneOf(3, ['add', 'update', 'delete'] as const) ?? 'add';
  const flags = data.flags(9, 3);
  const single = data.maybeBytes(7);
  const elements = single === undefined ? data.list(10, 1) : [single];
  const timeoutMs = data.maybeU64(6);
  return {
    kind: 'dynset',
    set: data.text(1),
    operation,
    keyRegister: data.register(4),
    ...given({
      dataRegister: data.maybeRegister(5),
      timeoutMs: timeoutMs === 0 ? undefined : timeoutMs,
    }),
    inverted: (flags & 1) !== 0,
    expressions: elements.map(decode),
  };
}

/** 1 type and 2 name of an object; or 3 source register and 4 set, a map to objects. */
export function decodeObjref(data: AttributeReader): Expression {
  if (data.has(4)) {
    return { kind: 'objref', map: { set: data.text(4), register: data.register(3) } };
  }
  return { kind: 'objref', object: { type: objectTypeOf(data.u32(1)), name: data.text(2) } };
}

/** NFT_OBJECT_*, by nft's words. */
const objectTypes = [
  undefined,
  'counter',
  'quota',
  'ct helper',
  'limit',
  'connlimit',
  'tunnel',
  'ct timeout',
  'secmark',
  'ct expectation',
  'synproxy',
] as const;

/** What kind of object it is; `type-N` if that is not known. */
export function objectTypeOf(number: number): string {
  return objectTypes[number] ?? `type-${number}`;
}
