/** @module A firewall made of data: rules of one chain, and a picture of it that answers what a test says. */
import type {
  BaseChain,
  Chain,
  Decider,
  Answer as FirewallAnswer,
  Packet,
  Rule,
  Ruleset,
} from 'node-nftables';
import { type FirewallQuestion, judge, packetOf } from '../../checks/firewall-verdict.ts';
import type { FirewallView, Way } from '../../checks/host/firewall.ts';
import type { PacketProgram } from '../../checks/host/packet-programs.ts';

export const inputBase: BaseChain = {
  type: 'filter',
  hook: 'input',
  priority: 0,
  policy: 'accept',
  devices: [],
};

/** A base chain; `inet filter input` unless told. */
export function someChain(change: Partial<Chain> = {}): Chain {
  return {
    backend: 'nf_tables',
    family: 'inet',
    table: 'filter',
    name: 'input',
    handle: 1,
    base: inputBase,
    ...change,
  };
}

/** A rule that drops everything; of the same chain unless told. */
export function someRule(change: Partial<Rule> = {}): Rule {
  return {
    backend: 'nf_tables',
    family: 'inet',
    table: 'filter',
    chain: 'input',
    handle: 12,
    index: 1,
    expressions: [{ kind: 'verdict', verdict: { code: 'drop' } }],
    ...change,
  };
}

export function someRuleset(change: Partial<Ruleset> = {}): Ruleset {
  const nothing = { sets: [], objects: [], flowtables: [], ipsets: [] };
  return { ...nothing, generation: 7, tables: [], chains: [someChain()], rules: [], ...change };
}

export function decidedByRule(rule = someRule(), chain = someChain()): Decider {
  return { kind: 'rule', chain, baseChain: chain, base: chain.base ?? inputBase, rule };
}

export function decidedByPolicy(chain = someChain()): Decider {
  return { kind: 'policy', chain, base: chain.base ?? inputBase };
}

/** An accept by nobody unless told. */
export function someFirewallAnswer(change: Partial<FirewallAnswer> = {}): FirewallAnswer {
  const { verdict = 'accept', decidedBy = { kind: 'none' } as const } = change;
  return {
    verdict,
    decidedBy,
    candidates: [],
    possible: verdict === 'undetermined' ? [] : [{ verdict, decidedBy }],
    path: [],
    chains: [],
    unknowns: [],
    rewrites: [],
    arrives: 'as-asked',
    ...change,
  };
}

/** A picture whose evaluation is what the test says. It remembers the packets that it was asked about. */
export function someView(
  answer: Partial<FirewallAnswer> | ((packet: Packet) => Partial<FirewallAnswer>),
  given: {
    readonly ruleset?: Ruleset;
    readonly programs?: readonly PacketProgram[];
    readonly way?: Way | 'none';
  } = {},
): FirewallView & { readonly asked: readonly Packet[] } {
  const { ruleset = someRuleset(), programs = [] } = given;
  const { way = { interface: 'eth0', source: '10.0.0.1' } } = given;
  const asked: Packet[] = [];
  const view = {
    asked,
    ruleset,
    surroundings: { interfaces: [], links: [], routes: [], hasPolicyRouting: false },
    evaluate(packet: Packet) {
      asked.push(packet);
      return someFirewallAnswer(typeof answer === 'function' ? answer(packet) : answer);
    },
    programsFor: () => programs,
    remediesFor: () => [],
    way: () => (way === 'none' ? undefined : way),
    judge(question: FirewallQuestion) {
      const packet = packetOf(question, way === 'none' ? undefined : way);
      return judge(packet, view.evaluate(packet), programs, ruleset);
    },
  };
  return view;
}
