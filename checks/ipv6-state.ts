/** @module Tells whether IPv6 is there for a provider that runs with it, and whether the node keeps its default route. */
import { type Answer, type Check, type Context, fail, pass, skip } from './check.ts';
import { setInFiles, setNow, sysctlRemedy } from './settings/cure.ts';
import { fewOf, findPodInterfaces, readSetting } from './settings/interfaces.ts';
import { readableSettingsFiles } from './settings/read.ts';

/** RTPROT_RA of linux/rtnetlink.h: the kernel made the route from a router advertisement. */
const RTPROT_RA = 9;

/** Asks what the provider needs of IPv6. */
export const ipv6State: Check<'ipv6-state'> = {
  kind: 'ipv6-state',
  summary: 'IPv6 is on where the provider needs it, and the default route stays',
  scope: 'node',
  needs: [],

  async run({ question }, _target, context) {
    return question === 'enabled' ? await isEnabled(context) : await keepsRoute(context);
  },
};

/**
 * Each interface has a switch of its own, and one that is made takes that of `default`; `all` only sets the others. Where it is off no
 * address can be added (EACCES).
 */
async function isEnabled(context: Context): Promise<Answer> {
  const { host } = context;
  if (!(await host.exists('/proc/sys/net/ipv6')))
    return fail('ipv6-disabled', { by: 'kernel' }, { where: 'node', node: 'this' });
  const { own } = await findPodInterfaces(context);
  const names = own.length === 0 ? ['default'] : own;
  const off: string[] = [];
  for (const name of names) {
    if ((await readSetting(host, `net/ipv6/conf/${name}/disable_ipv6`)) === 1) off.push(name);
  }
  if (off.length === 0) return pass({ interfaces: fewOf(names) });
  const files = await readableSettingsFiles(host);
  const keys = off.slice(0, 16).map((name) => `net/ipv6/conf/${name}/disable_ipv6`);
  const now = keys.flatMap((key) => setNow(key, '0'));
  const persistent = ['all', 'default'].flatMap((name) =>
    setInFiles({ keys: [`net/ipv6/conf/${name}/disable_ipv6`], value: '0' }, files, 'if-set'),
  );
  return fail(
    'ipv6-disabled',
    { by: 'sysctl', interfaces: fewOf(off) },
    { where: 'node', node: 'this' },
    sysctlRemedy(...now, ...persistent),
  );
}

/**
 * An interface of a host that forwards takes no router advertisements unless accept_ra is 2 (ipv6_accept_ra of the kernel), and the
 * route that one made expires.
 */
async function keepsRoute({ host }: Context): Promise<Answer> {
  const routes = (await host.routes()).filter(
    ({ family, destination, protocol, type }) =>
      family === 'ipv6' && destination === '::/0' && protocol === RTPROT_RA && type === 'unicast',
  );
  const interfaces = new Set(routes.flatMap(({ hops }) => hops.map((hop) => hop.interface)));
  if (interfaces.size === 0) return skip('not-applicable');
  const lost: string[] = [];
  for (const name of interfaces) {
    const forwards = await readSetting(host, `net/ipv6/conf/${name}/forwarding`);
    const accepts = await readSetting(host, `net/ipv6/conf/${name}/accept_ra`);
    // 0: systemd-networkd or NetworkManager takes them instead, and renews the route.
    if (forwards === 1 && accepts === 1) lost.push(name);
  }
  if (lost.length === 0) return pass({ interfaces: fewOf([...interfaces]) });
  const files = await readableSettingsFiles(host);
  const keys = lost.slice(0, 8).map((name) => `net/ipv6/conf/${name}/accept_ra`);
  return fail(
    'default-route-expires',
    { interfaces: fewOf(lost) },
    { where: 'node', node: 'this' },
    sysctlRemedy(
      ...keys.flatMap((key) => setNow(key, '2')),
      ...keys.flatMap((key) => setInFiles({ keys: [key], value: '2' }, files, 'always')),
    ),
  );
}
