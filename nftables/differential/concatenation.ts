/** @module Matches and verdict maps on several fields at once. */
import { addressText } from './address.ts';
import { interfaces } from './arena.ts';
import type { Match } from './comparison.ts';
import { type Constraint, equal, type Field, type Value } from './constraint.ts';
import { type Context, seesInput } from './context.ts';
import { drawDestination, drawPort, drawSource } from './pools.ts';
import type { Random } from './random.ts';

/** One field of a concatenation. */
interface Part {
  readonly field: Field;
  readonly left: string;
  readonly type: string;
  readonly draw: (withRange: boolean) => Piece;
}

interface Piece {
  readonly text: string;
  readonly constraint: Constraint;
}

const names = new Map([
  [6, 'tcp'],
  [17, 'udp'],
]);

/** With `verdict` it is a verdict map. Undefined where no two fields are free. */
export function concatenation(
  random: Random,
  context: Context,
  used: ReadonlySet<Field>,
  verdict?: () => string,
): Match | undefined {
  const parts = random.shuffle(possibleParts(random, context, used)).slice(0, random.between(2, 3));
  if (parts.length < 2) return undefined;
  const left = parts.map((part) => part.left).join(' . ');
  const hasIntervals = random.chance(0.5);
  const rows = Array.from({ length: random.between(1, 4) }, () =>
    parts.map((part) => part.draw(hasIntervals && random.chance(0.6))),
  );
  // nft would refuse two rows that overlap: the first field must differ.
  const seen: Piece[][] = [];
  for (const row of rows) {
    const isNew = seen.every((other) =>
      row.some((piece, i) => !overlaps(piece.constraint, other[i]?.constraint)),
    );
    if (isNew) seen.push(row);
  }
  const target = random.pick(seen);
  const elements = seen
    .map(
      (row) =>
        row.map(({ text }) => text).join(' . ') + (verdict === undefined ? '' : ` : ${verdict()}`),
    )
    .join(', ');
  const constraints = target.map(({ constraint }) => constraint);
  const kinds = [
    verdict === undefined ? 'lookup' : 'vmap',
    hasIntervals ? 'concatenation of intervals' : 'concatenation',
  ];
  const type = parts.map((part) => part.type).join(' . ');
  const isNamed = random.chance(0.6) || hasIntervals;
  const flags = hasIntervals ? 'flags interval; ' : '';
  const separator = verdict === undefined ? '' : ' vmap';
  if (!isNamed) return { text: `${left}${separator} { ${elements} }`, kinds, constraints };
  const name = context.declare(
    verdict === undefined ? 'set' : 'map',
    `type ${type}${verdict === undefined ? '' : ' : verdict'}; ${flags}elements = { ${elements} }`,
  );
  return { text: `${left}${separator} @${name}`, kinds, constraints };
}

function overlaps(a: Constraint, b: Constraint | undefined): boolean {
  return (
    b === undefined ||
    a.values.some((value) => b.holds(value)) ||
    b.values.some((value) => a.holds(value))
  );
}

function possibleParts(random: Random, context: Context, used: ReadonlySet<Field>): Part[] {
  const { family, direction, protocol } = context;
  const parts: Part[] = [];
  const addressType = family === 'ip' ? 'ipv4_addr' : 'ipv6_addr';
  const address = (field: 'source' | 'destination', draw: () => bigint): Part => ({
    field,
    left: `${family} ${field === 'source' ? 'saddr' : 'daddr'}`,
    type: addressType,
    draw: (withRange) => {
      const value = draw();
      if (!withRange) {
        return { text: addressText(value, family), constraint: equal(field, value) };
      }
      if (random.chance(0.5)) {
        const last = value + BigInt(random.between(1, 30));
        return {
          text: `${addressText(value, family)}-${addressText(last, family)}`,
          constraint: between(field, value, last),
        };
      }
      const shift = BigInt(random.between(1, 10));
      const first = (value >> shift) << shift;
      const bits = (family === 'ip' ? 32 : 128) - Number(shift);
      return {
        text: `${addressText(first, family)}/${bits}`,
        constraint: between(field, first, first + (1n << shift) - 1n),
      };
    },
  });
  if (!used.has('source'))
    parts.push(address('source', () => drawSource(random, direction, family)));
  if (!used.has('destination') && !used.has('outInterface')) {
    parts.push(address('destination', () => drawDestination(random, direction, family)));
  }
  const name = names.get(protocol ?? 0);
  if (name !== undefined) {
    for (const [field, which] of [
      ['sourcePort', 'sport'],
      ['destinationPort', 'dport'],
    ] as const) {
      if (used.has(field)) continue;
      parts.push({
        field,
        left: random.chance(0.3) ? `th ${which}` : `${name} ${which}`,
        type: 'inet_service',
        draw: (withRange) => {
          const first = drawPort(random);
          if (!withRange) return { text: String(first), constraint: equal(field, first) };
          const last = Math.min(65535, first + random.between(1, 50));
          if (last === first) return { text: String(first), constraint: equal(field, first) };
          return { text: `${first}-${last}`, constraint: between(field, first, last) };
        },
      });
    }
  }
  if (!used.has('inInterface') && seesInput(context)) {
    parts.push({
      field: 'inInterface',
      left: 'iifname',
      type: 'ifname',
      draw: () => {
        const chosen = random.pick(interfaces);
        return { text: `"${chosen}"`, constraint: equal('inInterface', chosen) };
      },
    });
  }
  return parts;
}

function between(field: Field, first: number | bigint, last: number | bigint): Constraint {
  const a = BigInt(first);
  const b = BigInt(last);
  const give = (value: bigint): Value => (typeof first === 'bigint' ? value : Number(value));
  return {
    field,
    holds: (value) => typeof value !== 'string' && BigInt(value) >= a && BigInt(value) <= b,
    values: [give(a), give(b)],
    edges: [give(a > 0n ? a - 1n : a), give(b + 1n)],
  };
}
