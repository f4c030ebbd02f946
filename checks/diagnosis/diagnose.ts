/**
 * @module Who is to blame for a way that failed: from the evidence of both ends to one diagnosis. Pure.
 *
 * Where the packets vanished is what the stations say; why, what the causes of that part of the way say of the evidence (causes.ts,
 * docs/diagnosis.md). To be wrong with confidence is the worst: what could not be seen takes confidence away, and what fits as well is named.
 */
import { type Cause, letsPass, type Weight } from './cause.ts';
import { causes } from './causes.ts';
import type {
  Blame,
  Confidence,
  Diagnosis,
  Disagreement,
  MissingPart,
  PlacedRemedy,
} from './diagnosis.ts';
import type { PathEvidence, RulesVerdict } from './evidence.ts';
import {
  type Facts,
  factsOf,
  ownerOfSegment,
  type Segment,
  type Station,
  segments,
} from './facts.ts';

/** So many explanations are named. */
const mostCandidates = 4;

/** Judges the evidence of one failed way. */
export function diagnose(evidence: PathEvidence): Diagnosis {
  const facts = factsOf(evidence);
  const { receiver } = evidence;
  const told = {
    course: facts.seen,
    missing: missingOf(facts),
    ...(typeof receiver === 'string' ? { receiverMissing: receiver } : {}),
  };
  const passed = droppedButPassed(facts);
  if (facts.lostIn.length === 0) return { outcome: 'open', ...told, disagreements: passed };
  const { confidence, fitting } = decide(facts, passed.length > 0);
  const candidates = distinct(fitting.map((cause) => blameOf(cause, facts)));
  const [first] = candidates;
  const [cause] = fitting;
  if (first === undefined || cause === undefined) throw new Error('a part of the way has no cause');
  const further = confidence === 'ambiguous' ? [] : furtherOn(cause, facts);
  return {
    outcome: 'blamed',
    ...first,
    confidence,
    candidates: candidates.slice(0, mostCandidates),
    further: further.map((one) => blameOf(one, facts)),
    remedies: confidence === 'ambiguous' ? [] : remediesOf([cause, ...further], facts),
    disagreements: [...passed, ...acceptedButLost(fitting, facts)],
    ...told,
  };
}

interface Decision {
  readonly confidence: Confidence;
  /** The causes that fit, the likeliest first. */
  readonly fitting: readonly Cause[];
}

function decide(facts: Facts, isContradicted: boolean): Decision {
  const { lostIn } = facts;
  const weighed = causes
    .filter((cause) => cause.segments.some((segment) => lostIn.includes(segment)))
    .map((cause) => ({ cause, weight: cause.weigh(facts) }));
  const those = (...weights: readonly Weight[]): readonly Cause[] =>
    weighed.flatMap(({ cause, weight }) =>
      weight !== undefined && weights.includes(weight) ? [cause] : [],
    );
  // Where the stations leave more than one host, nobody saw which of them took the packets.
  const isNarrow = new Set(lostIn.map((segment) => ownerOfSegment[segment])).size === 1;
  const certain = isNarrow ? those('said', 'proof') : those('said');
  const [proven] = certain;
  if (proven !== undefined) {
    const isSure = those('said').includes(proven) || !(isContradicted || isShaky(facts));
    return { confidence: isSure ? 'proven' : 'likely', fitting: [proven] };
  }
  // A counter that grew on one of several hosts tells nothing; rules that take the packet would do so wherever it was lost.
  const strong = isNarrow ? those('hint') : those('proof');
  const weak = isNarrow ? those('possible') : those('hint', 'possible');
  const fitting = strong.length > 0 ? strong : weak;
  const isOne = distinct(fitting.map((cause) => blameOf(cause, facts))).length === 1;
  return { confidence: isOne ? 'likely' : 'ambiguous', fitting };
}

/** Whether something that a proof stands on may have been missed. */
function isShaky({ sender, peer, contradictory }: Facts): boolean {
  const lost = (sender.stations?.lost ?? 0) + (peer?.stations?.lost ?? 0);
  return contradictory || sender.stalled || lost > 0;
}

/** Causes that blame the same for the same are one explanation; the first names the place. */
function distinct(blames: readonly Blame[]): readonly Blame[] {
  const known = new Map<string, Blame>();
  for (const blame of blames) {
    const key = [blame.where, blame.node, blame.reason].join(' ');
    if (!known.has(key)) known.set(key, blame);
  }
  return [...known.values()];
}

function blameOf(cause: Cause, facts: Facts): Blame {
  const { id, where, node, reason } = cause;
  const rules = cause.rules?.(facts);
  const isDecided = rules !== undefined && rules.verdict !== 'undetermined';
  const candidates = rules?.candidates ?? [];
  const saidBy = cause.saidBy?.(facts);
  return {
    cause: id,
    where,
    node,
    reason,
    ...(isDecided && rules.place !== undefined ? { firewall: rules.place } : {}),
    ...(candidates.length === 0 ? {} : { firewallCandidates: candidates }),
    ...(saidBy === undefined ? {} : { saidBy }),
    probe: cause.probe(facts),
  };
}

/** What stands behind the first culprit: without it the packets would be lost there. */
function furtherOn(first: Cause, facts: Facts): readonly Cause[] {
  const end = facts.kind === 'tcp' || facts.kind === 'icmp' ? 'input-back' : 'input';
  return causes.slice(causes.indexOf(first) + 1).filter((cause) => {
    if (cause.standing !== true || lastOf(cause) > segments.indexOf(end)) return false;
    // A rule that these packets did not come to has counted none of them.
    const weight = cause.weigh(facts);
    return weight === 'proof' || weight === 'hint';
  });
}

function lastOf(cause: Cause): number {
  return Math.max(...cause.segments.map((segment: Segment) => segments.indexOf(segment)));
}

function remediesOf(of: readonly Cause[], facts: Facts): readonly PlacedRemedy[] {
  return of.flatMap((cause) => {
    const { node } = cause;
    const byRules = cause.rules?.(facts)?.remedies ?? [];
    const placed = node === 'path' ? [] : byRules.map((one) => ({ ...one, on: node }));
    return [...placed, ...(cause.remedy?.(facts) ?? [])];
  });
}

/** Rules that take a packet away which was seen behind them. */
function droppedButPassed({ sender, peer, seen, kind }: Facts): readonly Disagreement[] {
  const answers = kind === 'tcp' || kind === 'icmp';
  const found: Disagreement[] = [];
  const look = (
    one: Pick<Disagreement, 'node' | 'packet'>,
    rules: RulesVerdict | undefined,
    behind: { readonly ingress?: Station; readonly rest: Station },
  ): void => {
    if (rules?.verdict !== 'drop' && rules?.verdict !== 'reject') return;
    const isIngress = rules.place?.hook === 'ingress' && rules.place.family !== 'bridge';
    const station = isIngress ? (behind.ingress ?? behind.rest) : behind.rest;
    if (seen[station] === 'yes') found.push({ ...one, kind: 'dropped-but-passed' });
  };
  look({ node: 'this', packet: 'probe' }, sender.rules?.probe, { rest: 'left' });
  look({ node: 'peer', packet: 'probe' }, peer?.rules?.probe, {
    ingress: 'past-ingress',
    rest: 'past-input',
  });
  if (!answers) return found;
  look({ node: 'peer', packet: 'answer' }, peer?.rules?.answer, { rest: 'answer-left' });
  look({ node: 'this', packet: 'answer' }, sender.rules?.answer, {
    ingress: 'answer-past-ingress',
    rest: 'answered',
  });
  return found;
}

/** Rules that let a packet pass which a firewall is blamed for, for want of another cause. */
function acceptedButLost(fitting: readonly Cause[], facts: Facts): readonly Disagreement[] {
  const { sender, peer } = facts;
  const rulesOf = {
    'sender-refuses': { node: 'this', packet: 'probe', rules: sender.rules?.probe },
    'receiver-refuses': { node: 'peer', packet: 'probe', rules: peer?.rules?.probe },
    'receiver-rules-contradict': { node: 'peer', packet: 'probe', rules: peer?.rules?.probe },
    'answer-receiver-rules-contradict': {
      node: 'peer',
      packet: 'answer',
      rules: peer?.rules?.answer,
    },
    'answer-sender-rules-contradict': {
      node: 'this',
      packet: 'answer',
      rules: sender.rules?.answer,
    },
  } as const;
  return Object.entries(rulesOf).flatMap(([id, { node, packet, rules }]) =>
    letsPass(rules) && fitting.some((cause) => cause.id === id)
      ? [{ node, packet, kind: 'accepted-but-lost' as const }]
      : [],
  );
}

function missingOf({ sender, receiver, peer, kind }: Facts): readonly MissingPart[] {
  const parts: readonly (readonly [MissingPart, boolean])[] = [
    ['sender-taps', sender.stations === undefined],
    ['sender-rules', sender.rules === undefined],
    ['sender-stalled', sender.stalled],
    ['receiver', typeof receiver === 'string'],
    ['receiver-taps', peer !== undefined && peer.stations === undefined],
    // The kernel itself answers an echo: there is no witness of it.
    ['receiver-witness', peer !== undefined && peer.witnessed === undefined && kind !== 'icmp'],
    ['receiver-rules', peer !== undefined && peer.rules === undefined],
    ['taps-overflowed', (sender.stations?.lost ?? 0) + (peer?.stations?.lost ?? 0) > 0],
  ];
  return parts.flatMap(([part, isMissing]) => (isMissing ? [part] : []));
}
