/** @module The Internet checksum (RFC 1071) and the pseudo-headers that UDP, TCP and ICMPv6 add to it. */

/**
 * The folded 16-bit one's complement sum, not inverted (RFC 1071 section 1); an odd last byte is the upper half of a word.
 *
 * `initial` continues an earlier sum, which must have covered an even number of bytes.
 */
export function onesComplementSum(bytes: Uint8Array, initial = 0): number {
  // By index and not through a DataView: asking a short array for its buffer makes V8 move it out of the heap,
  // which costs more than the whole sum.
  const even = bytes.length & ~1;
  // 65,535 bytes add up to less than 2^31, and a number is exact to 2^53: folding once at the end is enough.
  let sum = initial;
  for (let offset = 0; offset < even; offset += 2)
    sum += (bytes[offset] ?? 0) * 0x100 + (bytes[offset + 1] ?? 0);
  if (even !== bytes.length) sum += (bytes[even] ?? 0) * 0x100;
  return fold(sum);
}

function fold(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = Math.floor(folded / 0x10000) + (folded % 0x10000);
  return folded;
}

/** The checksum field: the inverted sum. Over bytes that already hold a right checksum it is 0. */
export function internetChecksum(bytes: Uint8Array, initial = 0): number {
  return onesComplementSum(bytes, initial) ^ 0xffff;
}

/** What a pseudo-header is made of; both addresses are of one family. */
export interface PseudoHeader {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly protocol: number;
  /** Bytes of the transport header and its payload. */
  readonly length: number;
}

/**
 * The folded sum of the pseudo-header, not inverted.
 *
 * IPv4 (RFC 768): source 4 · destination 4 · zero 1 · protocol 1 · length 2.
 * IPv6 (RFC 8200 section 8.1): source 16 · destination 16 · length 4 · zero 3 · next header 1.
 * The sum does not depend on the order or width of the words, so one formula serves both.
 */
export function pseudoHeaderSum({ source, destination, protocol, length }: PseudoHeader): number {
  const ends = onesComplementSum(destination, onesComplementSum(source));
  return fold(ends + protocol + Math.floor(length / 0x10000) + (length % 0x10000));
}
