/** @module When a failed path is diagnosed: at once, once a minute for a pair and kind that fails alike, a few at a time; and what of it the finding says. */
import type { Answer, PeerTarget, Reason } from '../checks/check.ts';
import { collectEvidence, type DiagnosedProbe } from '../checks/diagnosis/collect.ts';
import { diagnose } from '../checks/diagnosis/diagnose.ts';
import { withDiagnosis } from '../checks/diagnosis/diagnosed-answer.ts';
import type { Diagnosis } from '../checks/diagnosis/diagnosis.ts';
import type { PathEvidence } from '../checks/diagnosis/evidence.ts';
import { withDeadline } from '../checks/time.ts';
import { firewallParamsOf } from '../rules/firewall.ts';
import { blameFirewall, type TestedPath } from './firewall-blame.ts';
import type { Node } from './node.ts';

/** Explains failures. One for the whole process, so that its limits hold for all that ask. */
export interface Diagnoses {
  /** The answer, with who is to blame where that can be found out. Never rejects for what the network does. */
  explain(test: TestedPath, answer: Answer, signal: AbortSignal): Promise<Answer>;
}

export interface DiagnosesOptions {
  readonly node: Pick<Node, 'host' | 'channel' | 'underlay' | 'firewallView'>;
  /** Milliseconds on a clock that never jumps. */
  readonly now: () => number;
  /** Collects the evidence; both ends of the real path when absent. */
  readonly collect?: typeof collectEvidence;
}

const againMs = 60_000;
const limitMs = 4000;
const atOnce = 4;
/** Whoever comes when so many wait goes without: its next round comes, and a round must not take for ever. */
const mostWaiting = 12;
/** Pairs of which the last diagnosis is kept. */
const mostKept = 2048;

/** What a diagnosis can tell more of. */
const diagnosable: ReadonlySet<Reason> = new Set<Reason>([
  'dropped',
  'dropped-by-sender-firewall',
  'dropped-by-sender-egress',
  'rejected-by-sender-firewall',
  'rejected-by-firewall',
  'no-route',
  'neighbour-unresolved',
  'unreachable',
  'no-reply',
  'timed-out',
  'fragments-lost',
]);

interface Kept {
  /** What the probes alone had found. */
  readonly base: string;
  readonly atMs: number;
  readonly found: Promise<Found | undefined>;
}

interface Found {
  readonly evidence: PathEvidence;
  readonly diagnosis: Diagnosis;
}

export function createDiagnoses(options: DiagnosesOptions): Diagnoses {
  const { node, now, collect = collectEvidence } = options;
  const kept = new Map<string, Kept>();
  const turns = createTurns();

  async function find(
    probe: DiagnosedProbe,
    { address, family }: PeerTarget,
    signal: AbortSignal,
  ): Promise<Found | undefined> {
    const evidence = await withDeadline(limitMs, signal, (deadline) =>
      collect({
        host: node.host,
        peer: node.channel(address, family),
        address,
        family,
        ownAddress: node.underlay.find((one) => one.family === family)?.address,
        probe,
        signal: deadline,
      }),
    );
    return evidence === undefined ? undefined : { evidence, diagnosis: diagnose(evidence) };
  }

  function keep(key: string, entry: Kept): void {
    kept.delete(key);
    kept.set(key, entry);
    for (const oldest of kept.keys()) {
      if (kept.size <= mostKept) break;
      kept.delete(oldest);
    }
  }

  async function diagnosisOf(
    probe: DiagnosedProbe,
    target: PeerTarget,
    answer: Doubtful,
    signal: AbortSignal,
  ): Promise<Found | undefined> {
    const key = keyOf(target, probe);
    const known = kept.get(key);
    const base = baseOf(answer);
    // What fails in another way is another failure.
    if (known !== undefined && known.base === base && now() - known.atMs < againMs)
      return await known.found;
    // Two requirements of one port are one way.
    const found = turns(async () => await find(probe, target, signal));
    keep(key, { base, atMs: now(), found });
    const result = await found;
    if (result === undefined && kept.get(key)?.found === found) kept.delete(key);
    return result;
  }

  return {
    async explain(test, answer, signal) {
      const { target } = test;
      const probe = target.scope === 'peer' ? probeOf(test, answer) : undefined;
      if (target.scope === 'node' || probe === undefined || !target.mustReach) return answer;
      if (target.direction === 'inbound') return answer;
      if (answer.outcome === 'pass') {
        // What fails after it passed is another failure.
        kept.delete(keyOf(target, probe));
        return answer;
      }
      if (!isDiagnosable(answer) || !node.host.capabilities.netRaw)
        return blameFirewall(answer, test, 'outbound', node.firewallView());
      const found = await diagnosisOf(probe, target, answer, signal);
      if (found === undefined) return blameFirewall(answer, test, 'outbound', node.firewallView());
      if (answer.outcome === 'fail') return withDiagnosis(answer, found.diagnosis, found.evidence);
      // Nothing was heard of the peer at all; only what this node was seen to do itself is told.
      const { evidence, diagnosis } = found;
      const isOwn =
        diagnosis.outcome === 'blamed' &&
        diagnosis.confidence === 'proven' &&
        diagnosis.node === 'this';
      const failed = { ...answer, outcome: 'fail', evidence: answer.evidence ?? {} } as const;
      return isOwn ? withDiagnosis(failed, diagnosis, evidence) : answer;
    },
  };
}

type Doubtful = Extract<Answer, { outcome: 'fail' | 'unknown' }>;

function isDiagnosable(answer: Answer): answer is Doubtful {
  if (answer.outcome === 'fail') return diagnosable.has(answer.reason);
  return answer.outcome === 'unknown' && answer.reason === 'peer-unreachable';
}

function keyOf({ address }: PeerTarget, probe: DiagnosedProbe): string {
  return JSON.stringify([address, probe]);
}

/** What the probes alone found, without what is never twice the same. */
function baseOf(answer: Doubtful): string {
  const { reason, evidence = {} } = answer;
  const culprit = answer.outcome === 'fail' ? answer.culprit : undefined;
  const { icmp, rejectedBy, errno } = evidence;
  return JSON.stringify([reason, culprit?.where, culprit?.node, icmp, rejectedBy, errno]);
}

/** The packets that the test sent; undefined for kinds that are not diagnosed. */
function probeOf({ requirement }: TestedPath, { evidence }: Answer): DiagnosedProbe | undefined {
  const { kind, params } = requirement;
  const { protocol, port } = firewallParamsOf(requirement) ?? {};
  if ((kind === 'udp-port' || kind === 'vxlan-path') && port !== undefined) {
    const totalBytes = evidence?.['packetBytes'];
    const payload = 'payload' in params ? params.payload : 'vxlan';
    const size = typeof totalBytes === 'number' ? { totalBytes } : {};
    return { transport: 'udp', port, payload, ...size };
  }
  if (kind === 'tcp-port' && port !== undefined) return { transport: 'tcp', port };
  if (kind === 'icmp-echo') return { transport: 'icmp' };
  if (kind === 'ip-protocol' && (protocol === 4 || protocol === 50))
    return { transport: 'ip', protocol };
  return undefined;
}

/** Runs a few at once and lets a few wait; further ones get undefined. */
function createTurns(): <T>(work: () => Promise<T>) => Promise<T | undefined> {
  let running = 0;
  const waiting: (() => void)[] = [];
  return async (work) => {
    if (running >= atOnce) {
      if (waiting.length >= mostWaiting) return undefined;
      await new Promise<void>((resolve) => {
        waiting.push(resolve);
      });
    } else running++;
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      // Whoever waits takes over the place.
      if (next === undefined) running--;
      else next();
    }
  };
}
