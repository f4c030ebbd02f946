/** @module Goes through the rules of a chain that may match the packet, in order. */
import type { RuleIndex } from './guards.ts';
import type { Machine } from './machine.ts';

export interface Cursor {
  /** The next rule behind the last one that may match; -1 at the end of the chain. */
  next(machine: Machine): number;
}

export function walkAll(count: number): Cursor {
  let position = -1;
  return {
    next() {
      position += 1;
      return position < count ? position : -1;
    },
  };
}

export function walkIndex({ tables, others }: RuleIndex): Cursor {
  let lists: (readonly number[])[] = [];
  let positions: number[] = [];
  let version = -1;
  let last = -1;

  /** What was changed on the way may be what the rules ask for. */
  const gather = (machine: Machine): void => {
    version = machine.state.version;
    lists = [];
    positions = [];
    if (others.length > 0) add(others);
    for (const { read, all, byValue } of tables) {
      const value = read(machine);
      if (value === null) continue;
      const list = value === undefined ? all : byValue.get(value);
      if (list !== undefined) add(list);
    }
  };
  const add = (list: readonly number[]): void => {
    lists.push(list);
    positions.push(last === -1 ? 0 : firstAbove(list, last));
  };

  return {
    next(machine) {
      if (machine.state.version !== version) gather(machine);
      let best = -1;
      let chosen = -1;
      for (let index = 0; index < lists.length; index++) {
        const candidate = lists[index]?.[positions[index] ?? 0];
        if (candidate !== undefined && (best === -1 || candidate < best)) {
          best = candidate;
          chosen = index;
        }
      }
      if (chosen !== -1) positions[chosen] = (positions[chosen] ?? 0) + 1;
      if (best !== -1) last = best;
      return best;
    },
  };
}

/** Where in an ascending list the first number above `limit` stands. */
function firstAbove(list: readonly number[], limit: number): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((list[middle] ?? 0) > limit) high = middle;
    else low = middle + 1;
  }
  return low;
}
