/** @module Comparisons in nft's words. */
import type { Comparison } from '../model.ts';
import { allOnes, isZero, prefixLength, toNumber } from './bytes.ts';
import { types, writeConstant, writeFlags, writeString } from './datatypes.ts';
import { describe, findField, headerAt, type Speaker } from './describe.ts';
import { writeSpan } from './elements.ts';
import { atom, type Part } from './part.ts';
import type { Value } from './value.ts';

export interface Match {
  readonly text: string;
  readonly needs: Part['needs'];
  /** `meta l4proto 6`: a match for equality, as `learn` of dependencies reads it. */
  readonly equality?: string;
}

const operators = { eq: '==', neq: '!=', lt: '<', lte: '<=', gt: '>', gte: '>=' } as const;

/** `tcp dport 22`, `ct state established,related`, `ip saddr 10.0.0.0/8`; several for one load of neighbouring fields. */
export function writeComparison(
  value: Value,
  comparison: Comparison,
  bytes: Uint8Array,
  speaker: Speaker,
): readonly Match[] | undefined {
  const isEquality = comparison === 'eq' || comparison === 'neq';
  if (comparison === 'eq') {
    const fields = writeFields(value, bytes, speaker);
    if (fields !== undefined) return fields;
  }
  if (isEquality && value.kind === 'mask') {
    const masked = writeMasked(value, comparison, bytes, speaker);
    if (masked !== undefined) return [masked];
  }
  const prefix = isEquality ? writePrefix(value, comparison, bytes, speaker) : undefined;
  if (prefix !== undefined) return [prefix];
  const part = describe(value, speaker);
  // One byte is enough to compare a truth, though it fills its register.
  const isTruth = part?.type === types.boolean && bytes.length === 1;
  if (part === undefined || !(bytes.length === part.length || isTruth)) return undefined;
  if (!isOrdered(part, isEquality)) return undefined;
  const constant = writeConstant(part.type, bytes, part.order, part.shift);
  if (constant === undefined) return undefined;
  const isFlags = part.type.kind === 'flags';
  const isImplied = comparison === 'eq' && !isFlags && !part.isOperation;
  const text = `${part.text} ${isImplied ? '' : `${operators[comparison]} `}${constant}`;
  const number = Number(toNumber(bytes, part.order) >> BigInt(part.shift));
  const equality = comparison === 'eq' && !part.isOperation ? `${part.text} ${number}` : undefined;
  return [{ text, needs: part.needs, ...(equality === undefined ? {} : { equality }) }];
}

/** Numbers are greater or less as bytes of packets are: nft turns others round first, and only for that. */
function isOrdered(part: Part, isEquality: boolean): boolean {
  if (part.length === 1 || part.type.kind === 'string') return true;
  return isEquality ? part.order === part.type.order : part.order === 'big';
}

/** `tcp dport 1024-65535`, out of two comparisons or of `range`. */
export function writeInterval(
  value: Value,
  comparison: 'eq' | 'neq',
  first: Uint8Array,
  last: Uint8Array,
  speaker: Speaker,
): Match | undefined {
  const part = describe(value, speaker);
  if (part === undefined || first.length !== part.length || last.length !== part.length) {
    return undefined;
  }
  if (!isOrdered(part, false) || part.type.kind === 'string') return undefined;
  // A range of one value, and one from the greater to the less, are none for nft. A prefix would load as another expression.
  if (toNumber(first, part.order) >= toNumber(last, part.order)) return undefined;
  const range = writeSpan(part, first, last);
  if (range === undefined) return undefined;
  return { text: `${part.text} ${comparison === 'neq' ? '!= ' : ''}${range}`, needs: part.needs };
}

/** nft joins equality of neighbouring fields into one load: `tcp sport 1 tcp dport 2`. */
function writeFields(
  value: Value,
  bytes: Uint8Array,
  speaker: Speaker,
): readonly Match[] | undefined {
  if (value.kind !== 'load' || value.load.kind !== 'payload') return undefined;
  const { base, offset, length } = value.load;
  if (bytes.length !== length) return undefined;
  const matches: Match[] = [];
  let inner = speaker;
  for (let at = 0; at < length; ) {
    const fields = headerAt(base, 8 * (offset + at), inner)?.header.fields ?? [];
    const candidates = fields.filter(
      (field) =>
        field.offset === 8 * (offset + at) &&
        field.length % 8 === 0 &&
        field.length <= 8 * (length - at),
    );
    const found = candidates
      .map((field) => findField(base, field.offset, field.length, inner))
      .find((each) => each !== undefined);
    if (found === undefined) return undefined;
    const size = found.field.length / 8;
    const part = bytes.subarray(at, at + size);
    const name = `${found.header.name} ${found.field.name}`;
    const constant = writeConstant(found.field.type, part);
    if (constant === undefined) return undefined;
    const isFlags = found.field.type.kind === 'flags';
    const number = Number(toNumber(part, 'big'));
    matches.push({
      text: `${name} ${isFlags ? '== ' : ''}${constant}`,
      needs: found.need === undefined ? [] : [found.need],
      equality: `${name} ${number}`,
    });
    if (name === 'icmp type' || name === 'icmpv6 type') {
      inner = { ...inner, context: { icmpType: number, ...inner.context } };
    }
    at += size;
  }
  return matches.length > 1 ? matches : undefined;
}

/** A comparison of fewer bytes than the field has: `ip saddr 10.0.0.0/8`, `iifname "eth*"`. */
function writePrefix(
  value: Value,
  comparison: 'eq' | 'neq',
  bytes: Uint8Array,
  speaker: Speaker,
): Match | undefined {
  if (value.kind !== 'load') return undefined;
  const no = comparison === 'neq' ? '!= ' : '';
  const { load } = value;
  if (load.kind === 'payload') {
    if (bytes.length !== load.length) return undefined;
    const { header } = headerAt(load.base, 8 * load.offset, speaker) ?? {};
    const field = header?.fields.find(({ offset }) => offset === 8 * load.offset);
    if (header === undefined || field === undefined || field.length <= 8 * load.length) {
      return undefined;
    }
    const found = findField(load.base, field.offset, field.length, speaker);
    if (found === undefined) return undefined;
    const needs = found.need === undefined ? [] : [found.need];
    const part = atom(`${header.name} ${field.name}`, field.type, field.length / 8, needs);
    return prefixMatch(part, no, bytes);
  }
  if (bytes.length >= value.length) return undefined;
  const part = describe(value, speaker);
  if (part === undefined) return undefined;
  if (part.type === types.interfaceName) {
    const name = writeString(bytes, true);
    return name === undefined
      ? undefined
      : { text: `${part.text} ${no}${name}`, needs: part.needs };
  }
  return prefixMatch(part, no, bytes);
}

function prefixMatch(part: Part, no: string, bytes: Uint8Array): Match | undefined {
  if (!['ipv4', 'ipv6', 'ether'].includes(part.type.kind)) return undefined;
  const whole = new Uint8Array(part.length);
  whole.set(bytes.subarray(0, part.length));
  const address = writeConstant(part.type, whole);
  if (address === undefined) return undefined;
  return { text: `${part.text} ${no}${address}/${8 * bytes.length}`, needs: part.needs };
}

/** `tcp flags syn / fin,syn,rst,ack`, `ct state new`, `ip saddr 10.0.0.0/9`. */
function writeMasked(
  value: Extract<Value, { kind: 'mask' }>,
  comparison: 'eq' | 'neq',
  bytes: Uint8Array,
  speaker: Speaker,
): Match | undefined {
  if (!isZero(value.xor) || bytes.length !== value.length) return undefined;
  const part = describe(value.of, speaker);
  if (part === undefined || part.isOperation || part.shift !== 0) return undefined;
  const mask = toNumber(value.mask, part.order);
  const wanted = toNumber(bytes, part.order);
  if (mask === 0n && part.type.kind === 'flags') return undefined;
  const no = comparison === 'neq' ? '!= ' : '';
  const { needs } = part;
  if (part.type.kind === 'flags' || part.type.kind === 'label') {
    const flags = writeFlags(part.type, mask, ',');
    if (wanted === 0n && part.type.kind === 'label') {
      return comparison === 'neq' ? { text: `${part.text} ${flags}`, needs } : undefined;
    }
    if (wanted === 0n) {
      return { text: `${part.text} ${comparison === 'eq' ? '! ' : ''}${flags}`, needs };
    }
    if (part.type.kind === 'label' || (wanted & ~mask) !== 0n) return undefined;
    const set = writeFlags(part.type, wanted, ',');
    return { text: `${part.text} ${no}${set} / ${flags}`, needs };
  }
  if (!['ipv4', 'ipv6', 'mark', 'ether'].includes(part.type.kind)) return undefined;
  const length = prefixLength(mask, 8 * value.length);
  const isWhole = mask === allOnes(value.length);
  if (length === undefined || isWhole || (wanted & ~mask) !== 0n) return undefined;
  // A mask of whole bytes of a packet would load as a shorter load.
  if (part.type.kind !== 'mark' && length % 8 === 0 && length > 0) return undefined;
  const address = writeConstant(part.type, bytes, part.order);
  return address === undefined
    ? undefined
    : { text: `${part.text} ${no}${address}/${length}`, needs };
}
