/** @module What a manager proposes against one rule or policy that takes a packet away: commands, and what they would do. */
import type { Answer, Decider, Ruleset, Step } from 'node-nftables';
import type { Edit } from './edit.ts';
import { type ChainKey, sameChain } from './edit.ts';
import type { ManagerFacts } from './managers.ts';
import type { Opening } from './opening.ts';

export type Manager = 'nftables' | 'firewalld' | 'ufw' | 'iptables' | 'iproute2';

/** Commands, all of which are to be typed, and the rule that they add. */
export interface Change {
  readonly manager: Manager;
  readonly commands: readonly string[];
  readonly edit: Edit;
}

/** A rule or a policy that takes the packet away. */
export type Blocker = Exclude<Decider, { readonly kind: 'none' }>;

/** What a manager may look at to propose something. */
export interface Case {
  readonly ruleset: Ruleset;
  readonly opening: Opening;
  readonly answer: Answer;
  readonly blocker: Blocker;
  readonly managers: ManagerFacts;
}

/** The base chain in whose course the packet is lost. */
export function baseOf(blocker: Blocker): ChainKey {
  return blocker.kind === 'rule' ? blocker.baseChain : blocker.chain;
}

/** The steps that the packet made in the course of that base chain, in order. */
export function stepsOf({ answer, blocker }: Pick<Case, 'answer' | 'blocker'>): readonly Step[] {
  const base = baseOf(blocker);
  return answer.path.filter(({ baseChain }) => sameChain(baseChain, base));
}
