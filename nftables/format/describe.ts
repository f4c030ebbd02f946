/** @module Values of registers in nft's words. */
import type { ExpressionOf, Family } from '../model.ts';
import { allOnes, fromNumber, runOfOnes, toNumber } from './bytes.ts';
import { types, writeConstant } from './datatypes.ts';
import type { Context, Need } from './dependencies.ts';
import { describeExthdr } from './exthdr.ts';
import {
  anyTransport,
  ether,
  type Field,
  type Header,
  network,
  transport,
  vlan,
} from './headers.ts';
import { describeLoad } from './loads.ts';
import { allNeeds, atom, joined, type Part } from './part.ts';
import type { Value } from './value.ts';

export interface Speaker {
  readonly family: Family;
  readonly context: Context;
  /** Packet bytes are to be named by their offset: no protocol is known for sure. */
  readonly isRaw: boolean;
  /** Writes `KEY map @set`. */
  readonly writeMap: (map: Extract<Value, { kind: 'map' }>) => Part | undefined;
}

/** Says what a value is; undefined where nft has no words for it. */
export function describe(value: Value, speaker: Speaker): Part | undefined {
  switch (value.kind) {
    case 'load':
      return describeLoaded(value, speaker);
    case 'mask':
      return describeMask(value, speaker);
    case 'shift':
      return describeShift(value, speaker);
    case 'combine': {
      const left = describe(value.of, speaker);
      const right = describe(value.with, speaker);
      if (left === undefined || right === undefined || right.isOperation) return undefined;
      const operator = { and: '&', or: '|', xor: '^' }[value.operation];
      return operation(left, `${left.text} ${operator} ${right.text}`, right.needs);
    }
    case 'swap': {
      const part = describe(value.of, speaker);
      const [from, to] =
        value.operation === 'hton' ? (['host', 'big'] as const) : (['big', 'host'] as const);
      if (part?.order !== from || part.type.kind === 'string') return undefined;
      return { ...part, order: to };
    }
    case 'map':
      return speaker.writeMap(value);
    case 'hash': {
      const { hash } = value;
      const parts = describeAll(value.key, speaker);
      if (parts === undefined) return undefined;
      const key = hash.type === 'jenkins' ? `jhash ${joined(parts)}` : 'symhash';
      const seed =
        hash.seed === undefined || hash.seed === 0 ? '' : ` seed 0x${hash.seed.toString(16)}`;
      const text = `${key} mod ${hash.modulus}${seed}${offsetText(hash.offset)}`;
      return atom(text, types.hostInteger, 4, allNeeds(parts));
    }
    case 'numgen': {
      const { type, modulus, offset } = value.numgen;
      const kind = type === 'incremental' ? 'inc' : 'random';
      return atom(`numgen ${kind} mod ${modulus}${offsetText(offset)}`, types.hostInteger, 4);
    }
    case 'constant':
      return undefined;
  }
}

export function describeAll(
  values: readonly Value[],
  speaker: Speaker,
): readonly Part[] | undefined {
  const parts: Part[] = [];
  for (const value of values) {
    const part = describe(value, speaker);
    if (part === undefined) return undefined;
    parts.push(part);
  }
  return parts;
}

function operation(part: Part, text: string, needs: readonly Need[] = []): Part {
  return { ...part, text, needs: [...part.needs, ...needs], isOperation: true };
}

function offsetText(offset: number): string {
  return offset === 0 ? '' : ` offset ${offset}`;
}

function describeLoaded(
  value: Extract<Value, { kind: 'load' }>,
  speaker: Speaker,
): Part | undefined {
  const { load } = value;
  if (load.kind === 'payload') return describePayload(load, undefined, speaker);
  if (load.kind === 'exthdr') return describeExthdr(load, undefined);
  const said = describeLoad(load, speaker.family);
  return said === undefined ? undefined : atom(said.text, said.type, value.length);
}

/** A mask over a load that is the mask of one of its fields is that field. */
function describeField(
  value: Extract<Value, { kind: 'mask' }>,
  speaker: Speaker,
): Part | undefined {
  if (value.of.kind !== 'load' || toNumber(value.xor, 'big') !== 0n) return undefined;
  const { load } = value.of;
  if (load.kind !== 'payload' && load.kind !== 'exthdr') return undefined;
  const run = runOfOnes(toNumber(value.mask, 'big'));
  // A field's bytes are no more than those that it touches.
  if (run === undefined || run.shift >= 8 || run.length + run.shift <= 8 * (value.length - 1)) {
    return undefined;
  }
  if (load.kind === 'payload') return describePayload(load, run, speaker);
  return describeExthdr(load, run);
}

function describeMask(value: Extract<Value, { kind: 'mask' }>, speaker: Speaker): Part | undefined {
  const field = describeField(value, speaker);
  if (field !== undefined) return field;
  const part = describe(value.of, speaker);
  if (part === undefined || part.shift !== 0) return undefined;
  // The kernel computes (value & mask) ^ xor. Bits that the mask clears and xor sets are those of an `or`.
  const mask = toNumber(value.mask, part.order);
  const xor = toNumber(value.xor, part.order);
  const ones = allOnes(value.length);
  const or = xor & ~mask & ones;
  const kept = mask | or;
  const flipped = xor & mask;
  let text = part.text;
  for (const [operator, bits, idle] of [
    ['&', kept, ones],
    ['^', flipped, 0n],
    ['|', or, 0n],
  ] as const) {
    if (bits === idle) continue;
    const word = writeOperand(part, bits, value.length);
    if (word === undefined) return undefined;
    text += ` ${operator} ${word}`;
  }
  // Nothing changes: nft would leave the expression out.
  return text === part.text ? undefined : operation(part, text);
}

function writeOperand(part: Part, bits: bigint, length: number): string | undefined {
  const bytes = fromNumber(bits, length, part.order);
  if (part.type.kind === 'flags') return `0x${bits.toString(16)}`;
  if (part.type.kind === 'string' || part.type.kind === 'label') return undefined;
  if (part.type.names !== undefined) return bits.toString();
  return writeConstant(part.type, bytes, part.order);
}

function describeShift(
  value: Extract<Value, { kind: 'shift' }>,
  speaker: Speaker,
): Part | undefined {
  if (value.of.kind === 'mask' && value.direction === 'right') {
    const field = describeField(value.of, speaker);
    if (field !== undefined && field.shift > 0 && field.shift === value.bits) {
      return { ...field, shift: 0 };
    }
  }
  const part = describe(value.of, speaker);
  if (part === undefined || part.shift !== 0) return undefined;
  return operation(part, `${part.text} ${value.direction === 'left' ? '<<' : '>>'} ${value.bits}`);
}

function describePayload(
  load: ExpressionOf<'payload'>,
  run: { readonly length: number; readonly shift: number } | undefined,
  speaker: Speaker,
): Part | undefined {
  const end = 8 * (load.offset + load.length);
  const length = run?.length ?? 8 * load.length;
  const shift = run?.shift ?? 0;
  const found = findField(load.base, end - shift - length, length, speaker);
  if (found !== undefined) {
    const { header, field, need } = found;
    const text = `${header.name} ${field.name}`;
    const needs = need === undefined ? [] : [need];
    const type = field.type === types.integer && field.length > 64 ? types.raw : field.type;
    return { ...atom(text, type, load.length, needs), shift };
  }
  const name = { link: 'll', network: 'nh', transport: 'th', inner: 'ih', tunnel: undefined }[
    load.base
  ];
  if (name === undefined || run !== undefined) return undefined;
  return atom(`@${name},${8 * load.offset},${8 * load.length}`, types.raw, load.length);
}

interface Found {
  readonly header: Header;
  readonly field: Field;
  readonly need?: Need;
}

/** The field of exactly these bits in the header that stands there, as far as the matches before tell which that is. */
export function findField(
  base: ExpressionOf<'payload'>['base'],
  offset: number,
  length: number,
  speaker: Pick<Speaker, 'context' | 'isRaw' | 'family'>,
): Found | undefined {
  const { header, need } = headerAt(base, offset, speaker) ?? {};
  const fields = header?.fields.filter(
    (field) => field.offset === offset && field.length === length,
  );
  // Two fields in one place are told apart by the type of ICMP.
  const field =
    fields?.find(({ icmpTypes }) => icmpTypes?.includes(speaker.context.icmpType ?? -1)) ??
    fields?.find(({ icmpTypes }) => icmpTypes === undefined || icmpTypes.length > 1);
  if (header === undefined || field === undefined) return undefined;
  if (need === undefined) return { header, field };
  const { icmpTypes } = field;
  const whole =
    need.layer === 'transport' && icmpTypes !== undefined ? { ...need, icmpTypes } : need;
  return { header, field, need: whole };
}

export function headerAt(
  base: ExpressionOf<'payload'>['base'],
  offset: number,
  speaker: Pick<Speaker, 'context' | 'isRaw' | 'family'>,
): { readonly header: Header; readonly need?: Need } | undefined {
  const { context, isRaw } = speaker;
  if (isRaw) return undefined;
  switch (base) {
    case 'link':
      if (context.link === undefined) return undefined;
      if (offset < 112) return { header: ether, need: { layer: 'link', protocol: 'ether' } };
      if (context.link !== 'vlan') return undefined;
      return { header: vlan, need: { layer: 'link', protocol: 'vlan' } };
    case 'network':
      if (context.network === undefined) return undefined;
      return {
        header: network[context.network],
        need: { layer: 'network', protocol: context.network, isField: true },
      };
    case 'transport': {
      if (context.transport === undefined) return { header: anyTransport };
      const header = transport.get(context.transport);
      if (header === undefined) return undefined;
      return { header, need: { layer: 'transport', protocol: context.transport } };
    }
    default:
      return undefined;
  }
}
