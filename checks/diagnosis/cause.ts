/** @module One explanation of a loss, and how evidence is weighed for it. Pure. */
import type { CulpritPlace, Reason } from '../check.ts';
import type { PlacedRemedy } from './diagnosis.ts';
import type { CounterName, IcmpError, RulesVerdict, StationReport } from './evidence.ts';
import type { Facts, Segment } from './facts.ts';

/**
 * How strongly the evidence speaks for a cause, if it is in the part of the way where the packets vanished. `said`: whoever did it said so.
 * `proof`: it takes such packets away, for certain. `hint`: something points at it. `possible`: nothing excludes it.
 */
export type Weight = 'said' | 'proof' | 'hint' | 'possible';

/** One row of the table in docs/diagnosis.md. */
export interface Cause {
  readonly id: string;
  readonly segments: readonly Segment[];
  readonly where: CulpritPlace;
  readonly node: 'this' | 'peer' | 'path';
  readonly reason: Reason;
  /** Undefined where the evidence excludes it. */
  readonly weigh: (facts: Facts) => Weight | undefined;
  /** It takes such packets away whatever became of these: it is told also where they were lost before. */
  readonly standing?: true;
  /** The rules whose verdict it is about: they name the place and what to type. */
  readonly rules?: (facts: Facts) => RulesVerdict | undefined;
  /** What to type, where it is no rule. */
  readonly remedy?: (facts: Facts) => readonly PlacedRemedy[];
  readonly saidBy?: (facts: Facts) => string | undefined;
  /** What would tell it from other explanations, to be typed by a person. */
  readonly probe: (facts: Facts) => string;
}

/** Rules that take the packet away, or say that they do. */
export type Taking = 'drop' | 'reject' | 'redirected';

/** What rules prove: one whose own counter stood still while the packets vanished was not the one. */
export function weightOfRules(
  rules: RulesVerdict | undefined,
  taking: Taking,
  isHere: (hook: string, family: string) => boolean,
): Weight | undefined {
  if (rules?.verdict !== taking) return undefined;
  const { place, counted } = rules;
  if (place !== undefined && !isHere(place.hook, place.family)) return undefined;
  return counted === 0 ? 'hint' : 'proof';
}

/** Whether the rules let the packet pass for certain; a program on its way is none of theirs. */
export function letsPass(rules: RulesVerdict | undefined): boolean {
  if (rules === undefined) return false;
  if (rules.verdict === 'accept') return true;
  return (
    rules.verdict === 'undetermined' && rules.undetermined.length === 0 && rules.programs.length > 0
  );
}

/** Whether nothing is known of what the rules do. */
export function doesNotTell(rules: RulesVerdict | undefined): boolean {
  return rules === undefined || (rules.verdict === 'undetermined' && !letsPass(rules));
}

export function hasProgram(
  rules: RulesVerdict | undefined,
  place: 'XDP' | 'tc ingress' | 'tc egress',
): boolean {
  return rules?.programs.some((name) => name.startsWith(place)) ?? false;
}

/** By how much a counter grew; undefined where it could not be read. */
export function grown(
  report: StationReport | undefined,
  ...names: readonly CounterName[]
): number | undefined {
  if (report === undefined) return undefined;
  const known = names.flatMap((name) => report.counters[name] ?? []);
  return known.length === 0 ? undefined : known.reduce((sum, one) => sum + one, 0);
}

export function grew(report: StationReport | undefined, ...names: readonly CounterName[]): boolean {
  return (grown(report, ...names) ?? 0) > 0;
}

/** The first ICMP error that somebody between the two hosts sent. */
export function errorOnTheWay(
  { errors, flow }: Facts,
  isSuch: (error: IcmpError, flow: Facts['flow']) => boolean,
): IcmpError | undefined {
  return errors.find(
    (error) => error.from !== flow.source && error.from !== flow.destination && isSuch(error, flow),
  );
}

/** Net, host or communication prohibited, a port or protocol refused: RFC 1812 5.2.7.1, RFC 4443 3.1. */
export function isRefusal({ type, code }: IcmpError, { family }: Facts['flow']): boolean {
  if (family === 'ipv4') return type === 3 && [2, 3, 9, 10, 13].includes(code);
  return type === 1 && [1, 4, 5, 6].includes(code);
}

/** The same without what a closed port or protocol is refused with. */
export function isProhibition({ type, code }: IcmpError, { family }: Facts['flow']): boolean {
  if (family === 'ipv4') return type === 3 && [9, 10, 13].includes(code);
  return type === 1 && [1, 5, 6].includes(code);
}

/** Net or host unreachable. */
export function isUnreachable({ type, code }: IcmpError, { family }: Facts['flow']): boolean {
  if (family === 'ipv4') return type === 3 && (code === 0 || code === 1);
  return type === 1 && (code === 0 || code === 3);
}

/** Time to live (ICMP 11/0) or hop limit (ICMPv6 3/0) exceeded in transit. The type alone does not tell: 3/0 of ICMP is an unreachable net. */
export function isTimeExceeded({ type, code }: IcmpError, { family }: Facts['flow']): boolean {
  return code === 0 && type === (family === 'ipv4' ? 11 : 3);
}

/** The packets as tcpdump(8) selects them. */
export function captureOf({ flow, kind }: Facts): string {
  const { port, protocol, family } = flow;
  const what =
    port !== undefined && (kind === 'udp' || kind === 'tcp')
      ? `${kind} port ${port}`
      : kind === 'icmp'
        ? family === 'ipv4'
          ? 'icmp'
          : 'icmp6'
        : `proto ${protocol}`;
  return `tcpdump -eni any host ${flow.source} and ${what}`;
}

/** The question to a host's rules, as one types it there. */
export function explainOf(facts: Facts, direction: 'from' | 'to', address: string): string {
  const { flow, kind } = facts;
  const protocol = kind === 'icmp' ? 'icmp' : kind === 'other' ? String(flow.protocol) : kind;
  const what = flow.port === undefined ? protocol : `${protocol}/${flow.port}`;
  return `cni-preflight explain ${what} --${direction} ${address}`;
}

/** An interface that may be typed: the other host wrote its name. */
export function typeable(name: string | undefined): string | undefined {
  return name !== undefined && /^[A-Za-z0-9][\w.:-]{0,14}$/.test(name) ? name : undefined;
}

/** The larger of `all` and the interface's own value counts, so 2 of its own makes it loose whatever `all` says. */
export function looseReversePath(device: string): string {
  // As sysctl(8) has it: with slashes a name may have dots.
  const key = ['net', 'ipv4', 'conf', device, 'rp_filter'].join(device.includes('.') ? '/' : '.');
  return `sysctl -w ${key}=2`;
}
