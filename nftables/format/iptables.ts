/**
 * @module A rule of iptables as `iptables-save` writes it, from our own decoding; of iptables-nft and of legacy iptables, which have the same
 * matches and targets. Pure.
 */
import type { Expression, IpSet, Rule, Ruleset, Verdict } from '../model.ts';
import { decodeMatch } from '../xt/matches.ts';
import { decodeTarget } from '../xt/targets.ts';
import type { InvertibleRange, XtFamily, XtMatchOf } from '../xt/types.ts';
import { type MatchText, markText, matchText } from './iptables-matches.ts';
import { type Condition, createNativeReader } from './iptables-native.ts';
import { rateText } from './iptables-rates.ts';
import { nflogText, targetText } from './iptables-targets.ts';
import {
  interfaceText,
  maskedInterfaceText,
  maskOf,
  networkText,
  option,
  protocolText,
  quoted,
  words,
} from './iptables-words.ts';

/**
 * Writes the line `-A CHAIN …`. Undefined for a rule that iptables cannot have made: an nft rule, or an extension that is not known here.
 */
export function formatIptables(rule: Rule, ruleset: Pick<Ruleset, 'ipsets'>): string | undefined {
  if (rule.family !== 'ip' && rule.family !== 'ip6') return undefined;
  const sets = new Map(ruleset.ipsets.map((set) => [set.index, set]));
  const parts: Parts = { matches: [], sets, family: rule.family };
  const native = createNativeReader(rule.family);
  for (const expression of rule.expressions) {
    if (take(parts, expression)) continue;
    if (isTrace(expression, native.immediate)) {
      parts.target = '-j TRACE';
      continue;
    }
    const read = native.read(expression);
    if (read === undefined || (read !== true && !takeCondition(parts, read))) return undefined;
  }
  const hasComment = parts.matches.some(({ name }) => name === 'comment');
  if (rule.comment !== undefined && !hasComment) {
    parts.matches.push({ name: 'comment', options: option('comment', quoted(rule.comment)) });
  }
  return words(
    `-A ${quoted(rule.chain)}`,
    parts.source,
    parts.destination,
    parts.input,
    parts.output,
    parts.protocol,
    parts.fragment,
    ...parts.matches.map(({ name, options }) => words(`-m ${name}`, options)),
    parts.target,
  );
}

/** What is known of the line so far. */
interface Parts {
  readonly family: XtFamily;
  readonly sets: ReadonlyMap<number, IpSet>;
  source?: string;
  destination?: string;
  input?: string;
  output?: string;
  protocol?: string;
  protocolNumber?: number;
  fragment?: string;
  readonly matches: MatchText[];
  /** The match on ports that native expressions make up, and where in `matches` it stands. */
  ports?: { readonly at: number; readonly match: XtMatchOf<'tcp'> };
  target?: string | undefined;
}

/** Takes an expression that is a match, a target or a statement by itself. */
function take(parts: Parts, expression: Expression): boolean {
  switch (expression.kind) {
    case 'counter':
      return true;
    case 'match': {
      const match = decodeMatch(expression, parts.family);
      if (match === undefined) return false;
      parts.matches.push(matchText(match, parts.sets));
      return true;
    }
    case 'target': {
      const target = decodeTarget(expression, parts.family);
      if (target === undefined) return false;
      parts.target = `-j ${targetText(expression.name, target, parts)}`;
      return true;
    }
    case 'verdict':
      parts.target = verdictText(expression.verdict);
      return parts.target !== undefined;
    case 'limit': {
      const { rate, unitSeconds, burst, over, type } = expression;
      if (over || type !== 'packets' || rate === 0) return false;
      const { text } = rateText(Math.floor((unitSeconds * 10_000) / rate), 10_000);
      const options = words(option('limit', text), burst !== 5 && option('limit-burst', burst));
      parts.matches.push({ name: 'limit', options });
      return true;
    }
    case 'log': {
      if (expression.group === undefined) return false;
      const { group, prefix = '', snaplen = 0, queueThreshold = 0 } = expression;
      const options = nflogText({
        group,
        prefix,
        threshold: queueThreshold,
        length: snaplen,
        hasLength: snaplen !== 0,
      });
      parts.target = words('-j NFLOG', options);
      return true;
    }
    default:
      return false;
  }
}

function verdictText(verdict: Verdict): string | undefined {
  switch (verdict.code) {
    case 'accept':
    case 'drop':
    case 'return':
      return `-j ${verdict.code.toUpperCase()}`;
    case 'jump':
      return `-j ${quoted(verdict.chain)}`;
    case 'goto':
      return `-g ${quoted(verdict.chain)}`;
    case 'queue':
      return verdict.number === 0 && !verdict.bypass ? '-j QUEUE' : undefined;
    case 'continue':
    case 'break':
    case 'stolen':
      return undefined;
  }
}

/** iptables-nft writes TRACE as `meta nftrace set 1`. */
function isTrace(
  expression: Expression,
  immediate: (register: number) => Uint8Array | undefined,
): boolean {
  if (expression.kind !== 'meta-set' || expression.key !== 'nftrace') return false;
  return immediate(expression.register)?.[0] === 1;
}

/** Takes a condition of native expressions; false if iptables has no words for it. */
function takeCondition(parts: Parts, condition: Condition): boolean {
  const { field, comparison, value, mask } = condition;
  const isEquality = comparison === 'eq' || comparison === 'neq';
  const inverted = comparison === 'neq';
  const sign = inverted ? '! ' : '';
  switch (field) {
    case 'iifname':
    case 'oifname': {
      if (!isEquality || condition.last !== undefined) return false;
      const letter = field === 'iifname' ? 'i' : 'o';
      const text = `${interfaceOption(letter, condition)}`;
      parts[field === 'iifname' ? 'input' : 'output'] = text;
      return true;
    }
    case 'source':
    case 'destination': {
      if (!isEquality || condition.last !== undefined) return false;
      const size = parts.family === 'ip' ? 4 : 16;
      const address = new Uint8Array(size);
      address.set(value.subarray(0, size));
      const network = networkText(address, mask ?? maskOf(value.length * 8, size));
      parts[field] = `${sign}-${field === 'source' ? 's' : 'd'} ${network}`;
      return true;
    }
    case 'l4proto': {
      const [number = 0] = value;
      if (!isEquality || mask !== undefined) return false;
      parts.protocol = `${sign}-p ${protocolText(number)}`;
      if (!inverted) parts.protocolNumber = number;
      return true;
    }
    case 'fragment':
      // Equal to zero is the first fragment, or none.
      if (!isEquality || mask === undefined || value.some((byte) => byte !== 0)) return false;
      parts.fragment = inverted ? '-f' : '! -f';
      return true;
    case 'mark': {
      const number = littleEndian(value);
      if (!isEquality || value.length !== 4 || condition.last !== undefined) return false;
      const bits = mask === undefined ? 0xffff_ffff : littleEndian(mask);
      parts.matches.push({ name: 'mark', options: markText(number, bits, inverted) });
      return true;
    }
    case 'ports': {
      // One port of each side, compared together.
      if (comparison !== 'eq' || mask !== undefined || condition.last !== undefined) return false;
      if (value.length !== 4) return false;
      const ends = [
        { field: 'source-port', comparison, value: value.subarray(0, 2) },
        { field: 'destination-port', comparison, value: value.subarray(2) },
      ] as const;
      return ends.every((end) => takePorts(parts, end));
    }
    case 'source-port':
    case 'destination-port':
    case 'tcp-flags':
      return takePorts(parts, condition);
  }
}

function interfaceOption(letter: 'i' | 'o', { comparison, value, mask }: Condition): string {
  const sign = comparison === 'neq' ? '! ' : '';
  const name = mask === undefined ? interfaceText(value) : maskedInterfaceText(value, mask);
  // The name that no device has.
  return name === 'INVAL/D' ? `! -${letter} +` : `${sign}-${letter} ${name}`;
}

function littleEndian(bytes: Uint8Array): number {
  return bytes.reduceRight((value, byte) => value * 256 + byte, 0);
}

const anyPort: InvertibleRange = { first: 0, last: 0xffff, inverted: false };
const anything: XtMatchOf<'tcp'> = {
  kind: 'tcp',
  sourcePorts: anyPort,
  destinationPorts: anyPort,
  flags: { value: 0, mask: 0, inverted: false },
  option: 0,
  optionInverted: false,
};

const portProtocols: ReadonlyMap<number, 'tcp' | 'udp'> = new Map([
  [6, 'tcp'],
  [17, 'udp'],
]);

/** Ports and flags of one rule are one `-m tcp` or `-m udp`. */
function takePorts(parts: Parts, condition: Condition): boolean {
  const name = portProtocols.get(parts.protocolNumber ?? 0);
  if (name === undefined) return false;
  const at = parts.ports?.at ?? parts.matches.length;
  const before = parts.ports?.match ?? anything;
  const match =
    condition.field === 'tcp-flags' ? withFlags(before, condition) : withPorts(before, condition);
  if (match === undefined || (condition.field === 'tcp-flags' && name === 'udp')) return false;
  parts.ports = { at, match };
  parts.matches[at] = { ...matchText(match, parts.sets), name };
  return true;
}

function withFlags(match: XtMatchOf<'tcp'>, condition: Condition): XtMatchOf<'tcp'> | undefined {
  const [value = 0] = condition.value;
  const [mask = 0xff] = condition.mask ?? [];
  if (condition.comparison !== 'eq' && condition.comparison !== 'neq') return undefined;
  return { ...match, flags: { value, mask, inverted: condition.comparison === 'neq' } };
}

function withPorts(match: XtMatchOf<'tcp'>, condition: Condition): XtMatchOf<'tcp'> | undefined {
  const { field, comparison, value, last, mask } = condition;
  if (mask !== undefined || (comparison !== 'eq' && comparison !== 'neq')) return undefined;
  const first = port(value);
  const range = {
    first,
    last: last === undefined ? first : port(last),
    inverted: comparison === 'neq',
  };
  return field === 'source-port'
    ? { ...match, sourcePorts: range }
    : { ...match, destinationPorts: range };
}

function port(bytes: Uint8Array): number {
  return ((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0);
}
