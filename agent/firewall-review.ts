/** @module What a change of the firewall's rules sets going: everything that was asked of them is asked again, and the node judged anew. */
import type { Assessment, RoundHooks } from './assessment.ts';

export interface FirewallReviewOptions {
  /** Undefined while nothing was ever asked. */
  readonly assessment: () => Pick<Assessment, 'reviewFirewall'> | undefined;
  readonly hooks: RoundHooks;
  /** Whether a round has ended: before that the node is not judged, by nothing. */
  readonly hasRoundEnded: () => boolean;
  readonly judge: () => void;
}

/**
 * Makes the review. What changes in the middle of the first round is asked again at once, like any other change: nobody else would ask
 * before the next round. The node is judged when that round has ended.
 */
export function createFirewallReview({
  assessment,
  hooks,
  hasRoundEnded,
  judge,
}: FirewallReviewOptions): (signal: AbortSignal) => Promise<void> {
  return async (signal) => {
    await assessment()?.reviewFirewall(signal, hooks);
    if (!signal.aborted && hasRoundEnded()) judge();
  };
}
