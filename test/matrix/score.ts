/** @module Compares what was said with what is true. Pure. */
import type { Finding, StatusDocument } from '../../agent/model.ts';
import type { FirewallPlace } from '../../checks/firewall-verdict.ts';
import type { LabNode } from '../support/lab.ts';
import {
  type Protocol,
  type Spread,
  type Topic,
  type TrueRule,
  type Truth,
  topicsOf,
} from './fault.ts';
import { topicOf } from './provider.ts';

/**
 * `ambiguous`: not everything was told, and nothing that is wrong. `wrong`: somebody or something else was blamed, or what is broken
 * was said to work.
 */
export type Grade = 'right' | 'ambiguous' | 'wrong';

export interface Score {
  readonly grade: Grade;
  /** Why it is not right. */
  readonly why?: string;
  /** Whether the rule was told, where a firewall of a node did it. */
  readonly rule?: 'right' | 'missing' | 'wrong';
}

export interface Cast {
  readonly sender: LabNode;
  readonly receiver: LabNode;
}

/** Words that say what was seen, and nothing about its cause. */
const vague: ReadonlySet<string> = new Set([
  'dropped',
  'no-reply',
  'timed-out',
  'unreachable',
  'rejected-by-firewall',
  'unconfirmed',
]);

/** The finding that a scene is about, as the sender has it. */
export function primaryFinding(
  document: StatusDocument,
  topic: Topic,
  { receiver }: Cast,
): Finding | undefined {
  return document.findings.find(
    ({ requirement, target, reason }) =>
      topicOf(requirement) === topic &&
      target.scope === 'peer' &&
      target.name === receiver.name &&
      target.direction === 'outbound' &&
      reason !== 'partial-loss',
  );
}

/** Grades the finding about the path from sender to receiver. */
export function scoreOf(finding: Finding | undefined, truth: Truth, cast: Cast): Score {
  if (finding === undefined) return { grade: 'wrong', why: 'no finding' };
  const { outcome, reason = '', culprit } = finding;
  const said = `${outcome} ${reason}`.trim();
  if (truth.outcome === 'pass') {
    if (outcome === 'pass') return { grade: 'right' };
    return { grade: outcome === 'fail' ? 'wrong' : 'ambiguous', why: `${said}, and it passes` };
  }
  const rule = truth.rule === undefined ? {} : { rule: 'missing' as const };
  const honest = truth.ambiguous === true ? 'right' : 'ambiguous';
  if (outcome === 'pass')
    return truth.mayPass === true
      ? { grade: 'right' }
      : { grade: 'wrong', why: 'said to pass', ...rule };
  if (outcome !== 'fail')
    return truth.reasons.includes(reason)
      ? { grade: 'right' }
      : { grade: honest, why: said, ...rule };
  if (culprit === null) return { grade: honest, why: `${said}, nobody blamed`, ...rule };

  const names = { sender: cast.sender.name, receiver: cast.receiver.name, path: 'path' };
  const nodes = [truth.node, truth.orNode ?? truth.node].map((whose) => names[whose]);
  const blamed = `${said}, ${culprit.where} of ${culprit.node}`;
  if (!nodes.includes(culprit.node) || !truth.where.includes(culprit.where))
    return { grade: 'wrong', why: blamed, ...rule };
  if (!truth.reasons.includes(reason))
    return { grade: vague.has(reason) ? 'ambiguous' : 'wrong', why: blamed, ...rule };
  if (truth.rule === undefined) return { grade: 'right' };
  if (culprit.firewall === undefined)
    return { grade: honest, why: `${blamed}, no rule`, rule: 'missing' };
  if (sameRule(culprit.firewall, truth.rule)) return { grade: 'right', rule: 'right' };
  const wanted = truth.rule;
  if (culprit.candidates?.some((one) => sameRule(one, wanted)) === true)
    return { grade: honest, why: `${blamed}, one of several rules`, rule: 'missing' };
  const rules = `${JSON.stringify(culprit.firewall)} and not ${JSON.stringify(wanted)}`;
  return { grade: 'wrong', why: `${blamed}: ${rules}`, rule: 'wrong' };
}

function sameRule(said: FirewallPlace, truth: TrueRule): boolean {
  return (
    said.backend === truth.backend &&
    said.family === truth.family &&
    said.table === truth.table &&
    said.chain === truth.chain &&
    (truth.policy === undefined ? said.policy === undefined : said.policy === truth.policy) &&
    (truth.handle === undefined || said.handle === truth.handle) &&
    (truth.number === undefined || said.number === truth.number)
  );
}

/** Failures of what the fault does not touch, one line each. */
export function falseAlarms(
  document: StatusDocument,
  truth: Truth,
  protocol: Protocol,
  cast: Cast,
): readonly string[] {
  return document.findings.flatMap((finding) => {
    const { outcome, reason, requirement, target } = finding;
    if (outcome !== 'fail' || target.scope === 'node' || reason === 'partial-loss') return [];
    const topic = topicOf(requirement);
    const spread = truth.spread ?? nowhere;
    if (topic !== undefined && isTouched(topic, finding, spread, protocol, cast)) return [];
    return [
      `${topic ?? requirement} ${target.direction} ${target.name}: ${reason ?? ''}, ${JSON.stringify(finding.culprit)}`,
    ];
  });
}

const nowhere: Spread = { paths: 'this', topics: [] };

/** Whether a finding may fail because of the fault. */
function isTouched(
  topic: Topic,
  { target }: Finding,
  { paths, topics }: Spread,
  protocol: Protocol,
  { receiver }: Cast,
): boolean {
  if (target.scope === 'node') return false;
  const touched =
    topics === 'all' ||
    topics.includes(topic) ||
    (topics.some((one) => one === protocol) && topicsOf(protocol).includes(topic));
  if (!touched) return false;
  // The document is the sender's: one end of every path is the sender itself.
  const outbound = target.direction === 'outbound';
  const isPair = target.name === receiver.name;
  switch (paths) {
    case 'this':
      return isPair && outbound;
    case 'pair':
    case 'receiver':
      return isPair;
    case 'into-receiver':
      return isPair && outbound;
    case 'out-of-sender':
      return outbound;
    case 'sender':
      return true;
  }
}

/**
 * What a cure changed besides what it was for: findings that went from pass to fail, or from fail to pass without being made of the
 * cured one. `broad`: what was cured lets everything pass, such as a route.
 */
export function sideEffects(
  before: StatusDocument,
  after: StatusDocument,
  cured: { readonly finding: Finding; readonly protocol: Protocol; readonly broad: boolean },
): readonly string[] {
  const { finding, protocol, broad } = cured;
  return before.findings.flatMap((was) => {
    const topic = topicOf(was.requirement);
    if (topic === undefined || was.reason === 'partial-loss' || was === finding) return [];
    const key = keyOf(was);
    const is = after.findings.find((one) => keyOf(one) === key && one.reason !== 'partial-loss');
    if (is === undefined) return [];
    const broke = was.outcome === 'pass' && is.outcome === 'fail';
    const mended = was.outcome === 'fail' && is.outcome === 'pass';
    const meant = broad || topicsOf(protocol).includes(topic);
    return broke || (mended && !meant)
      ? [`${key}: ${was.outcome} became ${is.outcome} ${is.reason ?? ''}`.trim()]
      : [];
  });
}

function keyOf({ requirement, target }: Finding): string {
  const where = target.scope === 'node' ? 'node' : `${target.direction} ${target.name}`;
  return `${topicOf(requirement) ?? requirement} ${where}`;
}
