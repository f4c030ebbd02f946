/** @module What the statements of a rule do, in nft's words. */
import type { Expression, NatRange, Rule, Verdict } from '../model.ts';
import { formatAddress } from './address.ts';

/** The statements of a rule, in order, without its matches. A map of verdicts says what it gave itself. */
export function wordsOf(rule: Rule): readonly string[] {
  const registers = new Map<number, Uint8Array>();
  const words: string[] = [];
  for (const expression of rule.expressions) {
    if (expression.kind === 'immediate') registers.set(expression.register, expression.value);
    const word = wordOf(expression, registers);
    if (word !== undefined) words.push(word);
  }
  return words;
}

type Registers = ReadonlyMap<number, Uint8Array>;

function wordOf(expression: Expression, registers: Registers): string | undefined {
  switch (expression.kind) {
    case 'verdict':
      return verdictWord(expression.verdict);
    case 'meta-set':
      return `meta ${expression.key} set ${hostNumber(registers.get(expression.register))}`;
    case 'ct-set':
      return `ct ${expression.key} set ${hostNumber(registers.get(expression.register))}`;
    case 'payload-set':
      return `@${expression.base},${expression.offset * 8},${expression.length * 8} set`;
    case 'reject':
      return rejectWord(expression.reject);
    case 'nat':
      return `${expression.type} to ${rangeWord(expression.range, registers)}`.trimEnd();
    case 'masq':
      return `masquerade ${portWord(expression.range, registers, 'to ')}`.trimEnd();
    case 'redir':
      return `redirect ${portWord(expression.range, registers, 'to ')}`.trimEnd();
    case 'tproxy': {
      const address = addressText(registers.get(expression.addressRegister ?? -1));
      return `tproxy to ${address}:${portText(registers.get(expression.portRegister ?? -1))}`;
    }
    case 'queue':
      return `queue ${expression.bypass ? 'flags bypass ' : ''}to ${expression.number}`;
    case 'log':
      return expression.prefix === undefined ? 'log' : `log prefix "${expression.prefix}"`;
    case 'notrack':
    case 'synproxy':
    case 'counter':
      return expression.kind;
    case 'dup':
    case 'fwd':
      return `${expression.kind} to another device`;
    case 'dynset':
      return `${expression.operation} @${expression.set}`;
    case 'flow-offload':
      return `flow add @${expression.table}`;
    case 'objref':
      return expression.object === undefined
        ? `an object of @${expression.map?.set ?? ''}`
        : `${expression.object.type} name "${expression.object.name}"`;
    case 'target':
      return `xt target ${expression.name}`;
    default:
      return undefined;
  }
}

export function verdictWord(verdict: Verdict): string {
  switch (verdict.code) {
    case 'jump':
    case 'goto':
      return `${verdict.code} ${verdict.chain}`;
    case 'queue':
      return `queue to ${verdict.number}`;
    default:
      return verdict.code;
  }
}

function rejectWord(reject: Extract<Expression, { kind: 'reject' }>['reject']): string {
  if (reject.with === 'tcp-reset') return 'reject with tcp reset';
  return `reject with ${reject.with} ${reject.code}`;
}

function hostNumber(bytes: Uint8Array | undefined): string {
  if (bytes === undefined || bytes.length > 4) return 'a computed value';
  let number = 0;
  for (let index = bytes.length - 1; index >= 0; index--)
    number = number * 256 + (bytes[index] ?? 0);
  return `0x${number.toString(16).padStart(8, '0')}`;
}

function addressText(bytes: Uint8Array | undefined): string {
  if (bytes === undefined) return '';
  const text = formatAddress(bytes.length === 4 ? bytes : bytes.subarray(0, 16));
  return bytes.length === 4 ? text : `[${text}]`;
}

function portText(bytes: Uint8Array | undefined): string {
  return bytes === undefined ? '' : String(((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0));
}

function rangeWord(range: NatRange, registers: Registers): string {
  const first = addressText(registers.get(range.addressFirst ?? -1));
  const last = addressText(registers.get(range.addressLast ?? -1));
  const addresses = last === '' || last === first ? first : `${first}-${last}`;
  if (addresses === '' && range.addressFirst !== undefined) return 'a computed address';
  return `${addresses}${portWord(range, registers, '')}`;
}

function portWord(range: NatRange, registers: Registers, before: string): string {
  if (range.portFirst === undefined) return '';
  const first = portText(registers.get(range.portFirst));
  const last = portText(registers.get(range.portLast ?? -1));
  return `${before}:${last === '' || last === first ? first : `${first}-${last}`}`;
}
