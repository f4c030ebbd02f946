/** @module How many peers a round may test so that connection tracking hardly notices. Pure. */
import type { Requirement } from '../rules/schema.ts';

/** Our own entries stay below this share of nf_conntrack_max. */
const share = 0.01;
/** An entry of ours lives so long at most: nf_conntrack_udp_timeout_stream, nf_conntrack_tcp_timeout_time_wait. */
const entrySeconds = 120;
/** Entries besides those of the tests: questions to the peer's agent, echo. */
const entriesOfTalk = 5;

/** Peers that one round may test; undefined where nothing limits it. */
export function peerBudget(
  usage: { readonly count: number; readonly limit: number } | undefined,
  requirements: readonly Pick<Requirement, 'kind'>[],
  intervalSeconds: number,
): number | undefined {
  // Nothing tracks connections in this namespace, so we leave no entries either.
  if (usage === undefined || usage.count === 0) return undefined;
  const rounds = Math.ceil(entrySeconds / intervalSeconds) + 1;
  const perPeer =
    entriesOfTalk + requirements.reduce((sum, { kind }) => sum + (entriesOf[kind] ?? 0), 0);
  return Math.floor((usage.limit * share) / (rounds * perPeer));
}

/** Both directions: the peer's probes for the same requirement are tracked here, too. */
const entriesOf: Partial<Record<Requirement['kind'], number>> = {
  'udp-port': 2,
  'tcp-port': 2,
  'vxlan-path': 2,
  // Small and full-sized probes.
  'overlay-path': 4,
  'ip-protocol': 1,
};
