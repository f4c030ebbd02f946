/**
 * @module What a change took from the firewall: rules of a network provider or of kube-proxy that were there, and vanished at one change. Pure.
 *
 * A reload of firewalld, `nft flush ruleset` in a restarted nftables.service or `iptables -F` takes away what a provider wrote, and
 * many a provider writes it at its own start only. A provider that replaces its rules does it in one transaction, so that no picture
 * of the rules lacks them; one that now runs in another way (iptables, then nftables) has rules in the new place. Neither is a wipe.
 */
import type { Chain, Family, Rule, Ruleset } from 'node-nftables';
import type { RuleOwner } from '../rules/rule-owners.ts';

/** How the rules of one program are known: as the catalogue says, by its name there. */
export type NamedOwner = Pick<RuleOwner, 'chains' | 'tables' | 'processes' | 'tools'> & {
  readonly name: string;
};

/** What one owner has in one table. */
export interface OwnedRules {
  readonly owner: string;
  /** `ip nat` of `nf_tables`: the table. */
  readonly place: string;
  /** The packets it is about: what is gone for IPv6 is not there because IPv4 has it. */
  readonly family: Family;
  /** Whether the whole table is its own. */
  readonly isOwnTable: boolean;
  /** Rules in its chains. */
  readonly rules: number;
  /** Rules of others' base chains that lead into its chains. */
  readonly jumps: number;
  /** Its chains that each base chain jumps to; a base chain of its own counts as its own way in. */
  readonly entries: ReadonlyMap<string, ReadonlySet<string>>;
  /** Its chains that hold rules. */
  readonly filled: ReadonlySet<string>;
}

/** The print of a ruleset: what each owner has in each table. Small, whatever the size of the ruleset. */
export interface RulesPrint {
  readonly owned: ReadonlyMap<string, OwnedRules>;
  /** Rules of anybody in each place. */
  readonly rules: ReadonlyMap<string, number>;
}

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
  /** Where else its owner had rules for the same packets. */
  readonly elsewhere: readonly string[];
  /**
   * Whether its owner may have done it: by a tool that it uses, and to nobody else's rules. When flanneld ends or starts it clears its
   * own chains with iptables or nft, and is there again soon.
   */
  readonly mayBeOwn: boolean;
  /** Who made the change, where the kernel told. */
  readonly process?: { readonly pid: number; readonly name: string };
}

/** A wipe that was seen to have happened. */
export interface NoticedWipe extends Wipe {
  readonly noticedAt: string;
}

/** Takes the print. One pass over the rules, and no look into those of anybody else but for their jumps. */
export function printOf(
  ruleset: Pick<Ruleset, 'chains' | 'rules'>,
  owners: readonly NamedOwner[],
): RulesPrint {
  interface Draft {
    owner: string;
    place: string;
    family: Family;
    isOwnTable: boolean;
    rules: number;
    jumps: number;
    entries: Map<string, Set<string>>;
    filled: Set<string>;
  }
  const tableOwnerOf = (table: string): NamedOwner | undefined =>
    owners.find(({ tables }) => tables.some((start) => table.startsWith(start)));
  const drafts = new Map<string, Draft>();
  const ownerByChain = new Map<string, string>();
  const bases = new Map<string, Chain>();
  const draftOf = (owner: string, chain: Pick<Chain, 'backend' | 'family' | 'table'>): Draft => {
    const place = placeOf(chain);
    const key = `${owner} ${place}`;
    const known = drafts.get(key);
    if (known !== undefined) return known;
    const fresh: Draft = {
      owner,
      place,
      family: chain.family,
      isOwnTable: tableOwnerOf(chain.table)?.name === owner,
      rules: 0,
      jumps: 0,
      entries: new Map(),
      filled: new Set(),
    };
    drafts.set(key, fresh);
    return fresh;
  };
  for (const chain of ruleset.chains) {
    const key = keyOf(chain, chain.name);
    if (chain.base !== undefined) bases.set(key, chain);
    const owner =
      owners.find(({ chains }) => chains.some((start) => chain.name.startsWith(start))) ??
      tableOwnerOf(chain.table);
    if (owner !== undefined) ownerByChain.set(key, owner.name);
  }
  // The rules of a chain follow one another: what their chain is, is looked up once.
  let last: Rule | undefined;
  let own: Draft | undefined;
  let isBase = false;
  let here = { count: 0 };
  const counters = new Map<string, { count: number }>();
  const counterOf = (place: string): { count: number } => {
    const counter = counters.get(place) ?? { count: 0 };
    counters.set(place, counter);
    return counter;
  };
  for (const rule of ruleset.rules) {
    if (last === undefined || !isSameChain(rule, last)) {
      const key = keyOf(rule, rule.chain);
      const owner = ownerByChain.get(key);
      own = owner === undefined ? undefined : draftOf(owner, rule);
      own?.filled.add(rule.chain);
      isBase = bases.has(key);
      here = counterOf(placeOf(rule));
      if (isBase && own !== undefined) addTo(own.entries, rule.chain, rule.chain);
    }
    last = rule;
    here.count++;
    if (own !== undefined) own.rules++;
    if (!isBase) continue;
    for (const expression of rule.expressions) {
      if (expression.kind !== 'verdict' || !('chain' in expression.verdict)) continue;
      const target = expression.verdict.chain;
      const entered = ownerByChain.get(keyOf(rule, target));
      if (entered === undefined) continue;
      const draft = draftOf(entered, rule);
      addTo(draft.entries, rule.chain, target);
      if (draft !== own) draft.jumps++;
    }
  }
  const rules = new Map([...counters].map(([place, { count }]) => [place, count]));
  return { owned: drafts, rules };
}

function isSameChain(one: Rule, other: Rule): boolean {
  return (
    one.chain === other.chain &&
    one.table === other.table &&
    one.family === other.family &&
    one.backend === other.backend
  );
}

function placeOf({ backend, family, table }: Pick<Chain, 'backend' | 'family' | 'table'>): string {
  return `${backend} ${family} ${table}`;
}

function keyOf(place: Pick<Chain, 'backend' | 'family' | 'table'>, chain: string): string {
  return `${placeOf(place)} ${chain}`;
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
  owners: readonly NamedOwner[],
): readonly Wipe[] {
  const wipes: Wipe[] = [];
  for (const [key, was] of before.owned) {
    if (was.rules === 0) continue;
    const owner = owners.find(({ name }) => name === was.owner);
    const isOf = (starts: readonly string[] = [], { name }: { readonly name: string }): boolean =>
      starts.some((start) => name.startsWith(start));
    const strangers = processes.filter((one) => !isOf(owner?.processes, one));
    // Who takes away their own rules knows what they do.
    if (processes.length > 0 && strangers.length === 0) continue;
    const [only] = strangers;
    const found = {
      owner: was.owner,
      place: was.place,
      family: was.family,
      elsewhere: placesOf(was, before).filter((place) => place !== was.place),
      ...(strangers.length === 1 && only !== undefined ? { process: only } : {}),
    };
    const is = after.owned.get(key);
    if (is === undefined || is.rules === 0) {
      if (hasNewPlace(was, before, after)) continue;
      const byTools = strangers.every((one) => isOf(owner?.tools, one));
      const mayBeOwn = byTools && spares(was, before, after);
      wipes.push({ ...found, what: 'rules', lost: was.rules, chains: [], mayBeOwn });
      continue;
    }
    const lost = [...was.entries].filter(
      ([base, targets]) =>
        !is.entries.has(base) && [...targets].some((target) => is.filled.has(target)),
    );
    if (lost.length === 0) continue;
    const count = lost.reduce((total, [, targets]) => total + targets.size, 0);
    const chains = lost.map(([base]) => base);
    wipes.push({ ...found, what: 'entries', lost: count, chains, mayBeOwn: false });
  }
  return wipes;
}

/** Whether the owner has rules for this family where it had none before: it runs in another way now. */
function hasNewPlace(was: OwnedRules, before: RulesPrint, after: RulesPrint): boolean {
  const known = placesOf(was, before);
  return placesOf(was, after).some((place) => !known.includes(place));
}

/**
 * Whether rules of others were there, and none of them went with the owner's: in the same table, or in any other where the table is its
 * own. Who empties a table, or all of them, spares nobody.
 */
function spares(was: OwnedRules, before: RulesPrint, after: RulesPrint): boolean {
  const others = ({ owned, rules }: RulesPrint): number => {
    const isCounted = (place: string): boolean => was.isOwnTable || place === was.place;
    let count = 0;
    for (const [place, number] of rules) if (isCounted(place)) count += number;
    for (const is of owned.values())
      if (is.owner === was.owner && isCounted(is.place)) count -= is.rules + is.jumps;
    return count;
  };
  return others(before) > 0 && others(after) >= others(before);
}

/** Where the owner has rules for packets of this family. */
function placesOf(
  { owner, family }: Pick<OwnedRules, 'owner' | 'family'>,
  print: RulesPrint,
): readonly string[] {
  return [...print.owned.values()]
    .filter((is) => is.owner === owner && is.rules > 0)
    .filter((is) => is.family === family || is.family === 'inet')
    .map(({ place }) => place);
}

/**
 * Whether what was wiped is there again, or wanted no more: its owner has rules where it had none (first it clears away what an older
 * way of its own has left, then it writes), or has given up the chains to which nothing led.
 */
export function isOver(wipe: Wipe, now: RulesPrint): boolean {
  const places = placesOf(wipe, now);
  const hasMoved = places.some((place) => place !== wipe.place && !wipe.elsewhere.includes(place));
  if (hasMoved) return true;
  if (!places.includes(wipe.place)) return wipe.what === 'entries';
  return [...now.owned.values()].some(
    (is) =>
      is.owner === wipe.owner &&
      is.place === wipe.place &&
      wipe.chains.every((chain) => is.entries.has(chain)),
  );
}
