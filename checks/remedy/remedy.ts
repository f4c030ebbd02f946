/**
 * @module The smallest change that makes a packet pass, in the words of the manager in charge. Pure, and only ever shown.
 *
 * Every change is verified: the ruleset as it would be after it is evaluated, and what would not make the packet pass is not shown.
 */
import type { Answer, Environment, Packet, Ruleset } from 'node-nftables';
import { type Blocker, baseOf, type Case, type Change, type Manager } from './change.ts';
import { applyEdit, sameChain } from './edit.ts';
import { firewalldChanges } from './firewalld.ts';
import { type ManagerFacts, manages, ownerOf } from './managers.ts';
import { type DevicePair, openingBetween, openingOf } from './opening.ts';
import { iptablesChanges, nftChanges } from './raw.ts';
import { ufwChanges } from './ufw.ts';

/** Commands to type on this node, all of them and in this order: they make one packet pass, or mend a setting of the node. */
export interface Remedy {
  readonly manager: Manager | 'ethtool' | 'iproute2' | 'modprobe' | 'sysctl' | 'systemd';
  readonly commands: readonly string[];
}

export interface RemedyQuestion {
  readonly ruleset: Ruleset;
  readonly environment: Environment;
  readonly packet: Packet;
  /** What becomes of the packet now. */
  readonly answer: Answer;
  readonly managers: ManagerFacts;
  /** The devices between which everything is to be let through, not this packet alone. */
  readonly devices?: DevicePair;
  readonly evaluate: (ruleset: Ruleset, packet: Packet, environment: Environment) => Answer;
}

/** So many rules or policies in a row are opened one after the other; a packet that meets more finds no remedy. */
const mostBlockers = 6;

/**
 * What to type so that the packet passes. Several entries are parts of one remedy: more than one firewall takes it away. Empty where
 * it passes already, or where nothing that any manager has words for would do.
 */
export function remediesFor(question: RemedyQuestion): readonly Remedy[] {
  const { devices } = question;
  const opening =
    devices === undefined
      ? openingOf(question.packet)
      : openingBetween(question.packet.family, devices);
  if (opening === undefined || question.answer.verdict === 'accept') return [];
  const { packet, environment, managers, evaluate } = question;
  let { ruleset, answer } = question;
  const changes: Change[] = [];
  while (answer.verdict !== 'accept') {
    const blocker = firstBlocker(answer);
    if (blocker === undefined || changes.length >= mostBlockers) return [];
    const given: Case = { ruleset, opening, answer, blocker, managers };
    const step = firstThatOpens(given, (edited) => evaluate(edited, packet, environment));
    if (step === undefined) return [];
    changes.push(step.change);
    ({ ruleset, answer } = step);
  }
  return answer.arrives === 'as-asked' ? joined(changes) : [];
}

/** The first in the packet's way of those that take it away, or may. */
function firstBlocker(answer: Answer): Blocker | undefined {
  const deciders = answer.possible
    .filter(({ verdict }) => verdict === 'drop' || verdict === 'reject')
    .flatMap(({ decidedBy }) => (decidedBy.kind === 'none' ? [] : [decidedBy]));
  const place = (blocker: Blocker): number => {
    const chain = answer.chains.findIndex((one) => sameChain(one.chain, baseOf(blocker)));
    const step =
      blocker.kind === 'rule'
        ? answer.path.findIndex(({ rule }) => rule === blocker.rule)
        : answer.path.length;
    return (chain < 0 ? answer.chains.length : chain) * 1e6 + step;
  };
  return deciders.sort((one, other) => place(one) - place(other))[0];
}

interface Opened {
  readonly change: Change;
  readonly ruleset: Ruleset;
  readonly answer: Answer;
}

/** The first change after which this base chain lets the packet pass for certain. */
function firstThatOpens(given: Case, evaluate: (ruleset: Ruleset) => Answer): Opened | undefined {
  const base = baseOf(given.blocker);
  for (const change of changesFor(given)) {
    const ruleset = applyEdit(given.ruleset, change.edit);
    if (ruleset === undefined) continue;
    const answer = evaluate(ruleset);
    const result = answer.chains.find(({ chain }) => sameChain(chain, base));
    const passes = result?.possible.every(({ verdict }) => verdict === 'accept') ?? false;
    if (passes) return { change, ruleset, answer };
  }
  return undefined;
}

/** What the manager in charge proposes, the smallest first. */
function changesFor(given: Case): readonly Change[] {
  const { blocker, ruleset, managers, opening } = given;
  const base = baseOf(blocker);
  const owner = ownerOf(blocker.chain, ruleset);
  const hasUfw = manages('ufw', base, ruleset) && managers.ufw !== 'no';
  const hasFirewalld = manages('firewalld', base, ruleset) && managers.firewalld !== 'no';
  // Both let answers pass of themselves; against somebody else's rule they have no words for that.
  const hasNoWords = opening.established !== undefined;
  if (hasNoWords && (owner === 'ufw' || (owner === 'firewalld' && managers.firewalld !== 'no')))
    return [];
  switch (owner) {
    case 'program':
      return [];
    case 'nftables':
      return nftChanges(given);
    case 'firewalld':
      if (managers.firewalld !== 'no') return firewalldChanges(given);
      return base.table === 'firewalld' ? nftChanges(given) : [];
    case 'ufw':
      return hasUfw ? ufwChanges(given) : [];
    case 'docker':
      return iptablesChanges(given);
    case 'iptables': {
      // A policy, and what stands in the built-in chains, may be the manager's or somebody else's.
      const managed = hasNoWords
        ? []
        : hasUfw
          ? ufwChanges(given)
          : hasFirewalld
            ? firewalldChanges(given)
            : [];
      const isManagers = blocker.kind === 'policy' && managed.length > 0;
      return isManagers ? managed : [...managed, ...iptablesChanges(given), ...nftChanges(given)];
    }
  }
}

/** One entry a manager, as long as the order of the commands stays. */
function joined(changes: readonly Change[]): readonly Remedy[] {
  const remedies: Remedy[] = [];
  for (const { manager, commands } of changes) {
    const last = remedies.at(-1);
    if (last?.manager === manager) {
      remedies[remedies.length - 1] = { ...last, commands: [...last.commands, ...commands] };
    } else remedies.push({ manager, commands });
  }
  return remedies;
}
