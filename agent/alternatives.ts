/** @module Which findings decide: of alternatives one is enough. Pure. */
import type { Finding, Outcome } from './model.ts';

/** Findings of which one must pass: an `anyOf` group, a path that may work in either direction, or one finding alone. */
export interface Alternatives {
  /** Of the group: a pass is enough, a fail needs all. */
  readonly outcome: Outcome;
  readonly members: readonly Finding[];
}

/** Puts findings that stand in for one another together, in the order in which they come. */
export function groupAlternatives(findings: readonly Finding[]): Alternatives[] {
  const groups = new Map<string, Finding[]>();
  for (const finding of findings) {
    const key = keyOf(finding);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [finding]);
    else group.push(finding);
  }
  return [...groups.values()].map((members) => ({ outcome: outcomeOf(members), members }));
}

function keyOf(finding: Finding): string {
  const { requirement, anyOf, eitherDirection, level, reason, target } = finding;
  // Stands beside a pass of its own requirement and must not be outweighed by it.
  const shadow = reason === 'partial-loss' ? reason : '';
  const parts = [anyOf ?? requirement, level, shadow];
  if (target.scope === 'node') return parts.join('\n');
  const direction = eitherDirection === true ? '' : target.direction;
  return [...parts, target.name, target.family, direction].join('\n');
}

function outcomeOf(members: readonly Finding[]): Outcome {
  for (const outcome of ['pass', 'unknown', 'fail'] as const) {
    if (members.some((member) => member.outcome === outcome)) return outcome;
  }
  return 'skip';
}
