/** @module Notices when rules of a network provider or of kube-proxy vanish, between one picture of the firewall and the next. */
import type { Ruleset } from 'node-nftables';
import {
  isRestored,
  printOf,
  type RulesPrint,
  type Wipe,
  wipesOf,
} from '../checks/firewall-wipe.ts';
import type { ChangeMaker } from './firewall-watch.ts';

/** More changes than this between two pictures, and nobody is named. */
const mostMakers = 64;

export interface WipeAlarm {
  /** A change was made; the next picture shows what it did. */
  changed(maker: ChangeMaker | undefined): void;
  /** Compares this picture with the one before: what was wiped meanwhile, and what of earlier wipes is there again. */
  look(ruleset: Ruleset): { readonly wiped: readonly Wipe[]; readonly restored: readonly Wipe[] };
}

export function createWipeAlarm(): WipeAlarm {
  let seen: Ruleset | undefined;
  let before: RulesPrint | undefined;
  let open: readonly Wipe[] = [];
  let makers = new Map<number, ChangeMaker>();

  return {
    changed(maker) {
      if (maker !== undefined && makers.size < mostMakers) makers.set(maker.pid, maker);
    },
    look(ruleset) {
      if (ruleset === seen) return { wiped: [], restored: [] };
      seen = ruleset;
      const after = printOf(ruleset);
      const processes = [...makers.values()];
      makers = new Map();
      const wiped = before === undefined ? [] : wipesOf({ before, after, processes });
      const restored = open.filter((wipe) => isRestored(wipe, after));
      open = [...open.filter((wipe) => !restored.includes(wipe)), ...wiped];
      before = after;
      return { wiped, restored };
    },
  };
}
