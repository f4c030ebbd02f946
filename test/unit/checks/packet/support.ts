import { parseAddress } from '../../../../checks/packet/address.ts';

/** Bytes of a layout written as hex, one field a line; blanks and `# …` comments are left out. */
export function hex(layout: string): Uint8Array {
  const digits = layout.replace(/#.*$/gm, '').replace(/\s+/g, '');
  if (digits.length % 2 !== 0 || /[^0-9a-f]/i.test(digits)) throw new Error(`not hex: ${digits}`);
  return Uint8Array.from({ length: digits.length / 2 }, (_, index) =>
    Number.parseInt(digits.slice(index * 2, index * 2 + 2), 16),
  );
}

/** A copy with some bytes replaced. */
export function patched(bytes: Uint8Array, offset: number, values: readonly number[]): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy.set(values, offset);
  return copy;
}

/** Pseudo-random numbers in [0, 2^32), the same for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
}

/** Random bytes, at most `maximum` of them. */
export function randomBytes(random: () => number, maximum: number): Uint8Array {
  return Uint8Array.from({ length: random() % (maximum + 1) }, () => random() & 0xff);
}

/** A valid packet made wrong: some bits flipped, sometimes cut. */
export function damaged(random: () => number, bytes: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes);
  for (let flips = 1 + (random() % 4); flips > 0; flips -= 1) {
    const offset = random() % copy.length;
    copy[offset] = (copy[offset] ?? 0) ^ (1 << (random() % 8));
  }
  return random() % 3 === 0 ? copy.subarray(0, random() % (copy.length + 1)) : copy;
}

/** Every proper beginning of a packet, each in a larger buffer as a receive buffer would hold it. */
export function truncations(bytes: Uint8Array): Uint8Array[] {
  const buffer = new Uint8Array(bytes.length + 16).fill(0xee);
  buffer.set(bytes, 3);
  return Array.from({ length: bytes.length }, (_, length) => buffer.subarray(3, 3 + length));
}

/** The bytes of an address that the test knows to be valid. */
export function address(text: string): Uint8Array {
  const bytes = parseAddress(text);
  if (bytes === undefined) throw new Error(`not an address: ${text}`);
  return bytes;
}
