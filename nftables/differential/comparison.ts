/** @module The right side of a match on a number or an address: one value, a mask, a range, a set; and what it asks. */
import type { Constraint, Field, Value } from './constraint.ts';
import type { Random } from './random.ts';

/** A field as rules write it. */
export interface Operand {
  readonly field: Field;
  /** The left side: `udp dport`. */
  readonly left: string;
  /** Data type of a named set: `inet_service`. Absent: no named set of it. */
  readonly type?: string;
  readonly minimum: bigint;
  readonly maximum: bigint;
  /** A value that packets can have. */
  readonly draw: () => bigint;
  readonly format: (value: bigint) => string;
  /** Bits of an address, for prefixes. */
  readonly prefixBits?: number;
  /** No ranges and no order: flags, types that nft names. */
  readonly discrete?: boolean;
  /** Whether values of the packet are bigints. */
  readonly big?: boolean;
}

export interface Match {
  readonly text: string;
  readonly kinds: readonly string[];
  readonly constraints: readonly Constraint[];
}

/** Puts a set into the table and gives its name. */
export type Declare = (kind: 'set' | 'map', body: string) => string;

interface Range {
  readonly first: bigint;
  readonly last: bigint;
  readonly text: string;
}

/** `narrow`: only few values match. */
export function compare(
  random: Random,
  operand: Operand,
  declare: Declare,
  narrow: boolean,
): Match {
  const { left, format } = operand;
  const value = operand.draw();
  const one = (): Range => ({ first: value, last: value, text: format(value) });
  const positive = (text: string, ranges: readonly Range[], ...kinds: string[]): Match => ({
    text: `${left} ${text}`,
    kinds,
    constraints: [within(operand, ranges)],
  });
  const negative = (text: string, ranges: readonly Range[], ...kinds: string[]): Match => ({
    text: `${left} ${text}`,
    kinds,
    constraints: [outsideOf(operand, ranges)],
  });
  const rangeList = (withRanges: boolean): Range[] => drawRanges(random, operand, withRanges);
  const list = (ranges: readonly Range[]): string => ranges.map(({ text }) => text).join(', ');
  const isDiscrete = operand.discrete ?? false;
  const form = random.weigh([
    [30, 'eq'],
    [isDiscrete ? 0 : 14, 'range'],
    [18, 'set'],
    [isDiscrete ? 0 : 12, 'interval-set'],
    [operand.type === undefined ? 0 : 12, 'named-set'],
    [operand.type === undefined || isDiscrete ? 0 : 12, 'named-interval'],
    [narrow ? 0 : 12, 'neq'],
    [narrow || isDiscrete ? 0 : 16, 'order'],
    [narrow || isDiscrete ? 0 : 6, 'neq-range'],
    [narrow ? 0 : 8, 'neq-set'],
    [narrow || isDiscrete || operand.prefixBits !== undefined ? 0 : 10, 'mask'],
    [operand.prefixBits === undefined ? 0 : 25, 'prefix'],
  ] as const);
  switch (form) {
    case 'eq':
      return positive(random.chance(0.2) ? `== ${format(value)}` : format(value), [one()], 'cmp');
    case 'neq':
      return negative(`!= ${format(value)}`, [one()], 'cmp');
    case 'range': {
      const range = drawRange(random, operand);
      return positive(range.text, [range], 'range');
    }
    case 'neq-range': {
      const range = drawRange(random, operand);
      return negative(`!= ${range.text}`, [range], 'range');
    }
    case 'prefix': {
      const range = drawPrefix(random, operand);
      return positive(range.text, [range], 'bitwise', 'cmp');
    }
    case 'set': {
      const ranges = rangeList(false);
      return positive(`{ ${list(ranges)} }`, ranges, 'lookup');
    }
    case 'interval-set': {
      const ranges = rangeList(true);
      return positive(`{ ${list(ranges)} }`, ranges, 'lookup', 'interval set');
    }
    case 'neq-set': {
      const ranges = rangeList(!isDiscrete && random.chance(0.5));
      return negative(`!= { ${list(ranges)} }`, ranges, 'lookup');
    }
    case 'named-set': {
      const ranges = rangeList(false);
      const flags = random.chance(0.2) ? ' flags constant;' : '';
      const name = declare('set', `type ${operand.type};${flags} elements = { ${list(ranges)} }`);
      return positive(`@${name}`, ranges, 'lookup');
    }
    case 'named-interval': {
      const ranges = rangeList(true);
      const name = declare(
        'set',
        `type ${operand.type}; flags interval; elements = { ${list(ranges)} }`,
      );
      return positive(`@${name}`, ranges, 'lookup', 'interval set');
    }
    case 'order': {
      const operator = random.pick(['<', '>', '<=', '>='] as const);
      return order(operand, operator, value);
    }
    case 'mask': {
      const bits = bitLength(operand.maximum);
      const mask = BigInt(random.u32()) & operand.maximum & ((1n << BigInt(bits)) - 1n);
      const wanted = value & mask;
      const equalTo = random.chance(0.7);
      const holds = (other: bigint): boolean => ((other & mask) === wanted) === equalTo;
      return {
        text: `${left} & 0x${mask.toString(16)} ${equalTo ? '==' : '!='} 0x${wanted.toString(16)}`,
        kinds: ['bitwise', 'cmp'],
        constraints: [
          constraintOf(
            operand,
            holds,
            [value, value ^ 1n, value ^ 2n, operand.draw()],
            [value ^ 1n, value ^ (1n << BigInt(random.below(bits))), value + 1n],
          ),
        ],
      };
    }
    default:
      throw new Error(`no form ${String(form)}`);
  }
}

export function within(operand: Operand, ranges: readonly Range[]): Constraint {
  const holds = (value: bigint): boolean =>
    ranges.some(({ first, last }) => value >= first && value <= last);
  return constraintOf(operand, holds, ranges.flatMap(inner), ranges.flatMap(borders));
}

function outsideOf(operand: Operand, ranges: readonly Range[]): Constraint {
  const holds = (value: bigint): boolean =>
    !ranges.some(({ first, last }) => value >= first && value <= last);
  const beyond = ranges.flatMap(borders);
  return constraintOf(operand, holds, [...beyond, operand.draw(), operand.draw()], beyond);
}

function order(operand: Operand, operator: '<' | '>' | '<=' | '>=', value: bigint): Match {
  // nft refuses what can never or always be.
  const limit =
    value <= operand.minimum
      ? operand.minimum + 1n
      : value >= operand.maximum
        ? operand.maximum - 1n
        : value;
  const holds = (other: bigint): boolean =>
    operator === '<'
      ? other < limit
      : operator === '>'
        ? other > limit
        : operator === '<='
          ? other <= limit
          : other >= limit;
  const near = [limit - 1n, limit, limit + 1n];
  return {
    text: `${operand.left} ${operator} ${operand.format(limit)}`,
    kinds: ['cmp'],
    constraints: [constraintOf(operand, holds, [...near, operand.draw()], near)],
  };
}

const inner = ({ first, last }: Range): bigint[] => [first, last, (first + last) / 2n];
const borders = ({ first, last }: Range): bigint[] => [first - 1n, first, last, last + 1n];

/** Values beyond what the field can hold are left out, and `values` are those that hold. */
function constraintOf(
  operand: Operand,
  holds: (value: bigint) => boolean,
  values: readonly bigint[],
  edges: readonly bigint[],
): Constraint {
  const give = (value: bigint): Value => (operand.big === true ? value : Number(value));
  const fits = (value: bigint): boolean => value >= operand.minimum && value <= operand.maximum;
  return {
    field: operand.field,
    holds: (value) => typeof value !== 'string' && holds(BigInt(value)),
    values: values.filter((value) => fits(value) && holds(value)).map(give),
    edges: edges.filter(fits).map(give),
  };
}

const minimumOf = (a: bigint, b: bigint): bigint => (a < b ? a : b);

function drawRange(random: Random, operand: Operand): Range {
  const first = minimumOf(operand.draw(), operand.maximum - 1n);
  const span = BigInt(random.between(1, random.pick([1, 3, 20, 200])));
  const last = minimumOf(first + span, operand.maximum);
  return { first, last, text: `${operand.format(first)}-${operand.format(last)}` };
}

function drawPrefix(random: Random, operand: Operand): Range {
  const bits = operand.prefixBits ?? 32;
  const prefix = random.between(bits === 32 ? 20 : 100, bits - 1);
  const hostMask = (1n << BigInt(bits - prefix)) - 1n;
  const value = operand.draw();
  const first = value & ~hostMask;
  return { first, last: value | hostMask, text: `${operand.format(first)}/${prefix}` };
}

/** One to six that do not touch each other: nft would join them, or refuse. */
export function drawRanges(random: Random, operand: Operand, withRanges: boolean): Range[] {
  const out: Range[] = [];
  const wanted = random.between(2, random.pick([2, 3, 6]));
  for (let tries = 0; out.length < wanted && tries < 30; tries++) {
    const kind = withRanges ? random.below(operand.prefixBits === undefined ? 2 : 3) : 0;
    const value = operand.draw();
    const next: Range =
      kind === 0
        ? { first: value, last: value, text: operand.format(value) }
        : kind === 1
          ? drawRange(random, operand)
          : drawPrefix(random, operand);
    const isFree = out.every(({ first, last }) => next.first > last + 1n || next.last + 1n < first);
    if (isFree) out.push(next);
  }
  return out;
}

const bitLength = (value: bigint): number => value.toString(2).length;
