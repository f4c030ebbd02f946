/** @module Whether this node's own firewall explains that a path failed. Pure. */
import type { Answer, AnswerCulprit, Reason } from '../checks/check.ts';
import type { FirewallView } from '../checks/host/firewall.ts';
import { culpritOf, questionOfTest, withRemedy } from '../checks/host-firewall.ts';
import type { Direction } from './model.ts';
import type { PlannedTest } from './plan.ts';

/** What a packet that a firewall took away can look like from outside. */
const explicable: ReadonlySet<Reason> = new Set([
  'dropped',
  'dropped-by-sender-firewall',
  'dropped-by-sender-egress',
  'rejected-by-sender-firewall',
  'rejected-by-firewall',
  'rewritten',
  'no-reply',
  'timed-out',
  'unreachable',
]);

/**
 * Names the rule of this node that takes away what a test sent, or what the peer sent in its own test. What was observed stands as it
 * is; rules that let the packet pass, or that do not tell, add nothing.
 */
export function blameFirewall(
  answer: Answer,
  test: Pick<PlannedTest, 'requirement' | 'target'>,
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
  return withRemedy({ ...answer, culprit }, judgement, view);
}
