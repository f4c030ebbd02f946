/** @module Where a rule is written: what packets come there, and what its chain allows. */
import type { Direction } from '../evaluate/types.ts';
import type { Hook } from '../model.ts';
import type { IpFamily } from './address.ts';
import type { Declare } from './comparison.ts';
import type { Constraint, Field } from './constraint.ts';

/** A mark that some rule before gives to the packets that fit. */
export interface MarkSetter {
  readonly mark: number;
  readonly direction: Direction;
  readonly family: IpFamily;
  readonly protocol: number | undefined;
  readonly constraints: readonly Constraint[];
}

export interface Context {
  readonly tableFamily: 'inet' | 'ip' | 'ip6' | 'netdev';
  readonly chainType: 'filter' | 'nat' | 'route';
  readonly hook: Hook;
  readonly priority: number;
  /** Of a netdev chain. */
  readonly device?: string;
  readonly direction: Direction;
  readonly family: IpFamily;
  /** Chosen by a rule on the way here; none means any. */
  readonly protocol: number | undefined;
  /** What the way here asks of a packet. */
  readonly constraints: readonly Constraint[];
  readonly declare: Declare;
  readonly setters: readonly MarkSetter[];
}

export const usedFields = (context: Context): Set<Field> =>
  new Set(context.constraints.map(({ field }) => field));

export const seesInput = ({ hook }: Context): boolean =>
  hook === 'prerouting' || hook === 'input' || hook === 'forward' || hook === 'ingress';
export const seesOutput = ({ hook }: Context): boolean =>
  hook === 'forward' || hook === 'output' || hook === 'postrouting' || hook === 'egress';

/** Behind the decision to forward: the time to live is already one less. */
export const isForwarded = ({ hook, direction }: Pick<Context, 'hook' | 'direction'>): boolean =>
  hook === 'forward' || ((hook === 'postrouting' || hook === 'egress') && direction === 'forward');
