/** @module Tells whether a table of the kernel is nearly full: what finds no room in it is dropped. */
import type { ParamsByKind } from '../rules/schema.ts';
import { type Check, type Context, type Evidence, fail, pass, skip } from './check.ts';
import { parsePerProcessor } from './host/counters.ts';
import { setInFiles, setNow, sysctlRemedy } from './settings/cure.ts';
import { readSetting } from './settings/interfaces.ts';
import { readableSettingsFiles } from './settings/read.ts';

interface Fill {
  readonly count: number;
  readonly limit: number;
  /** How often the table had no room, since the boot. */
  readonly refused: number | undefined;
}

/** Tells how full connection tracking or a neighbour table is. The neighbour tables are those of all network namespaces together. */
export const kernelTable: Check<'kernel-table'> = {
  kind: 'kernel-table',
  summary: 'a table of the kernel has room',
  scope: 'node',
  needs: [],

  async run({ table, share, limits }, _target, { host }) {
    const fill = table === 'conntrack' ? await conntrack(host) : await neighbours(table, host);
    if (fill === undefined) return skip('not-applicable', { table });
    const { count, limit, refused } = fill;
    const evidence: Evidence = {
      table,
      count,
      limit,
      ...(refused === undefined ? {} : { refused }),
    };
    if (limit <= 0 || count < limit * share) return pass(evidence);
    const files = await readableSettingsFiles(host);
    const commands: string[] = [];
    for (const [key, least] of Object.entries(limits).toReversed()) {
      const now = await readSetting(host, key);
      if (now === undefined) continue;
      const value = String(Math.max(now * 2, least));
      commands.push(...setNow(key, value), ...setInFiles({ keys: [key], value }, files, 'always'));
    }
    return fail(
      'table-nearly-full',
      evidence,
      { where: 'node', node: 'this' },
      sysctlRemedy(...commands),
    );
  },
};

async function conntrack(host: Context['host']): Promise<Fill | undefined> {
  const usage = await host.conntrackUsage();
  if (usage === undefined) return undefined;
  return { ...usage, refused: await counterOf(host, 'nf_conntrack', 'drop') };
}

/**
 * The files are those of the machine's first network namespace, and counted in them are entries for ever (NUD_PERMANENT), for which there
 * is always room: of these, those of this namespace are left out, where the kernel lists them.
 */
async function neighbours(
  table: Exclude<ParamsByKind['kernel-table']['table'], 'conntrack'>,
  host: Context['host'],
): Promise<Fill | undefined> {
  const isIpv4 = table === 'neighbour-ipv4';
  const file = isIpv4 ? 'arp_cache' : 'ndisc_cache';
  const limit = await readSetting(host, `net/${isIpv4 ? 'ipv4' : 'ipv6'}/neigh/default/gc_thresh3`);
  const text = await host.readText(`/proc/net/stat/${file}`);
  const entries = text === undefined ? undefined : parsePerProcessor(text).get('entries')?.[0];
  if (limit === undefined || entries === undefined) return undefined;
  const forEver = isIpv4 ? permanentOf((await host.readText('/proc/net/arp')) ?? '') : 0;
  const count = Math.max(0, entries - forEver);
  return { count, limit, refused: await counterOf(host, file, 'table_fulls') };
}

/** Lines of /proc/net/arp: address, type, flags … ; ATF_PERM is 4. */
function permanentOf(text: string): number {
  return text
    .split('\n')
    .slice(1)
    .filter((line) => (Number(line.trim().split(/\s+/)[2]) & 4) !== 0).length;
}

/** A counter of all processors together, since the boot; undefined where this kernel has none. */
export async function counterOf(
  host: Pick<Context['host'], 'readText'>,
  file: string,
  column: string,
): Promise<number | undefined> {
  const text = await host.readText(`/proc/net/stat/${file}`);
  const values = text === undefined ? undefined : parsePerProcessor(text).get(column);
  return values?.reduce((total, value) => total + value, 0);
}
