/** @module Registers compared and computed with: cmp, range, bitwise, byteorder, immediate. */
import type { ExpressionOf } from '../../model.ts';
import { because, type Machine, type Step, type StepResult, store } from '../machine.ts';
import {
  compareHighest,
  compareLowest,
  isBetween,
  isEqual,
  maybe,
  no,
  not,
  type Ternary,
  yes,
} from '../ternary.ts';

/** nft_cmp_eval: memcmp of the register with the value. */
export function compileCmp({ register, comparison, value }: ExpressionOf<'cmp'>): Step {
  const at = register * 4;
  switch (comparison) {
    case 'eq':
      return (machine) =>
        reasoned(machine, register, isEqual(machine.registers, machine.known, at, value));
    case 'neq':
      return (machine) =>
        reasoned(machine, register, not(isEqual(machine.registers, machine.known, at, value)));
    case 'lt':
      return (machine) => reasoned(machine, register, isBelow(machine, at, value, 0));
    case 'lte':
      return (machine) => reasoned(machine, register, isBelow(machine, at, value, 1));
    case 'gt':
      return (machine) => reasoned(machine, register, not(isBelow(machine, at, value, 1)));
    case 'gte':
      return (machine) => reasoned(machine, register, not(isBelow(machine, at, value, 0)));
  }
}

/** Whether memcmp gives less than `limit`: 0 for `<`, 1 for `<=`. */
function isBelow(machine: Machine, at: number, value: Uint8Array, limit: 0 | 1): Ternary {
  if (compareHighest(machine.registers, machine.known, at, value) < limit) return yes;
  return compareLowest(machine.registers, machine.known, at, value) < limit ? maybe : no;
}

export function compileRange(expression: ExpressionOf<'range'>): Step {
  const { register, comparison, first, last } = expression;
  const at = register * 4;
  return (machine) => {
    const inside = isBetween(machine.registers, machine.known, at, first, last);
    return reasoned(machine, register, comparison === 'eq' ? inside : not(inside));
  };
}

function reasoned(machine: Machine, register: number, result: Ternary): StepResult {
  return result === maybe ? because(machine, machine.origins[register] ?? '') : result;
}

export function compileBitwise(expression: ExpressionOf<'bitwise'>): Step {
  switch (expression.operation) {
    case 'mask-xor':
      return maskXor(expression.source, expression.destination, expression);
    case 'shift-left':
      return shift(expression, shiftLeft);
    case 'shift-right':
      return shift(expression, shiftRight);
    case 'and':
    case 'or':
    case 'xor':
      return combine(expression);
  }
}

function maskXor(
  source: number,
  destination: number,
  {
    length,
    mask,
    xor,
  }: { readonly length: number; readonly mask: Uint8Array; readonly xor: Uint8Array },
): Step {
  return ({ registers, known, origins }) => {
    for (let index = 0; index < length; index++) {
      const bits = mask[index] ?? 0;
      registers[destination * 4 + index] =
        ((registers[source * 4 + index] ?? 0) & bits) ^ (xor[index] ?? 0);
      // What the mask takes away is known to be zero.
      known[destination * 4 + index] = (known[source * 4 + index] ?? 0) | (~bits & 255);
    }
    padTo(registers, known, destination, length);
    origins[destination] = origins[source] ?? '';
    return yes;
  };
}

/** The last register is filled with zeros. */
function padTo(registers: Uint8Array, known: Uint8Array, register: number, length: number): void {
  for (let index = length; (index & 3) !== 0; index++) {
    registers[register * 4 + index] = 0;
    known[register * 4 + index] = 255;
  }
}

type Shift = (words: readonly number[], bits: number) => readonly number[];

function shift(
  expression: Extract<ExpressionOf<'bitwise'>, { operation: 'shift-left' | 'shift-right' }>,
  operation: Shift,
): Step {
  const { source, destination, length, bits } = expression;
  const count = (length + 3) >> 2;
  return ({ registers, known, origins }) => {
    const values = operation(wordsOf(registers, source, count), bits);
    // Zeros come in from the side: the complement of what is known is shifted too.
    const unknown = operation(
      wordsOf(known, source, count).map((word) => ~word >>> 0),
      bits,
    );
    putWords(registers, destination, values);
    putWords(
      known,
      destination,
      unknown.map((word) => ~word >>> 0),
    );
    origins[destination] = origins[source] ?? '';
    return yes;
  };
}

/** nft_bitwise_eval_lshift: the carry goes from the last word to the first. */
const shiftLeft: Shift = (words, bits) => {
  const result: number[] = [];
  let carry = 0;
  for (let index = words.length - 1; index >= 0; index--) {
    const word = words[index] ?? 0;
    result[index] = ((word << bits) | carry) >>> 0;
    carry = bits === 0 ? 0 : word >>> (32 - bits);
  }
  return result;
};

const shiftRight: Shift = (words, bits) => {
  let carry = 0;
  return words.map((word) => {
    const result = (carry | (word >>> bits)) >>> 0;
    carry = bits === 0 ? 0 : (word << (32 - bits)) >>> 0;
    return result;
  });
};

/** Registers as the kernel's u32, in host order. */
function wordsOf(bytes: Uint8Array, register: number, count: number): number[] {
  const words: number[] = [];
  for (let index = 0; index < count; index++) {
    const at = (register + index) * 4;
    const [a = 0, b = 0, c = 0, d = 0] = bytes.subarray(at, at + 4);
    words.push((a | (b << 8) | (c << 16) | (d << 24)) >>> 0);
  }
  return words;
}

function putWords(bytes: Uint8Array, register: number, words: readonly number[]): void {
  for (const [index, word] of words.entries()) {
    for (let byte = 0; byte < 4; byte++) bytes[(register + index) * 4 + byte] = word >>> (byte * 8);
  }
}

function combine(
  expression: Extract<ExpressionOf<'bitwise'>, { operation: 'and' | 'or' | 'xor' }>,
): Step {
  const { operation, source, destination, length, source2, data } = expression;
  return ({ registers, known, origins }) => {
    for (let index = 0; index < length; index++) {
      const a = registers[source * 4 + index] ?? 0;
      const aKnown = known[source * 4 + index] ?? 0;
      const b = (source2 === undefined ? data?.[index] : registers[source2 * 4 + index]) ?? 0;
      const bKnown = source2 === undefined ? 255 : (known[source2 * 4 + index] ?? 0);
      const both = aKnown & bKnown;
      const at = destination * 4 + index;
      if (operation === 'and') {
        registers[at] = a & b;
        known[at] = both | (aKnown & ~a) | (bKnown & ~b);
      } else if (operation === 'or') {
        registers[at] = a | b;
        known[at] = both | (aKnown & a) | (bKnown & b);
      } else {
        registers[at] = a ^ b;
        known[at] = both;
      }
    }
    padTo(registers, known, destination, length);
    origins[destination] = origins[source] ?? '';
    return yes;
  };
}

/** nft_byteorder_eval: both ways the bytes of each number are reversed. */
export function compileByteorder(expression: ExpressionOf<'byteorder'>): Step {
  const { source, destination, length, size } = expression;
  const reversed = (bytes: Uint8Array): Uint8Array => {
    const result = new Uint8Array(length);
    for (let index = 0; index < length; index++) {
      const group = index - (index % size);
      result[index] = bytes[source * 4 + group + (size - 1 - (index % size))] ?? 0;
    }
    return result;
  };
  return (machine) => {
    const value = reversed(machine.registers);
    const known = reversed(machine.known);
    store(machine, destination, value, known, length, machine.origins[source] ?? '');
    return yes;
  };
}

export function compileImmediate({ register, value }: ExpressionOf<'immediate'>): Step {
  return (machine) => {
    store(machine, register, value, undefined, value.length, '');
    return yes;
  };
}
