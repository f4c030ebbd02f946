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
import type { PacketError, UdpObservation } from './host/network.ts';
import { hostAnswers } from './icmp-echo.ts';
import { judgeErrors, judgeSendError } from './refusals.ts';

/** What is sent: the port, its inert payload, the size of the IP packet where it matters, and who alone may answer. */
export interface UdpProbe {
  readonly port: number;
  readonly payload: Payload;
  readonly totalBytes?: number;
  /** Session of the agent that the address must belong to. */
  readonly session?: string;
  /** The own address that it is sent from; chosen by the route when absent. */
  readonly source?: string;
}

/** Probes after a first miss, within a second (docs/adr/0013). */
const confirmations = 2;

/** Probes a UDP port of the peer: one probe, and two more after a miss. */
export async function probeUdpPort(
  probe: UdpProbe,
  target: PeerTarget,
  context: Context,
): Promise<Answer> {
  const { source } = probe;
  const path = {
    family: target.family,
    destination: target.address,
    ...(source === undefined ? {} : { source }),
  };
  const started = performance.now();
  const send = async (): Promise<UdpObservation> =>
    await context.host.network.udp(path, probe, context.timeoutMs, context.signal);
  const observations = [await send()];
  if (observations[0]?.witnessed !== 'seen') {
    observations.push(...(await Promise.all(Array.from({ length: confirmations }, send))));
  }
  return await judge(probe, observations, { target, context, started });
}

/** Whom the probes were for, and when the first was sent (`performance.now()`). */
interface Sent {
  readonly target: PeerTarget;
  readonly context: Context;
  readonly started: number;
}

async function judge(
  probe: UdpProbe,
  observations: readonly UdpObservation[],
  sent: Sent,
): Promise<Answer> {
  const evidence = evidenceOf(probe, observations);
  const { session: wanted } = probe;
  if (wanted !== undefined && observations.some(({ session = wanted }) => session !== wanted))
    return fail('wrong-host', evidence);
  if (observations.some(({ witnessed }) => witnessed === 'seen'))
    return await passed(observations, evidence, sent);

  for (const { witnessed, rewrittenTo } of observations) {
    if (witnessed === 'seen-rewritten')
      return fail('rewritten', { ...evidence, rewrittenTo: rewrittenTo ?? '' });
    if (witnessed === 'seen-bad-checksum') return fail('bad-checksum', evidence);
    if (witnessed === 'seen-tproxy-possible') return unknown('tproxy-possible', evidence);
  }
  const { target } = sent;
  const own = judgeSendError(observations, target, evidence);
  if (own !== undefined) return own;
  const refused = judgeErrors(observations, target, evidence);
  if (refused !== undefined) return refused;
  return await askWitness(probe, observations, evidence, sent);
}

/** Nothing came back. Only the far witness can tell a drop from a lost answer, and only one that was there in time. */
async function askWitness(
  probe: UdpProbe,
  observations: readonly UdpObservation[],
  evidence: Evidence,
  sent: Sent,
): Promise<Answer> {
  const { target, context } = sent;
  if (observations.some(({ stalled }) => stalled)) return unknown('inconclusive', evidence);
  const report = await reportOf(observations, sent);
  if (context.signal.aborted) return unknown('deadline', evidence);
  const portUnreachable = observations.some(({ errors }) => errors.some(isPortUnreachable));
  if (report === 'no-agent') {
    // Every way back may be closed while the peer's own probes, which say what they heard, still arrive.
    if (context.host.network.wasReported(target.address, probe.port))
      return pass({ ...evidence, reportedByPeer: true });
    if (portUnreachable) return unknown('refused-unwitnessed', evidence);
    return unknown(
      (await hostAnswers(target, context)) ? 'no-witness' : 'peer-unreachable',
      evidence,
    );
  }
  if (report === 'no-witness') return unknown('no-witness', evidence);
  const heard = report.heard.filter(Boolean).length;
  if (heard > 0) return pass({ ...evidence, witnessed: heard, answersLost: observations.length });
  if (report.overloaded) return unknown('inconclusive', { ...evidence, witnessOverloaded: true });
  return portUnreachable
    ? fail('rejected-by-firewall', evidence, { where: 'receiver-ingress', node: 'peer' })
    : fail('dropped', evidence);
}

/** What the far witness says of some probes. */
interface Report {
  readonly heard: readonly boolean[];
  /** Whether it may have missed some of them for want of room. */
  readonly overloaded: boolean;
}

/** Which of the probes the far witness saw, if it has been open since before the first of them. */
async function reportOf(
  observations: readonly UdpObservation[],
  { context, started }: Sent,
): Promise<Report | 'no-agent' | 'no-witness'> {
  const report = await context.peer?.heard(
    observations.map(({ nonce }) => nonce),
    context.signal,
  );
  if (report === undefined) return 'no-agent';
  const sinceFirstSeconds = (performance.now() - started) / 1000;
  if (report.witnessSeconds <= sinceFirstSeconds) return 'no-witness';
  const { heard, overloadedSeconds = Number.POSITIVE_INFINITY } = report;
  return { heard, overloaded: overloadedSeconds <= sinceFirstSeconds };
}

/** Some were seen. Those that were not are lost only if the far witness, asked, did not see them either. */
async function passed(
  observations: readonly UdpObservation[],
  evidence: Evidence,
  sent: Sent,
): Promise<Answer> {
  const seen = observations.filter(({ witnessed }) => witnessed === 'seen');
  const rtts = seen.flatMap(({ rttSeconds }) => rttSeconds ?? []);
  const all: Evidence = {
    ...evidence,
    witnessed: seen.length,
    ...(rtts.length === 0 ? {} : { rttSeconds: Math.min(...rtts) }),
  };
  const silent = observations.filter((one) => one.witnessed === undefined && !one.stalled);
  if (silent.length === 0) return pass(all);
  const report = await reportOf(silent, sent);
  if (report === 'no-agent' || report === 'no-witness') return pass(all);
  const lost = silent.filter((_one, index) => report.heard[index] === false);
  if (lost.length === 0) return pass({ ...all, answersLost: silent.length });
  // The way is open, and what was lost was perhaps lost in the peer's own socket.
  if (report.overloaded) return pass({ ...all, witnessOverloaded: true });
  return {
    outcome: 'pass',
    evidence: all,
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
