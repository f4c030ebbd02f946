/** @module Tells whether the node forwards packets between its pods and the others. */
import { matchesName } from '../rules/detect.ts';
import type { ParamsByKind } from '../rules/schema.ts';
import { type Answer, type Check, type Context, fail, pass, skip } from './check.ts';
import { setInFiles, setNow, sysctlRemedy } from './settings/cure.ts';
import { fewOf, findPodInterfaces, readSetting } from './settings/interfaces.ts';
import { readableSettingsFiles } from './settings/read.ts';

/** The names of the switch for all interfaces; of IPv4 it has two. */
export const forwardingKeys = {
  ipv4: ['net/ipv4/ip_forward', 'net/ipv4/conf/all/forwarding'],
  ipv6: ['net/ipv6/conf/all/forwarding'],
} as const;

/**
 * Tells whether the node forwards. IPv4 asks the interface that a packet comes in on, and that alone: `ip_forward` is a way to
 * set all of them (ip_route_input_slow of the kernel). IPv6 asks `conf/all`, and of an interface only `force_forwarding`, from 6.17.
 */
export const forwarding: Check<'forwarding'> = {
  kind: 'forwarding',
  summary:
    'the node forwards packets that come in on the interfaces of its pods and of the underlay',
  scope: 'node',
  needs: [],

  async run(params, _target, context) {
    const [key] = forwardingKeys[params.family];
    const all = await readSetting(context.host, key);
    if (all === undefined) return skip('sysctl-not-available', { key });
    const { own, underlay } = await findPodInterfaces(context);
    const evidence = { family: params.family, key, found: all };
    // Until the provider has made its devices, today's value says nothing about the day it runs.
    const { once = context.interfaces } = params;
    if (!own.some((name) => once.some((pattern) => matchesName(pattern, name)))) {
      if (all !== 0) return pass(evidence);
      if (params.setBy !== undefined)
        return skip('not-applicable', { ...evidence, setBy: params.setBy });
      return await off(params, context, { ...evidence, interfaces: 'all' }, [key]);
    }
    const keys = await switchedOff(params.family, [...own, ...underlay], context);
    if (keys.length === 0) return pass({ ...evidence, interfaces: fewOf([...own, ...underlay]) });
    const names = keys.map((one) => one.split('/').at(-2) ?? '');
    const toSet = all === 0 ? [key] : keys;
    return await off(params, context, { ...evidence, interfaces: fewOf(names) }, toSet);
  },
};

/** The settings of interfaces that do not forward what comes in on them. */
async function switchedOff(
  family: 'ipv4' | 'ipv6',
  names: readonly string[],
  { host }: Context,
): Promise<readonly string[]> {
  if (family === 'ipv6' && (await readSetting(host, 'net/ipv6/conf/all/forwarding')) !== 0)
    return [];
  const keys: string[] = [];
  for (const name of names) {
    const key =
      family === 'ipv4'
        ? `net/ipv4/conf/${name}/forwarding`
        : `net/ipv6/conf/${name}/force_forwarding`;
    const value = await readSetting(host, key);
    // A kernel without the switch of the interface goes by the one of all; an interface that has just gone has none.
    if (value === 0 || (value === undefined && family === 'ipv6')) keys.push(key);
  }
  return keys;
}

async function off(
  { family }: ParamsByKind['forwarding'],
  { host }: Context,
  evidence: Readonly<Record<string, string | number>>,
  toSet: readonly string[],
): Promise<Answer> {
  const files = await readableSettingsFiles(host);
  const persistent = setInFiles({ keys: forwardingKeys[family], value: '1' }, files, 'always');
  const now = toSet.slice(0, 16).flatMap((key) => setNow(key, '1'));
  return fail(
    'forwarding-off',
    evidence,
    { where: 'node', node: 'this' },
    sysctlRemedy(...now, ...persistent),
  );
}
