/** @module A question to the firewall, as a person types it and as a line of a file says it. Pure; lines are hostile. */
import { isIPv4, isIPv6 } from 'node:net';
import type { ConntrackState, Direction, Packet } from 'node-nftables';
import { ConfigurationError, type ConfigurationProblem } from './configuration-error.ts';

/** What `explain` was asked on its command line. */
export interface ExplainArguments {
  /** `udp/8472`, `icmp`, `4`. */
  readonly what?: string;
  readonly from?: string;
  readonly to?: string;
  readonly inInterface?: string;
  readonly outInterface?: string;
}

const protocolNumbers: Readonly<Record<string, number>> = {
  icmp: 1,
  ipip: 4,
  tcp: 6,
  udp: 17,
  gre: 47,
  esp: 50,
  ah: 51,
  icmpv6: 58,
  sctp: 132,
};
const portProtocols = new Set([6, 17, 132]);
const echoRequest: Readonly<Record<number, number>> = { 1: 8, 58: 128 };

/** The name of a protocol where it has one. */
export function protocolName(protocol: number): string {
  const found = Object.entries(protocolNumbers).find(([, number]) => number === protocol);
  return found?.[0] ?? `protocol ${protocol}`;
}

/** Reads the command line; throws `ConfigurationError` that says all that is wrong with it. */
export function packetOfArguments(asked: ExplainArguments): Packet {
  const problems: ConfigurationProblem[] = [];
  const refuse = (path: string, message: string): void => {
    problems.push({ path, message });
  };
  const { what = '', from, to } = asked;
  const [word = '', number, ...rest] = what.split('/');
  const named = protocolOf(word);
  const value = number === undefined ? undefined : wholeNumber(number);
  if (named === undefined || rest.length > 0) {
    const names = Object.keys(protocolNumbers).join(', ');
    refuse('explain', `"${what}" is not PROTO or PROTO/PORT (valid: ${names}, or a number)`);
  } else if (number !== undefined) {
    const limit = portProtocols.has(named) ? 65_535 : named in echoRequest ? 255 : -1;
    if (limit < 0) refuse('explain', `${word} has no ports`);
    else if (value === undefined || value > limit || (limit > 255 && value === 0))
      refuse('explain', `"${number}" is not a ${limit > 255 ? 'port' : 'type'} of ${word}`);
  }
  if (from === undefined && to === undefined)
    refuse('explain', 'say whose packet it is: --from ADDR, --to ADDR, or both for forwarding');
  const families = new Set<'ip' | 'ip6'>();
  for (const [path, text] of [
    ['--from', from],
    ['--to', to],
  ] as const) {
    if (text === undefined) continue;
    const family = familyOf(text);
    if (family === undefined)
      refuse(path, `${JSON.stringify(text)} is neither an IP address nor a prefix`);
    else families.add(family);
  }
  if (families.size > 1) refuse('--to', 'is of another address family than --from');
  const family = families.has('ip6') ? 'ip6' : 'ip';
  if (families.size === 1 && named !== undefined && ![undefined, family].includes(only[named]))
    refuse('explain', `${word} does not go with ${family === 'ip' ? 'IPv4' : 'IPv6'} addresses`);
  const direction: Direction = from === undefined ? 'out' : to === undefined ? 'in' : 'forward';
  for (const [path, name] of [
    ['--in-interface', asked.inInterface],
    ['--out-interface', asked.outInterface],
  ] as const) {
    if (name !== undefined && !isInterface(name))
      refuse(path, `${JSON.stringify(name)} cannot name an interface`);
  }
  if (asked.inInterface !== undefined && direction === 'out')
    refuse('--in-interface', 'a packet that this host sends has only an --out-interface');
  if (asked.outInterface !== undefined && direction === 'in')
    refuse('--out-interface', 'a packet to this host has only an --in-interface');
  if (problems.length > 0 || named === undefined) throw new ConfigurationError(problems);

  // Who asks for icmp means ping.
  const icmpType = named in echoRequest ? (value ?? echoRequest[named]) : undefined;
  return {
    direction,
    protocol: named,
    family,
    ...(from === undefined ? {} : { source: from }),
    ...(to === undefined ? {} : { destination: to }),
    ...(value === undefined || !portProtocols.has(named) ? {} : { destinationPort: value }),
    ...(icmpType === undefined ? {} : { icmpType }),
    ...(icmpType === undefined || value !== undefined ? {} : { icmpCode: 0 }),
    ...(asked.inInterface === undefined ? {} : { inInterface: asked.inInterface }),
    ...(asked.outInterface === undefined ? {} : { outInterface: asked.outInterface }),
    conntrack: 'new',
    mark: 0,
  };
}

/** Protocols of one family alone. */
const only: Readonly<Record<number, 'ip' | 'ip6' | undefined>> = { 1: 'ip', 58: 'ip6' };

const directions: ReadonlySet<string> = new Set(['in', 'out', 'forward'] satisfies Direction[]);
const states: ReadonlySet<string> = new Set([
  'new',
  'established',
  'related',
  'invalid',
  'untracked',
] satisfies ConntrackState[]);
const fields = new Set([
  'direction',
  'protocol',
  'source',
  'destination',
  'sourcePort',
  'destinationPort',
  'inInterface',
  'outInterface',
  'icmpType',
  'icmpCode',
  'conntrack',
]);

/** Reads one line of `--packets`; a text says what is wrong with it. */
export function packetOfLine(line: string): Packet | string {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return 'is not JSON';
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return 'is not an object';
  const given: ReadonlyMap<string, unknown> = new Map(Object.entries(value));
  for (const name of given.keys())
    if (!fields.has(name)) return `has an unknown field ${JSON.stringify(name.slice(0, 40))}`;

  const direction = given.get('direction');
  if (!isDirection(direction)) return 'direction is not in, out or forward';
  const word = given.get('protocol');
  const protocol =
    typeof word === 'string' ? protocolOf(word) : isWhole(word, 255) ? word : undefined;
  if (protocol === undefined) return 'protocol is not udp, tcp, icmp, icmpv6 or a number';

  const families = new Set<'ip' | 'ip6'>();
  for (const name of ['source', 'destination'] as const) {
    const text = given.get(name);
    if (text === undefined) continue;
    const family = typeof text === 'string' ? familyOf(text) : undefined;
    if (family === undefined) return `${name} is neither an IP address nor a prefix`;
    families.add(family);
  }
  if (families.size !== 1)
    return families.size === 0
      ? 'has neither source nor destination'
      : 'source and destination are of two families';
  const family = families.has('ip6') ? 'ip6' : 'ip';
  if (![undefined, family].includes(only[protocol]))
    return `${protocolName(protocol)} does not go with these addresses`;

  const numbers: { -readonly [K in NumberField]?: number } = {};
  for (const [name, most] of numberFields) {
    const number = given.get(name);
    if (number === undefined) continue;
    if (!isWhole(number, most)) return `${name} is not a whole number from 0 to ${most}`;
    numbers[name] = number;
  }
  for (const name of ['inInterface', 'outInterface'] as const) {
    const text = given.get(name);
    if (text !== undefined && !(typeof text === 'string' && isInterface(text)))
      return `${name} cannot name an interface`;
  }
  const conntrack = given.get('conntrack') ?? 'new';
  if (!isState(conntrack)) return `conntrack is not ${[...states].join(', ')}`;
  return {
    ...textsOf(given),
    ...numbers,
    direction,
    protocol,
    family,
    conntrack,
    mark: 0,
  };
}

const numberFields = [
  ['sourcePort', 65_535],
  ['destinationPort', 65_535],
  ['icmpType', 255],
  ['icmpCode', 255],
] as const;
type NumberField = (typeof numberFields)[number][0];
const textFields = ['source', 'destination', 'inInterface', 'outInterface'] as const;

function textsOf(given: ReadonlyMap<string, unknown>): {
  readonly [K in (typeof textFields)[number]]?: string;
} {
  const texts: { [K in (typeof textFields)[number]]?: string } = {};
  for (const name of textFields) {
    const text = given.get(name);
    if (typeof text === 'string') texts[name] = text;
  }
  return texts;
}

function isDirection(value: unknown): value is Direction {
  return typeof value === 'string' && directions.has(value);
}

function isState(value: unknown): value is ConntrackState {
  return typeof value === 'string' && states.has(value);
}

function isWhole(value: unknown, most: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= most;
}

function wholeNumber(text: string): number | undefined {
  return /^\d{1,5}$/.test(text) ? Number(text) : undefined;
}

function protocolOf(word: string): number | undefined {
  if (Object.hasOwn(protocolNumbers, word.toLowerCase()))
    return protocolNumbers[word.toLowerCase()];
  const number = wholeNumber(word);
  return number !== undefined && number <= 255 ? number : undefined;
}

/** The family of an address or prefix; a zone (`fe80::1%eth0`) names a link and is refused. */
function familyOf(text: string): 'ip' | 'ip6' | undefined {
  const [address = '', prefix, ...rest] = text.split('/');
  if (rest.length > 0 || address.includes('%')) return undefined;
  const family = isIPv4(address) ? 'ip' : isIPv6(address) ? 'ip6' : undefined;
  if (prefix === undefined || family === undefined) return family;
  return /^\d{1,3}$/.test(prefix) && Number(prefix) <= (family === 'ip' ? 32 : 128)
    ? family
    : undefined;
}

/** IFNAMSIZ is 16 with the zero byte; the kernel takes neither slash nor space (dev_valid_name). */
function isInterface(name: string): boolean {
  return /^[^\s/\p{Cc}]{1,15}$/u.test(name);
}
