/** @module Rules as `iptables-restore` reads them, for iptables-nft and legacy iptables alike. */
import type { Direction } from '../evaluate/types.ts';
import { addressText, type IpFamily } from './address.ts';
import { interfaces } from './arena.ts';
import { type Constraint, countedDown, equal, type Field, type Value } from './constraint.ts';
import type { Aim } from './generate.ts';
import type { Match } from './matches.ts';
import { drawDestination, drawPort, drawSource } from './pools.ts';
import type { Random } from './random.ts';
import type { RestoreText } from './script.ts';

type Table = 'filter' | 'mangle' | 'raw' | 'nat';

interface Place {
  readonly family: IpFamily;
  readonly table: Table;
  readonly chain: string;
  readonly direction: Direction;
  readonly protocol: number;
}

const chains: Readonly<Record<Table, readonly (readonly [string, readonly Direction[]])[]>> = {
  filter: [
    ['INPUT', ['in']],
    ['FORWARD', ['forward']],
    ['OUTPUT', ['out']],
  ],
  mangle: [
    ['PREROUTING', ['in', 'forward']],
    ['INPUT', ['in']],
    ['FORWARD', ['forward']],
    ['OUTPUT', ['out']],
    ['POSTROUTING', ['forward', 'out']],
  ],
  raw: [
    ['PREROUTING', ['in', 'forward']],
    ['OUTPUT', ['out']],
  ],
  nat: [
    ['PREROUTING', ['in', 'forward']],
    ['OUTPUT', ['out']],
    ['POSTROUTING', ['forward', 'out']],
  ],
};

export interface Restore {
  readonly restore: RestoreText;
  readonly aims: readonly Aim[];
}

export function generateIptables(
  random: Random,
  family: IpFamily,
  backend: 'nft' | 'legacy',
): Restore {
  const lines: string[] = [];
  const aims: Aim[] = [];
  const tables = random
    .shuffle(['filter', 'mangle', 'raw', 'nat'] as const)
    .slice(0, random.between(1, 2));
  for (const table of tables) drawTable(random, family, backend, table, lines, aims);
  const command = `${family === 'ip' ? 'iptables' : 'ip6tables'}-${backend}-restore`;
  return { restore: { command, lines }, aims };
}

function drawTable(
  random: Random,
  family: IpFamily,
  backend: 'nft' | 'legacy',
  table: Table,
  lines: string[],
  aims: Aim[],
): void {
  const rules: string[] = [];
  const own: string[] = [];
  const places = new Map<string, number>();
  const add = (
    place: Place,
    parts: readonly Match[],
    target: string,
    kinds: readonly string[],
  ): void => {
    const { chain, direction, protocol } = place;
    const index = (places.get(chain) ?? 0) + 1;
    places.set(chain, index);
    const text = `-A ${chain} ${parts.map((part) => part.text).join(' ')}${target === '' ? '' : ` ${target}`}`;
    rules.push(text.replaceAll('  ', ' '));
    aims.push({
      place: `${backend === 'legacy' ? 'legacy ' : ''}${family} ${table} ${chain} ${index}`,
      text,
      kinds: [...parts.flatMap((part) => part.kinds), ...kinds],
      direction,
      family,
      protocol,
      constraints: parts.flatMap((part) => part.constraints),
    });
  };
  const policies = new Map(chains[table].map(([name]) => [name, 'ACCEPT']));
  if (table === 'filter' && random.chance(0.3))
    policies.set(random.pick(['INPUT', 'FORWARD', 'OUTPUT']), 'DROP');
  for (const [chain, directions] of chains[table]) {
    const count = random.between(0, 5);
    for (let i = 0; i < count; i++) {
      const protocol = random.weigh([
        [40, 6],
        [40, 17],
        [12, family === 'ip' ? 1 : 58],
        [6, 89],
      ] as const);
      const place: Place = { family, table, chain, direction: random.pick(directions), protocol };
      const parts = drawMatches(random, place);
      if (table !== 'nat' && random.chance(0.2)) {
        const name = `user-${own.length}`;
        own.push(name);
        const inner = { ...place, chain: name };
        const used = new Set(
          parts.flatMap(({ constraints }) => constraints.map(({ field }) => field)),
        );
        const more = random.between(1, 3);
        for (let k = 1; k <= more; k++) {
          const extra = drawExtra(random, inner, used);
          const [target, kind] = drawTarget(random, inner);
          // In nft's shape the aim holds what the way there asks; the text is of this rule alone, and its protocol.
          const way = parts.map((part, at) => (at === 0 ? part : { ...part, text: '' }));
          add(
            inner,
            [...way, ...(extra === undefined ? [] : [extra])],
            k === more ? target : '-j RETURN',
            [kind],
          );
        }
        add(place, parts, `${random.chance(0.8) ? '-j' : '-g'} ${name}`, ['jump']);
        continue;
      }
      const [target, kind] = drawTarget(random, place);
      add(place, parts, target, [kind]);
    }
  }
  lines.push(
    `*${table}`,
    ...chains[table].map(([name]) => `:${name} ${policies.get(name) ?? 'ACCEPT'} [0:0]`),
    ...own.map((name) => `:${name} - [0:0]`),
    ...rules,
    'COMMIT',
  );
}

function drawMatches(random: Random, place: Place): Match[] {
  const { protocol, family } = place;
  const word = new Map([
    [6, 'tcp'],
    [17, 'udp'],
    [1, 'icmp'],
    [58, 'icmpv6'],
  ]).get(protocol);
  const parts: Match[] = [{ text: `-p ${word ?? protocol}`, kinds: ['payload'], constraints: [] }];
  const used = new Set<Field>();
  const add = (match: Match | undefined): void => {
    if (match === undefined) return;
    parts.push(match);
    for (const { field } of match.constraints) used.add(field);
  };
  const hasPorts = protocol === 6 || protocol === 17;
  add(hasPorts && random.chance(0.75) ? portMatch(random) : addressMatch(random, place, 'source'));
  const more = random.weigh([
    [40, 0],
    [40, 1],
    [20, 2],
  ] as const);
  for (let i = 0; i < more; i++) add(drawExtra(random, place, used));
  if (
    !hasPorts &&
    family === 'ip' &&
    protocol === 1 &&
    !used.has('icmpType') &&
    random.chance(0.6)
  ) {
    add({
      text: '-m icmp --icmp-type echo-request',
      kinds: ['xt icmp'],
      constraints: [{ ...equal('icmpType', 8), edges: [0, 13] }],
    });
  }
  return parts;
}

const numbers = (field: Field, list: readonly number[]): Constraint => ({
  field,
  holds: (value: Value) => typeof value === 'number' && list.includes(value),
  values: list,
  edges: list.flatMap((one) => [one - 1, one + 1]).filter((one) => one >= 0 && one <= 65535),
});

const span = (field: Field, first: number, last: number): Constraint => ({
  field,
  holds: (value: Value) => typeof value === 'number' && value >= first && value <= last,
  values: [first, last],
  edges: [first - 1, last + 1].filter((one) => one >= 0 && one <= 65535),
});

function portMatch(random: Random): Match {
  const port = drawPort(random);
  const last = Math.min(65535, port + random.between(1, 30));
  const other = drawPort(random);
  return random.pick([
    (): Match => ({
      text: `--dport ${port}`,
      kinds: ['xt tcp/udp'],
      constraints: [numbers('destinationPort', [port])],
    }),
    (): Match => ({
      text: `--dport ${port}:${last}`,
      kinds: ['xt tcp/udp'],
      constraints: [span('destinationPort', port, last)],
    }),
    (): Match => ({
      text: `--sport ${port}:${last}`,
      kinds: ['xt tcp/udp'],
      constraints: [span('sourcePort', port, last)],
    }),
    (): Match => ({
      text: `-m multiport --dports ${port},${other}`,
      kinds: ['xt multiport'],
      constraints: [numbers('destinationPort', [port, other])],
    }),
    (): Match => ({
      text: `-m multiport --sports ${port}:${last},${other}`,
      kinds: ['xt multiport'],
      constraints: [span('sourcePort', port, last)],
    }),
    (): Match => ({
      text: `-m multiport --ports ${port}`,
      kinds: ['xt multiport'],
      constraints: [numbers('destinationPort', [port])],
    }),
  ])();
}

function addressMatch(random: Random, place: Place, field: 'source' | 'destination'): Match {
  const { family, direction } = place;
  const value =
    field === 'source'
      ? drawSource(random, direction, family)
      : drawDestination(random, direction, family);
  const text = addressText(value, family);
  const option = field === 'source' ? '-s' : '-d';
  const range = (first: bigint, last: bigint): Constraint => ({
    field,
    holds: (one: Value) => typeof one === 'bigint' && one >= first && one <= last,
    values: [first, last, value],
    edges: [first - 1n, last + 1n],
  });
  const bits = family === 'ip' ? 32 : 128;
  const prefix = random.between(bits - 12, bits);
  const hosts = (1n << BigInt(bits - prefix)) - 1n;
  if (random.chance(0.3)) {
    const last = value + BigInt(random.between(1, 20));
    return {
      text: `-m iprange --${field === 'source' ? 'src' : 'dst'}-range ${text}-${addressText(last, family)}`,
      kinds: ['xt iprange'],
      constraints: [range(value, last)],
    };
  }
  return {
    text: `${option} ${text}/${prefix}`,
    kinds: ['payload'],
    constraints: [range(value & ~hosts, value | hosts)],
  };
}

function drawExtra(random: Random, place: Place, used: ReadonlySet<Field>): Match | undefined {
  const { family, chain, direction, protocol, table } = place;
  const free = (field: Field): boolean => !used.has(field);
  const simple = (text: string, kind: string, ...constraints: Constraint[]): Match => ({
    text,
    kinds: [kind],
    constraints,
  });
  const choices: Match[] = [
    simple(`-m comment --comment "note ${random.below(99)}"`, 'xt comment'),
    simple('-m limit --limit 5/minute --limit-burst 3', 'xt limit'),
    simple(`-m addrtype --dst-type ${direction === 'in' ? 'LOCAL' : 'UNICAST'}`, 'xt addrtype'),
    simple('-m statistic --mode random --probability 0.5', 'xt statistic'),
  ];
  if (free('source')) choices.push(addressMatch(random, place, 'source'));
  if (free('destination') && free('outInterface'))
    choices.push(addressMatch(random, place, 'destination'));
  const chosen = random.pick(interfaces);
  const prefix = chosen.slice(0, 3);
  const named = (field: 'inInterface' | 'outInterface', names: readonly string[]): Constraint => ({
    field,
    holds: (value: Value) => typeof value === 'string' && names.includes(value),
    values: names,
    edges: interfaces,
  });
  const wild = interfaces.filter((one) => one.startsWith(prefix));
  const others = interfaces.filter((one) => one !== chosen);
  const isUser = chain.startsWith('user-');
  if (
    free('inInterface') &&
    !isUser &&
    (chain === 'PREROUTING' || chain === 'INPUT' || chain === 'FORWARD')
  ) {
    choices.push(
      simple(`-i ${chosen}`, 'meta', named('inInterface', [chosen])),
      simple(`-i ${prefix}+`, 'meta', named('inInterface', wild)),
      simple(`! -i ${chosen}`, 'meta', named('inInterface', others)),
    );
  }
  if (
    free('outInterface') &&
    free('destination') &&
    !isUser &&
    (chain === 'OUTPUT' || chain === 'FORWARD')
  ) {
    choices.push(
      simple(`-o ${chosen}`, 'meta', named('outInterface', [chosen])),
      simple(`-o ${prefix}+`, 'meta', named('outInterface', wild)),
    );
  }
  if (
    free('connection') &&
    free('tcpFlags') &&
    free('icmpType') &&
    table !== 'raw' &&
    protocol !== 89
  ) {
    const known: Constraint = {
      field: 'connection',
      holds: (value: Value) => value === 'original' || value === 'reply',
      values: ['original', 'reply'],
      edges: ['new'],
    };
    choices.push(simple('-m conntrack --ctstate NEW', 'xt conntrack', equal('connection', 'new')));
    if (table !== 'nat') {
      choices.push(
        simple('-m conntrack --ctstate RELATED,ESTABLISHED', 'xt conntrack', known),
        simple('-m state --state ESTABLISHED', 'xt state', known),
        simple('-m conntrack --ctdir REPLY', 'xt conntrack', equal('connection', 'reply')),
        simple('-m connmark --mark 0x3/0xf', 'xt connmark', known, equal('connectionMark', 3)),
      );
    }
  }
  if (free('length')) {
    const first = random.between(80, 500);
    choices.push(
      simple(
        `-m length --length ${first}:${first + 40}`,
        'xt length',
        span('length', first, first + 40),
      ),
    );
  }
  if (free('ttl')) {
    const ttl = random.between(10, 200);
    const counted = (one: Constraint): Constraint =>
      chain === 'FORWARD' || (chain === 'POSTROUTING' && direction === 'forward')
        ? countedDown(one)
        : one;
    choices.push(
      family === 'ip'
        ? simple(`-m ttl --ttl-lt ${ttl}`, 'xt ttl', counted(span('ttl', 3, ttl - 1)))
        : simple(`-m hl --hl-gt ${ttl}`, 'xt hl', counted(span('ttl', ttl + 1, 250))),
    );
  }
  if (free('dscp')) {
    const dscp = random.below(63);
    choices.push(
      simple(`-m dscp --dscp ${dscp}`, 'xt dscp', numbers('dscp', [dscp])),
      simple(`-m tos --tos 0x${(dscp << 2).toString(16)}/0xfc`, 'xt tos', numbers('dscp', [dscp])),
    );
  }
  if (direction === 'out' && !isUser && chain === 'OUTPUT') {
    choices.push(simple('-m owner --uid-owner 0', 'xt owner'));
    if (free('mark')) {
      const mark = random.between(1, 255);
      choices.push(simple(`-m mark --mark ${mark}/0xff`, 'xt mark', numbers('mark', [mark])));
    }
  }
  if (direction !== 'out' && chain === 'PREROUTING' && free('inInterface')) {
    const index = random.below(interfaces.length);
    choices.push(
      simple(
        `-m mac --mac-source 02:00:00:00:02:0${index}`,
        'xt mac',
        named('inInterface', [interfaces[index] ?? 'eth0']),
      ),
    );
  }
  if (chain === 'PREROUTING' && (table === 'raw' || table === 'mangle')) {
    choices.push(
      simple('-m rpfilter --invert', 'xt rpfilter'),
      simple('-m rpfilter --loose', 'xt rpfilter'),
    );
  }
  if (protocol === 6 && free('tcpFlags') && free('connection')) {
    const flags = (text: string, holds: (flags: number) => boolean): Match =>
      simple(text, 'xt tcp', {
        field: 'tcpFlags',
        holds: (value: Value) => typeof value === 'number' && holds(value),
        values: [2, 18, 16, 4, 1, 17, 41].filter(holds),
        edges: [2, 18, 16, 4],
      });
    choices.push(
      flags('-m tcp --syn', (one) => (one & 23) === 2),
      flags('-m tcp --tcp-flags SYN,ACK SYN,ACK', (one) => (one & 18) === 18),
      flags('-m tcp ! --tcp-flags FIN,SYN,RST,PSH,ACK,URG NONE', (one) => (one & 63) !== 0),
    );
  }
  return random.pick(choices);
}

function drawTarget(
  random: Random,
  { table, family, chain, direction, protocol }: Place,
): readonly [string, string] {
  const isTcp = protocol === 6;
  const address = (): string => addressText(drawDestination(random, direction, family), family);
  const common: (readonly [number, readonly [string, string]])[] = [
    [12, ['-j ACCEPT', 'verdict']],
    [chain.startsWith('user-') ? 4 : 2, ['-j RETURN', 'verdict']],
    [2, ['-j LOG --log-prefix "x "', 'xt LOG']],
    [1, ['-j NFLOG --nflog-group 120', 'xt NFLOG']],
    [2, ['', 'no verdict']],
  ];
  if (table === 'nat') {
    const isPost = chain === 'POSTROUTING';
    const hasPorts = isTcp || protocol === 17;
    const port = `${family === 'ip' ? address() : `[${address()}]`}:${drawPort(random)}`;
    if (isPost) {
      const local = addressText(drawSource(random, 'out', family), family);
      return random.pick([
        ['-j MASQUERADE', 'xt MASQUERADE'],
        [`-j SNAT --to-source ${local}`, 'xt SNAT'],
      ] as const);
    }
    return random.pick([
      ['-j ACCEPT', 'verdict'],
      [`-j DNAT --to-destination ${hasPorts ? port : address()}`, 'xt DNAT'],
      [hasPorts ? `-j REDIRECT --to-ports ${drawPort(random)}` : '-j REDIRECT', 'xt REDIRECT'],
    ] as const);
  }
  common.push([12, ['-j DROP', 'verdict']]);
  if (table === 'filter') {
    common.push([4, ['-j REJECT', 'xt REJECT']]);
    common.push([
      3,
      [
        `-j REJECT --reject-with ${family === 'ip' ? 'icmp-host-prohibited' : 'icmp6-adm-prohibited'}`,
        'xt REJECT',
      ],
    ]);
    if (isTcp) common.push([3, ['-j REJECT --reject-with tcp-reset', 'xt REJECT']]);
  }
  if (table === 'raw') common.push([8, ['-j CT --notrack', 'xt CT']]);
  if (table === 'mangle') {
    common.push([
      8,
      [`-j MARK --set-xmark 0x${random.between(1, 255).toString(16)}/0xff`, 'xt MARK'],
    ]);
    common.push(
      [3, ['-j CONNMARK --save-mark', 'xt CONNMARK']],
      [3, ['-j CONNMARK --restore-mark', 'xt CONNMARK']],
    );
    if (chain === 'FORWARD' || chain === 'OUTPUT' || chain === 'POSTROUTING') {
      common.push([2, ['-j CLASSIFY --set-class 1:2', 'xt CLASSIFY']]);
    }
    common.push([2, ['-j DSCP --set-dscp 10', 'xt DSCP']]);
  }
  return random.weigh(common);
}
