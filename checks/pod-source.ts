/**
 * @module Whether packets of this node's pods reach pods of other nodes with the address of the pod. Where a rule masquerades them all
 * the same everything is reached, and network policies see a node instead of a pod. Asks the rules, sends nothing.
 */
import { type Answer, type Check, type Evidence, fail, pass, skip, unknown } from './check.ts';
import { placeOfRule, placeText } from './firewall-verdict.ts';
import type { FirewallView } from './host/firewall.ts';
import { type PodDevices, podPackets, podWays } from './overlay/pod-packets.ts';

export const podSource: Check<'pod-source'> = {
  kind: 'pod-source',
  summary: 'packets of pods keep their source address on the way to pods of other nodes',
  scope: 'node',
  needs: ['net-admin'],

  async run(params, _target, { host }) {
    const reading = await host.firewall();
    if (!reading.readable) return unknown(reading.reason, { why: reading.why });
    return judgeSource(params, reading.view);
  },
};

/** Judges by one picture of the rules. */
export function judgeSource(params: PodDevices, view: FirewallView): Answer {
  const ways = podWays(view.surroundings, params);
  if (ways === undefined)
    return unknown('firewall-undetermined', { why: 'the routes of this node are not known' });
  let evidence: Evidence | undefined;
  for (const way of ways) {
    const [packet] = podPackets(way, 'out');
    if (packet === undefined) continue;
    evidence ??= { source: way.here.address, destination: way.there.address };
    const rewrite = view
      .evaluate(packet)
      .rewrites.find(({ kind, certain }) => certain && (kind === 'snat' || kind === 'masquerade'));
    if (rewrite === undefined) continue;
    const rule = placeText(placeOfRule(rewrite.rule, view.ruleset));
    const said = { source: way.here.address, destination: way.there.address, decidedBy: rule };
    return fail('pod-source-rewritten', said, { where: 'node', node: 'this' });
  }
  return evidence === undefined ? skip('no-overlay-device') : pass(evidence);
}
