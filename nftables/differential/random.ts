/** @module Random numbers that a seed makes again (xoshiro128**, seeded by splitmix32). */

export interface Random {
  /** 0 to `limit` - 1. */
  below(limit: number): number;
  /** From `first` to `last`, both included. */
  between(first: number, last: number): number;
  /** True with this probability. */
  chance(probability: number): boolean;
  pick<T>(list: readonly T[]): T;
  /** By weight. */
  weigh<T>(list: readonly (readonly [number, T])[]): T;
  shuffle<T>(list: readonly T[]): T[];
  u32(): number;
}

export function createRandom(seed: number): Random {
  let state = seed | 0;
  const splitmix = (): number => {
    state = (state + 0x9e3779b9) | 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  };
  let a = splitmix();
  let b = splitmix();
  let c = splitmix();
  let d = splitmix();
  const rotate = (x: number, k: number): number => (x << k) | (x >>> (32 - k));
  const u32 = (): number => {
    const result = Math.imul(rotate(Math.imul(b, 5), 7), 9) >>> 0;
    const t = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= t;
    d = rotate(d, 11);
    return result;
  };
  const below = (limit: number): number => Math.floor((u32() / 0x100000000) * limit);
  const pick = <T>(list: readonly T[]): T => {
    const one = list[below(list.length)];
    if (one === undefined && list.length === 0) throw new Error('nothing to pick from');
    return one as T;
  };
  return {
    u32,
    below,
    between: (first, last) => first + below(last - first + 1),
    chance: (probability) => u32() / 0x100000000 < probability,
    pick,
    weigh: (list) => {
      let left = below(list.reduce((sum, [weight]) => sum + weight, 0));
      for (const [weight, value] of list) {
        left -= weight;
        if (left < 0) return value;
      }
      throw new Error('weights sum to nothing');
    },
    shuffle: (list) => {
      const out = [...list];
      for (let i = out.length - 1; i > 0; i--) {
        const j = below(i + 1);
        const held = out[i];
        out[i] = out[j] as (typeof out)[number];
        out[j] = held as (typeof out)[number];
      }
      return out;
    },
  };
}
