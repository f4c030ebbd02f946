/** @module The overlay itself: the peer's agent answers on its overlay address, and it must be the same agent. */
import { type Check, fail, pass, skip, unknown } from './check.ts';
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
    if (device === undefined || address === undefined) return skip('no-overlay-device');
    const probe = { port: agentPort, payload: 'zero' } as const;
    const path = { family: target.family, destination: address };
    const seen = await context.host.network.udp(path, probe, context.timeoutMs, context.signal);
    const evidence = { device, overlayAddress: address };
    if (seen.witnessed === undefined) {
      const answer = await probeUdpPort(probe, { ...target, address }, context);
      if (answer.outcome === 'pass') return pass({ ...answer.evidence, ...evidence });
      return answer.outcome === 'fail'
        ? { ...answer, evidence: { ...answer.evidence, ...evidence } }
        : answer;
    }
    return seen.session === theirs.session
      ? pass({
          ...evidence,
          ...(seen.rttSeconds === undefined ? {} : { rttSeconds: seen.rttSeconds }),
        })
      : fail('wrong-host', evidence);
  },
};
