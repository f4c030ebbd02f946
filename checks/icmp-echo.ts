/** @module ICMP echo, 8/0 and ICMPv6 128/0: the far kernel answers, no agent is needed. */
import {
  type Answer,
  type Check,
  type Context,
  type Evidence,
  fail,
  type PeerTarget,
  pass,
} from './check.ts';
import { HostError } from './host/host.ts';
import type { EchoObservation } from './host/network.ts';
import {
  describe,
  isHostUnreachable,
  isOwnAddress,
  judgeErrors,
  judgeSendError,
} from './refusals.ts';

const confirmations = 2;

/** Sends an echo request to the peer, and two more after a miss. */
export const icmpEcho: Check<'icmp-echo'> = {
  kind: 'icmp-echo',
  summary: 'the peer answers an ICMP echo request',
  scope: 'peer',
  needs: [],

  async run(_params, target, context) {
    if (target.scope !== 'peer') throw new Error('icmp-echo is for peers');
    const observations = [await echo(target, context)];
    if (observations[0]?.replied !== true) {
      const more = Array.from({ length: confirmations }, async () => await echo(target, context));
      observations.push(...(await Promise.all(more)));
    }
    return await judge(observations, target, context);
  },
};

/** Whether the peer's host is there at all. Silence also means no where ICMP is filtered. */
export async function hostAnswers(target: PeerTarget, context: Context): Promise<boolean> {
  try {
    const tries = await Promise.all([echo(target, context), echo(target, context)]);
    if (tries.some(({ replied }) => replied)) return true;
  } catch (error) {
    if (!(error instanceof HostError)) throw error;
  }
  // Where echo is filtered or may not be sent: a refused or open TCP port answers the same question.
  try {
    const { result } = await context.host.network.tcp(
      { family: target.family, destination: target.address },
      discardPort,
      context.timeoutMs,
      context.signal,
    );
    return result === 'connected' || result === 'refused';
  } catch (error) {
    if (error instanceof HostError) return false;
    throw error;
  }
}

/** Port 9, discard (RFC 863): hardly anybody listens, and a host that is there refuses. */
const discardPort = 9;

async function echo(target: PeerTarget, context: Context): Promise<EchoObservation> {
  return await context.host.network.echo(
    { family: target.family, destination: target.address },
    {},
    context.timeoutMs,
    context.signal,
  );
}

async function judge(
  observations: readonly EchoObservation[],
  target: PeerTarget,
  context: Context,
): Promise<Answer> {
  const replied = observations.filter((one) => one.replied);
  const evidence: Evidence = {
    transport: 'icmp',
    sent: observations.length,
    replied: replied.length,
  };
  if (replied.length > 0) {
    const rtts = replied.flatMap(({ rttSeconds }) => rttSeconds ?? []);
    return pass(rtts.length === 0 ? evidence : { ...evidence, rttSeconds: Math.min(...rtts) });
  }
  const own = judgeSendError(observations, target, evidence);
  if (own !== undefined) return own;
  const error = observations.flatMap(({ errors }) => errors).find(isHostUnreachable);
  if (error !== undefined) {
    // The kernel says so from an own address when nobody answers its ARP or neighbour solicitation.
    const neighbour =
      error.offender === undefined || (await isOwnAddress(error.offender, context.host));
    return fail(neighbour ? 'neighbour-unresolved' : 'unreachable', {
      ...evidence,
      ...describe(error),
    });
  }
  const refused = judgeErrors(observations, target, evidence);
  if (refused !== undefined) return refused;
  if (observations.some(({ stalled }) => stalled))
    return { outcome: 'unknown', reason: 'inconclusive', evidence };
  return fail('no-reply', evidence);
}
