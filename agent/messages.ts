/** @module The words of a finding: one sentence for every reason, and what to type next. Pure. */
import type { Reason } from '../checks/check.ts';
import { type FindingFacts, factsOf, type Words } from './message-facts.ts';
import { candidatesOf, culpritFirst, explainIt, ruleOf } from './message-parts.ts';
import { passMessage } from './message-pass.ts';
import { diagnosisWords } from './messages-of-diagnosis.ts';
import { doubtWords } from './messages-of-doubt.ts';
import { nodeWords } from './messages-of-node.ts';
import { overlayWords } from './messages-of-overlay.ts';
import { pathWords } from './messages-of-path.ts';
import { softwareWords } from './messages-of-software.ts';

/** Says a finding in one sentence, without the peer's name: that stands beside it. */
export function messageOf(finding: FindingFacts): string {
  const facts = factsOf(finding);
  if (finding.reason === undefined) return passMessage(facts);
  const first = culpritFirst(finding.reason, facts);
  if (first !== undefined) return first;
  const sentence = words[finding.reason].message(facts);
  const rule = ruleOf(facts);
  if (finding.outcome !== 'fail') return sentence;
  return `${sentence}${rule === '' ? '' : ` (${rule})`}${candidatesOf(facts)}`;
}

/** The first thing to type or to do; undefined where there is nothing to be done. */
export function nextStep(finding: FindingFacts): string | undefined {
  if (finding.reason === undefined) return undefined;
  const facts = factsOf(finding);
  // Some evidence is a peer's word, and people paste what they read here into a shell.
  const get = (key: string): string => facts.get(key).replaceAll(/[^\w .,:/@%+=[\]-]/g, '?');
  // Where the own rules are to blame, the way through them says more than a list of all.
  const isForwarded = finding.kind === 'host-forward';
  if (facts.place !== undefined && facts.blamed === 'this node' && !isForwarded)
    return explainIt({ ...facts, get });
  return words[finding.reason].next?.({ ...facts, get });
}

/** The words of a finding, as the store of findings wants them. */
export function describeFinding(finding: FindingFacts): {
  readonly message: string;
  readonly documentation?: string;
} {
  const message = messageOf(finding);
  return finding.reason === undefined
    ? { message }
    : { message, documentation: documentationOf(finding.reason) };
}

/** Where the manual explains a reason. */
export function documentationOf(reason: Reason): string {
  return `docs/troubleshooting.md#${reason}`;
}

/** Leave a reason out and the compiler says which. */
const words: Readonly<Record<Reason, Words>> = {
  ...nodeWords,
  ...softwareWords,
  ...pathWords,
  ...diagnosisWords,
  ...overlayWords,
  ...doubtWords,
};
