/** @module What `explain` says of one packet, as a document (a contract: scripts rely on it). Pure. */
import type { Answer, Packet, Rule, Ruleset } from 'node-nftables';
import { type FirewallPlace, judge, placeOf, placeOfRule } from '../checks/firewall-verdict.ts';
import type { FirewallView } from '../checks/host/firewall.ts';
import { ownerWords } from './firewall-owners.ts';
import type { Remedy } from './model.ts';

export type ExplainVerdict = 'accept' | 'drop' | 'reject' | 'undetermined';

/** A rule that the packet met, or may have met. */
export interface PathStep extends FirewallPlace {
  readonly matched: 'yes' | 'maybe';
  readonly did: readonly string[];
}

/** Something that could not be told: at a rule, or of the host as a whole. */
export interface Untold extends Partial<FirewallPlace> {
  readonly expression: string;
  readonly why: string;
}

export interface Explanation {
  readonly packet: Packet;
  readonly verdict: ExplainVerdict;
  /** Of a reject: what the sender is answered. */
  readonly answer?: string;
  readonly decidedBy: FirewallPlace | null;
  /** The deciding rule in the words of the manager that made it. */
  readonly knownAs?: string;
  /** Others that decide the same, where their order is not known. */
  readonly candidates: readonly FirewallPlace[];
  readonly path: readonly PathStep[];
  readonly undetermined: readonly Untold[];
  /** Of an undetermined verdict: what remains possible, and who would decide it. */
  readonly possible: readonly {
    readonly verdict: string;
    readonly decidedBy: FirewallPlace | null;
  }[];
  /** Where a rule sends the packet instead. */
  readonly rewrites: readonly string[];
  readonly arrives: Answer['arrives'];
  /** Programs on the way that no rule shows. */
  readonly notModelled: readonly string[];
  readonly remedy: readonly Remedy[] | null;
}

/** Fills in what the routes tell: the interfaces, and this host's own address. */
export function completed(packet: Packet, view: Pick<FirewallView, 'way'>): Packet {
  const { direction, source, destination } = packet;
  const wayTo = (address: string | undefined): ReturnType<FirewallView['way']> =>
    address === undefined || address.includes('/') || isLinkLocal(address)
      ? undefined
      : view.way(address);
  const incoming = direction === 'out' ? undefined : wayTo(source);
  const outgoing = direction === 'in' ? undefined : wayTo(destination);
  const own = direction === 'in' ? incoming?.source : outgoing?.source;
  return {
    ...packet,
    ...(direction === 'in' && destination === undefined && own !== undefined
      ? { destination: own }
      : {}),
    ...(direction === 'out' && source === undefined && own !== undefined ? { source: own } : {}),
    ...(packet.inInterface === undefined && incoming !== undefined
      ? { inInterface: incoming.interface }
      : {}),
    ...(packet.outInterface === undefined && outgoing !== undefined
      ? { outInterface: outgoing.interface }
      : {}),
  };
}

/** On every link there is such an address: no route tells which. */
function isLinkLocal(address: string): boolean {
  return /^fe[89ab]/i.test(address);
}

/** Explains one packet by one picture of the firewall. */
export function explain(asked: Packet, view: FirewallView, node = ''): Explanation {
  const packet = completed(asked, view);
  const { ruleset } = view;
  const answer = view.evaluate(packet);
  const judgement = judge(packet, answer, view.programsFor(packet), ruleset);
  const verdict = judgement.verdict === 'redirected' ? 'accept' : judgement.verdict;
  // A packet that only may be sent elsewhere is still accepted, and the words say so.
  const isAccepted = answer.verdict === 'accept' && judgement.programs.length === 0;
  const told = isAccepted ? 'accept' : verdict;
  const decidedBy = placeOf(answer.decidedBy, ruleset) ?? null;
  const knownAs =
    told === 'undetermined' || decidedBy === null ? undefined : ownerWords(decidedBy, ruleset);
  return {
    packet,
    verdict: told,
    ...(answer.reject === undefined || told !== 'reject' ? {} : { answer: rejectText(answer) }),
    decidedBy: told === 'undetermined' ? null : decidedBy,
    ...(knownAs === undefined ? {} : { knownAs }),
    candidates: told === 'undetermined' ? [] : judgement.candidates,
    path: answer.path.map(({ rule, baseChain, matched, did }) => ({
      ...atHook(rule, ruleset, baseChain.base?.hook),
      matched,
      did,
    })),
    undetermined: told === 'undetermined' ? untoldOf(answer, judgement.programs, ruleset) : [],
    possible:
      answer.verdict === 'undetermined'
        ? answer.possible.map((one) => ({
            verdict: one.verdict,
            decidedBy: placeOf(one.decidedBy, ruleset) ?? null,
          }))
        : [],
    rewrites: answer.rewrites.map(rewriteText),
    arrives: answer.arrives,
    notModelled: judgement.programs,
    remedy: told === 'drop' || told === 'reject' ? remedyOf(packet, view, node) : null,
  };
}

function remedyOf(packet: Packet, view: FirewallView, node: string): readonly Remedy[] | null {
  const remedies = view.remediesFor(packet);
  return remedies.length === 0 ? null : remedies.map((one) => ({ ...one, on: node }));
}

/** What is said where the rules may not be read. */
export function unexplained(packet: Packet, reason: string, why: string): Explanation {
  return {
    packet,
    verdict: 'undetermined',
    decidedBy: null,
    candidates: [],
    path: [],
    undetermined: [{ expression: reason, why }],
    possible: [],
    rewrites: [],
    arrives: 'maybe-elsewhere',
    notModelled: [],
    remedy: null,
  };
}

function atHook(rule: Rule, ruleset: Ruleset, hook = ''): FirewallPlace {
  return { ...placeOfRule(rule, ruleset), hook };
}

function untoldOf(
  answer: Answer,
  programs: readonly string[],
  ruleset: Ruleset,
): readonly Untold[] {
  const rules = answer.unknowns.map(({ rule, expression, why }) => {
    const name = 'name' in expression ? ` ${expression.name}` : '';
    return {
      ...placeOfRule(rule, ruleset),
      expression: `${expression.kind}${name}`,
      why,
    };
  });
  const kept = answer.possible.flatMap(({ verdict }) =>
    verdict === 'queue' || verdict === 'stolen' ? [verdict] : [],
  );
  return [
    ...rules,
    ...kept.map((verdict) => ({ expression: verdict, why: keptWords[verdict] })),
    ...programs.map((program) => ({
      expression: 'program',
      why: `${program} is on the way, and programs are not modelled`,
    })),
  ];
}

const keptWords = {
  queue: 'a program in user space decides (queue)',
  stolen: 'a rule takes the packet off its way',
} as const;

function rewriteText({ kind, address, port, certain }: Answer['rewrites'][number]): string {
  const host = address ?? (kind === 'redirect' || kind === 'tproxy' ? 'this host' : '');
  const target = [host, port === undefined ? '' : `port ${port}`].filter(Boolean).join(' ');
  return `${certain ? '' : 'maybe '}${kind}${target === '' ? '' : ` to ${target}`}`;
}

function rejectText({ reject }: Answer): string {
  if (reject === undefined) return '';
  return 'code' in reject ? `${reject.with} ${reject.code}` : reject.with;
}
