/**
 * @module Many small runs of bytes, each kept once. Pure.
 *
 * 100,000 rules have a million expressions, most of them alike. As objects they would take a tenth of a gigabyte.
 */

const chunkBits = 16;
/** Words of a chunk; a run is found again by the number of its chunk and its word in it. */
const chunkWords = 1 << chunkBits;

/**
 * Keeps netlink attributes, each as words with its header: its first two bytes are its length. They are never changed or
 * moved, so views of them stay valid. Offsets count words.
 */
export class BytePool {
  readonly #chunks: Int32Array[] = [];
  #used = chunkWords;
  /** Open addressing: offset + 1 of a run that is to be found here, or 0. */
  #slots: Int32Array | undefined = new Int32Array(1 << 12);
  /** Of the runs in the slots, in the same places. */
  #hashes = new Int32Array(1 << 12);
  #count = 0;

  /** Keeps a run of words, and gives its offset. */
  append(words: Int32Array, start: number, end: number): number {
    const length = end - start;
    if (this.#used + length > chunkWords) {
      this.#chunks.push(new Int32Array(chunkWords));
      this.#used = 0;
    }
    const chunk = this.#chunks[this.#chunks.length - 1] ?? new Int32Array();
    const at = this.#used;
    for (let index = 0; index < length; index++) chunk[at + index] = words[start + index] ?? 0;
    this.#used = at + length;
    return ((this.#chunks.length - 1) << chunkBits) | at;
  }

  /** As `append`, but an equal run that is there already serves. */
  intern(words: Int32Array, start: number, end: number): number {
    const slots = this.#roomySlots();
    if (slots === undefined) return this.append(words, start, end);
    const mask = slots.length - 1;
    const hash = hashOf(words, start, end);
    let slot = hash & mask;
    for (;;) {
      const found = (slots[slot] ?? 0) - 1;
      if (found < 0) break;
      if (this.#hashes[slot] === hash && this.#isEqual(found, words, start, end)) return found;
      slot = (slot + 1) & mask;
    }
    const offset = this.append(words, start, end);
    slots[slot] = offset + 1;
    this.#hashes[slot] = hash;
    this.#count++;
    return offset;
  }

  /** The attribute that was kept at this offset, without padding. `tail` is its last word, where it was kept without. */
  attributeAt(offset: number, tail?: number): Uint8Array {
    const chunk = this.#chunks[offset >>> chunkBits];
    if (chunk === undefined) return new Uint8Array();
    const at = offset & (chunkWords - 1);
    const length = (chunk[at] ?? 0) & 0xffff;
    if (tail === undefined) return new Uint8Array(chunk.buffer, at * 4, length);
    const words = new Int32Array(wordsOf(length));
    words.set(chunk.subarray(at, at + words.length - 1));
    words[words.length - 1] = tail;
    return new Uint8Array(words.buffer, 0, length);
  }

  /** Forgets what is only needed to find equal runs. */
  seal(): void {
    this.#slots = undefined;
    this.#hashes = new Int32Array();
  }

  #isEqual(offset: number, words: Int32Array, start: number, end: number): boolean {
    const chunk = this.#chunks[offset >>> chunkBits];
    if (chunk === undefined) return false;
    const at = (offset & (chunkWords - 1)) - start;
    for (let index = start; index < end; index++) {
      if (chunk[at + index] !== words[index]) return false;
    }
    return true;
  }

  /** The slots, at most three quarters of them taken. */
  #roomySlots(): Int32Array | undefined {
    const slots = this.#slots;
    if (slots === undefined || this.#count * 4 < slots.length * 3) return slots;
    const grown = new Int32Array(slots.length * 4);
    const hashes = new Int32Array(grown.length);
    const mask = grown.length - 1;
    for (const [index, found] of slots.entries()) {
      if (found === 0) continue;
      const hash = this.#hashes[index] ?? 0;
      let slot = hash & mask;
      while (grown[slot] !== 0) slot = (slot + 1) & mask;
      grown[slot] = found;
      hashes[slot] = hash;
    }
    this.#slots = grown;
    this.#hashes = hashes;
    return grown;
  }
}

export function wordsOf(bytes: number): number {
  return (bytes + 3) >>> 2;
}

/** FNV-1a over words, its high bits mixed into the low ones that count. */
function hashOf(words: Int32Array, start: number, end: number): number {
  let hash = 0x811c9dc5;
  for (let index = start; index < end; index++) {
    hash = Math.imul(hash ^ (words[index] ?? 0), 0x01000193);
    hash ^= hash >>> 15;
  }
  return (Math.imul(hash, 0x2c1b3c6d) >>> 7) | 0;
}
