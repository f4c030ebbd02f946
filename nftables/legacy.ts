/**
 * @module Rules of legacy iptables, read with getsockopt(2) and given the shape of nf_tables rules.
 *
 * Asking for a table creates it. So only tables that /proc/net/ip_tables_names lists are asked for; that file
 * is readable by uid 0 alone, and absent where the legacy module is not there.
 *
 * All numbers are in host byte order (little-endian here).
 */
import { readFile } from 'node:fs/promises';
import { textOf } from './decode/attributes.ts';
import { KernelError } from './errors.ts';
import { closeSocket, getOption, lastError, openSocket } from './libc.ts';
import type { Chain, Expression, Rule, Ruleset, Table, Verdict } from './model.ts';
import { isPresent } from './present.ts';

type LegacyFamily = 'ip' | 'ip6';

/** The part of a ruleset that legacy iptables has. */
export type LegacyRules = Pick<Ruleset, 'tables' | 'chains' | 'rules'>;

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

// linux/netfilter_ipv4/ip_tables.h and ip6_tables.h: the numbers are the same
const SO_GET_INFO = 64;
const SO_GET_ENTRIES = 65;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const sockets = {
  ip: { domain: 2, level: 0, names: '/proc/net/ip_tables_names' },
  ip6: { domain: 10, level: 41, names: '/proc/net/ip6_tables_names' },
} as const;

/** Where the entries of the two families differ: bytes of the address part, and of the whole fixed part. */
const layouts = {
  ip: { interfaceIn: 16, protocol: 80, flags: 82, inverse: 83, offsets: 88, fixed: 112 },
  ip6: { interfaceIn: 64, protocol: 128, flags: 131, inverse: 132, offsets: 140, fixed: 168 },
} as const;

const hookNames = ['prerouting', 'input', 'forward', 'output', 'postrouting'] as const;
const priorities: Readonly<Record<string, number>> = {
  raw: -300,
  mangle: -150,
  nat: -100,
  filter: 0,
  security: 50,
};
const verdicts: ReadonlyMap<number, Verdict> = new Map<number, Verdict>([
  [-1, { code: 'drop' }],
  [-2, { code: 'accept' }],
  [-4, { code: 'queue', number: 0, bypass: false }],
  [-5, { code: 'return' }],
]);
const maximumBytes = 256 << 20;

/** Reads every table that exists already. Rejects with KernelError, or the error of a file that may not be read. */
export async function readLegacy(root: string): Promise<LegacyRules> {
  const rulesets: LegacyRules[] = [];
  for (const family of ['ip', 'ip6'] as const) {
    for (const name of await readNames(family, root)) {
      const table = readTable(family, name);
      if (table !== undefined) rulesets.push(decodeLegacy(table));
    }
  }
  return {
    tables: rulesets.flatMap(({ tables }) => tables),
    chains: rulesets.flatMap(({ chains }) => chains),
    rules: rulesets.flatMap(({ rules }) => rules),
  };
}

/**
 * Names of the tables that exist. Who may not read them still knows that there are none with rules before
 * INPUT, when no module that makes such a table is loaded.
 */
async function readNames(family: LegacyFamily, root: string): Promise<readonly string[]> {
  try {
    const names = await readFile(sockets[family].names, 'utf8');
    return names.split('\n').filter((name) => name !== '');
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
    if (code === 'ENOENT') return [];
    if (code !== 'EACCES') throw cause;
    const prefix = family === 'ip' ? 'iptable' : 'ip6table';
    for (const table of ['raw', 'mangle', 'nat']) {
      if ((await isPresent(`${prefix}_${table}`, root)) !== 'no') throw cause;
    }
    return [];
  }
}

/**
 * struct ipt_getinfo: char name[32]; u32 valid_hooks, hook_entry[5], underflow[5], num_entries, size.
 * struct ipt_get_entries: char name[32]; u32 size; four bytes of padding; the entries.
 */
function readTable(family: LegacyFamily, name: string): LegacyTable | undefined {
  const { domain, level } = sockets[family];
  const fd = openSocket(domain, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) throw lastError('socket');
  try {
    for (let attempt = 0; attempt < 5; attempt++) {
      const info = new Uint8Array(84);
      info.set(new TextEncoder().encode(name).subarray(0, 31));
      if (getOption(fd, level, SO_GET_INFO, info, lengthOf(info)) < 0) {
        const error = lastError(`iptables table ${name}`);
        if (error.code === 'ENOENT') return undefined;
        throw error;
      }
      const view = viewOf(info);
      const size = view.getUint32(80, true);
      if (size > maximumBytes) throw new KernelError('EMSGSIZE', `table ${name} is too large`);
      const entries = new Uint8Array(40 + size);
      entries.set(info.subarray(0, 32));
      viewOf(entries).setUint32(32, size, true);
      if (getOption(fd, level, SO_GET_ENTRIES, entries, lengthOf(entries)) < 0) {
        const error = lastError(`iptables table ${name}`);
        // EAGAIN: it was replaced by one of another size between the two questions.
        if (error.code === 'EAGAIN') continue;
        throw error;
      }
      const five = (at: number): readonly number[] =>
        [0, 1, 2, 3, 4].map((index) => view.getUint32(at + index * 4, true));
      return {
        family,
        name,
        validHooks: view.getUint32(32, true),
        hookEntry: five(36),
        underflow: five(56),
        entries: entries.subarray(40),
      };
    }
    throw new KernelError('EAGAIN', `iptables table ${name} changed during every attempt`);
  } finally {
    closeSocket(fd);
  }
}

function lengthOf(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(new Uint32Array([bytes.length]).buffer);
}

interface Entry {
  readonly offset: number;
  readonly expressions: readonly Expression[];
  /** The name that an ERROR entry gives to the chain behind it. */
  readonly heading?: string;
  /** Offset of the chain that it goes to. */
  readonly target?: number;
  readonly goesTo?: 'jump' | 'goto';
}

/** Cuts a table into chains: a built-in one from its hook's entry, any other behind an ERROR entry with its name. */
export function decodeLegacy(table: LegacyTable): LegacyRules {
  const entries = decodeEntries(table);
  const heads = new Map<number, string>();
  const place = { backend: 'iptables-legacy', family: table.family, table: table.name } as const;
  const chains: Chain[] = [];
  for (const [hook, name] of hookNames.entries()) {
    if (((table.validHooks >> hook) & 1) === 0) continue;
    heads.set(table.hookEntry[hook] ?? 0, name.toUpperCase());
    const policy = entries.find(({ offset }) => offset === table.underflow[hook]);
    chains.push({
      ...place,
      name: name.toUpperCase(),
      handle: 0,
      base: {
        hook: name,
        priority: priorities[table.name] ?? 0,
        policy: isDrop(policy) ? 'drop' : 'accept',
        type: table.name === 'nat' ? 'nat' : 'filter',
        devices: [],
      },
    });
  }
  for (const [index, { heading }] of entries.entries()) {
    const next = entries[index + 1];
    if (heading === undefined || next === undefined) continue;
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
    if (entry.heading !== undefined || chain === undefined) continue;
    const aim = entry.target === undefined ? undefined : heads.get(entry.target);
    const jump: readonly Expression[] =
      entry.goesTo === undefined || aim === undefined
        ? []
        : [{ kind: 'verdict', verdict: { code: entry.goesTo, chain: aim } }];
    const expressions = [...entry.expressions, ...jump];
    rules.push({ ...place, chain, handle: 0, index: ++index, expressions });
  }
  const { backend, family } = place;
  const head: Table = { backend, family, name: table.name, handle: 0, dormant: false };
  return { tables: [head], chains, rules };
}

function isDrop(entry: Entry | undefined): boolean {
  const last = entry?.expressions.at(-1);
  return last?.kind === 'verdict' && last.verdict.code === 'drop';
}

function decodeEntries({ family, entries }: LegacyTable): readonly Entry[] {
  const { offsets, fixed } = layouts[family];
  const view = viewOf(entries);
  const decoded: Entry[] = [];
  let at = 0;
  while (at + fixed <= entries.length) {
    const targetOffset = view.getUint16(at + offsets, true);
    const nextOffset = view.getUint16(at + offsets + 2, true);
    if (nextOffset < fixed || targetOffset < fixed || at + nextOffset > entries.length) break;
    if (targetOffset + 32 > nextOffset) break;
    decoded.push(
      decodeEntry(family, at, entries.subarray(at, at + nextOffset), { fixed, targetOffset }),
    );
    at += nextOffset;
  }
  return decoded;
}

/**
 * Decodes struct ipt_entry: struct ipt_ip (source, destination, masks, interface names and masks of 16 bytes,
 * u16 protocol, u8 flags, u8 inverse flags), u32 nfcache, u16 target offset, u16 next offset, u32 comefrom,
 * u64 packets and bytes; then the matches; then the target. struct ip6t_entry has wider addresses, and a u8
 * tos before its flags.
 */
function decodeEntry(
  family: LegacyFamily,
  offset: number,
  bytes: Uint8Array,
  { fixed, targetOffset }: { readonly fixed: number; readonly targetOffset: number },
): Entry {
  const layout = layouts[family];
  const expressions: Expression[] = [];
  const protocol = viewOf(bytes).getUint16(layout.protocol, true);
  const inverse = bytes[layout.inverse] ?? 0;
  // The addresses, interfaces and the fragment flag are conditions that are not decoded.
  if (bytes.subarray(0, layout.protocol).some((byte) => byte !== 0)) {
    expressions.push({ kind: 'opaque', name: 'address-or-interface', attributes: [] });
  }
  const hasFragmentFlag = family === 'ip' && ((bytes[layout.flags] ?? 0) & 1) !== 0;
  if (hasFragmentFlag) expressions.push({ kind: 'opaque', name: 'fragment', attributes: [] });
  if (protocol !== 0) {
    // XT_INV_PROTO is 0x40.
    const comparison = (inverse & 0x40) === 0 ? 'eq' : 'neq';
    expressions.push(
      { kind: 'meta', key: 'l4proto', register: 0 },
      { kind: 'cmp', register: 0, comparison, value: Uint8Array.of(protocol) },
    );
  }
  let at = fixed;
  while (at + 32 <= targetOffset) {
    const extension = decodeExtension('match', bytes.subarray(at, targetOffset));
    if (extension === undefined) break;
    expressions.push(extension.expression);
    at += extension.length;
  }
  const target = decodeExtension('target', bytes.subarray(targetOffset))?.expression;
  // IPT_F_GOTO is 0x02, IP6T_F_GOTO 0x04.
  const goes = ((bytes[layout.flags] ?? 0) & (family === 'ip' ? 0x02 : 0x04)) !== 0;
  return { offset, ...conclude(expressions, target, goes ? 'goto' : 'jump') };
}

/** The standard target has no name and an i32: below zero -verdict - 1 (RETURN is -5), else the offset of a chain. */
function conclude(
  expressions: readonly Expression[],
  target: Expression | undefined,
  goesTo: 'jump' | 'goto',
): Omit<Entry, 'offset'> {
  if (target?.kind !== 'target') return { expressions };
  if (target.name === 'ERROR') return { expressions, heading: textOf(target.info) };
  if (target.name !== '' || target.info.length < 4) {
    return { expressions: [...expressions, target] };
  }
  const verdict = viewOf(target.info).getInt32(0, true);
  if (verdict >= 0) return { expressions, target: verdict, goesTo };
  const found = verdicts.get(verdict);
  if (found === undefined) return { expressions };
  return { expressions: [...expressions, { kind: 'verdict', verdict: found }] };
}

/** struct xt_entry_match and xt_entry_target: u16 length with header, char name[29], u8 revision, data. */
function decodeExtension(
  kind: 'match' | 'target',
  bytes: Uint8Array,
): { readonly length: number; readonly expression: Expression } | undefined {
  if (bytes.length < 32) return undefined;
  const length = viewOf(bytes).getUint16(0, true);
  if (length < 32 || length > bytes.length) return undefined;
  const name = textOf(bytes.subarray(2, 31));
  const info = bytes.subarray(32, length);
  return { length, expression: { kind, name, revision: bytes[31] ?? 0, info } };
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
