/** @module What this node's own firewall would do with the packets of a requirement, in either direction, as its rules say. */
import { firewallParamsOf } from '../rules/firewall.ts';
import type { ParamsByKind, Requirement } from '../rules/schema.ts';
import {
  type Answer,
  type AnswerCulprit,
  type Check,
  type Evidence,
  fail,
  type PeerTarget,
  pass,
  type Reason,
  unknown,
} from './check.ts';
import { type FirewallQuestion, type Judgement, placeText } from './firewall-verdict.ts';
import type { FirewallView } from './host/firewall.ts';

/** Asks the rules, sends nothing. What they cannot tell is `unknown`. */
export const hostFirewall: Check<'host-firewall'> = {
  kind: 'host-firewall',
  summary: "this node's firewall lets a port or protocol of the provider pass",
  scope: 'peer',
  needs: ['net-admin'],

  async run(params, target, { host }) {
    if (target.scope !== 'peer') throw new Error('host-firewall is for peers');
    const reading = await host.firewall();
    if (!reading.readable) return unknown(reading.reason, { ...asked(params), why: reading.why });
    return judgeFirewall(params, target, reading.view);
  },
};

/** Judges one path by one picture of the rules. */
export function judgeFirewall(
  params: ParamsByKind['host-firewall'],
  target: PeerTarget,
  view: FirewallView,
): Answer {
  const question = questionOf(params, target, target.direction ?? 'outbound');
  const judgement = view.judge(question);
  const evidence = { ...asked(params), ...evidenceOf(judgement, view) };
  switch (judgement.verdict) {
    case 'accept':
      return pass(evidence);
    case 'undetermined':
      return unknown('firewall-undetermined', evidence);
    case 'redirected':
      return fail('rewritten', evidence, culpritOf(question, judgement));
    case 'drop':
    case 'reject':
      return withRemedy(
        fail(
          reasonsOf[question.direction][judgement.verdict],
          evidence,
          culpritOf(question, judgement),
        ),
        judgement,
        view,
      );
  }
}

/** Adds what to type so that the judged packet passes, where that is known. */
export function withRemedy(
  answer: Answer,
  { verdict, packet }: Judgement,
  view: FirewallView,
): Answer {
  if (answer.outcome !== 'fail' || (verdict !== 'drop' && verdict !== 'reject')) return answer;
  const remedy = view.remediesFor(packet);
  return remedy.length === 0 ? answer : { ...answer, remedy };
}

const reasonsOf = {
  inbound: { drop: 'dropped-by-receiver-firewall', reject: 'rejected-by-receiver-firewall' },
  outbound: { drop: 'dropped-by-sender-firewall', reject: 'rejected-by-sender-firewall' },
} as const satisfies Record<string, Record<string, Reason>>;

/** Whom to blame: in both directions this node, which the sender of an inbound packet calls its peer. */
export function culpritOf(
  { direction }: Pick<FirewallQuestion, 'direction'>,
  { decidedBy, candidates }: Judgement,
): AnswerCulprit {
  const place =
    direction === 'outbound'
      ? ({ where: 'sender-egress', node: 'this' } as const)
      : ({ where: 'receiver-ingress', node: 'peer' } as const);
  return {
    ...place,
    ...(decidedBy === undefined ? {} : { firewall: decidedBy }),
    ...(candidates.length === 0 ? {} : { candidates }),
  };
}

const protocolNumbers = { udp: 17, tcp: 6 } as const;
const icmp = { ipv4: { protocol: 1, icmpType: 8 }, ipv6: { protocol: 58, icmpType: 128 } } as const;

function questionOf(
  { protocol, port }: ParamsByKind['host-firewall'],
  { address, family }: PeerTarget,
  direction: FirewallQuestion['direction'],
): FirewallQuestion {
  const numbers =
    protocol === 'icmp'
      ? icmp[family]
      : { protocol: typeof protocol === 'number' ? protocol : protocolNumbers[protocol] };
  return {
    direction,
    ...numbers,
    family,
    peer: address,
    ...(port === undefined ? {} : { port }),
  };
}

function asked({ protocol, port }: ParamsByKind['host-firewall']): Evidence {
  return { protocol, ...(port === undefined ? {} : { port }) };
}

function evidenceOf(judgement: Judgement, { ruleset }: FirewallView): Evidence {
  const { verdict, packet, decidedBy, undetermined, programs, rewrittenTo } = judgement;
  const device = packet.inInterface ?? packet.outInterface;
  return {
    verdict,
    ...(device === undefined ? {} : { interface: device }),
    ...(decidedBy === undefined || verdict === 'undetermined'
      ? {}
      : { decidedBy: placeText(decidedBy) }),
    ...(undetermined.length === 0 ? {} : { undetermined: undetermined.join('; ') }),
    ...(programs.length === 0 ? {} : { notModelled: programs.join(', ') }),
    ...(rewrittenTo === undefined ? {} : { rewrittenTo }),
    ...(ruleset.generation === undefined ? {} : { generation: ruleset.generation }),
  };
}

/** What a failed test of a path asks the rules; undefined for kinds whose packets are none that a rule could name. */
export function questionOfTest(
  requirement: Pick<Requirement, 'kind' | 'params'>,
  target: PeerTarget,
  direction: FirewallQuestion['direction'],
): FirewallQuestion | undefined {
  const params = firewallParamsOf(requirement);
  return params === undefined ? undefined : questionOf(params, target, direction);
}
