/** @module Whether UDP probes of ours reach a port of the peer: shared by every check that sends them. */
import type { Payload } from '../rules/schema.ts';
import {
  type Answer,
  type Context,
  type Evidence,
  fail,
  type PeerTarget,
  pass,
  unknown,
} from './check.ts';
import type { PacketError, Path, UdpObservation } from './host/network.ts';
import { hostAnswers } from './icmp-echo.ts';
import { judgeErrors, judgeSendError } from './refusals.ts';

/** What is sent: the port, its inert payload, and the size of the IP packet where it matters. */
export interface UdpProbe {
  readonly port: number;
  readonly payload: Payload;
  readonly totalBytes?: number;
}

/** Probes after a first miss, within a second (DESIGN section 4). */
const confirmations = 2;

/** Probes a UDP port of the peer: one probe, and two more after a miss. */
export async function probeUdpPort(
  probe: UdpProbe,
  target: PeerTarget,
  context: Context,
): Promise<Answer> {
  const path = pathOf(target, context);
  const send = async (): Promise<UdpObservation> =>
    await context.host.network.udp(path, probe, context.timeoutMs, context.signal);
  const observations = [await send()];
  if (observations[0]?.witnessed !== 'seen') {
    observations.push(...(await Promise.all(Array.from({ length: confirmations }, send))));
  }
  return await judge(probe, observations, target, context);
}

/** The path to a peer, from the own address that the plan chose where it chose one. */
export function pathOf(target: PeerTarget, _context: Context): Path {
  return { family: target.family, destination: target.address };
}

async function judge(
  probe: UdpProbe,
  observations: readonly UdpObservation[],
  target: PeerTarget,
  context: Context,
): Promise<Answer> {
  const evidence = evidenceOf(probe, observations);
  const seen = observations.filter(({ witnessed }) => witnessed === 'seen');
  if (seen.length > 0) return passed(observations, seen.length, evidence);

  for (const { witnessed, rewrittenTo } of observations) {
    if (witnessed === 'seen-rewritten')
      return fail('rewritten', { ...evidence, rewrittenTo: rewrittenTo ?? '' });
    if (witnessed === 'seen-bad-checksum') return fail('bad-checksum', evidence);
    if (witnessed === 'seen-tproxy-possible') return unknown('tproxy-possible', evidence);
  }
  const own = judgeSendError(observations, target, evidence);
  if (own !== undefined) return own;
  const refused = judgeErrors(observations, target, evidence);
  if (refused !== undefined) return refused;
  return await askWitness(observations, evidence, target, context);
}

/** Nothing came back. Only the far witness can tell a drop from a lost answer, and only a live one. */
async function askWitness(
  observations: readonly UdpObservation[],
  evidence: Evidence,
  target: PeerTarget,
  context: Context,
): Promise<Answer> {
  if (observations.some(({ stalled }) => stalled)) return unknown('inconclusive', evidence);
  const report = await context.peer?.heard(
    observations.map(({ nonce }) => nonce),
    context.signal,
  );
  if (context.signal.aborted) return unknown('deadline', evidence);
  const portUnreachable = observations.some(({ errors }) => errors.some(isPortUnreachable));
  if (report === undefined) {
    if (portUnreachable) return unknown('refused-unwitnessed', evidence);
    return unknown(
      (await hostAnswers(target, context)) ? 'no-witness' : 'peer-unreachable',
      evidence,
    );
  }
  if (!report.witness) return unknown('no-witness', evidence);
  const heard = report.heard.filter(Boolean).length;
  if (heard > 0) return pass({ ...evidence, witnessed: heard, answersLost: observations.length });
  return portUnreachable
    ? fail('rejected-by-firewall', evidence, { where: 'receiver-ingress', node: 'peer' })
    : fail('dropped', evidence);
}

function passed(
  observations: readonly UdpObservation[],
  witnessed: number,
  evidence: Evidence,
): Answer {
  const lost = observations.filter((one) => one.witnessed === undefined && !one.stalled);
  const withRtt = observations.flatMap(({ rttSeconds }) => rttSeconds ?? []);
  const answer = pass({
    ...evidence,
    witnessed,
    ...(withRtt.length === 0 ? {} : { rttSeconds: Math.min(...withRtt) }),
  });
  if (lost.length === 0 || answer.outcome !== 'pass') return answer;
  return {
    ...answer,
    partialLoss: {
      sent: observations.length,
      lost: lost.length,
      lostSourcePorts: lost.map(({ sourcePort }) => sourcePort),
    },
  };
}

function evidenceOf(probe: UdpProbe, observations: readonly UdpObservation[]): Evidence {
  return {
    transport: 'udp',
    port: probe.port,
    sent: observations.length,
    witnessed: 0,
    ...(probe.totalBytes === undefined ? {} : { packetBytes: probe.totalBytes }),
  };
}

/** ICMP 3/3, ICMPv6 1/4. */
function isPortUnreachable({ type, code }: PacketError): boolean {
  return (type === 3 && code === 3) || (type === 1 && code === 4);
}
