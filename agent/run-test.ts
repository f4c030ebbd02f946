/** @module Runs one check: deadline, rights, and what went wrong, once for all of them. */
import {
  type Answer,
  type Check,
  type Context,
  type Need,
  type Target,
  unknown,
} from '../checks/check.ts';
import { type Capabilities, HostError } from '../checks/host/host.ts';
import { checks } from '../checks/index.ts';
import { withDeadline } from '../checks/time.ts';
import type { Kind, Requirement } from '../rules/schema.ts';

/** What every check of a round shares, besides its own deadline. */
export type SharedContext = Omit<Context, 'signal' | 'peer'>;

/** A test may take so many timeouts of one probe: a search for the path MTU needs the most. */
const timeoutsPerTest = 24;
const leastTestMs = 10_000;

/** Runs a requirement's check against a target. Resolves to an answer whatever happens. */
export async function runTest(
  requirement: Pick<Requirement, 'kind' | 'params'>,
  target: Target,
  shared: SharedContext,
  peer: Context['peer'],
  signal: AbortSignal,
  onCrash: (error: unknown) => void,
): Promise<Answer> {
  const missing = missingRight(checks[requirement.kind].needs, shared.host.capabilities);
  if (missing !== undefined) return unknown(missing);
  const limitMs = Math.max(leastTestMs, shared.timeoutMs * timeoutsPerTest);
  try {
    return await withDeadline(limitMs, signal, async (deadline) => {
      const context: Context = {
        ...shared,
        signal: deadline,
        ...(peer === undefined ? {} : { peer }),
      };
      const answer = await runKind(requirement, target, context);
      // What a cut-off test says of silence proves nothing.
      return deadline.aborted && answer.outcome !== 'pass' ? unknown('deadline') : answer;
    });
  } catch (error) {
    return answerOf(error, onCrash);
  }
}

function missingRight(
  needs: readonly Need[],
  rights: Capabilities,
): 'missing-net-raw' | 'missing-net-admin' | undefined {
  if (needs.includes('net-raw') && !rights.netRaw) return 'missing-net-raw';
  return needs.includes('net-admin') && !rights.netAdmin ? 'missing-net-admin' : undefined;
}

async function runKind(
  requirement: Pick<Requirement, 'kind' | 'params'>,
  target: Target,
  context: Context,
): Promise<Answer> {
  // The catalogue has validated that the params belong to the kind.
  const check = checks[requirement.kind] as Check<Kind>;
  return await check.run(requirement.params, target, context);
}

function answerOf(error: unknown, onCrash: (error: unknown) => void): Answer {
  if (error instanceof HostError) {
    if (error.code === 'missing-net-raw') return unknown('missing-net-raw');
    if (error.code === 'EACCES' || error.code === 'EPERM')
      return unknown('permission-denied', { error: error.message });
    return unknown('inconclusive', { error: error.message });
  }
  onCrash(error);
  return unknown('check-crashed', {
    error: error instanceof Error ? error.message : String(error),
  });
}
