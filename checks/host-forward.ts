/**
 * @module What this node's own firewall does with packets that it forwards between its pods and those of other nodes. Asks the rules,
 * sends nothing: a probe to an address of the node itself is delivered, not forwarded, and so tells nothing of them.
 */
import type { Packet } from 'node-nftables';
import type { ParamsByKind } from '../rules/schema.ts';
import { type Answer, type Check, type Evidence, fail, pass, skip, unknown } from './check.ts';
import { type FirewallPlace, type Judgement, judge, placeText } from './firewall-verdict.ts';
import type { FirewallView } from './host/firewall.ts';
import { type PodWay, podPackets, podWays } from './overlay/pod-packets.ts';
import { isOfProgram } from './remedy/managers.ts';

type Params = ParamsByKind['host-forward'];

export const hostForward: Check<'host-forward'> = {
  kind: 'host-forward',
  summary: "this node's firewall forwards packets between its pods and those of other nodes",
  scope: 'node',
  needs: ['net-admin'],

  async run(params, _target, { host }) {
    const reading = await host.firewall();
    if (!reading.readable) return unknown(reading.reason, { why: reading.why });
    return judgeForward(params, reading.view);
  },
};

/** Judges by one picture of the rules; the worst of both families speaks. */
export function judgeForward(params: Params, view: FirewallView): Answer {
  const ways = podWays(view.surroundings, params);
  if (ways === undefined)
    return unknown('firewall-undetermined', { why: 'the routes of this node are not known' });
  const answers = ways.map((way) => judgeWay(way, params.direction, view));
  for (const outcome of ['fail', 'unknown', 'pass', 'skip'] as const) {
    const found = answers.find((answer) => answer.outcome === outcome);
    if (found !== undefined) return found;
  }
  return skip('no-overlay-device');
}

function judgeWay(way: PodWay, direction: Params['direction'], view: FirewallView): Answer {
  const packets = podPackets(way, direction);
  const judged = packets.map((packet) => ({ packet, judgement: judgePacket(packet, view) }));
  const [first] = judged;
  if (first === undefined) return skip('no-overlay-device');
  const evidence = evidenceOf(first.packet);
  const lost = judged.filter(({ judgement }) => isLoss(judgement));
  const [worst] = lost;
  if (worst === undefined) {
    const open = judged.find(({ judgement }) => judgement.verdict !== 'accept');
    return open === undefined
      ? pass({ ...evidence, verdict: 'accept' })
      : unknown('firewall-undetermined', { ...evidence, ...doubtOf(open.judgement) });
  }
  const { judgement, packet } = worst;
  const { decidedBy } = judgement;
  const all = { ...evidence, verdict: judgement.verdict, ...decided(decidedBy) };
  // A provider's own rules are its policies: what they drop is meant to be dropped.
  if (lost.every(({ judgement: { decidedBy: by } }) => by !== undefined && isOfProgram(by)))
    return skip('not-applicable', all);
  if (lost.length < judged.length)
    return unknown('firewall-undetermined', {
      ...all,
      why: `it depends on the port: ${packet.destinationPort ?? '?'} is lost`,
    });
  const answer = fail(
    judgement.verdict === 'reject' ? 'rejected-by-forward' : 'dropped-by-forward',
    all,
    {
      where: 'receiver-forward',
      node: 'this',
      ...(decidedBy === undefined ? {} : { firewall: decidedBy }),
      ...(judgement.candidates.length === 0 ? {} : { candidates: judgement.candidates }),
    },
  );
  const [from, to] = direction === 'in' ? [way.there, way.here] : [way.here, way.there];
  const remedy = view.remediesFor(packet, { inInterface: from.pattern, outInterface: to.pattern });
  return answer.outcome === 'fail' && remedy.length > 0 ? { ...answer, remedy } : answer;
}

function judgePacket(packet: Packet, view: FirewallView): Judgement {
  return judge(packet, view.evaluate(packet), view.programsFor(packet), view.ruleset);
}

function isLoss({ verdict }: Judgement): boolean {
  return verdict === 'drop' || verdict === 'reject';
}

function evidenceOf({ source, destination, inInterface, outInterface }: Packet): Evidence {
  return {
    source: source ?? '',
    destination: destination ?? '',
    inInterface: inInterface ?? '',
    outInterface: outInterface ?? '',
  };
}

function decided(place: FirewallPlace | undefined): Evidence {
  return place === undefined ? {} : { decidedBy: placeText(place) };
}

function doubtOf({ undetermined, programs }: Judgement): Evidence {
  return {
    ...(undetermined.length === 0 ? {} : { undetermined: undetermined.join('; ') }),
    ...(programs.length === 0 ? {} : { notModelled: programs.join(', ') }),
  };
}
