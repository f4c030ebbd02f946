/** @module A rule of nf_tables as `nft list ruleset` writes it, out of its decoded expressions. */
import type { Expression, Family, NftSet, Rule, Ruleset } from '../model.ts';
import { quote } from './bytes.ts';
import { describeAll } from './describe.ts';
import { writeVerdict } from './elements.ts';
import { type Match, writeComparison, writeInterval } from './matches.ts';
import { allNeeds, joined } from './part.ts';
import { writeSending } from './sending.ts';
import { writeSetting } from './settings.ts';
import { writeReject, writeSimple } from './statements.ts';
import { loadOf, type Value } from './value.ts';
import { createWriter, fits, nameOf, type Sources, type Writer, writeSet } from './writer.ts';

/**
 * The rule as a line that `nft` loads as the same expressions, without its handle. Where nft has no words for an expression the line
 * is a comment that says so: never another rule than the kernel's.
 */
export function formatRule(rule: Rule, ruleset: Pick<Ruleset, 'sets'>): string {
  const { family, table } = rule;
  const findSet = (name: string): NftSet | undefined =>
    ruleset.sets.find((set) => set.name === name && set.table === table && set.family === family);
  return writeRule(rule, { findSet });
}

/** `formatRule` for many rules. */
export function writeRule(rule: Rule, sources: Sources): string {
  const { text, unknown } = writeExpressions(rule.family, rule.expressions, sources);
  const comment = rule.comment === undefined ? '' : quote(rule.comment);
  const problems = comment === undefined ? [...unknown, 'comment'] : unknown;
  const suffix = comment === undefined || comment === '' ? '' : ` comment ${comment}`;
  const line = `${text}${suffix}`.trim();
  if (problems.length === 0) return line;
  return oneLine(`# unknown expression: ${[...new Set(problems)].join(', ')}: ${line}`);
}

/** What comes from the kernel cannot end a comment. */
export function oneLine(text: string): string {
  return text.replaceAll(/[\p{Cc}\u2028\u2029]/gu, '?');
}

/** What a list of expressions says, and the names of those that could not be said; they stand in `<>` in the text. */
export function writeExpressions(
  family: Family,
  expressions: readonly Expression[],
  sources: Sources,
): { readonly text: string; readonly unknown: readonly string[] } {
  const writer = createWriter(family, sources);
  const unknown: string[] = [];
  for (let index = 0; index < expressions.length; index++) {
    const expression = expressions[index];
    if (expression === undefined) break;
    const next = expressions[index + 1];
    if (next !== undefined && tellInterval(writer, expression, next)) {
      index++;
      continue;
    }
    if (writeExpression(writer, expression)) continue;
    const name = nameOf(expression);
    unknown.push(name);
    writer.say(`<${name}>`);
  }
  if (writer.registers.hasUnread()) unknown.push('load without a use');
  return { text: writer.words(), unknown };
}

/** nft loads `1-5` as `>= 1` and `<= 5` on one register. */
function tellInterval(writer: Writer, low: Expression, high: Expression): boolean {
  if (low.kind !== 'cmp' || high.kind !== 'cmp' || low.register !== high.register) return false;
  if (low.comparison !== 'gte' || high.comparison !== 'lte') return false;
  const value = writer.registers.at(low.register);
  if (value === undefined) return false;
  return writer.tell((speaker) => writeInterval(value, 'eq', low.value, high.value, speaker));
}

function writeExpression(writer: Writer, expression: Expression): boolean {
  const { registers } = writer;
  const simple = writeSimple(expression);
  if (simple !== undefined) {
    writer.say(simple);
    return true;
  }
  switch (expression.kind) {
    case 'payload':
    case 'meta':
    case 'ct':
    case 'fib':
    case 'exthdr':
    case 'socket':
    case 'osf':
    case 'rt':
    case 'xfrm': {
      const value = loadOf(expression, writer.family);
      if (value !== undefined) registers.write(expression.register, value);
      return value !== undefined;
    }
    case 'immediate':
      registers.write(expression.register, {
        kind: 'constant',
        bytes: expression.value,
        length: expression.value.length,
      });
      return true;
    case 'numgen':
      registers.write(expression.register, { kind: 'numgen', numgen: expression, length: 4 });
      return true;
    case 'bitwise':
    case 'byteorder':
    case 'hash':
      return compute(writer, expression);
    case 'cmp': {
      const value = registers.at(expression.register);
      if (value === undefined) return false;
      return writer.tell((speaker) =>
        writeComparison(value, expression.comparison, expression.value, speaker),
      );
    }
    case 'range': {
      const value = registers.at(expression.register);
      if (value === undefined) return false;
      const { comparison, first, last } = expression;
      return writer.tell((speaker) => writeInterval(value, comparison, first, last, speaker));
    }
    case 'lookup':
      return lookUp(writer, expression);
    case 'verdict': {
      const words = writeVerdict(expression.verdict);
      if (words !== undefined) writer.say(words);
      return words !== undefined;
    }
    case 'reject':
      return writer.tell(({ context, family, isRaw }): Match | undefined => {
        if (isRaw) return undefined;
        const text = writeReject(expression, family, context);
        if (text === undefined) return undefined;
        const { reject } = expression;
        if (reject.with === 'tcp-reset') {
          // nft adds the match everywhere, and shows it where one table serves several families.
          const isShown = family !== 'ip' && family !== 'ip6' && context.transport === 6;
          return { text, needs: isShown ? [] : [{ layer: 'transport', protocol: 6 }] };
        }
        const network = context.network;
        if (reject.with === 'icmpx' || (network !== 'ip' && network !== 'ip6')) {
          return { text, needs: [] };
        }
        return { text, needs: [{ layer: 'network', protocol: network, isField: false }] };
      });
    default:
      return writeSetting(writer, expression) || writeSending(writer, expression);
  }
}

/** Expressions that make a value of others. */
function compute(
  { registers }: Writer,
  expression: Extract<Expression, { kind: 'bitwise' | 'byteorder' | 'hash' }>,
): boolean {
  if (expression.kind === 'hash') {
    const { source, length, register } = expression;
    const key =
      source === undefined || length === undefined ? [] : registers.gather(source, length);
    if (key === undefined || (expression.type === 'jenkins' && key.length === 0)) return false;
    registers.write(register, { kind: 'hash', key, hash: expression, length: 4 });
    return true;
  }
  const { source, destination, length } = expression;
  const of = registers.at(source);
  if (of === undefined || of.length !== length) return false;
  const value = computed(of, expression, registers);
  if (value === undefined) return false;
  registers.write(destination, value);
  return true;
}

function computed(
  of: Value,
  expression: Extract<Expression, { kind: 'bitwise' | 'byteorder' }>,
  registers: Writer['registers'],
): Value | undefined {
  const { length } = expression;
  if (expression.kind === 'byteorder') {
    const { size, operation } = expression;
    return size === length ? { kind: 'swap', of, operation, length } : undefined;
  }
  switch (expression.operation) {
    case 'mask-xor':
      return { kind: 'mask', of, mask: expression.mask, xor: expression.xor, length };
    case 'shift-left':
      return { kind: 'shift', of, direction: 'left', bits: expression.bits, length };
    case 'shift-right':
      return { kind: 'shift', of, direction: 'right', bits: expression.bits, length };
    default: {
      const { source2, data, operation } = expression;
      if (data !== undefined) {
        return {
          kind: 'mask',
          of,
          mask:
            operation === 'and'
              ? data
              : data.map((byte) => (operation === 'or' ? ~byte & 0xff : 0xff)),
          xor: operation === 'and' ? new Uint8Array(data.length) : data,
          length,
        };
      }
      const other = source2 === undefined ? undefined : registers.at(source2);
      return other === undefined
        ? undefined
        : { kind: 'combine', of, with: other, operation, length };
    }
  }
}

/** `tcp dport { 22, 80 }`, `ip saddr != @blocked`, `ct state vmap { … }`. */
function lookUp(writer: Writer, lookup: Extract<Expression, { kind: 'lookup' }>): boolean {
  const { registers } = writer;
  const set = writer.findSet(lookup.set);
  const key = set && registers.gather(lookup.register, set.keyLength);
  if (set === undefined || key === undefined) return false;
  const { gives } = lookup;
  if (gives !== undefined && gives !== 'verdict') {
    const length = set.data?.kind === 'value' ? set.data.length : 4;
    registers.write(gives.register, { kind: 'map', key, set: lookup.set, length });
    return true;
  }
  return writer.tell((speaker) => {
    const parts = describeAll(key, speaker);
    if (parts === undefined || !fits(set, parts)) return undefined;
    const words = writeSet(set, parts);
    if (words === undefined) return undefined;
    const needs = allNeeds(parts);
    const subject = joined(parts);
    writer.observe(set.name, subject);
    if (gives === 'verdict') return { text: `${subject} vmap ${words}`, needs };
    const isOperation = parts.length === 1 && parts[0]?.isOperation === true;
    const operator = lookup.inverted ? '!= ' : isOperation ? '== ' : '';
    const text = `${subject} ${operator}${words}`;
    if (lookup.inverted || !set.flags.anonymous || key.length !== 1) return { text, needs };
    return { text, needs, equality: `${subject} ${memberNumbers(set)}` };
  });
}

/** `0,8`: how the match of a set of ICMP types is known again. */
function memberNumbers(set: NftSet): string {
  if (set.elements.length > 2) return '';
  return Array.from(set.elements, ({ key }) => key?.[0] ?? 0)
    .toSorted((one, other) => one - other)
    .join(',');
}
