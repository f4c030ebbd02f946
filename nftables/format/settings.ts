/** @module Statements that write a value somewhere: into marks, packets, options and sets. */
import type { Expression, ExpressionOf } from '../model.ts';
import { allOnes, identifier, runOfOnes, toNumber } from './bytes.ts';
import { type DataFormat, types, writeConstant, writeFlags, writeTime } from './datatypes.ts';
import { describe, describeAll, findField, headerAt, type Speaker } from './describe.ts';
import { nameHeader, nameOption, needsOf } from './exthdr.ts';
import { sayCt, sayMeta } from './loads.ts';
import type { Match } from './matches.ts';
import { allNeeds, joined, type Part } from './part.ts';
import { writeSimple } from './statements.ts';
import type { Value } from './value.ts';
import { dataType, fits, type Writer } from './writer.ts';

/** False for what is no such statement, or has no words. */
export function writeSetting(writer: Writer, expression: Expression): boolean {
  switch (expression.kind) {
    case 'meta-set':
    case 'ct-set': {
      const said =
        expression.kind === 'meta-set' ? sayMeta(expression.key) : sayCt(expression, writer.family);
      const value = writer.registers.at(expression.register);
      if (said === undefined || value === undefined) return false;
      return writer.tell((speaker) => assign(said.text, said.type, value, [], speaker));
    }
    case 'payload-set':
      return setPayload(writer, expression);
    case 'exthdr-set':
      return setOption(writer, expression);
    case 'dynset':
      return addElement(writer, expression);
    case 'objref':
      return refer(writer, expression);
    default:
      return false;
  }
}

/** `TARGET set VALUE`. */
function assign(
  target: string,
  type: DataFormat,
  value: Value,
  needs: Part['needs'],
  speaker: Speaker,
): Match | undefined {
  const said = writeValue(value, type, speaker);
  if (said === undefined) return undefined;
  return { text: `${target} set ${said.text}`, needs: [...needs, ...said.needs] };
}

/** A value that is given to something of a type. */
export function writeValue(
  value: Value,
  type: DataFormat,
  speaker: Speaker,
): Pick<Part, 'text' | 'needs'> | undefined {
  if (value.kind !== 'constant') return describe(value, speaker);
  const text =
    type.kind === 'flags'
      ? writeFlags(type, toNumber(value.bytes, type.order), type.order === 'host' ? ',' : ' | ')
      : writeConstant(type, value.bytes);
  return text === undefined ? undefined : { text, needs: [] };
}

/**
 * `tcp dport set 80`. A field without whole bytes, or whose checksum has to be mended by words, is loaded with its neighbours, masked
 * and written back.
 */
function setPayload(writer: Writer, write: ExpressionOf<'payload-set'>): boolean {
  const value = writer.registers.at(write.register);
  if (value === undefined) return false;
  return writer.tell((speaker) => {
    const { base, offset, length } = write;
    const { header } = headerAt(base, 8 * offset, speaker) ?? {};
    const isMended = mendsLike(write, header?.checksum);
    const whole = findField(base, 8 * offset, 8 * length, speaker);
    if (whole !== undefined && isMended && hasHeader(whole.header.name)) {
      const needs = whole.need === undefined ? [] : [whole.need];
      const { field } = whole;
      const said = assign(`${whole.header.name} ${field.name}`, field.type, value, needs, speaker);
      if (said !== undefined) return said;
    }
    const part = value.kind === 'mask' && isMended ? setBits(write, value, speaker) : undefined;
    if (part !== undefined) return part;
    const name = { link: 'll', network: 'nh', transport: 'th', inner: 'ih', tunnel: '' }[base];
    if (name === '' || !speaker.isRaw || write.checksumType !== 0) return undefined;
    return assign(`@${name},${8 * offset},${8 * length}`, types.raw, value, [], speaker);
  });
}

/** Of any transport protocol nft knows ports, but writes none. */
function hasHeader(name: string): boolean {
  return name !== 'th';
}

/** linux/netfilter/nf_tables.h: checksum type 1 is the Internet checksum; flag 1: the transport's covers the addresses too. */
function mendsLike(write: ExpressionOf<'payload-set'>, checksum: number | undefined): boolean {
  if (checksum === undefined) return write.checksumType === 0;
  return write.checksumType === 1 && write.checksumOffset === checksum;
}

function setBits(
  write: ExpressionOf<'payload-set'>,
  value: Extract<Value, { kind: 'mask' }>,
  speaker: Speaker,
): Match | undefined {
  const { of, length } = value;
  if (of.kind !== 'load' || of.load.kind !== 'payload') return undefined;
  const { load } = of;
  if (load.base !== write.base || load.offset !== write.offset || length !== write.length) {
    return undefined;
  }
  const mask = toNumber(value.mask, 'big');
  const run = runOfOnes(allOnes(length) ^ mask);
  const xor = toNumber(value.xor, 'big');
  if (run === undefined || (xor & mask) !== 0n) return undefined;
  const end = 8 * (write.offset + length) - run.shift;
  const found = findField(write.base, end - run.length, run.length, speaker);
  if (found === undefined) return undefined;
  const bytes = Math.ceil(run.length / 8);
  const bits = xor >> BigInt(run.shift);
  const constant = new Uint8Array(bytes).map((_, index) =>
    Number((bits >> BigInt(8 * (bytes - 1 - index))) & 0xffn),
  );
  const { field, header } = found;
  const needs = found.need === undefined ? [] : [found.need];
  const set: Value = { kind: 'constant', bytes: constant, length: bytes };
  return assign(`${header.name} ${field.name}`, field.type, set, needs, speaker);
}

/** `tcp option maxseg size set 1400`, `reset tcp option sack-perm`. */
function setOption(writer: Writer, write: ExpressionOf<'exthdr-set'>): boolean {
  if (write.register === undefined) {
    const name = write.protocol === 'tcp-option' ? nameHeader(write) : undefined;
    if (name !== undefined) writer.say(`reset ${name}`);
    return name !== undefined;
  }
  const value = writer.registers.at(write.register);
  const target = nameOption(write, 8 * write.offset, 8 * write.length);
  if (value === undefined || target === undefined) return false;
  const needs = needsOf(write.protocol);
  // The maximum segment size of the route is a number of the machine, and is turned round.
  const plain = value.kind === 'swap' && value.of.kind === 'load' ? value.of : value;
  return writer.tell((speaker) => assign(target.text, target.type, plain, needs, speaker));
}

/** `add @seen { ip saddr timeout 1m limit rate 3/minute : VALUE }`. */
function addElement(writer: Writer, dynset: ExpressionOf<'dynset'>): boolean {
  const set = writer.findSet(dynset.set);
  const key = set && writer.registers.gather(dynset.keyRegister, set.keyLength);
  if (set === undefined || key === undefined || dynset.inverted) return false;
  if (set.flags.anonymous || identifier(set.name) === undefined) return false;
  const { dataRegister } = dynset;
  const data = dataRegister === undefined ? undefined : writer.registers.at(dataRegister);
  if (dataRegister !== undefined && data === undefined) return false;
  const statements = dynset.expressions.map((each) =>
    each.kind === 'counter' && each.packets + each.bytes === 0 ? 'counter' : writeSimple(each),
  );
  const { timeoutMs } = dynset;
  const timeout = timeoutMs === undefined ? [] : [`timeout ${writeTime(timeoutMs)}`];
  return writer.tell((speaker) => {
    const parts = describeAll(key, speaker);
    if (parts === undefined || !fits(set, parts)) return undefined;
    if (!statements.every((words) => words !== undefined)) return undefined;
    const words = [joined(parts), ...timeout, ...statements].join(' ');
    const needs = allNeeds(parts);
    writer.observe(set.name, joined(parts));
    const text = `${dynset.operation} @${dynset.set} { ${words}`;
    if (data === undefined) return { text: `${text} }`, needs };
    const type = dataType(set);
    const said = writeValue(data, type, speaker);
    if (said === undefined) return undefined;
    return { text: `${text} : ${said.text} }`, needs: [...needs, ...said.needs] };
  });
}

/** `counter name "web"`, `ct helper set "ftp"`; or by a map from a key. */
function refer(writer: Writer, { object, map }: ExpressionOf<'objref'>): boolean {
  if (object !== undefined) {
    const words = identifier(object.name) && introduce(object.type);
    if (words !== undefined) writer.say(`${words} "${object.name}"`);
    return words !== undefined;
  }
  const set = map && writer.findSet(map.set);
  const key = set && writer.registers.gather(map.register, set.keyLength);
  if (set?.data?.kind !== 'object' || key === undefined) return false;
  const words = introduce(objectWords[set.data.objectType] ?? '');
  if (words === undefined) return false;
  const length = set.keyLength;
  return writer.tell((speaker) => {
    const part = speaker.writeMap({ kind: 'map', key, set: set.name, length });
    return part === undefined ? undefined : { text: `${words} ${part.text}`, needs: part.needs };
  });
}

/** enum NFT_OBJECT_*. */
export const objectWords: readonly (string | undefined)[] = [
  undefined,
  'counter',
  'quota',
  'ct helper',
  'limit',
  undefined,
  undefined,
  'ct timeout',
  'secmark',
  'ct expectation',
  'synproxy',
];

function introduce(type: string): string | undefined {
  switch (type) {
    case 'counter':
    case 'quota':
    case 'limit':
    case 'synproxy':
      return `${type} name`;
    case 'ct helper':
    case 'ct timeout':
    case 'ct expectation':
      return `${type} set`;
    case 'secmark':
      return 'meta secmark set';
    default:
      return undefined;
  }
}
