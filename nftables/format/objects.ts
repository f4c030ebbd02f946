/** @module Named objects and flowtables as blocks of `nft list ruleset`. */
import { splitAttributes, textOf } from '../decode/attributes.ts';
import type { ExpressionOf, Flowtable, NamedObject } from '../model.ts';
import { identifier, quote, toNumber } from './bytes.ts';
import * as names from './names.ts';
import { writePriority } from './priority.ts';
import { writeLimit, writeQuota } from './statements.ts';

/** The lines inside the braces, and the words before them; undefined where nft has none. */
export function writeObject(object: NamedObject): readonly string[] | undefined {
  const body = writeBody(object);
  if (body === undefined || identifier(object.name) === undefined) return undefined;
  const comment = object.comment === undefined ? undefined : quote(object.comment);
  return [
    `${object.type} ${object.name} {`,
    ...(comment === undefined ? [] : [`\tcomment ${comment}`]),
    ...body.map((line) => `\t${line}`),
    '}',
  ];
}

function writeBody({ expression }: NamedObject): readonly string[] | undefined {
  switch (expression.kind) {
    case 'counter':
      return [`packets ${expression.packets} bytes ${expression.bytes}`];
    case 'quota':
      return [writeQuota(expression).slice('quota '.length)];
    case 'limit': {
      const words = writeLimit(expression);
      return words === undefined ? undefined : [words.slice('limit '.length)];
    }
    case 'synproxy':
      return writeProxy(expression);
    case 'opaque':
      return writeRaw(expression);
    default:
      return undefined;
  }
}

function writeProxy({ mss, wscale, flags }: ExpressionOf<'synproxy'>): readonly string[] {
  const words = [
    ...((flags & 8) === 0 ? [] : ['timestamp']),
    ...((flags & 4) === 0 ? [] : ['sack-perm']),
  ];
  return [`mss ${mss}`, `wscale ${wscale}`, ...(words.length === 0 ? [] : [words.join(' ')])];
}

const layer3 = new Map([
  [1, 'inet'],
  [2, 'ip'],
  [10, 'ip6'],
]);

/** Objects that are no expression, by their attributes in linux/netfilter/nf_tables.h. */
function writeRaw({ name, attributes }: ExpressionOf<'opaque'>): readonly string[] | undefined {
  const found = new Map(attributes);
  const number = (type: number): number | undefined => {
    const bytes = found.get(type);
    return bytes === undefined ? undefined : Number(toNumber(bytes, 'big'));
  };
  const family = layer3.get(number(name === 'ct helper' ? 2 : 1) ?? 0);
  const protocol = names.protocol.get(number(name === 'ct helper' ? 3 : 2) ?? -1);
  const network = family === undefined ? [] : [`l3proto ${family}`];
  switch (name) {
    // 1 name, 2 layer 3 protocol, 3 layer 4 protocol.
    case 'ct helper': {
      const helper = quote(textOf(found.get(1) ?? new Uint8Array()));
      if (helper === undefined || protocol === undefined) return undefined;
      return [`type ${helper} protocol ${protocol}`, ...network];
    }
    // 1 layer 3 protocol, 2 layer 4 protocol, 3 seconds of each state.
    case 'ct timeout': {
      const policy = writePolicy(protocol, found.get(3));
      if (protocol === undefined || policy === undefined) return undefined;
      return [`protocol ${protocol}`, ...network, `policy = { ${policy} }`];
    }
    // 1 layer 3 protocol, 2 layer 4 protocol, 3 port, 4 milliseconds in the machine's byte order, 5 size.
    case 'ct expectation': {
      const [port, size] = [number(3), number(5)];
      const timeout = toNumber(found.get(4) ?? new Uint8Array(), 'host');
      if (protocol === undefined || port === undefined) return undefined;
      return [
        `protocol ${protocol}`,
        `dport ${port}`,
        `timeout ${timeout}ms`,
        `size ${size ?? 0}`,
        ...network,
      ];
    }
    // 1 context.
    case 'secmark': {
      const context = quote(textOf(found.get(1) ?? new Uint8Array()));
      return context === undefined ? undefined : [context];
    }
    default:
      return undefined;
  }
}

/** enum ctattr_timeout_tcp and ctattr_timeout_udp, from 1. */
const states: Readonly<Record<string, readonly string[]>> = {
  tcp: [
    'syn_sent',
    'syn_recv',
    'established',
    'fin_wait',
    'close_wait',
    'last_ack',
    'time_wait',
    'close',
    'syn_sent2',
    'retrans',
    'unack',
  ],
  udp: ['unreplied', 'replied'],
};

function writePolicy(
  protocol: string | undefined,
  bytes: Uint8Array | undefined,
): string | undefined {
  const words = states[protocol ?? ''];
  if (words === undefined || bytes === undefined) return undefined;
  const { attributes } = splitAttributes(bytes);
  return attributes
    .flatMap(([state, seconds]) => {
      const word = words[state - 1];
      return word === undefined ? [] : [`${word} : ${toNumber(seconds, 'big')}`];
    })
    .join(', ');
}

export function writeFlowtable(flowtable: Flowtable): readonly string[] {
  const { name, hook, priority, devices } = flowtable;
  const words = devices.map((device) => `"${device}"`).join(', ');
  return [
    `flowtable ${name} {`,
    `\thook ${hook} priority ${writePriority('netdev', hook, priority)}`,
    ...(devices.length === 0 ? [] : [`\tdevices = { ${words} }`]),
    '}',
  ];
}
