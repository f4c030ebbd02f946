/** @module What this host's own firewall does with the packets of a requirement, and who in it decides. Pure. */
import {
  type Answer,
  type Chain,
  type Decider,
  format,
  type Packet,
  type Rule,
  type Ruleset,
} from 'node-nftables';
import type { Family } from './family.ts';
import type { Way } from './host/firewall.ts';
import type { PacketProgram } from './host/packet-programs.ts';

/** A rule, or the policy of a chain: where it stands and what it says (a contract: docs/status.schema.json). */
export interface FirewallPlace {
  readonly backend: 'nf_tables' | 'iptables-nft' | 'iptables-legacy';
  readonly family: string;
  readonly table: string;
  readonly chain: string;
  readonly hook: string;
  readonly handle?: number;
  /** Of iptables: what `iptables -L CHAIN --line-numbers` shows. */
  readonly number?: number;
  readonly policy?: string;
  readonly rule?: string;
}

/** A new connection or datagram between this node and another one. */
export interface FirewallQuestion {
  readonly direction: 'inbound' | 'outbound';
  /** IP protocol number. */
  readonly protocol: number;
  readonly port?: number;
  readonly icmpType?: number;
  readonly family: Family;
  readonly peer: string;
}

/** `redirected`: it passes, but on its way a rule sends it to another address or port than the asked one. */
export type FirewallVerdict = 'accept' | 'drop' | 'reject' | 'redirected' | 'undetermined';

/** What came out of one question, small enough to be kept for thousands of peers. */
export interface Judgement {
  readonly verdict: FirewallVerdict;
  readonly packet: Packet;
  /** Absent where no chain sees the packet. */
  readonly decidedBy?: FirewallPlace;
  readonly candidates: readonly FirewallPlace[];
  /** What could not be told, for a person. */
  readonly undetermined: readonly string[];
  readonly programs: readonly string[];
  readonly rewrittenTo?: string;
}

/**
 * The packet of a question: from the address and through the interface that the routes say. Its source port stays open. It has no
 * mark until a rule gives it one, for it comes from the network or from a socket that sets none: kube-proxy's rules ask for marks.
 */
export function packetOf(question: FirewallQuestion, way: Way | undefined): Packet {
  const { direction, protocol, port, icmpType, family, peer } = question;
  const own = way?.source === undefined ? {} : { address: way.source };
  const device = way?.interface === undefined || way.interface === '' ? undefined : way.interface;
  return {
    direction: direction === 'inbound' ? 'in' : 'out',
    protocol,
    family: family === 'ipv4' ? 'ip' : 'ip6',
    ...(direction === 'inbound'
      ? {
          source: peer,
          ...(own.address === undefined ? {} : { destination: own.address }),
          ...(device === undefined ? {} : { inInterface: device }),
        }
      : {
          destination: peer,
          ...(own.address === undefined ? {} : { source: own.address }),
          ...(device === undefined ? {} : { outInterface: device }),
        }),
    ...(port === undefined ? {} : { destinationPort: port }),
    ...(icmpType === undefined ? {} : { icmpType, icmpCode: 0 }),
    conntrack: 'new',
    mark: 0,
  };
}

/** Judges the evaluator's answer, with the programs on the packet's way that it knows nothing of. */
export function judge(
  packet: Packet,
  answer: Answer,
  programs: readonly PacketProgram[],
  ruleset: Ruleset,
): Judgement {
  const names = programs.map(
    (one) => `${programPlaces[one.place]} ${one.name} on ${one.interface}`,
  );
  const undetermined = [...new Set(answer.unknowns.map(({ why }) => why))].slice(0, shownUnknowns);
  const decidedBy = placeOf(answer.decidedBy, ruleset);
  const rewrite = answer.rewrites.findLast(({ kind }) => kind !== 'snat' && kind !== 'masquerade');
  const verdict = verdictOf(answer, names.length > 0);
  return {
    verdict,
    packet,
    ...(decidedBy === undefined ? {} : { decidedBy }),
    candidates: answer.candidates.flatMap((one) => placeOf(one, ruleset) ?? []),
    undetermined: verdict === 'undetermined' ? undetermined : [],
    programs: names,
    ...(verdict !== 'redirected' || rewrite === undefined
      ? {}
      : { rewrittenTo: targetOf(rewrite) }),
  };
}

const programPlaces = {
  xdp: 'XDP',
  'tc-ingress': 'tc ingress',
  'tc-egress': 'tc egress',
} as const;
const shownUnknowns = 8;

/**
 * A program on the way may take a packet that the rules let pass, so nothing is said of that. It cannot save one that the rules
 * drop: what reaches the port has to come through them.
 */
function verdictOf(answer: Answer, hasPrograms: boolean): FirewallVerdict {
  const { verdict, arrives } = answer;
  if (verdict === 'drop' || verdict === 'reject') return verdict;
  if (verdict !== 'accept' || hasPrograms) return 'undetermined';
  if (arrives === 'as-asked') return 'accept';
  return arrives === 'elsewhere' ? 'redirected' : 'undetermined';
}

function targetOf({ kind, address, port }: Answer['rewrites'][number]): string {
  const host = address ?? (kind === 'dnat' ? 'another address' : 'this host');
  return port === undefined ? host : `${host} port ${port}`;
}

/** Where a decision was made; undefined where no chain sees the packet. */
export function placeOf(decider: Decider, ruleset: Ruleset): FirewallPlace | undefined {
  if (decider.kind === 'none') return undefined;
  const { chain, base } = decider;
  if (decider.kind === 'policy') {
    const { family, table, name } = chain;
    const backend = backendOf(chain, ruleset);
    return { backend, family, table, chain: name, hook: base.hook, policy: base.policy };
  }
  return { ...placeOfRule(decider.rule, ruleset), hook: base.hook };
}

/** Where a rule stands and what it says, without the hook, which its base chain decides. */
export function placeOfRule(rule: Rule, ruleset: Ruleset): Omit<FirewallPlace, 'hook'> {
  const { family, table, chain, handle, index } = rule;
  const backend = backendOf(rule, ruleset, rule);
  return {
    backend,
    family,
    table,
    chain,
    ...(backend === 'iptables-legacy' ? {} : { handle }),
    ...(backend === 'nf_tables' ? {} : { number: index }),
    rule: textOf(rule, ruleset),
  };
}

const texts = new WeakMap<Rule, string>();

/** The text of a rule is made once: one rule decides about thousands of peers. */
function textOf(rule: Rule, ruleset: Ruleset): string {
  const known = texts.get(rule);
  if (known !== undefined) return known;
  // What a rule has counted is no part of what it says.
  const text = format(rule, ruleset).replaceAll(/counter packets \d+ bytes \d+/g, 'counter');
  texts.set(rule, text);
  return text;
}

const iptablesTables = new Set(['filter', 'nat', 'mangle', 'raw', 'security']);
const iptablesChains = new Set(['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING']);
const iptablesOwn = new WeakMap<Ruleset['chains'], ReadonlySet<string>>();

/**
 * iptables-nft keeps its rules in nf_tables: in tables of iptables' names with base chains of upper case, and with x_tables' own
 * matches and targets wherever nf_tables has none.
 */
export function backendOf(
  chain: Pick<Chain, 'backend' | 'family' | 'table'>,
  { chains }: Pick<Ruleset, 'chains'>,
  rule?: Rule,
): FirewallPlace['backend'] {
  if (chain.backend === 'iptables-legacy') return 'iptables-legacy';
  if (tablesOfIptables(chains).has(`${chain.family} ${chain.table}`)) return 'iptables-nft';
  return rule?.expressions.some(({ kind }) => kind === 'match' || kind === 'target') === true
    ? 'iptables-nft'
    : 'nf_tables';
}

/** Tables of nf_tables that iptables-nft has made. */
function tablesOfIptables(chains: Ruleset['chains']): ReadonlySet<string> {
  const known = iptablesOwn.get(chains);
  if (known !== undefined) return known;
  const tables = new Set<string>();
  for (const { backend, family, table, name, base } of chains) {
    if (backend === 'iptables-legacy' || base === undefined) continue;
    const isNamed = iptablesTables.has(table) && iptablesChains.has(name);
    if (isNamed && (family === 'ip' || family === 'ip6')) tables.add(`${family} ${table}`);
  }
  iptablesOwn.set(chains, tables);
  return tables;
}

/** One line: `inet filter input handle 12: udp dport 8472 drop`. */
export function placeText(place: Omit<FirewallPlace, 'hook'>): string {
  const { family, table, chain, handle, number, policy, rule } = place;
  const where = `${family} ${table} ${chain}`;
  if (policy !== undefined) return `${where}: policy ${policy}`;
  const which = handle === undefined ? `rule ${number ?? '?'}` : `handle ${handle}`;
  return `${where} ${which}: ${rule ?? ''}`;
}
