/** @module A failed answer, with what its diagnosis found: the reason, who is to blame, what to type, and how sure that is. Pure. */
import type { Answer, AnswerCulprit, Evidence, Reason } from '../check.ts';
import type { Blame, Blamed, Diagnosis } from './diagnosis.ts';
import type { PathEvidence } from './evidence.ts';

type Failed = Extract<Answer, { outcome: 'fail' }>;

/** Puts a diagnosis into the answer of the probes. What they found stays where several explanations fit. */
export function withDiagnosis(
  answer: Failed,
  diagnosis: Diagnosis,
  evidence: PathEvidence,
): Failed {
  const course = { ...answer.evidence, ...courseOf(evidence) };
  // It comes and goes, or has just ended: the next round tells.
  if (diagnosis.outcome === 'open')
    return {
      ...answer,
      evidence: { ...course, ...doubtsOf(diagnosis), passedWhenDiagnosed: true },
    };
  const { confidence, candidates } = diagnosis;
  const told: Evidence = {
    ...course,
    confidence,
    ...(diagnosis.saidBy === undefined ? {} : { rejectedBy: diagnosis.saidBy }),
    ...detailsOf(diagnosis, evidence),
    ...doubtsOf(diagnosis),
    ...(diagnosis.further.length === 0 ? {} : { further: blamesText(diagnosis.further) }),
  };
  if (confidence !== 'ambiguous') {
    const { remedy: _, ...rest } = answer;
    return {
      ...rest,
      reason: reasonOf(answer, diagnosis),
      evidence: told,
      culprit: culpritOf(diagnosis),
      ...(diagnosis.remedies.length === 0 ? {} : { remedy: diagnosis.remedies }),
    };
  }
  const [first] = candidates;
  const isAgreed = (same: (one: Blame, other: Blame) => boolean): boolean =>
    first !== undefined && candidates.every((one) => same(one, first));
  const culprit = isAgreed((one, other) => one.where === other.where && one.node === other.node)
    ? { where: diagnosis.where, node: diagnosis.node }
    : answer.culprit;
  return {
    ...answer,
    reason: isAgreed((one, other) => one.reason === other.reason)
      ? diagnosis.reason
      : answer.reason,
    evidence: {
      ...told,
      candidates: blamesText(candidates),
      ...(first === undefined ? {} : { tellApart: `on the ${placeOf(first)}: ${first.probe}` }),
    },
    ...(culprit === undefined ? {} : { culprit }),
  };
}

/** That small packets pass is known already: what takes the others takes fragments. */
function reasonOf(answer: Failed, { reason }: Blamed): Reason {
  return answer.reason === 'fragments-lost' ? answer.reason : reason;
}

function culpritOf({ where, node, firewall, firewallCandidates }: Blamed): AnswerCulprit {
  return {
    where,
    node,
    ...(firewall === undefined ? {} : { firewall }),
    ...(firewallCandidates === undefined ? {} : { candidates: firewallCandidates }),
  };
}

/** How many packets each station saw; a station that is missing saw nothing that anybody knows of. */
function courseOf({ flow, sender, receiver }: PathEvidence): Evidence {
  const peer = typeof receiver === 'string' ? undefined : receiver;
  const hasAnswers = flow.protocol === 6 || flow.protocol === 1 || flow.protocol === 58;
  const counts: readonly (readonly [string, number | undefined])[] = [
    ['left', sender.stations?.out.probes],
    ['arrived', peer?.stations?.nic.probes],
    ['pastIngress', peer?.stations?.pastIngress.probes],
    ['witnessed', peer?.witnessed],
    ...(hasAnswers
      ? ([
          ['answerLeft', peer?.stations?.out.answers],
          ['answerArrived', sender.stations?.nic.answers],
          ['answered', sender.answered],
        ] as const)
      : []),
  ];
  return Object.fromEntries(
    counts.flatMap(([name, count]) => (count === undefined ? [] : [[name, count] as const])),
  );
}

function detailsOf({ reason, node }: Blamed, { sender, receiver }: PathEvidence): Evidence {
  const peer = typeof receiver === 'string' ? undefined : receiver;
  if (reason === 'dropped-by-reverse-path-filter') {
    const device = peer?.stations?.pastIngress.interfaces[0];
    return device === undefined ? {} : { arrivedOn: device };
  }
  if (reason === 'rewritten') {
    const rules = node === 'this' ? sender.rules?.probe : peer?.rules?.probe;
    return rules?.rewrittenTo === undefined ? {} : { rewrittenTo: rules.rewrittenTo };
  }
  return {};
}

/** What contradicts, and what there is none of. */
function doubtsOf({ disagreements, missing, receiverMissing }: Diagnosis): Evidence {
  const contradictions = disagreements.map(
    ({ node, packet, kind }) =>
      `${packet} ${kind} by the rules of the ${node === 'this' ? 'sender' : 'receiver'}`,
  );
  return {
    ...(contradictions.length === 0 ? {} : { disagreement: contradictions.join(', ') }),
    ...(missing.length === 0 ? {} : { missing: missing.join(', ') }),
    ...(receiverMissing === undefined ? {} : { receiverMissing }),
  };
}

/** Words that both nodes read in the same way: `dropped-on-the-way (network between)`. */
function blamesText(blames: readonly Blame[]): string {
  return blames.map((blame) => `${blame.reason} (${placeOf(blame)})`).join(', ');
}

function placeOf({ node }: Blame): string {
  return node === 'this' ? 'sender' : node === 'peer' ? 'receiver' : 'network between';
}
