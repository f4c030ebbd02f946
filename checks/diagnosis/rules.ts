/** @module What the rules of one host do with the packets of a flow, at either of its ends: with the probe, and with its answer. */
import type { Packet } from 'node-nftables';
import { type FirewallPlace, type Judgement, judge, packetOf } from '../firewall-verdict.ts';
import type { FirewallView } from '../host/firewall.ts';
import type { Host } from '../host/host.ts';
import { echoTypes, icmpProtocol } from '../packet/icmp.ts';
import type { Flow, RulesVerdict } from './evidence.ts';

export type Side = 'sender' | 'receiver';

/** Verdicts on the two packets of a flow. */
export interface RulesOfFlow {
  readonly probe: RulesVerdict;
  readonly answer: RulesVerdict;
}

/** What one picture of the rules says of the packets of a flow, on the host of one of its ends. */
export function rulesOf(view: FirewallView, flow: Flow, side: Side): RulesOfFlow {
  return {
    probe: verdictOn(view, probeOf(view, flow, side)),
    answer: verdictOn(view, answerOf(view, flow, side)),
  };
}

/** By how much the counters of the deciding rules grew, added to what the rules say. */
export interface RuleCounts {
  grown(rules: RulesOfFlow): Promise<RulesOfFlow>;
}

/** Notes what the deciding rules have counted so far. The picture of the rules may be older than its counters. */
export async function noteCounts(
  host: Pick<Host, 'ruleCounter'>,
  rules: RulesOfFlow,
): Promise<RuleCounts> {
  const read = async ({ place }: RulesVerdict): Promise<number | undefined> =>
    place === undefined ? undefined : await host.ruleCounter(place);
  const before = { probe: await read(rules.probe), answer: await read(rules.answer) };
  const counted = async (
    verdict: RulesVerdict,
    first: number | undefined,
  ): Promise<RulesVerdict> => {
    const now = first === undefined ? undefined : await read(verdict);
    // A rule that was put in anew begins at 0.
    if (first === undefined || now === undefined || now < first) return verdict;
    return { ...verdict, counted: now - first };
  };
  return {
    grown: async ({ probe, answer }) => ({
      probe: await counted(probe, before.probe),
      answer: await counted(answer, before.answer),
    }),
  };
}

function probeOf(view: FirewallView, flow: Flow, side: Side): Packet {
  const { family, protocol, port } = flow;
  const peer = side === 'sender' ? flow.destination : flow.source;
  const question = {
    direction: side === 'sender' ? 'outbound' : 'inbound',
    family,
    protocol,
    peer,
    ...(port === undefined ? {} : { port }),
    ...(protocol === icmpProtocol[family] ? { icmpType: echoTypes[family].request } : {}),
  } as const;
  return { ...packetOf(question, view.way(peer)), ...ends(flow) };
}

/** The answer comes from the port that was asked, and belongs to the connection that the probe has made. */
function answerOf(view: FirewallView, flow: Flow, side: Side): Packet {
  const { family, protocol, port } = flow;
  const peer = side === 'sender' ? flow.destination : flow.source;
  const question = {
    direction: side === 'sender' ? 'inbound' : 'outbound',
    family,
    protocol,
    peer,
    ...(protocol === icmpProtocol[family] ? { icmpType: echoTypes[family].reply } : {}),
  } as const;
  return {
    ...packetOf(question, view.way(peer)),
    ...ends({ source: flow.destination, destination: flow.source }),
    conntrack: 'established',
    ...(port === undefined ? {} : { sourcePort: port }),
    // A SYN+ACK.
    ...(protocol === 6 ? { tcpFlags: 0x12 } : {}),
  };
}

/** Of the two ends both are known: the address that the route prefers may be another one. */
function ends({ source, destination }: Pick<Flow, 'source' | 'destination'>): Partial<Packet> {
  return { source, destination };
}

function verdictOn(view: FirewallView, packet: Packet): RulesVerdict {
  const judgement = judge(packet, view.evaluate(packet), view.programsFor(packet), view.ruleset);
  const { verdict, decidedBy, candidates, undetermined, programs, rewrittenTo } = judgement;
  return {
    verdict,
    ...placed(judgement, decidedBy),
    candidates,
    undetermined,
    programs,
    ...(rewrittenTo === undefined ? {} : { rewrittenTo }),
    remedies: verdict === 'drop' || verdict === 'reject' ? view.remediesFor(packet) : [],
  };
}

/** Only who takes the packet away, or sends it elsewhere, is named. */
function placed(
  { verdict }: Judgement,
  place: FirewallPlace | undefined,
): { readonly place?: FirewallPlace } {
  const isTaken = verdict === 'drop' || verdict === 'reject' || verdict === 'redirected';
  return place === undefined || !isTaken ? {} : { place };
}
