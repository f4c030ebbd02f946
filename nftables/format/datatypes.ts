/**
 * @module nft's data types: which byte order a value of one has, and how it is written.
 *
 * The numbers are nft's own (enum datatypes of its datatype.h); the kernel keeps them in a set for nft, and nothing else reads them.
 */
import {
  type ByteOrder,
  formatEther,
  formatIpv4,
  formatIpv6,
  fromNumber,
  quote,
  toNumber,
} from './bytes.ts';
import * as names from './names.ts';

export interface DataFormat {
  /** What `type` of a set says; absent where only `typeof EXPRESSION` can. */
  readonly name?: string;
  readonly order: ByteOrder;
  readonly kind:
    | 'number'
    | 'hex'
    | 'mark'
    | 'flags'
    | 'ipv4'
    | 'ipv6'
    | 'ether'
    | 'string'
    | 'milliseconds'
    | 'date'
    | 'hour'
    | 'classid'
    | 'interface'
    | 'label';
  readonly names?: names.Names;
  /** Bytes of one value. */
  readonly length?: number;
}

const type = (
  kind: DataFormat['kind'],
  order: ByteOrder,
  length?: number,
  name?: string,
  words?: names.Names,
): DataFormat => ({
  kind,
  order,
  ...(length === undefined ? {} : { length }),
  ...(name === undefined ? {} : { name }),
  ...(words === undefined ? {} : { names: words }),
});

export const types = {
  integer: type('number', 'big'),
  hostInteger: type('number', 'host'),
  raw: type('hex', 'big'),
  string: type('string', 'host'),
  nfproto: type('number', 'host', 1, 'nf_proto', names.nfproto),
  ipv4: type('ipv4', 'big', 4, 'ipv4_addr'),
  ipv6: type('ipv6', 'big', 16, 'ipv6_addr'),
  ether: type('ether', 'big', 6, 'ether_addr'),
  etherType: type('number', 'big', 2, 'ether_type', names.etherType),
  arpOperation: type('number', 'big', 2, 'arp_op', names.arpOperation),
  protocol: type('number', 'big', 1, 'inet_proto', names.protocol),
  service: type('number', 'big', 2, 'inet_service'),
  icmpType: type('number', 'big', 1, 'icmp_type', names.icmpType),
  tcpFlag: type('flags', 'big', 1, 'tcp_flag', names.tcpFlag),
  dccpType: type('number', 'big', 1, 'dccp_pkttype', names.dccpType),
  mobilityType: type('number', 'big', 1, 'mh_type', names.mobilityType),
  time: type('milliseconds', 'host', 4, 'time'),
  mark: type('mark', 'host', 4, 'mark'),
  interface: type('interface', 'host', 4, 'iface_index'),
  deviceType: type('number', 'host', 2, 'iface_type', names.deviceType),
  realm: type('number', 'host', 4, 'realm', names.realm),
  classid: type('classid', 'host', 4, 'classid'),
  user: type('number', 'host', 4, 'uid'),
  group: type('number', 'host', 4, 'gid'),
  ctState: type('flags', 'host', 4, 'ct_state', names.ctState),
  ctDirection: type('number', 'host', 1, 'ct_dir', names.ctDirection),
  ctStatus: type('flags', 'host', 4, 'ct_status', names.ctStatus),
  icmpv6Type: type('number', 'big', 1, 'icmpv6_type', names.icmpv6Type),
  ctLabel: type('label', 'host', 16, 'ct_label'),
  packetType: type('number', 'host', 1, 'pkt_type', names.packetType),
  icmpCode: type('number', 'big', 1, 'icmp_code', names.icmpCode),
  icmpv6Code: type('number', 'big', 1, 'icmpv6_code', names.icmpv6Code),
  icmpxCode: type('number', 'big', 1, 'icmpx_code', names.icmpxCode),
  deviceGroup: type('number', 'host', 4, 'devgroup', names.group),
  dscp: type('number', 'big', 1, 'dscp', names.dscp),
  ecn: type('number', 'big', 1, 'ecn', names.ecn),
  fibType: type('number', 'host', 4, 'fib_addrtype', names.fibType),
  boolean: type('number', 'host', 1, 'boolean', names.yesNo),
  ctEvent: type('flags', 'host', 4, 'ct_event', names.ctEvent),
  interfaceName: type('string', 'host', 16, 'ifname'),
  igmpType: type('number', 'big', 1, 'igmp_type', names.igmpType),
  date: type('date', 'host', 8, 'time'),
  hour: type('hour', 'host', 4, 'hour'),
  day: type('number', 'host', 1, 'day', names.day),
  cgroup: type('number', 'host', 8, 'cgroupsv2'),
} as const satisfies Record<string, DataFormat>;

/** enum datatypes, from TYPE_NFPROTO (2). */
const byNumber: readonly (DataFormat | undefined)[] = [
  undefined,
  undefined,
  types.nfproto,
  undefined,
  undefined,
  undefined,
  undefined,
  types.ipv4,
  types.ipv6,
  types.ether,
  types.etherType,
  types.arpOperation,
  types.protocol,
  types.service,
  types.icmpType,
  types.tcpFlag,
  types.dccpType,
  types.mobilityType,
  types.time,
  types.mark,
  types.interface,
  types.deviceType,
  types.realm,
  types.classid,
  types.user,
  types.group,
  types.ctState,
  types.ctDirection,
  types.ctStatus,
  types.icmpv6Type,
  types.ctLabel,
  types.packetType,
  types.icmpCode,
  types.icmpv6Code,
  types.icmpxCode,
  types.deviceGroup,
  types.dscp,
  types.ecn,
  types.fibType,
  types.boolean,
  types.ctEvent,
  types.interfaceName,
  types.igmpType,
  types.date,
  types.hour,
  types.day,
  types.cgroup,
];

/** Types of the components of a key, as its number tells: six bits each, the last lowest. */
export function typesOf(number: number, order: ByteOrder = 'big'): readonly DataFormat[] {
  const found: DataFormat[] = [];
  for (let rest = number; rest > 0; rest = Math.floor(rest / 64)) {
    const id = rest % 64;
    const plain = order === 'host' ? types.hostInteger : types.integer;
    found.unshift(byNumber[id] ?? (id === 5 ? types.string : plain));
  }
  return found.length === 0 ? [order === 'host' ? types.hostInteger : types.integer] : found;
}

/** Writes one constant; undefined where nft has no words for it. `shift`: the value stands so many bits up in its bytes. */
export function writeConstant(
  format: DataFormat,
  bytes: Uint8Array,
  order: ByteOrder = format.order,
  shift = 0,
): string | undefined {
  if (format.length !== undefined && bytes.length !== format.length && shift === 0) {
    if (format.kind !== 'number') return undefined;
  }
  const value = toNumber(bytes, order) >> BigInt(shift);
  switch (format.kind) {
    case 'string':
      return writeString(bytes);
    case 'ipv4':
      return formatIpv4(bytes);
    case 'ipv6':
      return formatIpv6(bytes);
    case 'ether':
      return formatEther(bytes);
    case 'hex':
      return `0x${value.toString(16)}`;
    case 'mark':
      return `0x${value.toString(16).padStart(8, '0')}`;
    case 'flags':
      return writeFlags(format, value, ' | ');
    case 'milliseconds':
      return writeTime(Number(value));
    case 'date':
      return writeDate(value);
    case 'hour':
      return writeHour(Number(value));
    case 'classid':
      if (value === 0n) return 'none';
      if (value === 0xffffffffn) return 'root';
      return `${(value >> 16n).toString(16)}:${(value & 0xffffn).toString(16)}`;
    case 'interface':
      // 1 is the loopback device of every network namespace; the others' names are not known here.
      return value === 1n ? '"lo"' : value.toString();
    case 'label':
      return writeLabels(value, ' | ');
    default:
      return writeNumber(format, value);
  }
}

function writeNumber(format: DataFormat, value: bigint): string {
  const word = format.names?.get(Number(value));
  if (word !== undefined) {
    return format.names === names.day ||
      format.names === names.group ||
      format.names === names.realm
      ? `"${word}"`
      : word;
  }
  const isHexadecimal = format.names === names.etherType || format.names === names.dscp;
  return isHexadecimal ? `0x${value.toString(16).padStart(2, '0')}` : value.toString();
}

/** `syn | ack` of a value, `syn,ack` of a mask. */
export function writeFlags(format: DataFormat, value: bigint, separator: string): string {
  if (format.kind === 'label') return writeLabels(value, separator) ?? '0';
  const words: string[] = [];
  let rest = value;
  for (const [bit, word] of format.names ?? []) {
    if ((rest & BigInt(bit)) === 0n) continue;
    words.push(word);
    rest &= ~BigInt(bit);
  }
  if (rest !== 0n || words.length === 0) words.push(`0x${rest.toString(16)}`);
  return words.join(separator);
}

function writeLabels(value: bigint, separator: string): string | undefined {
  const bits: number[] = [];
  for (let bit = 0; bit < 128; bit++) if (((value >> BigInt(bit)) & 1n) === 1n) bits.push(bit);
  return bits.length === 0 ? undefined : bits.join(separator);
}

/** A name in zero-padded bytes. One without a zero behind it, in fewer bytes than a name has, is the beginning of names. */
export function writeString(bytes: Uint8Array, isPrefix = false): string | undefined {
  const end = bytes.indexOf(0);
  const used = end < 0 ? bytes : bytes.subarray(0, end);
  if (end >= 0 && !bytes.subarray(end).every((byte) => byte === 0)) return undefined;
  const name = String.fromCodePoint(...used);
  if (!/^[\x20-\x7e]*$/.test(name) || name === '') return undefined;
  if (isPrefix && end < 0) return quote(name) && `"${name}*"`;
  const literal = name.endsWith('*') ? `${name.slice(0, -1)}\\*` : name;
  return quote(name) && `"${literal}"`;
}

/** `1d2h3m4s5ms`, as nft writes times. */
export function writeTime(milliseconds: number): string {
  if (milliseconds === 0) return '0s';
  let rest = milliseconds;
  let text = '';
  for (const [unit, size] of [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1000],
    ['ms', 1],
  ] as const) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) text += `${count}${unit}`;
  }
  return text;
}

/** `meta hour` counts seconds of the day in UTC, and nft writes and reads it in local time. */
function writeHour(seconds: number): string | undefined {
  if (seconds >= 86_400) return undefined;
  const offset = new Date().getTimezoneOffset() * 60;
  const local = (seconds - offset + 86_400) % 86_400;
  const parts = [Math.floor(local / 3600), Math.floor(local / 60) % 60];
  if (local % 60 > 0) parts.push(local % 60);
  return `"${parts.map((part) => String(part).padStart(2, '0')).join(':')}"`;
}

/** `meta time` counts nanoseconds of UTC; nft writes and reads whole seconds of local time. */
function writeDate(nanoseconds: bigint): string | undefined {
  if (nanoseconds % 1_000_000_000n !== 0n) return undefined;
  const seconds = Number(nanoseconds / 1_000_000_000n);
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime())) return undefined;
  const local = new Date(date.getTime() - date.getTimezoneOffset() * 60_000);
  return `"${local.toISOString().slice(0, 19).replace('T', ' ')}"`;
}

/** Bytes of the last value of a type that stands in `length` bytes. */
export function lastKey(length: number): Uint8Array {
  return fromNumber((1n << BigInt(8 * length)) - 1n, length, 'big');
}
