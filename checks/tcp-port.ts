/** @module A TCP port of the peer: a normal connect, and the far witness where a refusal could mean two things. */
import {
  type Answer,
  type Check,
  type Context,
  type Evidence,
  fail,
  type PeerTarget,
  pass,
  unknown,
} from './check.ts';
import type { TcpObservation } from './host/network.ts';
import { hostAnswers } from './icmp-echo.ts';
import {
  describe,
  isForeignRefusal,
  isHostUnreachable,
  isOwnAddress,
  isProhibition,
  judgeErrors,
} from './refusals.ts';

/** Connects to the port. Inverted (`mustReach` false), a connection is the finding. */
export const tcpPort: Check<'tcp-port'> = {
  kind: 'tcp-port',
  summary: 'a TCP port of the peer can be reached, or a host-local one cannot',
  scope: 'peer',
  needs: [],

  async run({ port }, target, context) {
    if (target.scope !== 'peer') throw new Error('tcp-port is for peers');
    const first = await connect(port, target, context);
    if (!target.mustReach) return await judgeExposure(port, first, target, context);
    if (first.result === 'connected') return pass({ ...facts(port, [first]), listening: true });
    if (ownRoute(first))
      return fail(
        'no-route',
        { ...facts(port, [first]), errno: first.errno ?? '' },
        { where: 'node', node: 'this' },
      );
    return await confirm(port, first, target, context);
  },
};

async function connect(
  port: number,
  target: PeerTarget,
  context: Context,
): Promise<TcpObservation> {
  return await context.host.network.tcp(
    { family: target.family, destination: target.address },
    port,
    context.timeoutMs,
    context.signal,
  );
}

async function judgeExposure(
  port: number,
  observation: TcpObservation,
  target: PeerTarget,
  context: Context,
): Promise<Answer> {
  const evidence = facts(port, [observation]);
  if (observation.result === 'connected')
    return fail('exposed', evidence, { where: 'receiver-listener', node: 'peer' });
  if (observation.stalled) return unknown('inconclusive', evidence);
  // What never came as far as the peer says nothing of the peer.
  if (ownRoute(observation) || observation.errors.some(isHostUnreachable))
    return unknown('peer-unreachable', { ...evidence, errno: observation.errno ?? '' });
  for (const error of observation.errors)
    if (await isOwnAddress(error.offender, context.host))
      return unknown('peer-unreachable', { ...evidence, ...describe(error) });
  if (observation.result === 'timed-out' && !(await hostAnswers(target, context)))
    return unknown('peer-unreachable', evidence);
  return pass(evidence);
}

/** Connects twice more while the far witness looks out for the SYN. */
async function confirm(
  port: number,
  first: TcpObservation,
  target: PeerTarget,
  context: Context,
): Promise<Answer> {
  const watch = await context.peer?.watch({ protocol: 'tcp', port }, context.signal);
  const more = await Promise.all([connect(port, target, context), connect(port, target, context)]);
  const all = [first, ...more];
  if (more.some(({ result }) => result === 'connected'))
    return pass({ ...facts(port, all), listening: true });
  const sighting =
    watch === undefined ? undefined : await context.peer?.sighting(watch.id, context.signal);
  const evidence: Evidence = {
    ...facts(port, all),
    ...(sighting === undefined ? {} : { witnessed: sighting.seen }),
  };
  if (context.signal.aborted) return unknown('deadline', evidence);
  const refused = all.some(({ result }) => result === 'refused');
  const stalled = all.some((one) => one.stalled);
  if (sighting !== undefined && sighting.seen > 0) {
    if (refused) return pass({ ...evidence, listening: false });
    return stalled ? unknown('inconclusive', evidence) : fail('timed-out', evidence);
  }
  const errors = all.flatMap((one) => one.errors);
  const rejection = errors.find((error) => isProhibition(error) || isForeignRefusal(error, target));
  if (rejection !== undefined) {
    if (await isOwnAddress(rejection.offender, context.host))
      return fail(
        'rejected-by-sender-firewall',
        { ...evidence, ...describe(rejection) },
        { where: 'sender-egress', node: 'this' },
      );
    const answer = judgeErrors(all, target, evidence);
    if (answer !== undefined) return answer;
  }
  if (refused) {
    if (sighting === undefined) return unknown('refused-unwitnessed', evidence);
    return fail('rejected-by-firewall', evidence);
  }
  const unreachable = judgeErrors(all, target, evidence);
  if (unreachable !== undefined) return unreachable;
  if (stalled) return unknown('inconclusive', evidence);
  if (sighting !== undefined) return fail('dropped', evidence);
  return (await hostAnswers(target, context))
    ? fail('timed-out', evidence)
    : unknown('peer-unreachable', evidence);
}

/** The connect failed at once and nobody sent an ICMP error: no way out of this node. */
function ownRoute({ result, errno, errors }: TcpObservation): boolean {
  return (
    result === 'error' &&
    errors.every(({ type }) => type === undefined) &&
    (errno === 'EACCES' ||
      errno === 'EINVAL' ||
      errno === 'ENETUNREACH' ||
      errno === 'EHOSTUNREACH' ||
      errno === 'EADDRNOTAVAIL')
  );
}

function facts(port: number, observations: readonly TcpObservation[]): Evidence {
  const connected = observations.filter(({ result }) => result === 'connected').length;
  return { transport: 'tcp', port, sent: observations.length, connected };
}
