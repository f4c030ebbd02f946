/** @module The overlay itself: the peer's agent answers on its overlay address, and it must be the same agent. */
import { type Check, skip, unknown } from './check.ts';
import type { Family } from './family.ts';
import { parseAddress } from './packet/address.ts';
import { agentPort } from './peer-client.ts';
import { probeUdpPort } from './udp-path.ts';

/** Sends probes to the peer's overlay address; the session in the answer shows that the right host got them. */
export const overlayPath: Check<'overlay-path'> = {
  kind: 'overlay-path',
  summary: 'the peer answers on its overlay address',
  scope: 'peer',
  needs: [],

  async run({ devices }, target, context) {
    if (target.scope !== 'peer') throw new Error('overlay-path is for peers');
    const own = (await context.host.addresses()).filter(
      (one) => devices.includes(one.interface) && one.family === target.family,
    );
    if (own.length === 0) return skip('no-overlay-device');
    const theirs = await context.peer?.facts(context.signal);
    if (theirs === undefined) return unknown('no-witness');
    const device = devices.find((name) => theirs.overlay[`${name}/${target.family}`] !== undefined);
    const address = device === undefined ? undefined : theirs.overlay[`${device}/${target.family}`];
    if (device === undefined || address === undefined || !isOf(target.family, address))
      return skip('no-overlay-device');
    const probe = { port: agentPort, payload: 'zero', session: theirs.session } as const;
    const answer = await probeUdpPort(probe, { ...target, address }, context);
    if (answer.outcome === 'skip' || answer.outcome === 'unknown') return answer;
    return { ...answer, evidence: { ...answer.evidence, device, overlayAddress: address } };
  },
};

/** The peer wrote the address, so it may be anything. */
function isOf(family: Family, address: string): boolean {
  return parseAddress(address)?.length === (family === 'ipv4' ? 4 : 16);
}
