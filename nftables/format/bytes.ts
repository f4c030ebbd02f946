/** @module Bytes of registers as numbers, addresses and names. */

/** Byte order of a number: of packets (`big`) or of the machine (`host`, little-endian: see the model). */
export type ByteOrder = 'big' | 'host';

export function toNumber(bytes: Uint8Array, order: ByteOrder): bigint {
  let value = 0n;
  for (let index = 0; index < bytes.length; index++) {
    const byte = bytes[order === 'big' ? index : bytes.length - 1 - index] ?? 0;
    value = (value << 8n) | BigInt(byte);
  }
  return value;
}

export function fromNumber(value: bigint, length: number, order: ByteOrder): Uint8Array {
  const bytes = new Uint8Array(length);
  let rest = value;
  for (let index = 0; index < length; index++) {
    bytes[order === 'big' ? length - 1 - index : index] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return bytes;
}

export function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}

export function allOnes(length: number): bigint {
  return (1n << BigInt(8 * length)) - 1n;
}

/** Length of the prefix that a mask of `bits` bits covers; undefined when its ones are not all in front. */
export function prefixLength(mask: bigint, bits: number): number | undefined {
  const rest = ((1n << BigInt(bits)) - 1n) ^ mask;
  if ((rest & (rest + 1n)) !== 0n) return undefined;
  return bits - bitLength(rest);
}

export function bitLength(value: bigint): number {
  return value === 0n ? 0 : value.toString(2).length;
}

/** The one run of ones in a mask: its length, and how many zeros are behind it. */
export function runOfOnes(mask: bigint): { length: number; shift: number } | undefined {
  if (mask === 0n) return undefined;
  const shift = bitLength(mask & -mask) - 1;
  const run = mask >> BigInt(shift);
  return (run & (run + 1n)) === 0n ? { length: bitLength(run), shift } : undefined;
}

export function formatIpv4(bytes: Uint8Array): string {
  return bytes.join('.');
}

/** As inet_ntop(3): the longest run of at least two zero words is `::`, and IPv4 inside IPv6 is dotted. */
export function formatIpv6(bytes: Uint8Array): string {
  const words = Array.from({ length: 8 }, (_, index) =>
    Number(toNumber(bytes.subarray(2 * index, 2 * index + 2), 'big')),
  );
  let start = -1;
  let length = 1;
  for (let from = 0; from < 8; from++) {
    let to = from;
    while (to < 8 && words[to] === 0) to++;
    if (to - from > length) [start, length] = [from, to - from];
  }
  if (start === 0 && (length === 6 || (length === 5 && words[5] === 0xffff))) {
    return `${length === 6 ? '::' : '::ffff:'}${formatIpv4(bytes.subarray(12))}`;
  }
  const text = (part: readonly number[]): string => part.map((word) => word.toString(16)).join(':');
  if (start < 0) return text(words);
  return `${text(words.slice(0, start))}::${text(words.slice(start + length))}`;
}

export function formatEther(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':');
}

/** Text that nft's quoted strings can hold: they know no escape, and `$` would be a variable. */
export function quote(text: string): string | undefined {
  return /^[^\p{Cc}"$\\]*$/u.test(text.replaceAll('\t', ' ')) ? `"${text}"` : undefined;
}

/** A name that nft reads as one word; the kernel takes any. */
export function identifier(name: string): string | undefined {
  return /^[a-zA-Z_.][\w/.-]*$/.test(name) ? name : undefined;
}
