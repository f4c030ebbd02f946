/** @module Notices when rules of a network provider or of kube-proxy vanish, between one picture of the firewall and the next. */
import type { Ruleset } from 'node-nftables';
import {
  isOver,
  type NamedOwner,
  type NoticedWipe,
  printOf,
  type RulesPrint,
  wipesOf,
} from '../checks/wiped-rules.ts';
import type { RuleOwners } from '../rules/rule-owners.ts';
import type { ChangeMaker } from './firewall-watch.ts';

/** More changes than this between two pictures, and nobody is named. */
const mostMakers = 64;
/** So many wipes are remembered; a ruleset has fewer places than that. */
const mostWipes = 64;

/** What an owner may have taken away itself counts when it was not back after so long: as long as a pod takes to start again. */
const patienceMs = 60_000;

export interface WipeAlarmOptions {
  /** Whose rules there may be; others after the catalogue was read anew. */
  readonly owners: () => RuleOwners;
  /** The time of day, in milliseconds. */
  readonly now: () => number;
}

export interface WipeAlarm {
  /** A change was made; the next picture shows what it did. */
  changed(maker: ChangeMaker | undefined): void;
  /** Compares this picture with the one before: what was wiped meanwhile, and which earlier wipes are over. */
  look(ruleset: Ruleset): {
    readonly wiped: readonly NoticedWipe[];
    readonly over: readonly NoticedWipe[];
  };
  /** Wipes that count and are not over, the oldest first; undefined before the first picture. */
  open(): readonly NoticedWipe[] | undefined;
}

export function createWipeAlarm(options: WipeAlarmOptions): WipeAlarm {
  let seen: Ruleset | undefined;
  let before: RulesPrint | undefined;
  let printed = '';
  let open: readonly NoticedWipe[] = [];
  let makers = new Map<number, ChangeMaker>();

  return {
    changed(maker) {
      if (maker !== undefined && makers.size < mostMakers) makers.set(maker.pid, maker);
    },
    look(ruleset) {
      if (ruleset === seen) return { wiped: [], over: [] };
      seen = ruleset;
      const owners = namedOwners(options.owners());
      // What is known by other names now would look as if it had gone.
      const names = JSON.stringify(owners);
      if (names !== printed) before = undefined;
      printed = names;
      const after = printOf(ruleset, owners);
      const processes = [...makers.values()];
      makers = new Map();
      const noticedAt = new Date(options.now()).toISOString();
      const wiped =
        before === undefined
          ? []
          : wipesOf({ before, after, processes }, owners).map((wipe) => ({ ...wipe, noticedAt }));
      const over = open.filter((wipe) => isOver(wipe, after));
      open = [...open.filter((wipe) => !over.includes(wipe)), ...wiped].slice(-mostWipes);
      before = after;
      return { wiped, over };
    },
    open() {
      if (before === undefined) return undefined;
      const sinceMs = options.now() - patienceMs;
      return open.filter(
        ({ mayBeOwn, noticedAt }) => !mayBeOwn || Date.parse(noticedAt) <= sinceMs,
      );
    },
  };
}

function namedOwners({ owners }: RuleOwners): readonly NamedOwner[] {
  return [...owners].map(([name, { chains, tables, processes, tools }]) => ({
    name,
    chains,
    tables,
    processes,
    tools,
  }));
}
