/** @module What rules do: statements that let the packet go on, and verdicts. */
import { addressText } from './address.ts';
import { drawRanges, type Operand, within } from './comparison.ts';
import { concatenation } from './concatenation.ts';
import type { Constraint, Field } from './constraint.ts';
import type { Context } from './context.ts';
import { addressOperand, type Match, portOperand, TCP, UDP } from './matches.ts';
import { drawDestination, drawPort, drawSource } from './pools.ts';
import type { Random } from './random.ts';

export interface Statement {
  readonly text: string;
  readonly kinds: readonly string[];
  /** The mark that a packet has behind it. */
  readonly mark?: number;
  /** What else it asks of a packet, to go on behind it. */
  readonly constraints?: readonly Constraint[];
}

const say = (text: string, ...kinds: string[]): Statement => ({ text, kinds });

/** Goes on to the next statement, mostly. */
export function passingStatement(
  random: Random,
  context: Context,
  used: ReadonlySet<Field>,
): Statement {
  const { family, protocol, tableFamily, declare, hook } = context;
  const choices: (readonly [number, () => Statement])[] = [
    [30, () => say('counter', 'counter')],
    [4, () => say(`log prefix "differential ${random.below(100)}: "`, 'log')],
    [2, () => say(`log group ${random.between(100, 200)}`, 'log')],
    [
      3,
      () =>
        say(
          `limit rate ${random.between(1, 9)}/minute burst ${random.between(1, 5)} packets`,
          'limit',
        ),
    ],
    [1, () => say(`limit rate over ${random.between(1, 9)}/minute burst 1 packets`, 'limit')],
    [
      2,
      () =>
        say(`quota ${random.pick(['over 60 bytes', 'until 2000 mbytes', '300 mbytes'])}`, 'quota'),
    ],
    [
      10,
      () => {
        const mark = random.between(1, 4000) * 2;
        return { text: `meta mark set ${mark}`, kinds: ['meta set', 'immediate'], mark };
      },
    ],
    [2, () => say('meta mark set meta mark or 0x100000', 'meta set', 'bitwise')],
    [2, () => say('meta priority set 1:2', 'meta set', 'immediate')],
    [1, () => say('meta mark set numgen inc mod 4', 'numgen', 'meta set')],
    [1, () => say('meta mark set numgen random mod 16 offset 1', 'numgen', 'meta set')],
  ];
  const addressKey = `${family} saddr`;
  const addressType = family === 'ip' ? 'ipv4_addr' : 'ipv6_addr';
  choices.push([
    3,
    () => {
      const name = declare(
        'set',
        `type ${addressType}; size 65535; flags dynamic,timeout; timeout 1h;`,
      );
      return say(`${random.pick(['add', 'update'])} @${name} { ${addressKey} }`, 'dynset');
    },
  ]);
  choices.push([
    2,
    () => say(`meta mark set jhash ${addressKey} mod 8 seed 0xbeef`, 'hash', 'meta set'),
  ]);
  if (family === 'ip' && hook !== 'input')
    choices.push([2, () => say(`ip dscp set ${random.below(64)}`, 'payload set')]);
  if ((protocol === TCP || protocol === UDP) && !used.has('destinationPort')) {
    const name = protocol === TCP ? 'tcp' : 'udp';
    choices.push([
      4,
      () => {
        const ports = [...new Set(Array.from({ length: 4 }, () => drawPort(random)))];
        const map = ports.map((port) => `${port} : ${random.between(1, 200)}`).join(', ');
        const to = random.chance(0.5)
          ? `{ ${map} }`
          : `@${declare('map', `type inet_service : mark; elements = { ${map} }`)}`;
        return {
          text: `meta mark set ${name} dport map ${to}`,
          kinds: ['map', 'meta set'],
          // Where the map holds no such key the rule ends.
          constraints: [
            {
              field: 'destinationPort',
              holds: (value) => typeof value === 'number' && ports.includes(value),
              values: ports,
              edges: ports.map((port) => port + 1),
            },
          ],
        };
      },
    ]);
  }
  if (tableFamily !== 'netdev') {
    choices.push([2, () => say('meta mark set ct mark', 'ct', 'meta set')]);
    choices.push([3, () => say(`ct mark set ${random.between(1, 15)}`, 'ct set', 'immediate')]);
    choices.push([1, () => say('ct mark set meta mark', 'ct set', 'meta')]);
    choices.push([
      1,
      () => {
        const name = declare('set', `type ${addressType}; size 65535; flags dynamic;`);
        return say(`add @${name} { ${addressKey} ct count 1000 }`, 'dynset', 'connlimit');
      },
    ]);
    if (context.priority < -200) choices.push([12, () => say('notrack', 'notrack')]);
  }
  if (protocol === TCP && tableFamily !== 'netdev') {
    choices.push([2, () => say('tcp option maxseg size set 1200', 'exthdr set')]);
  }
  return random.weigh(choices)();
}

export interface Ending extends Statement {
  /** Jumps or goes to a new chain. */
  readonly enters?: 'jump' | 'goto';
  readonly match?: Match;
}

/** How a rule ends; `none`: it has no verdict. */
export function ending(
  random: Random,
  context: Context,
  depth: number,
  mayEnter: boolean,
  mayEnd: boolean,
): Ending {
  const { hook, chainType, tableFamily, protocol } = context;
  if (!mayEnd) {
    if (mayEnter && random.chance(0.3)) return { text: '', kinds: ['jump'], enters: 'jump' };
    return random.chance(0.2) ? say('continue', 'verdict') : say('', 'no verdict');
  }
  if (chainType === 'nat')
    return random.chance(0.75) ? nat(random, context) : say('accept', 'verdict');
  const mayReject =
    (hook === 'input' || hook === 'forward' || hook === 'output') && tableFamily !== 'netdev';
  return random.weigh<() => Ending>([
    [24, () => say('accept', 'verdict')],
    [26, () => say('drop', 'verdict')],
    [mayReject ? 12 : 0, () => reject(random, context)],
    [depth > 0 ? 8 : 3, () => say('return', 'verdict')],
    [2, () => say('continue', 'verdict')],
    [12, () => say('', 'no verdict')],
    [mayEnter ? 16 : 0, () => ({ text: '', kinds: ['jump'], enters: 'jump' })],
    [mayEnter ? 7 : 0, () => ({ text: '', kinds: ['goto'], enters: 'goto' })],
    [hook === 'ingress' ? 2 : 0, () => say('fwd to "lo"', 'fwd')],
    [
      hook === 'prerouting' && (protocol === TCP || protocol === UDP) && tableFamily !== 'inet'
        ? 3
        : 0,
      () => say(`${transport(protocol)}tproxy to :1`, 'tproxy'),
    ],
  ])();
}

function reject(random: Random, context: Context): Ending {
  const { tableFamily, family, protocol } = context;
  const options = ['reject'];
  if (protocol === TCP) options.push('reject with tcp reset');
  if (tableFamily === 'inet') {
    options.push('reject with icmpx admin-prohibited', 'reject with icmpx no-route');
    options.push('reject with icmpx port-unreachable', 'reject with icmpx host-unreachable');
  } else if (family === 'ip') {
    options.push('reject with icmp host-prohibited', 'reject with icmp net-unreachable');
  } else options.push('reject with icmpv6 admin-prohibited', 'reject with icmpv6 addr-unreachable');
  return say(random.pick(options), 'reject');
}

/** nft translates ports only where the rule names the protocol, and `th` does not. */
const transport = (protocol: number | undefined): string => `meta l4proto ${protocol ?? TCP} `;

function nat(random: Random, context: Context): Ending {
  const { hook, family, protocol, direction, tableFamily } = context;
  const hasPorts = protocol === TCP || protocol === UDP;
  const word = tableFamily === 'inet' ? `${family} ` : '';
  const wrap = (address: bigint, port: number | undefined): string => {
    const text = addressText(address, family);
    if (port === undefined) return text;
    return family === 'ip' ? `${text}:${port}` : `[${text}]:${port}`;
  };
  const port = hasPorts && random.chance(0.5) ? drawPort(random) : undefined;
  const prefix = port === undefined ? '' : transport(protocol);
  if (hook === 'prerouting' || hook === 'output') {
    const target = random.chance(0.8) ? direction : direction === 'in' ? 'forward' : direction;
    const address = drawDestination(random, target, family);
    const options = [say(`${prefix}dnat ${word}to ${wrap(address, port)}`, 'nat')];
    if (hasPorts)
      options.push(
        say(`${transport(protocol)}redirect to :${drawPort(random)}`, 'redir'),
        say('redirect', 'redir'),
      );
    return random.pick(options);
  }
  const options = [
    say(`${prefix}snat ${word}to ${wrap(drawSource(random, 'out', family), port)}`, 'nat'),
  ];
  if (hook === 'postrouting') options.push(say('masquerade', 'masq'));
  return random.pick(options);
}

/** A verdict map; `verdict` makes what its elements give. */
export function verdictMap(
  random: Random,
  context: Context,
  used: ReadonlySet<Field>,
  verdict: () => string,
): Match | undefined {
  if (random.chance(0.4)) return concatenation(random, context, used, verdict);
  const operands: Operand[] = [];
  const { protocol } = context;
  if (protocol === TCP || protocol === UDP) {
    if (!used.has('destinationPort'))
      operands.push(portOperand(random, context, 'destinationPort'));
  }
  if (!used.has('source')) operands.push(addressOperand(random, context, 'source'));
  if (operands.length === 0) return undefined;
  const operand = random.pick(operands);
  if (operand.type === undefined) return undefined;
  const withRanges = random.chance(0.5);
  const ranges = drawRanges(random, operand, withRanges);
  const elements = ranges.map(({ text }) => `${text} : ${verdict()}`).join(', ');
  const constraints = [within(operand, [random.pick(ranges)])];
  const kinds = ['vmap', ...(withRanges ? ['interval set'] : [])];
  if (random.chance(0.4))
    return { text: `${operand.left} vmap { ${elements} }`, kinds, constraints };
  const flags = withRanges ? 'flags interval; ' : '';
  const name = context.declare(
    'map',
    `type ${operand.type} : verdict; ${flags}elements = { ${elements} }`,
  );
  return { text: `${operand.left} vmap @${name}`, kinds, constraints };
}
