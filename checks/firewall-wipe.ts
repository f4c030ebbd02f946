/**
 * @module The wipe alarm: rules of a network provider or of kube-proxy that were there, and vanished at one change. Pure.
 *
 * A reload of firewalld, `nft flush ruleset` in a restarted nftables.service or `iptables -F` takes away what a provider wrote, and
 * many a provider writes it at its own start only. A provider that replaces its rules does it in one transaction, so that no picture
 * of the rules lacks them; one that now runs in another way (iptables, then nftables) has rules in the new place. Neither is a wipe.
 */
import type { Chain, Family, Ruleset } from 'node-nftables';

/** How the rules of one program are known. */
export interface RuleOwner {
  readonly name: string;
  /** Begins of the names of its chains in tables of iptables. */
  readonly chains: readonly string[];
  /** Begins of the names of its own tables in nf_tables. */
  readonly tables: readonly string[];
  /** Begins of process names (as in /proc/PID/comm) under which it removes its own rules. */
  readonly processes: readonly string[];
}

export const ruleOwners: readonly RuleOwner[] = [
  { name: 'kube-proxy', chains: ['KUBE-'], tables: ['kube-proxy'], processes: ['kube-proxy'] },
  { name: 'calico', chains: ['cali-'], tables: ['calico'], processes: ['calico', 'felix'] },
  { name: 'flannel', chains: ['FLANNEL-'], tables: ['flannel-'], processes: ['flanneld'] },
  { name: 'cilium', chains: ['CILIUM_'], tables: ['cilium'], processes: ['cilium'] },
  { name: 'weave', chains: ['WEAVE'], tables: [], processes: ['weave'] },
  { name: 'portmap', chains: ['CNI-HOSTPORT-'], tables: ['cni_hostport'], processes: ['portmap'] },
];

/** What one owner has in one table. */
export interface OwnedRules {
  readonly owner: string;
  /** `ip nat` of `nf_tables`: the table. */
  readonly place: string;
  /** The packets it is about: what is gone for IPv6 is not there because IPv4 has it. */
  readonly family: Family;
  /** Rules in its chains. */
  readonly rules: number;
  /** Its chains that each base chain jumps to; a base chain of its own counts as its own way in. */
  readonly entries: ReadonlyMap<string, ReadonlySet<string>>;
  /** Its chains that hold rules. */
  readonly filled: ReadonlySet<string>;
}

/** The print of a ruleset: what each owner has in each table. Small, whatever the size of the ruleset. */
export type RulesPrint = ReadonlyMap<string, OwnedRules>;

export interface Wipe {
  readonly owner: string;
  readonly place: string;
  readonly family: Family;
  /** `rules`: all of them are gone. `entries`: they are there, but a base chain does not lead to them any more. */
  readonly what: 'rules' | 'entries';
  /** How many were lost. */
  readonly lost: number;
  /** Of lost entries: the base chains. */
  readonly chains: readonly string[];
  /** Who made the change, where the kernel told. */
  readonly process?: { readonly pid: number; readonly name: string };
}

/** Takes the print. One pass over the rules, and no look into those of anybody else but for their jumps. */
export function printOf(
  ruleset: Pick<Ruleset, 'chains' | 'rules'>,
  owners: readonly RuleOwner[] = ruleOwners,
): RulesPrint {
  interface Draft {
    owner: string;
    place: string;
    family: Family;
    rules: number;
    entries: Map<string, Set<string>>;
    filled: Set<string>;
  }
  const drafts = new Map<string, Draft>();
  const ownerByChain = new Map<string, string>();
  const bases = new Map<string, Chain>();
  const draftOf = (owner: string, chain: Pick<Chain, 'backend' | 'family' | 'table'>): Draft => {
    const place = `${chain.backend} ${chain.family} ${chain.table}`;
    const key = `${owner} ${place}`;
    const known = drafts.get(key);
    if (known !== undefined) return known;
    const fresh: Draft = {
      owner,
      place,
      family: chain.family,
      rules: 0,
      entries: new Map(),
      filled: new Set(),
    };
    drafts.set(key, fresh);
    return fresh;
  };
  for (const chain of ruleset.chains) {
    const key = keyOf(chain, chain.name);
    if (chain.base !== undefined) bases.set(key, chain);
    const owner = owners.find(
      (one) =>
        one.chains.some((start) => chain.name.startsWith(start)) ||
        one.tables.some((start) => chain.table.startsWith(start)),
    );
    if (owner !== undefined) ownerByChain.set(key, owner.name);
  }
  for (const rule of ruleset.rules) {
    const key = keyOf(rule, rule.chain);
    const owner = ownerByChain.get(key);
    if (owner !== undefined) {
      const draft = draftOf(owner, rule);
      draft.rules++;
      draft.filled.add(rule.chain);
    }
    if (!bases.has(key)) continue;
    if (owner !== undefined) addTo(draftOf(owner, rule).entries, rule.chain, rule.chain);
    for (const expression of rule.expressions) {
      if (expression.kind !== 'verdict' || !('chain' in expression.verdict)) continue;
      const target = expression.verdict.chain;
      const entered = ownerByChain.get(keyOf(rule, target));
      if (entered !== undefined) addTo(draftOf(entered, rule).entries, rule.chain, target);
    }
  }
  return drafts;
}

function keyOf(place: Pick<Chain, 'backend' | 'family' | 'table'>, chain: string): string {
  return `${place.backend} ${place.family} ${place.table} ${chain}`;
}

function addTo(entries: Map<string, Set<string>>, base: string, target: string): void {
  const targets = entries.get(base) ?? new Set<string>();
  entries.set(base, targets.add(target));
}

/** The change between two prints, and who made it: several where more than one transaction lay between them. */
export interface Change {
  readonly before: RulesPrint;
  readonly after: RulesPrint;
  readonly processes: readonly { readonly pid: number; readonly name: string }[];
}

/** What was wiped between two prints. */
export function wipesOf(
  { before, after, processes }: Change,
  owners: readonly RuleOwner[] = ruleOwners,
): readonly Wipe[] {
  const wipes: Wipe[] = [];
  for (const [key, was] of before) {
    if (was.rules === 0) continue;
    const own = owners.find(({ name }) => name === was.owner)?.processes ?? [];
    const strangers = processes.filter(({ name }) => !own.some((start) => name.startsWith(start)));
    // Who takes away their own rules knows what they do.
    if (processes.length > 0 && strangers.length === 0) continue;
    const [only] = strangers;
    const found = {
      owner: was.owner,
      place: was.place,
      family: was.family,
      ...(strangers.length === 1 && only !== undefined ? { process: only } : {}),
    };
    const is = after.get(key);
    if (is === undefined || is.rules === 0) {
      if (hasNewPlace(was, before, after)) continue;
      wipes.push({ ...found, what: 'rules', lost: was.rules, chains: [] });
      continue;
    }
    const lost = [...was.entries].filter(
      ([base, targets]) =>
        !is.entries.has(base) && [...targets].some((target) => is.filled.has(target)),
    );
    if (lost.length === 0) continue;
    const count = lost.reduce((total, [, targets]) => total + targets.size, 0);
    const chains = lost.map(([base]) => base);
    wipes.push({ ...found, what: 'entries', lost: count, chains });
  }
  return wipes;
}

/** Whether the owner has rules for this family where it had none before: it runs in another way now. */
function hasNewPlace(was: OwnedRules, before: RulesPrint, after: RulesPrint): boolean {
  for (const [key, is] of after) {
    if (is.owner !== was.owner || is.rules === 0 || (before.get(key)?.rules ?? 0) > 0) continue;
    if (is.family === was.family || is.family === 'inet') return true;
  }
  return false;
}

/** Whether what was wiped is there again. */
export function isRestored(wipe: Wipe, now: RulesPrint): boolean {
  for (const is of now.values()) {
    if (is.owner !== wipe.owner || is.rules === 0) continue;
    if (is.place !== wipe.place) continue;
    if (wipe.chains.every((chain) => is.entries.has(chain))) return true;
  }
  return false;
}
