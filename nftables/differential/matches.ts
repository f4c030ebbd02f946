/** @module Matches of every kind that this kernel loads, each with what it asks of a packet. */
import { addressText } from './address.ts';
import { interfaces } from './arena.ts';
import { compare, type Match, type Operand } from './comparison.ts';
import { concatenation } from './concatenation.ts';
import { type Constraint, countedDown, equal, type Field } from './constraint.ts';
import { type Context, isForwarded, seesInput, seesOutput } from './context.ts';
import { protocols } from './oracle.ts';
import { drawDestination, drawPort, drawSource } from './pools.ts';
import type { Random } from './random.ts';

export type { Match } from './comparison.ts';

export const TCP = 6;
export const UDP = 17;
const portProtocols = new Map([
  [TCP, 'tcp'],
  [UDP, 'udp'],
]);

const hex = (value: bigint): string => `0x${value.toString(16)}`;
const decimal = (value: bigint): string => value.toString();

export function portOperand(
  random: Random,
  context: Context,
  field: 'sourcePort' | 'destinationPort',
): Operand {
  const which = field === 'sourcePort' ? 'sport' : 'dport';
  const name = portProtocols.get(context.protocol ?? 0) ?? 'th';
  const raw = name !== 'th' && random.chance(0.08);
  return {
    field,
    left: raw
      ? `@th,${field === 'sourcePort' ? 0 : 16},16`
      : random.chance(0.1)
        ? `th ${which}`
        : `${name} ${which}`,
    ...(raw ? {} : { type: 'inet_service' }),
    minimum: 0n,
    maximum: 65535n,
    draw: () => BigInt(drawPort(random)),
    format: raw ? hex : decimal,
  };
}

export function addressOperand(
  random: Random,
  context: Context,
  field: 'source' | 'destination',
): Operand {
  const { family, direction } = context;
  const which = field === 'source' ? 'saddr' : 'daddr';
  return {
    field,
    left: `${family} ${which}`,
    type: family === 'ip' ? 'ipv4_addr' : 'ipv6_addr',
    minimum: 0n,
    maximum: family === 'ip' ? 0xffffffffn : (1n << 128n) - 1n,
    prefixBits: family === 'ip' ? 32 : 128,
    draw: () =>
      field === 'source'
        ? drawSource(random, direction, family)
        : drawDestination(random, direction, family),
    format: (value) => addressText(value, family),
    big: true,
  };
}

const numeric = (
  field: Field,
  left: string,
  maximum: number,
  draw: () => number,
  more: Partial<Operand> = {},
): Operand => ({
  field,
  left,
  minimum: 0n,
  maximum: BigInt(maximum),
  draw: () => BigInt(draw()),
  format: decimal,
  ...more,
});

const always = (text: string, ...kinds: string[]): Match => ({ text, kinds, constraints: [] });
const fixed = (text: string, constraint: Constraint, ...kinds: string[]): Match => ({
  text,
  kinds,
  constraints: [constraint],
});

/** What may stand first in a rule: it lets few packets through. */
export function narrowMatch(
  random: Random,
  context: Context,
  used: ReadonlySet<Field>,
): Match | undefined {
  const { declare, protocol } = context;
  const free = (field: Field): boolean => !used.has(field);
  const hasPort = protocol !== undefined && portProtocols.has(protocol);
  const choices: (readonly [number, () => Match | undefined])[] = [];
  const add = (weight: number, make: () => Match | undefined): void => {
    choices.push([weight, make]);
  };
  if (hasPort && free('destinationPort')) {
    add(40, () => compare(random, portOperand(random, context, 'destinationPort'), declare, true));
  }
  if (hasPort && free('sourcePort')) {
    add(10, () => compare(random, portOperand(random, context, 'sourcePort'), declare, true));
  }
  if (free('source')) {
    add(22, () => compare(random, addressOperand(random, context, 'source'), declare, true));
  }
  if (free('destination') && free('outInterface')) {
    add(18, () => compare(random, addressOperand(random, context, 'destination'), declare, true));
  }
  if (free('source') && free('destinationPort') && context.tableFamily !== 'netdev') {
    add(20, () => concatenation(random, context, used));
  }
  if (free('mark')) {
    add(8, () => markMatch(random, context, used, true));
  }
  if (choices.length === 0) return undefined;
  return random.weigh(choices)();
}

/** What may stand beside it. */
export function wideMatch(
  random: Random,
  context: Context,
  used: ReadonlySet<Field>,
): Match | undefined {
  const { declare, family, protocol, hook } = context;
  const free = (field: Field): boolean => !used.has(field);
  const choices: (readonly [number, () => Match | undefined])[] = [];
  const add = (weight: number, make: () => Match | undefined): void => {
    choices.push([weight, make]);
  };
  const wide = (operand: Operand): Match => compare(random, operand, declare, false);
  if (protocol !== undefined && portProtocols.has(protocol)) {
    if (free('sourcePort')) add(8, () => wide(portOperand(random, context, 'sourcePort')));
    if (free('destinationPort'))
      add(8, () => wide(portOperand(random, context, 'destinationPort')));
  }
  if (free('source')) add(6, () => wide(addressOperand(random, context, 'source')));
  if (free('ttl')) {
    const left = family === 'ip' ? 'ip ttl' : 'ip6 hoplimit';
    add(6, () => {
      const match = wide(numeric('ttl', left, 255, () => random.between(3, 250)));
      return isForwarded(context)
        ? { ...match, constraints: match.constraints.map(countedDown) }
        : match;
    });
  }
  if (free('dscp')) {
    add(6, () =>
      wide(numeric('dscp', `${family} dscp`, 63, () => random.below(64), { format: hex })),
    );
  }
  if (free('length')) {
    add(5, () => wide(numeric('length', 'meta length', 65535, () => random.between(60, 900))));
    if (family === 'ip') {
      add(3, () => wide(numeric('length', 'ip length', 65535, () => random.between(60, 900))));
    }
  }
  if (free('inInterface') && seesInput(context) && hook !== 'ingress') {
    add(12, () => interfaceMatch(random, 'inInterface', 'iif'));
  }
  if (free('outInterface') && free('destination') && seesOutput(context) && hook !== 'egress') {
    add(12, () => interfaceMatch(random, 'outInterface', 'oif'));
  }
  if (protocol === TCP && free('tcpFlags') && free('connection'))
    add(14, () => tcpFlagMatch(random));
  if (protocol === TCP && free('mss')) add(5, () => mssMatch(random));
  if (protocol === UDP && free('word')) {
    const left = random.pick(['@th,64,32', '@ih,0,32']);
    add(5, () =>
      compare(
        random,
        numeric('word', left, 0xffffffff, () => random.u32(), { format: hex }),
        declare,
        false,
      ),
    );
  }
  if ((protocol === 1 || protocol === 58) && free('icmpType') && free('connection'))
    add(25, () => icmpMatch(random, context));
  if (family === 'ip6') {
    // A question cannot speak of extension headers: packets have none.
    const header = random.pick(['hbh', 'frag', 'dst', 'rt']);
    add(4, () => always(`exthdr ${header} missing`, 'exthdr'));
  }
  if (
    context.tableFamily !== 'netdev' &&
    free('connection') &&
    free('tcpFlags') &&
    free('icmpType')
  )
    add(14, () => conntrackMatch(random, context));
  if (free('mark')) add(5, () => markMatch(random, context, used, false));
  if (context.tableFamily !== 'netdev') add(8, () => fibMatch(random, context));
  add(8, () => metaMatch(random, context));
  return random.weigh(choices)();
}

function interfaceMatch(
  random: Random,
  field: 'inInterface' | 'outInterface',
  name: 'iif' | 'oif',
): Match {
  const chosen = random.pick(interfaces);
  const prefix = chosen.slice(0, 3);
  const many = random.shuffle(interfaces).slice(0, 2);
  const among = (names: readonly string[]): Constraint => ({
    field,
    holds: (value) => typeof value === 'string' && names.includes(value),
    values: names,
    edges: interfaces,
  });
  const wildcards = interfaces.filter((one) => one.startsWith(prefix));
  const others = interfaces.filter((one) => one !== chosen);
  const group = random.pick([0, 7]);
  const grouped = interfaces.filter((one) => one.startsWith('wan') === (group === 7));
  return random.pick([
    (): Match => fixed(`${name}name "${chosen}"`, among([chosen]), 'meta', 'cmp'),
    (): Match => fixed(`${name}name != "${chosen}"`, among(others), 'meta', 'cmp'),
    (): Match => fixed(`${name}name "${prefix}*"`, among(wildcards), 'meta', 'cmp'),
    (): Match =>
      fixed(
        `${name}name { ${many.map((one) => `"${one}"`).join(', ')} }`,
        among(many),
        'meta',
        'lookup',
      ),
    (): Match => fixed(`${name} "${chosen}"`, among([chosen]), 'meta', 'cmp'),
    (): Match =>
      fixed(
        `${name} { ${many.map((one) => `"${one}"`).join(', ')} }`,
        among(many),
        'meta',
        'lookup',
      ),
    (): Match => fixed(`meta ${name}group ${group}`, among(grouped), 'meta', 'cmp'),
  ])();
}

const flagBits = new Map([
  ['fin', 1],
  ['syn', 2],
  ['rst', 4],
  ['psh', 8],
  ['ack', 16],
  ['urg', 32],
]);
export const usualFlags = [2, 18, 16, 24, 17, 4, 20, 1, 0, 41] as const;

function tcpFlagMatch(random: Random): Match {
  const names = random.shuffle([...flagBits.keys()]);
  const maskNames = names.slice(0, random.between(1, 4));
  const wantNames = maskNames.slice(0, random.between(0, maskNames.length));
  const bits = (list: readonly string[]): number =>
    list.reduce((sum, name) => sum | (flagBits.get(name) ?? 0), 0);
  const mask = bits(maskNames);
  const want = bits(wantNames);
  const make = (text: string, holds: (flags: number) => boolean, ...kinds: string[]): Match =>
    fixed(
      `tcp flags ${text}`,
      {
        field: 'tcpFlags',
        holds: (value) => typeof value === 'number' && holds(value),
        values: [...usualFlags, want, mask].filter(holds),
        edges: [...usualFlags, want ^ 2, want ^ 16],
      },
      ...kinds,
    );
  const text = (list: readonly string[]): string => (list.length === 0 ? '0x0' : list.join('|'));
  return random.pick([
    (): Match =>
      make(
        `& (${text(maskNames)}) == ${text(wantNames)}`,
        (flags) => (flags & mask) === want,
        'payload',
        'bitwise',
        'cmp',
      ),
    (): Match =>
      make(
        `& (${text(maskNames)}) != ${text(wantNames)}`,
        (flags) => (flags & mask) !== want,
        'payload',
        'bitwise',
        'cmp',
      ),
    (): Match => make('syn', (flags) => (flags & 2) !== 0, 'payload', 'bitwise', 'cmp'),
    (): Match =>
      make(
        '& (fin|syn|rst|ack) == syn',
        (flags) => (flags & 23) === 2,
        'payload',
        'bitwise',
        'cmp',
      ),
    (): Match =>
      make(
        '{ syn, syn|ack, ack }',
        (flags) => flags === 2 || flags === 18 || flags === 16,
        'payload',
        'lookup',
      ),
  ])();
}

function mssMatch(random: Random): Match {
  if (random.chance(0.3)) {
    const there = random.chance(0.7);
    return fixed(
      `tcp option maxseg ${there ? 'exists' : 'missing'}`,
      {
        field: 'mss',
        holds: (v) => typeof v === 'number' && v > 0 === there,
        values: [there ? 1460 : 0],
        edges: [0, 1400],
      },
      'exthdr',
    );
  }
  const limit = random.between(600, 1460);
  return fixed(
    `tcp option maxseg size < ${limit}`,
    {
      field: 'mss',
      holds: (v) => typeof v === 'number' && v > 0 && v < limit,
      values: [limit - 1],
      edges: [limit, limit + 1, 0],
    },
    'exthdr',
    'cmp',
  );
}

const icmpTypes: Readonly<Record<'ip' | 'ip6', readonly (readonly [string, number])[]>> = {
  ip: [
    ['echo-request', 8],
    ['echo-reply', 0],
    ['timestamp-request', 13],
    ['router-solicitation', 10],
  ],
  ip6: [
    ['echo-request', 128],
    ['echo-reply', 129],
    ['mld-listener-query', 130],
    ['nd-neighbor-solicit', 135],
  ],
};

function icmpMatch(random: Random, context: Context): Match {
  const { family, declare } = context;
  const name = family === 'ip' ? 'icmp' : 'icmpv6';
  const types = icmpTypes[family];
  const numbers = new Map<bigint, string>(types.map(([text, number]) => [BigInt(number), text]));
  if (random.chance(0.25)) {
    return compare(
      random,
      numeric('icmpCode', `${name} code`, 255, () => random.below(8)),
      declare,
      false,
    );
  }
  return compare(
    random,
    numeric('icmpType', `${name} type`, 255, () => random.pick(types)[1], {
      type: family === 'ip' ? 'icmp_type' : 'icmpv6_type',
      format: (value) => numbers.get(value) ?? value.toString(),
      discrete: true,
    }),
    declare,
    false,
  );
}

function conntrackMatch(random: Random, context: Context): Match {
  const { hook, priority } = context;
  // Before conntrack has looked there is no connection.
  const isEarly = (hook === 'prerouting' || hook === 'output') && priority < -200;
  const among = (values: readonly string[]): Constraint => ({
    field: 'connection',
    holds: (value) => typeof value === 'string' && values.includes(value),
    values,
    edges: ['new', 'original', 'reply'],
  });
  const constraint = (values: readonly string[]): Constraint[] => (isEarly ? [] : [among(values)]);
  const make = (text: string, values: readonly string[], ...kinds: string[]): Match => ({
    text,
    kinds: ['ct', ...kinds],
    constraints: constraint(values),
  });
  const mark = random.between(1, 15);
  // Only first packets come to nat chains, and only of some protocols can there be others.
  const onlyNew = context.chainType === 'nat' || !hasConnections(context.protocol);
  if (onlyNew)
    return make(
      random.pick(['ct state new', 'ct direction original', 'ct state { new, established }']),
      ['new'],
    );
  return random.weigh<() => Match>([
    [6, () => make('ct state new', ['new'], 'bitwise', 'cmp')],
    [6, () => make('ct state established,related', ['original', 'reply'], 'bitwise', 'cmp')],
    [3, () => make('ct state != invalid', ['new', 'original', 'reply'], 'cmp')],
    [3, () => make('ct state { new, established }', ['new', 'original', 'reply'], 'lookup')],
    [2, () => make('ct direction original', ['new', 'original'], 'cmp')],
    [2, () => make('ct direction reply', ['reply'], 'cmp')],
    [2, () => make('ct status seen-reply', ['original', 'reply'], 'bitwise')],
    [
      3,
      () => ({
        text: `ct mark ${mark}`,
        kinds: ['ct', 'cmp'],
        constraints: isEarly ? [] : [among(['original', 'reply']), equal('connectionMark', mark)],
      }),
    ],
  ])();
}

const hasConnections = (protocol: number | undefined): boolean =>
  protocol === TCP || protocol === UDP || protocol === 1 || protocol === 58;

/** A mark that a rule before gave, or that the sender's socket gave. */
function markMatch(
  random: Random,
  context: Context,
  used: ReadonlySet<Field>,
  narrow: boolean,
): Match | undefined {
  const setters = context.setters.filter(
    (one) =>
      one.direction === context.direction &&
      one.family === context.family &&
      (one.protocol === undefined || one.protocol === context.protocol) &&
      one.constraints.every(({ field }) => !used.has(field)),
  );
  if (setters.length > 0 && random.chance(0.8)) {
    const { mark, constraints } = random.pick(setters);
    const text = random.pick([
      `meta mark ${mark}`,
      `meta mark & 0xff == 0x${(mark & 255).toString(16)}`,
      `meta mark { ${mark}, ${mark + 1} }`,
      `meta mark ${mark - 1}-${mark + 1}`,
    ]);
    return { text, kinds: ['meta', 'mark'], constraints };
  }
  if (context.direction !== 'out') return undefined;
  return compare(
    random,
    numeric('mark', 'meta mark', 0xffffffff, () => random.between(1, 4000), { type: 'mark' }),
    context.declare,
    narrow,
  );
}

function fibMatch(random: Random, context: Context): Match {
  const { hook, direction } = context;
  const choices: (readonly [number, Match])[] = [];
  const destination = direction === 'in' ? 'local' : 'unicast';
  choices.push([3, always(`fib daddr type ${destination}`, 'fib', 'cmp')]);
  choices.push([1, always('fib daddr type != broadcast', 'fib', 'cmp')]);
  choices.push([2, always('fib daddr type { local, unicast }', 'fib', 'lookup')]);
  choices.push([
    2,
    always(`fib saddr type ${direction === 'out' ? 'local' : 'unicast'}`, 'fib', 'cmp'),
  ]);
  if (hook === 'prerouting') {
    choices.push([2, always('fib saddr oif exists', 'fib')]);
    choices.push([2, always('fib saddr . iif oif missing', 'fib')]);
  }
  return random.weigh(choices);
}

function metaMatch(random: Random, context: Context): Match {
  const { family, protocol, direction, hook } = context;
  const choices: (readonly [number, Match])[] = [
    [3, always(`meta protocol ${family}`, 'meta', 'cmp')],
    [1, always('meta pkttype host', 'meta', 'cmp')],
    [1, always('meta cpu < 1000', 'meta', 'cmp')],
    [1, always('numgen random mod 2 == 0', 'numgen', 'cmp')],
    [1, always('meta time >= "2020-01-01 00:00:00"', 'meta')],
  ];
  if (context.tableFamily === 'inet') {
    choices.push([3, always(`meta nfproto ${family === 'ip' ? 'ipv4' : 'ipv6'}`, 'meta', 'cmp')]);
  }
  if (protocol !== undefined) {
    choices.push([3, always(`meta l4proto ${protocol}`, 'meta', 'cmp')]);
    // nft takes such a set for one that holds no ICMP and no ports.
    if (!hasConnections(protocol)) {
      choices.push([2, always(`meta l4proto { ${protocol}, 132 }`, 'meta', 'lookup')]);
      choices.push([1, always('meta l4proto != 132', 'meta', 'cmp')]);
    }
  }
  if (direction === 'out' && (hook === 'output' || hook === 'postrouting')) {
    choices.push(
      [3, always('meta skuid 0', 'meta', 'cmp')],
      [2, always('meta skgid < 1000', 'meta', 'cmp')],
    );
    choices.push([1, always('meta skuid != 1000-2000', 'meta', 'range')]);
  }
  if (seesInput(context) && hook !== 'ingress') {
    choices.push(
      [1, always('meta iiftype ether', 'meta', 'cmp')],
      [1, always('meta iifkind "veth"', 'meta', 'cmp')],
    );
  }
  if (seesOutput(context)) choices.push([1, always('meta oiftype ether', 'meta', 'cmp')]);
  return random.weigh(choices);
}

/** A protocol that no port and no ICMP type belongs to. */
export function drawOtherProtocol(random: Random, context: Context): number {
  return random.pick(
    protocols[context.family].filter(
      (one) => one !== TCP && one !== UDP && one !== 1 && one !== 58,
    ),
  );
}
