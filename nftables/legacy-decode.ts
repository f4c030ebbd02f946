/** @module The entries of a legacy table, given the shape of nf_tables rules. Pure. All numbers are in host byte order. */
import { hostShort, textOf } from './decode/attributes.ts';
import { addressLayouts, decodeAddressPart } from './legacy-address.ts';
import type { BaseChain, Chain, Expression, Rule, Ruleset, Table } from './model.ts';
import { bit, i32, u8, u64 } from './xt/bytes.ts';
import { standardVerdict } from './xt/target-verdict.ts';

/** The part of a ruleset that legacy iptables has. */
export type LegacyRules = Pick<Ruleset, 'tables' | 'chains' | 'rules'>;

export type LegacyFamily = 'ip' | 'ip6';

/** What getsockopt gave for one table. */
export interface LegacyTable {
  readonly family: LegacyFamily;
  readonly name: string;
  /** Bit n: the table has the hook n. */
  readonly validHooks: number;
  /** Offsets of each hook's first entry and of its policy. */
  readonly hookEntry: readonly number[];
  readonly underflow: readonly number[];
  readonly entries: Uint8Array;
}

const hookNames = ['prerouting', 'input', 'forward', 'output', 'postrouting'] as const;
type HookName = (typeof hookNames)[number];

/** Bytes of the fixed part of an entry, and where its two offsets and its counters are. */
const layouts = {
  ip: { fixed: 112, offsets: 88, counters: 96, gotoFlag: 0x02 },
  ip6: { fixed: 168, offsets: 140, counters: 152, gotoFlag: 0x04 },
} as const;

const extensionHead = 32;

interface Entry {
  readonly offset: number;
  readonly end: number;
  readonly expressions: readonly Expression[];
  /** The name that an ERROR entry gives to the chain behind it. */
  readonly heading?: string;
  /** Offset of the chain that it goes to. */
  readonly target?: number;
  readonly goesTo: 'jump' | 'goto';
  /** Matches everything, and ends so. */
  readonly unconditional?: 'accept' | 'drop' | 'return';
}

/** Cuts a table into chains: a built-in one from its hook's entry, any other behind an ERROR entry with its name. */
export function decodeLegacy(table: LegacyTable): LegacyRules {
  const entries = decodeEntries(table);
  const { family, name } = table;
  const place = { backend: 'iptables-legacy', family, table: name } as const;
  const heads = new Map<number, string>();
  const chains: Chain[] = [];
  const tails = new Set<number>();
  const byOffset = new Map(entries.map((entry) => [entry.offset, entry]));
  for (const [hook, hookName] of hookNames.entries()) {
    if (((table.validHooks >> hook) & 1) === 0) continue;
    heads.set(table.hookEntry[hook] ?? 0, hookName.toUpperCase());
    const policy = byOffset.get(table.underflow[hook] ?? -1);
    if (policy !== undefined) tails.add(policy.offset);
    const base = baseOf(name, hookName, policy?.unconditional === 'drop' ? 'drop' : 'accept');
    chains.push({ ...place, name: hookName.toUpperCase(), handle: 0, base });
  }
  for (const [index, { heading }] of entries.entries()) {
    if (heading === undefined) continue;
    // iptables ends each chain of a user with a RETURN that it does not show.
    const last = entries[index - 1];
    if (last?.unconditional === 'return') tails.add(last.offset);
    const next = entries[index + 1];
    if (next === undefined) continue;
    heads.set(next.offset, heading);
    chains.push({ ...place, name: heading, handle: 0 });
  }
  const rules: Rule[] = [];
  let chain: string | undefined;
  let index = 0;
  for (const entry of entries) {
    const head = heads.get(entry.offset);
    if (head !== undefined) {
      chain = head;
      index = 0;
    }
    if (entry.heading !== undefined || chain === undefined || tails.has(entry.offset)) continue;
    const expressions = [...entry.expressions, ...jumpOf(entry, heads)];
    rules.push({ ...place, chain, handle: 0, index: ++index, expressions });
  }
  const head: Table = {
    backend: place.backend,
    family: table.family,
    name,
    handle: 0,
    dormant: false,
  };
  return { tables: [head], chains, rules };
}

const priorities: Readonly<Record<string, number>> = {
  raw: -300,
  mangle: -150,
  filter: 0,
  security: 50,
};

function baseOf(table: string, hook: HookName, policy: 'accept' | 'drop'): BaseChain {
  if (table === 'nat') {
    // NF_IP_PRI_NAT_DST and NF_IP_PRI_NAT_SRC
    const priority = hook === 'prerouting' || hook === 'output' ? -100 : 100;
    return { type: 'nat', hook, priority, policy, devices: [] };
  }
  const type = table === 'mangle' && hook === 'output' ? 'route' : 'filter';
  return { type, hook, priority: priorities[table] ?? 0, policy, devices: [] };
}

/** A rule without a target goes to the entry behind it. */
function jumpOf(entry: Entry, heads: ReadonlyMap<number, string>): readonly Expression[] {
  const { target, end, goesTo } = entry;
  if (target === undefined || target === end) return [];
  const chain = heads.get(target);
  if (chain === undefined) return [{ kind: 'opaque', name: 'jump', attributes: [] }];
  return [{ kind: 'verdict', verdict: { code: goesTo, chain } }];
}

function decodeEntries({ family, entries }: LegacyTable): readonly Entry[] {
  const { fixed, offsets } = layouts[family];
  const decoded: Entry[] = [];
  let at = 0;
  while (at + fixed <= entries.length) {
    const targetOffset = hostShort(entries, at + offsets);
    const nextOffset = hostShort(entries, at + offsets + 2);
    if (targetOffset < fixed || targetOffset + extensionHead > nextOffset) break;
    if (at + nextOffset > entries.length) break;
    const bytes = entries.subarray(at, at + nextOffset);
    decoded.push(decodeEntry(family, { offset: at, bytes, targetOffset }));
    at += nextOffset;
  }
  return decoded;
}

/**
 * Decodes struct ipt_entry: the address part, u32 nfcache, u16 target offset, u16 next offset, u32 comefrom, u64 packets, u64 bytes;
 * the matches; the target. struct ip6t_entry has a longer address part.
 */
function decodeEntry(
  family: LegacyFamily,
  place: { readonly offset: number; readonly bytes: Uint8Array; readonly targetOffset: number },
): Entry {
  const { offset, bytes, targetOffset } = place;
  const { fixed, counters, gotoFlag } = layouts[family];
  const conditions = [...decodeAddressPart(family, bytes)];
  let at = fixed;
  while (at < targetOffset) {
    const extension = decodeExtension('match', bytes.subarray(at, targetOffset));
    if (extension === undefined) {
      conditions.push({ kind: 'opaque', name: 'match', attributes: [] });
      break;
    }
    conditions.push(extension.expression);
    at += extension.length;
  }
  const common = {
    offset,
    end: offset + bytes.length,
    goesTo: bit(u8(bytes, addressLayouts[family].flags), gotoFlag) ? 'goto' : 'jump',
  } as const;
  const counter: Expression = {
    kind: 'counter',
    packets: u64(bytes, counters),
    bytes: u64(bytes, counters + 8),
  };
  const expressions = [...conditions, counter];
  const target = decodeExtension('target', bytes.subarray(targetOffset))?.expression;
  if (target === undefined) {
    return { ...common, expressions: [...expressions, unknownTarget] };
  }
  if (target.name === 'ERROR') return { ...common, expressions, heading: textOf(target.info) };
  if (target.name !== '') return { ...common, expressions: [...expressions, target] };
  // The standard target: an offset, or a verdict below zero.
  const raw = target.info.length < 4 ? undefined : i32(target.info, 0);
  if (raw !== undefined && raw >= 0) return { ...common, expressions, target: raw };
  const verdict = raw === undefined ? undefined : standardVerdict(raw);
  if (verdict === undefined) return { ...common, expressions: [...expressions, unknownTarget] };
  const isPlain = verdict.code === 'accept' || verdict.code === 'drop' || verdict.code === 'return';
  return {
    ...common,
    expressions: [...expressions, { kind: 'verdict', verdict }],
    ...(isPlain && conditions.length === 0 ? { unconditional: verdict.code } : {}),
  };
}

const unknownTarget: Expression = { kind: 'opaque', name: 'target', attributes: [] };

/** struct xt_entry_match and xt_entry_target: u16 length with header, char name[29], u8 revision, data. */
function decodeExtension(
  kind: 'match' | 'target',
  bytes: Uint8Array,
):
  | {
      readonly length: number;
      readonly expression: Extract<Expression, { readonly kind: 'match' | 'target' }>;
    }
  | undefined {
  if (bytes.length < extensionHead) return undefined;
  const length = hostShort(bytes, 0);
  if (length < extensionHead || length > bytes.length) return undefined;
  const name = textOf(bytes.subarray(2, 31));
  const info = bytes.subarray(extensionHead, length);
  return { length, expression: { kind, name, revision: u8(bytes, 31), info } };
}
