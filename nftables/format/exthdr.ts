/** @module Extension headers of IPv6, options of IPv4 and TCP, chunks of SCTP: what `exthdr` loads, in nft's words. */
import type { ExpressionOf } from '../model.ts';
import { type DataFormat, types } from './datatypes.ts';
import { atom, type Part } from './part.ts';

type Exthdr = Pick<ExpressionOf<'exthdr'>, 'protocol' | 'type' | 'offset' | 'length'>;

/** Name, offset and length in bits, type. */
type Fields = readonly (readonly [string, number, number, DataFormat?])[];

interface Option {
  readonly name: string;
  readonly fields: Fields;
}

const option = (name: string, ...fields: Fields): Option => ({ name, fields });

/** RFC 8200, 6275 (mobility), 8754 (segment routing). */
const nexthdr: Fields = [
  ['nexthdr', 0, 8, types.protocol],
  ['hdrlength', 8, 8],
];
const ipv6: ReadonlyMap<number, Option> = new Map([
  [0, option('hbh', ...nexthdr)],
  [43, option('rt', ...nexthdr, ['type', 16, 8], ['seg-left', 24, 8])],
  [
    44,
    option(
      'frag',
      ['nexthdr', 0, 8, types.protocol],
      ['reserved', 8, 8],
      ['frag-off', 16, 13],
      ['reserved2', 29, 2],
      ['more-fragments', 31, 1],
      ['id', 32, 32],
    ),
  ],
  [60, option('dst', ...nexthdr)],
  [
    135,
    option(
      'mh',
      ...nexthdr,
      ['type', 16, 8, types.mobilityType],
      ['reserved', 24, 8],
      ['checksum', 32, 16],
    ),
  ],
]);
const segmentRouting: Fields = [
  ['last-entry', 32, 8],
  ['flags', 40, 8],
  ['tag', 48, 16],
  ['sid[1]', 64, 128, types.ipv6],
  ['sid[2]', 192, 128, types.ipv6],
];

/** RFC 9293, 7323, 2018, 2385, 8684, 7413. */
const kind: Fields = [
  ['kind', 0, 8],
  ['length', 8, 8],
];
const tcp: ReadonlyMap<number, Option> = new Map([
  [0, option('eol', ['kind', 0, 8])],
  [1, option('nop', ['kind', 0, 8])],
  [2, option('maxseg', ...kind, ['size', 16, 16])],
  [3, option('window', ...kind, ['count', 16, 8])],
  [4, option('sack-perm', ...kind)],
  [5, option('sack', ...kind, ['left', 16, 32], ['right', 48, 32])],
  [8, option('timestamp', ...kind, ['tsval', 16, 32], ['tsecr', 48, 32])],
  [19, option('md5sig', ...kind)],
  [30, option('mptcp', ...kind, ['subtype', 16, 4])],
  [34, option('fastopen', ...kind)],
]);

/** RFC 791, 2113. */
const route: Fields = [
  ['type', 0, 8],
  ['length', 8, 8],
  ['ptr', 16, 8],
  ['addr', 24, 32],
];
const ipv4: ReadonlyMap<number, Option> = new Map([
  [7, option('rr', ...route)],
  [131, option('lsrr', ...route)],
  [137, option('ssrr', ...route)],
  [148, option('ra', ['type', 0, 8], ['length', 8, 8], ['value', 16, 16])],
]);

/** RFC 9260, 5061, 3758. */
const chunk = (name: string, ...fields: Fields): Option =>
  option(name, ['type', 0, 8], ['flags', 8, 8], ['length', 16, 16], ...fields);
const init: Fields = [
  ['init-tag', 32, 32],
  ['a-rwnd', 64, 32],
  ['num-outbound-streams', 96, 16],
  ['num-inbound-streams', 112, 16],
  ['initial-tsn', 128, 32],
];
const sctp: ReadonlyMap<number, Option> = new Map([
  [0, chunk('data', ['tsn', 32, 32], ['stream', 64, 16], ['ssn', 80, 16], ['ppid', 96, 32])],
  [1, chunk('init', ...init)],
  [2, chunk('init-ack', ...init)],
  [
    3,
    chunk(
      'sack',
      ['cum-tsn-ack', 32, 32],
      ['a-rwnd', 64, 32],
      ['num-gap-ack-blocks', 96, 16],
      ['num-dup-tsns', 112, 16],
    ),
  ],
  [4, chunk('heartbeat')],
  [5, chunk('heartbeat-ack')],
  [6, chunk('abort')],
  [7, chunk('shutdown', ['cum-tsn-ack', 32, 32])],
  [8, chunk('shutdown-ack')],
  [9, chunk('error')],
  [10, chunk('cookie-echo')],
  [11, chunk('cookie-ack')],
  [12, chunk('ecne', ['lowest-tsn', 32, 32])],
  [13, chunk('cwr', ['lowest-tsn', 32, 32])],
  [14, chunk('shutdown-complete')],
  [128, chunk('asconf-ack', ['seqno', 32, 32])],
  [192, chunk('forward-tsn', ['new-cum-tsn', 32, 32])],
  [193, chunk('asconf', ['seqno', 32, 32])],
]);

/** The header and the field of it, as `tcp option maxseg size`. */
export function nameOption(
  exthdr: Exthdr,
  offset: number,
  length: number,
): { readonly text: string; readonly type: DataFormat } | undefined {
  const [prefix, table] = tableOf(exthdr.protocol) ?? [];
  if (prefix === undefined || table === undefined) return undefined;
  const { name, fields } = table.get(exthdr.type) ?? {};
  const field = fields?.find(([, at, bits]) => at === offset && bits === length);
  if (field !== undefined) {
    return { text: `${prefix}${name} ${field[0]}`, type: field[3] ?? types.integer };
  }
  if (exthdr.protocol === 'ipv6' && exthdr.type === 43) {
    const segment = segmentRouting.find(([, at, bits]) => at === offset && bits === length);
    if (segment !== undefined)
      return { text: `srh ${segment[0]}`, type: segment[3] ?? types.integer };
  }
  if (exthdr.protocol !== 'tcp-option') return undefined;
  // The blocks behind the first one of a SACK option, eight bytes each.
  const block = (offset - 16) / 32;
  if (exthdr.type === 5 && length === 32 && [2, 3, 4, 5, 6, 7].includes(block)) {
    const side = block % 2 === 0 ? 'left' : 'right';
    return { text: `tcp option sack${Math.floor(block / 2)} ${side}`, type: types.integer };
  }
  return { text: `tcp option @${exthdr.type},${offset},${length}`, type: types.raw };
}

/** Whether the header is there at all, as `tcp option maxseg` or `exthdr frag`. */
export function nameHeader(exthdr: Exthdr): string | undefined {
  const [prefix, table] = tableOf(exthdr.protocol) ?? [];
  if (prefix === undefined || table === undefined) return undefined;
  const name = table.get(exthdr.type)?.name;
  if (exthdr.protocol === 'tcp-option') return `${prefix}${name ?? exthdr.type}`;
  if (name === undefined) return undefined;
  return exthdr.protocol === 'ipv6' ? `exthdr ${name}` : `${prefix}${name}`;
}

function tableOf(
  protocol: Exthdr['protocol'],
): readonly [string, ReadonlyMap<number, Option>] | undefined {
  switch (protocol) {
    case 'ipv6':
      return ['', ipv6];
    case 'tcp-option':
      return ['tcp option ', tcp];
    case 'ipv4-option':
      return ['ip option ', ipv4];
    case 'sctp':
      return ['sctp chunk ', sctp];
    default:
      return undefined;
  }
}

/** What `exthdr` loads; `run`: the bits of it that a mask leaves. */
export function describeExthdr(
  load: ExpressionOf<'exthdr'>,
  run: { readonly length: number; readonly shift: number } | undefined,
): Part | undefined {
  const needs = needsOf(load.protocol);
  if (load.present) {
    const text = nameHeader(load);
    if (text === undefined || load.offset !== 0 || run !== undefined) return undefined;
    return atom(text, types.boolean, 1, needs);
  }
  const length = run?.length ?? 8 * load.length;
  const shift = run?.shift ?? 0;
  const found = nameOption(load, 8 * (load.offset + load.length) - shift - length, length);
  if (found === undefined || (run !== undefined && found.type === types.raw)) return undefined;
  return { ...atom(found.text, found.type, load.length, needs), shift };
}

export function needsOf(protocol: Exthdr['protocol']): Part['needs'] {
  if (protocol !== 'ipv6' && protocol !== 'ipv4-option') return [];
  const network = protocol === 'ipv6' ? 'ip6' : 'ip';
  return [{ layer: 'network', protocol: network, isField: false }];
}
