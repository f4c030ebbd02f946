/** @module Tells whether the reverse-path filter of the provider's own interfaces is one that it can work with. */

import { matchesName } from '../rules/detect.ts';
import type { Context } from './check.ts';
import { type Check, fail, pass, skip } from './check.ts';
import type { Link } from './host/host.ts';
import type { Remedy } from './remedy/remedy.ts';
import { isTypable, setInFiles, setNow, sysctlRemedy } from './settings/cure.ts';
import { fewOf, findPodInterfaces, readSetting } from './settings/interfaces.ts';
import { readableSettingsFiles } from './settings/read.ts';
import { reversePathInForce } from './settings/reverse-path.ts';

const allKey = 'net/ipv4/conf/all/rp_filter';

/** Tells which filter is in force on the provider's own interfaces: the larger of `all` and the interface's own. */
export const reversePath: Check<'reverse-path'> = {
  kind: 'reverse-path',
  summary: 'the reverse-path filter of the provider’s interfaces lets its packets pass',
  scope: 'node',
  needs: [],

  async run({ allowed, setBy }, _target, context) {
    const { host } = context;
    const all = await readSetting(host, allKey);
    if (all === undefined) return skip('sysctl-not-available', { key: allKey });
    const { own } = await findPodInterfaces(context);
    const evidence = { all, want: allowed.join(',') };
    if (own.length === 0) return skip('not-applicable', { key: allKey, ...evidence, setBy });
    const found: string[] = [];
    for (const name of own) {
      const value = await readSetting(host, `net/ipv4/conf/${name}/rp_filter`);
      if (value === undefined) continue;
      const inForce = reversePathInForce(all, value);
      if (!allowed.includes(inForce)) found.push(`${name}=${inForce}`);
    }
    if (found.length === 0) return pass({ ...evidence, interfaces: fewOf(own) });
    const remedy = allowed[0] === 0 ? await noFilter(all, context) : [];
    return fail(
      'reverse-path-filter',
      { ...evidence, interfaces: fewOf(found) },
      { where: 'node', node: 'this' },
      remedy,
    );
  },
};

/** Takes the filter away from the provider's interfaces; the others keep the one that they have from `all`. */
async function noFilter(all: number, { host, interfaces }: Context): Promise<readonly Remedy[]> {
  const commands: string[] = [];
  if (all !== 0) {
    const others = (await host.links()).filter((link) => isOther(link, interfaces));
    for (const name of ['default', ...others.map((link) => link.name)]) {
      const key = `net/ipv4/conf/${name}/rp_filter`;
      const own = await readSetting(host, key);
      if (own !== undefined && own < all) commands.push(...setNow(key, String(all)));
    }
    commands.push(...setNow(allKey, '0'));
  }
  if (commands.length > 32 || !interfaces.every((name) => isTypable(name.replaceAll('*', ''))))
    return [];
  const settings = interfaces.map((name) => `/proc/sys/net/ipv4/conf/${name}/rp_filter`);
  commands.push(`for f in ${settings.join(' ')}; do [ ! -e $f ] || echo 0 > $f; done`);
  const files = await readableSettingsFiles(host);
  const patterns = interfaces.map((name) => `net/ipv4/conf/${name}/rp_filter`);
  for (const key of [...patterns, allKey])
    commands.push(...setInFiles({ keys: [key], value: '0' }, files, 'always'));
  return sysctlRemedy(...commands);
}

function isOther({ name }: Link, interfaces: readonly string[]): boolean {
  return !interfaces.some((pattern) => matchesName(pattern, name));
}
