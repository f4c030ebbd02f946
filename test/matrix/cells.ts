/** @module The runs of a matrix: every fault with every protocol, both ways round, once a seed. Pure. */
import type { Family } from '../../checks/family.ts';
import { type Fault, type Protocol, protocols } from './fault.ts';
import { randomOf } from './random.ts';

/** One run. What else is random in it belongs to its words. */
export interface Cell {
  readonly fault: Fault;
  readonly protocol: Protocol;
  /** `forth`: from a node to one of a higher number. */
  readonly direction: 'forth' | 'back';
  readonly family: Family;
  readonly words: string;
  /** Names of sender and receiver, where they are not for chance to choose. */
  readonly roles?: readonly [sender: string, receiver: string];
}

export interface Selection {
  readonly seeds: readonly number[];
  readonly faults: readonly Fault[];
  readonly protocols?: readonly Protocol[] | undefined;
  readonly family?: Family | undefined;
}

export function cellsOf(selection: Selection): readonly Cell[] {
  const { seeds, faults, protocols: wanted = protocols } = selection;
  return seeds.flatMap((seed) =>
    faults.flatMap((fault) =>
      fault.protocols
        .filter((protocol) => wanted.includes(protocol))
        .flatMap((protocol) =>
          (['forth', 'back'] as const).flatMap((direction) => {
            const words = `seed ${seed}, ${fault.name}, ${protocol}, ${direction}`;
            const possible = (fault.families ?? (['ipv4', 'ipv6'] as const)).filter(
              (family) => family === 'ipv4' || protocol !== 'ipip',
            );
            const family = selection.family ?? randomOf(`${words}, family`).pick(possible);
            return possible.includes(family) ? [{ fault, protocol, direction, family, words }] : [];
          }),
        ),
    ),
  );
}
