/** @module Whether this node's own firewall explains that a path failed: what its rules say where there was no diagnosis. Pure. */
import type { Answer, AnswerCulprit, Reason } from '../checks/check.ts';
import type { FirewallVerdict } from '../checks/firewall-verdict.ts';
import type { FirewallView } from '../checks/host/firewall.ts';
import { culpritOf, questionOfTest, withRemedy } from '../checks/host-firewall.ts';
import type { Requirement } from '../rules/schema.ts';
import type { Direction } from './model.ts';
import type { PlannedTest } from './plan.ts';

/** A test that was made, as far as it matters here. */
export interface TestedPath {
  readonly requirement: Pick<Requirement, 'kind' | 'params'>;
  readonly target: PlannedTest['target'];
}

/** What a packet that a firewall took away can look like from outside. */
const explicable: ReadonlySet<Reason> = new Set([
  'dropped',
  'dropped-by-sender-firewall',
  'dropped-by-sender-egress',
  'rejected-by-sender-firewall',
  'dropped-by-receiver-firewall',
  'dropped-by-receiver-ingress',
  'rejected-by-receiver-firewall',
  'rejected-by-firewall',
  'rewritten',
  'no-reply',
  'timed-out',
  'unreachable',
]);

/** What probes alone could not tell apart: a rule that takes such packets says it better. */
const unspecific: ReadonlySet<Reason> = new Set([
  'dropped',
  'rejected-by-firewall',
  'no-reply',
  'timed-out',
]);

/**
 * Names the rule of this node that takes away what a test sent, or what the peer sent in its own test. What was observed stands as it
 * is; rules that let the packet pass, or that do not tell, add nothing.
 */
export function blameFirewall(
  answer: Answer,
  test: TestedPath,
  direction: Direction,
  view: FirewallView | undefined,
): Answer {
  if (answer.outcome !== 'fail' || view === undefined || !explicable.has(answer.reason))
    return answer;
  const { requirement, target } = test;
  if (target.scope === 'node' || !target.mustReach) return answer;
  const question = questionOfTest(requirement, target, direction);
  if (question === undefined) return answer;
  const judgement = view.judge(question);
  const isRewritten = answer.reason === 'rewritten';
  const explains = isRewritten
    ? judgement.verdict === 'redirected'
    : judgement.verdict === 'drop' || judgement.verdict === 'reject';
  if (!explains) return answer;
  const culprit: AnswerCulprit = culpritOf(question, judgement);
  // Somebody else was seen to refuse it.
  const { culprit: known } = answer;
  if (known !== undefined && (known.where !== culprit.where || known.node !== culprit.node))
    return answer;
  const { remedy: _, ...rest } = answer;
  const reason = reasonOf(answer, direction, judgement.verdict);
  return withRemedy({ ...rest, reason, culprit }, judgement, view);
}

/** Packets that were seen behind INPUT were lost for another reason than these rules. */
function reasonOf(
  { reason, evidence }: Extract<Answer, { outcome: 'fail' }>,
  direction: Direction,
  verdict: FirewallVerdict,
): Reason {
  const { witnessed = 0 } = evidence;
  if (!unspecific.has(reason) || witnessed !== 0) return reason;
  const end = direction === 'outbound' ? 'sender' : 'receiver';
  return verdict === 'reject' ? `rejected-by-${end}-firewall` : `dropped-by-${end}-firewall`;
}
