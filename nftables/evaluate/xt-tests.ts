/** @module Three-valued questions to the packet, which the x_tables matches are made of. */
import type { AddressRange, InvertibleRange, MaskedAddress } from '../xt/types.ts';
import type { Machine } from './machine.ts';
import type { PacketState } from './state.ts';
import { isBetween, isEqual, maybe, no, not, type Ternary, yes } from './ternary.ts';

/** What a match says of a packet. */
export type Test = (machine: Machine) => Ternary;

export function both(one: Ternary, other: Ternary): Ternary {
  return Math.min(one, other) as Ternary;
}

export function either(one: Ternary, other: Ternary): Ternary {
  return Math.max(one, other) as Ternary;
}

export function all(...tests: readonly Ternary[]): Ternary {
  return tests.reduce(both, yes);
}

export function invertedIf(inverted: boolean, value: Ternary): Ternary {
  return inverted ? not(value) : value;
}

export function truth(value: boolean): Ternary {
  return value ? yes : no;
}

/** Whether a number of which only some bits are known is `want` under a mask. All have 32 bits. */
export function isMasked(
  { value, known }: { readonly value: number; readonly known: number },
  want: number,
  mask: number,
): Ternary {
  // A bit outside the mask can never be equal to 1.
  if ((want & ~mask) !== 0) return no;
  if (((value ^ want) & mask & known) !== 0) return no;
  return (mask & ~known) === 0 ? yes : maybe;
}

export function byteAt(
  { bytes, known }: PacketState,
  at: number,
): { readonly value: number; readonly known: number } {
  return { value: bytes[at] ?? 0, known: known[at] ?? 0 };
}

function be16(value: number): Uint8Array {
  return Uint8Array.of((value >> 8) & 0xff, value & 0xff);
}

/** A number of two bytes in network order. */
export function isShortIn(
  state: PacketState,
  at: number,
  { first, last }: { readonly first: number; readonly last: number },
): Ternary {
  if (first > last) return no;
  return isBetween(state.bytes, state.known, at, be16(first), be16(last));
}

/** A number of four bytes in network order. */
export function isWordIn(
  state: PacketState,
  at: number,
  { first, last, inverted }: InvertibleRange,
): Ternary {
  const be32 = (value: number): Uint8Array =>
    Uint8Array.of(value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff);
  // Bytes behind the image are not known.
  if (at + 4 > state.bytes.length) return maybe;
  const inside =
    first > last ? no : isBetween(state.bytes, state.known, at, be32(first), be32(last));
  return invertedIf(inverted, inside);
}

/** Whether a number between two, both included, lies in a range. */
export function isNumberIn(
  lowest: number,
  highest: number,
  { first, last, inverted }: InvertibleRange,
): Ternary {
  if (highest < first || lowest > last) return truth(inverted);
  return lowest >= first && highest <= last ? truth(!inverted) : maybe;
}

export function isInAddresses(
  { value, known }: { readonly value: Uint8Array; readonly known: Uint8Array },
  { first, last, inverted }: AddressRange,
): Ternary {
  return invertedIf(inverted, isBetween(value, known, 0, first, last));
}

export function isInNetwork(
  { value, known }: { readonly value: Uint8Array; readonly known: Uint8Array },
  { address, mask, inverted }: MaskedAddress,
): Ternary {
  const masked = value.map((byte, index) => byte & (mask[index] ?? 0));
  const told = known.map((byte, index) => byte | (~(mask[index] ?? 0) & 0xff));
  return invertedIf(inverted, isEqual(masked, told, 0, address));
}

/** Offset of the DS field's bits, which lie across two bytes in IPv6. */
export function trafficClass({ family, bytes, known }: PacketState): {
  readonly value: number;
  readonly known: number;
} {
  if (family === 'ip') return { value: bytes[1] ?? 0, known: known[1] ?? 0 };
  const join = (from: Uint8Array): number => ((((from[0] ?? 0) << 8) | (from[1] ?? 0)) >> 4) & 0xff;
  return { value: join(bytes), known: join(known) };
}
