/** @module Tells whether the node's strict reverse-path filter would drop what a peer sends. */
import { type Check, type Context, fail, pass, skip } from './check.ts';
import type { InterfaceAddress } from './host/host.ts';
import type { Remedy } from './remedy/remedy.ts';
import { setInFiles, setNow, sysctlRemedy } from './settings/cure.ts';
import { readSetting } from './settings/interfaces.ts';
import { readableSettingsFiles } from './settings/read.ts';
import { reversePathInForce } from './settings/reverse-path.ts';

/**
 * A node with two ways to its peers may be known to them by an address on the one, and send to them by the other. A strict filter
 * then drops what they send to that address. The kernel itself is asked, for a packet from the peer that comes in where that address
 * is; and, to tell the filter from other reasons, for the same packet on the interface that the way back uses.
 */
export const returnPath: Check<'return-path'> = {
  kind: 'return-path',
  summary:
    'packets of the peer come in on the interface that the way back to it uses, or may come in on another',
  scope: 'peer',
  needs: [],

  async run(_params, target, context) {
    if (target.scope !== 'peer') throw new TypeError('return-path is about peers');
    if (target.family !== 'ipv4') return skip('not-applicable');
    const { host } = context;
    const route = await host.route(target.address);
    if (route === undefined || route.type !== 'unicast') return skip('not-applicable');
    const wayBack = { wayBack: route.interface };
    const known = await knownAddresses(context);
    if (known.length === 0) return skip('not-applicable', wayBack);
    for (const own of known) {
      if (own.index === route.index) continue;
      const inForce = reversePathInForce(
        (await readSetting(host, 'net/ipv4/conf/all/rp_filter')) ?? 0,
        (await readSetting(host, `net/ipv4/conf/${own.interface}/rp_filter`)) ?? 0,
      );
      if (inForce !== 1) continue;
      const packet = { source: target.address, destination: own.address };
      const here = await host.incoming({ ...packet, index: own.index });
      if (here !== 'refused') continue;
      const there = await host.incoming({ ...packet, index: route.index });
      if (there !== 'taken') continue;
      return fail(
        'return-path-refused',
        { ...wayBack, interface: own.interface, ownAddress: own.address },
        { where: 'node', node: 'this' },
        await looser(own.interface, context),
      );
    }
    return pass(wayBack);
  },
};

/** Addresses of this node by which peers send to it: as the peer list has them, and those of its VXLAN devices. */
async function knownAddresses(context: Context): Promise<readonly InterfaceAddress[]> {
  const { host, ownAddresses } = context;
  const tunnels = (await host.links()).flatMap(({ kind, local }) =>
    kind === 'vxlan' && local !== undefined ? [local] : [],
  );
  const known = new Set([...ownAddresses, ...tunnels]);
  return (await host.addresses()).filter(
    ({ family, address }) => family === 'ipv4' && known.has(address),
  );
}

/** Loose is what such a node needs: the source must have a way back, by whichever interface. */
async function looser(name: string, { host }: Context): Promise<readonly Remedy[]> {
  const key = `net/ipv4/conf/${name}/rp_filter`;
  const files = await readableSettingsFiles(host);
  return sysctlRemedy(
    ...setNow(key, '2'),
    ...setInFiles({ keys: [key], value: '2' }, files, 'always'),
  );
}
