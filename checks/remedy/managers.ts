/** @module Who is in charge of a chain, told by the names that each program gives its chains and tables. Pure. */
import type { Ruleset } from 'node-nftables';
import { type ChainKey, rulesOf } from './edit.ts';

export type Presence = 'yes' | 'no' | 'unknown';

/** What the host tells beside its rules. */
export interface ManagerFacts {
  /** Whether ufw is switched on. Rules of an ufw that is switched off stay until the next boot, and it changes them no more. */
  readonly ufw: Presence;
  /** Whether firewalld runs. */
  readonly firewalld: Presence;
  /** How the two kinds of iptables are called here. */
  readonly iptables: { readonly legacy: string; readonly nft: string };
}

export const unknownManagers: ManagerFacts = {
  ufw: 'unknown',
  firewalld: 'unknown',
  iptables: { legacy: 'iptables-legacy', nft: 'iptables-nft' },
};

/** `program`: rules that some program writes anew when it likes, so that nobody else's change to them would last. */
export type Owner = 'ufw' | 'firewalld' | 'docker' | 'program' | 'iptables' | 'nftables';

const ufwChain = /^ufw6?-/;
/** firewalld's chains with the backend iptables; those of nf_tables are all in its table. */
const firewalldChain =
  /^((IN|OUT|FWD|FWDI|FWDO|PRE|POST)_[A-Za-z0-9]|(INPUT|OUTPUT|FORWARD|PREROUTING|POSTROUTING)_(ZONES|direct|POLICIES))/;
const programChain =
  /^(KUBE-|cali-|FLANNEL|CILIUM_|OLD_CILIUM_|WEAVE|CNI-|f2b-|LIBVIRT_|ts-|NETAVARK|PODMAN|TAILSCALE)/i;
const programTable =
  /^(kube-proxy|kube-router|calico|flannel|cilium|libvirt|f2b|docker|podman|netavark|lxd|incus|nm-|kindnet|antrea)/i;

/** Who is in charge of the rules in this chain. */
export function ownerOf(chain: ChainKey, ruleset: Ruleset): Owner {
  const { name, table } = chain;
  if (table === 'firewalld') return 'firewalld';
  if (programTable.test(table) || programChain.test(name)) return 'program';
  if (!isIptables(chain, ruleset)) return 'nftables';
  if (ufwChain.test(name)) return 'ufw';
  if (name.startsWith('DOCKER')) return 'docker';
  if (firewalldChain.test(name) && hasChain(ruleset, chain, /^INPUT_(ZONES|direct)$/))
    return 'firewalld';
  return 'iptables';
}

/** Whether a program writes the rules of this chain, such as a provider its policies. */
export function isOfProgram(place: { readonly table: string; readonly chain: string }): boolean {
  return programTable.test(place.table) || programChain.test(place.chain);
}

/** Whether the manager has its chains in the same table. */
export function manages(
  manager: 'ufw' | 'firewalld' | 'docker',
  chain: ChainKey,
  ruleset: Ruleset,
): boolean {
  const patterns = { ufw: ufwChain, firewalld: /^INPUT_ZONES$/, docker: /^DOCKER-USER$/ } as const;
  return isIptables(chain, ruleset) && hasChain(ruleset, chain, patterns[manager]);
}

const tableNames = new Set(['filter', 'nat', 'mangle', 'raw', 'security']);
const builtInChains = new Set(['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING']);
const verdicts = new WeakMap<Ruleset, Map<string, boolean>>();

/**
 * Whether `iptables` can change this table. It refuses one that holds what it cannot print: a base chain by another name, or an
 * expression that iptables-nft never writes. In doubt the answer is no, for `nft` changes such a table as well.
 */
export function isIptables(table: ChainKey, ruleset: Ruleset): boolean {
  if (table.backend === 'iptables-legacy') return true;
  if ((table.family !== 'ip' && table.family !== 'ip6') || !tableNames.has(table.table))
    return false;
  const known = verdicts.get(ruleset) ?? new Map<string, boolean>();
  verdicts.set(ruleset, known);
  const key = `${table.family} ${table.table}`;
  const verdict = known.get(key) ?? judgeTable(table, ruleset);
  known.set(key, verdict);
  return verdict;
}

function judgeTable(table: ChainKey, { chains, rules, sets }: Ruleset): boolean {
  const isIn = (one: Pick<ChainKey, 'backend' | 'family' | 'table'>): boolean =>
    one.backend === table.backend && one.family === table.family && one.table === table.table;
  if (chains.some((one) => isIn(one) && one.base !== undefined && !builtInChains.has(one.name)))
    return false;
  const ownSets = sets.filter((one) => one.family === table.family && one.table === table.table);
  if (ownSets.some(({ flags }) => !flags.anonymous)) return false;
  // iptables-nft counts in every rule; nft does where it is told to.
  return rules.every(
    (rule) =>
      !isIn(rule) ||
      (rule.expressions.some(({ kind }) => kind === 'counter') &&
        rule.expressions.every(({ kind }) => iptablesKinds.has(kind))),
  );
}

const iptablesKinds: ReadonlySet<string> = new Set([
  'payload',
  'meta',
  'cmp',
  'bitwise',
  'range',
  'lookup',
  'counter',
  'limit',
  'log',
  'match',
  'target',
  'verdict',
  'immediate',
]);

function hasChain({ chains }: Ruleset, table: ChainKey, pattern: RegExp): boolean {
  return chains.some(
    (one) =>
      one.backend === table.backend &&
      one.family === table.family &&
      one.table === table.table &&
      pattern.test(one.name),
  );
}

/** Whether a chain can be entered from more than one base chain: a rule in it would open more than one way. */
export function isShared(chain: ChainKey, ruleset: Ruleset): boolean {
  const entered = new Map<string, string[]>();
  const inTable = ruleset.chains.filter(
    (one) =>
      one.backend === chain.backend && one.family === chain.family && one.table === chain.table,
  );
  for (const one of inTable) {
    for (const rule of rulesOf(ruleset, one)) {
      for (const expression of rule.expressions) {
        if (expression.kind === 'lookup' && expression.gives === 'verdict') return true;
        const verdict = expression.kind === 'verdict' ? expression.verdict : undefined;
        if (verdict === undefined || !('chain' in verdict)) continue;
        entered.set(verdict.chain, [...(entered.get(verdict.chain) ?? []), one.name]);
      }
    }
  }
  const bases = new Set(inTable.filter(({ base }) => base !== undefined).map(({ name }) => name));
  const seen = new Set<string>();
  const wanted = [chain.name];
  for (let name = wanted.pop(); name !== undefined; name = wanted.pop()) {
    if (seen.has(name)) continue;
    seen.add(name);
    wanted.push(...(entered.get(name) ?? []));
  }
  return [...seen].filter((name) => bases.has(name)).length !== 1;
}
