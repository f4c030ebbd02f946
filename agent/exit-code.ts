/** @module What `check` exits with (a contract: scripts rely on it). Pure. */
import { groupAlternatives } from './alternatives.ts';
import type { StatusDocument } from './model.ts';
import { isUntoldByRules } from './readiness.ts';

export const exitCodes = {
  /** No required finding failed. */
  fit: 0,
  internalError: 1,
  /** Wrong usage or configuration. */
  usage: 2,
  /** A required finding failed. */
  unfit: 3,
  /** None failed, but a required one is unknown. */
  undetermined: 4,
} as const;
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** Judges a document of `check`; with `providers` (all of them were asked for) one that is ready is enough. */
export function exitCodeOf(
  document: Pick<StatusDocument, 'findings' | 'providers'>,
  { strict }: { readonly strict: boolean },
): ExitCode {
  const { providers } = document;
  if (providers !== undefined) {
    if (providers.some((one) => one.readiness === 'ready' && !(strict && one.summary.warn > 0))) {
      return exitCodes.fit;
    }
    return providers.some(({ readiness }) => readiness === 'unknown')
      ? exitCodes.undetermined
      : exitCodes.unfit;
  }
  // What the rules do not tell, the test of the path itself speaks for.
  const groups = groupAlternatives(document.findings.filter((one) => !isUntoldByRules(one)));
  const some = (level: string, outcome: string): boolean =>
    groups.some((group) => group.outcome === outcome && group.members[0]?.level === level);
  if (some('required', 'fail')) return exitCodes.unfit;
  if (strict && some('recommended', 'fail')) return exitCodes.unfit;
  return some('required', 'unknown') ? exitCodes.undetermined : exitCodes.fit;
}
