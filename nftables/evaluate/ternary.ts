/** @module Yes, no and maybe; and comparisons of bytes of which some bits are not known. */

/** Numbers, not words: a comparison of two of them orders no < maybe < yes. */
export type Ternary = 0 | 1 | 2;
export const no = 0;
export const maybe = 1;
export const yes = 2;

export function not(value: Ternary): Ternary {
  return (2 - value) as Ternary;
}

/** Whether `value`, of which only the bits set in `known` are known, equals `want`. */
export function isEqual(
  value: Uint8Array,
  known: Uint8Array,
  at: number,
  want: Uint8Array,
  length = want.length,
): Ternary {
  let result: Ternary = yes;
  for (let index = 0; index < length; index++) {
    const mask = known[at + index] ?? 0;
    if ((((value[at + index] ?? 0) ^ (want[index] ?? 0)) & mask) !== 0) return no;
    if (mask !== 255) result = maybe;
  }
  return result;
}

/** Compares the smallest number that the bytes can hold, as big-endian, with `want`: negative, 0 or positive. */
export function compareLowest(
  value: Uint8Array,
  known: Uint8Array,
  at: number,
  want: Uint8Array,
): number {
  for (let index = 0; index < want.length; index++) {
    const difference = ((value[at + index] ?? 0) & (known[at + index] ?? 0)) - (want[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Compares the greatest number that the bytes can hold, as big-endian, with `want`. */
export function compareHighest(
  value: Uint8Array,
  known: Uint8Array,
  at: number,
  want: Uint8Array,
): number {
  for (let index = 0; index < want.length; index++) {
    const highest = (value[at + index] ?? 0) | (~(known[at + index] ?? 0) & 255);
    const difference = highest - (want[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Whether the number that the bytes hold lies between two, both included. */
export function isBetween(
  value: Uint8Array,
  known: Uint8Array,
  at: number,
  first: Uint8Array,
  last: Uint8Array,
): Ternary {
  if (compareHighest(value, known, at, first) < 0) return no;
  if (compareLowest(value, known, at, last) > 0) return no;
  const inside =
    compareLowest(value, known, at, first) >= 0 && compareHighest(value, known, at, last) <= 0;
  return inside ? yes : maybe;
}

export function isKnown(known: Uint8Array, at: number, length: number): boolean {
  for (let index = at; index < at + length; index++) if (known[index] !== 255) return false;
  return true;
}

/** The bits of a 32-bit number that are known and equal in two of them. */
export function agreeing(a: number, aKnown: number, b: number, bKnown: number): number {
  return (aKnown & bKnown & ~(a ^ b)) >>> 0;
}
