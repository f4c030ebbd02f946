/**
 * @module Rules of legacy iptables, read with getsockopt(2) and given the shape of nf_tables rules.
 *
 * Asking for a table creates it. So only tables that /proc/net/ip_tables_names lists are asked for; that file
 * is readable by uid 0 alone, and absent where the legacy module is not there.
 *
 * All numbers are in host byte order (little-endian here).
 */
import { readFile } from 'node:fs/promises';
import { KernelError } from './errors.ts';
import {
  decodeLegacy,
  type LegacyFamily,
  type LegacyRules,
  type LegacyTable,
} from './legacy-decode.ts';
import { closeSocket, getOption, lastError, openSocket } from './libc.ts';
import { isPresent } from './present.ts';

// linux/netfilter_ipv4/ip_tables.h and ip6_tables.h: the numbers are the same
const SO_GET_INFO = 64;
const SO_GET_ENTRIES = 65;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const sockets = {
  ip: { domain: 2, level: 0, names: '/proc/net/ip_tables_names' },
  ip6: { domain: 10, level: 41, names: '/proc/net/ip6_tables_names' },
} as const;

const allTables = ['raw', 'mangle', 'nat', 'filter', 'security'] as const;
const maximumBytes = 256 << 20;

/**
 * Reads every table that exists already; `needed` are those that the caller cannot do without. Rejects with KernelError, or the
 * error of a file that may not be read.
 */
export async function readLegacy(
  root: string,
  needed: readonly string[] = allTables,
): Promise<LegacyRules> {
  const rulesets: LegacyRules[] = [];
  for (const family of ['ip', 'ip6'] as const) {
    for (const name of await readNames(family, root, needed)) {
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

/** Names of the tables that exist. Who may not read them still knows that there are none, when no module that makes one is loaded. */
async function readNames(
  family: LegacyFamily,
  root: string,
  needed: readonly string[],
): Promise<readonly string[]> {
  try {
    const names = await readFile(sockets[family].names, 'utf8');
    return names.split('\n').filter((name) => name !== '');
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
    if (code === 'ENOENT') return [];
    if (code !== 'EACCES') throw cause;
    const prefix = family === 'ip' ? 'iptable' : 'ip6table';
    for (const table of needed) {
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

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
