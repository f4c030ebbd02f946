/** @module A UDP port of the peer, tested without binding it (docs/adr/0001). */
import type { Check } from './check.ts';
import { probeUdpPort } from './udp-path.ts';

/** Sends inert probes to the port and believes the far witness. */
export const udpPort: Check<'udp-port'> = {
  kind: 'udp-port',
  summary: 'a UDP port of the peer can be reached',
  scope: 'peer',
  needs: [],

  async run({ port, payload }, target, context) {
    if (target.scope !== 'peer') throw new Error('udp-port is for peers');
    return await probeUdpPort({ port, payload }, target, context);
  },
};
