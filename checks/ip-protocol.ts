/**
 * @module IP protocols 4 (IPIP) and 50 (ESP). They have no ports, so one node's probe makes the other's look ESTABLISHED
 * for ten minutes: the receiver looks into conntrack first, and only one node of a pair probes at a time.
 */
import {
  type Answer,
  type Check,
  type Context,
  type Evidence,
  fail,
  type PeerTarget,
  pass,
  skip,
  unknown,
} from './check.ts';
import { judgeErrors, judgeSendError } from './refusals.ts';
import { pause } from './time.ts';

const probes = 3;
const betweenMs = 30;
/** Time for the last probe to arrive before the witness is asked. */
const settleMs = 150;

export const ipProtocol: Check<'ip-protocol'> = {
  kind: 'ip-protocol',
  summary: 'packets of an IP protocol without ports reach the peer',
  scope: 'peer',
  needs: ['net-raw'],

  async run({ protocol }, target, context) {
    if (target.scope !== 'peer') throw new Error('ip-protocol is for peers');
    // IP-in-IP is IPv4 only (facts/providers.md S17); ESP is the same protocol on IPv6.
    if (protocol === 4 && target.family === 'ipv6') return skip('not-applicable');
    const watch = await context.peer?.watch({ protocol }, context.signal);
    const path = { family: target.family, destination: target.address };
    const sent = [];
    for (let probe = 0; probe < probes; probe++) {
      const waitMs = probe === probes - 1 ? settleMs : betweenMs;
      sent.push(await context.host.network.ipProtocol(path, protocol, waitMs, context.signal));
    }
    const evidence: Evidence = { protocol, sent: sent.length };
    const own = judgeSendError(sent, target, evidence);
    if (own !== undefined) return own;
    if (watch === undefined) return withoutWitness(sent, evidence, target);
    await pause(settleMs, context.signal);
    return await judge(watch.id, evidence, target, context, sent);
  },
};

async function judge(
  watchId: string,
  evidence: Evidence,
  target: PeerTarget,
  context: Context,
  sent: Parameters<typeof judgeErrors>[0],
): Promise<Answer> {
  const sighting = await context.peer?.sighting(watchId, context.signal);
  if (sighting === undefined) return unknown('no-witness', evidence);
  const all: Evidence = { ...evidence, witnessed: sighting.seen };
  if (sighting.seen === 0) {
    return judgeErrors(sent, target, all) ?? fail('dropped', all);
  }
  // A flow that conntrack already takes for established passes whatever a rule says of new ones.
  if (sighting.established === true) return unknown('established-by-reverse', all);
  if (sighting.established === undefined)
    return unknown('established-by-reverse', { ...all, conntrack: 'unreadable on the peer' });
  return pass(all);
}

function withoutWitness(
  sent: Parameters<typeof judgeErrors>[0],
  evidence: Evidence,
  target: PeerTarget,
): Answer {
  const refused = judgeErrors(sent, target, evidence);
  if (refused !== undefined) return refused;
  const protocolUnreachable = sent.some(({ errors }) =>
    errors.some(({ type, code }) => (type === 3 && code === 2) || (type === 4 && code === 1)),
  );
  return unknown(protocolUnreachable ? 'refused-unwitnessed' : 'no-witness', evidence);
}
