/**
 * @module A VXLAN packet as large as the overlay's largest gets through as Linux would send it: without DF.
 * It is made by our own codec and not by a device, so it works before and beside a CNI.
 */
import { type Check, fail, skip } from './check.ts';
import { overlayPacketBytes } from './overlay-size.ts';
import { probeUdpPort } from './udp-path.ts';

/** Sends full-sized probes that routers may fragment; small ones tell a closed port from lost fragments. */
export const vxlanPath: Check<'vxlan-path'> = {
  kind: 'vxlan-path',
  summary: 'a full-sized VXLAN packet reaches the peer, in fragments if need be',
  scope: 'peer',
  needs: [],

  async run({ port, overheadBytes }, target, context) {
    if (target.scope !== 'peer') throw new Error('vxlan-path is for peers');
    const size = await overlayPacketBytes(overheadBytes, target, context);
    if (size === undefined) return skip('not-applicable');
    // Only the kernel's own VXLAN device may send more than its interface carries; path-mtu says that it would have to.
    if (size.neededBytes > size.interfaceMtuBytes)
      return skip('not-applicable', {
        neededBytes: size.neededBytes,
        interfaceMtuBytes: size.interfaceMtuBytes,
      });
    const large = await probeUdpPort(
      { port, payload: 'vxlan', totalBytes: size.neededBytes },
      target,
      context,
    );
    if (large.outcome !== 'fail' || large.reason !== 'dropped') return large;
    const small = await probeUdpPort({ port, payload: 'vxlan' }, target, context);
    if (small.outcome === 'pass') return fail('fragments-lost', large.evidence);
    // The port itself is closed: its own requirement says so.
    return skip('not-applicable', { ...large.evidence, smallProbes: 'lost too' });
  },
};
