/** @module Chance that comes out the same whenever it is asked with the same words. */

export interface Random {
  /** From 0 up to but not 1. */
  fraction(): number;
  /** A whole number, both ends included. */
  integer(low: number, high: number): number;
  pick<T>(values: readonly T[]): T;
  chance(probability: number): boolean;
  shuffle<T>(values: readonly T[]): T[];
}

/** Chance that belongs to these words: `seed 3, input-drop, udp`. */
export function randomOf(words: string): Random {
  let state = hashOf(words);
  // mulberry32.
  const fraction = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const integer = (low: number, high: number): number =>
    low + Math.floor(fraction() * (high - low + 1));
  return {
    fraction,
    integer,
    pick(values) {
      const picked = values[integer(0, values.length - 1)];
      if (picked === undefined) throw new Error('nothing to pick from');
      return picked;
    },
    chance: (probability) => fraction() < probability,
    shuffle(values) {
      return values
        .map((value) => ({ value, place: fraction() }))
        .sort((one, other) => one.place - other.place)
        .map(({ value }) => value);
    },
  };
}

/** FNV-1a. */
function hashOf(words: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < words.length; at++)
    hash = Math.imul(hash ^ words.charCodeAt(at), 0x01000193);
  return hash >>> 0;
}
