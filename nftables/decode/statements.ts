/** @module Expressions that count, limit, log, decide or send elsewhere. Pure. Each function quotes the attributes that it reads. */
import type { Expression, NatRange, Reject } from '../model.ts';
import { type AttributeReader, given } from './attributes.ts';

/** 1 bytes, 2 packets, 3 padding. */
export function decodeCounter(data: AttributeReader): Expression {
  data.ignore(3);
  return { kind: 'counter', packets: data.u64(2), bytes: data.u64(1) };
}

/** 1 rate, 2 seconds of its unit, 3 burst, 4 type, 5 flags (1 is over), 6 padding. */
export function decodeLimit(data: AttributeReader): Expression {
  data.ignore(6);
  return {
    kind: 'limit',
    rate: data.u64(1),
    unitSeconds: data.u64(2),
    burst: data.maybeU32(3) ?? 0,
    type: data.has(4) ? (data.oneOf(4, ['packets', 'bytes'] as const) ?? 'packets') : 'packets',
    over: data.flags(5, 1) !== 0,
  };
}

/** 1 bytes, 2 flags (1 is over, 2 depleted), 3 padding, 4 bytes used. */
export function decodeQuota(data: AttributeReader): Expression {
  data.ignore(3);
  const flags = data.flags(2, 3);
  return {
    kind: 'quota',
    bytes: data.u64(1),
    usedBytes: data.maybeU64(4) ?? 0,
    over: (flags & 1) !== 0,
    depleted: (flags & 2) !== 0,
  };
}

/** 1 count, 2 flags (1 is over). */
export function decodeConnlimit(data: AttributeReader): Expression {
  return { kind: 'connlimit', count: data.u32(1), over: data.flags(2, 1) !== 0 };
}

/** 1 group (u16), 2 prefix, 3 bytes of the packet, 4 queue threshold (u16), 5 level, 6 flags. */
export function decodeLog(data: AttributeReader): Expression {
  return {
    kind: 'log',
    ...given({
      prefix: data.maybeText(2),
      group: data.maybeNumber(1, 2),
      snaplen: data.maybeU32(3),
      queueThreshold: data.maybeNumber(4, 2),
      level: data.maybeU32(5),
      flags: data.maybeU32(6),
    }),
  };
}

const anyCodes = ['no-route', 'port-unreachable', 'host-unreachable', 'admin-prohibited'] as const;

/** 1 type: 0 an ICMP error of the family, 1 TCP reset, 2 of any family; 2 code (u8). */
export function decodeReject(data: AttributeReader): Expression {
  const type = data.u32(1);
  let reject: Reject = { with: 'tcp-reset' };
  if (type === 0) reject = { with: 'icmp', code: data.number(2, 1) };
  else if (type === 1) data.ignore(2);
  else if (type === 2) reject = { with: 'icmpx', code: data.oneOf(2, anyCodes, 1) ?? 'no-route' };
  else data.fail();
  return { kind: 'reject', reject };
}

/** Flags of linux/netfilter/nf_nat.h: eight bits, of which NF_NAT_RANGE_NETMAP is 64. */
const natFlags = 0xff;

/** 1 type, 2 family, registers of 3 first and 4 last address, 5 first and 6 last port, 7 flags. */
export function decodeNat(data: AttributeReader): Expression {
  const type = data.oneOf(1, ['snat', 'dnat'] as const) ?? 'snat';
  const family = data.oneOf(2, natFamilies) ?? 'ip';
  const range: NatRange = {
    ...given({
      addressFirst: data.maybeRegister(3, 4),
      addressLast: data.maybeRegister(4, 4),
      portFirst: data.maybeRegister(5, 2),
      portLast: data.maybeRegister(6, 2),
    }),
    flags: data.flags(7, natFlags),
  };
  return { kind: 'nat', type, family, range };
}

/** enum nfproto, of what has addresses. */
const addressFamilies = [
  undefined,
  undefined,
  'ip',
  ...Array.from({ length: 7 }, () => undefined),
  'ip6',
] as const;

/** NFPROTO_INET is of no family, and translates ports alone. */
const natFamilies = addressFamilies.map((family, number) =>
  number === 1 ? 'unspecified' : family,
);

/** 1 flags, registers of 2 first and 3 last port. */
export function decodeMasq(data: AttributeReader): Expression {
  return { kind: 'masq', range: portRange(data, { flags: 1, first: 2, last: 3 }) };
}

/** Registers of 1 first and 2 last port, 3 flags. */
export function decodeRedir(data: AttributeReader): Expression {
  return { kind: 'redir', range: portRange(data, { flags: 3, first: 1, last: 2 }) };
}

function portRange(
  data: AttributeReader,
  types: { readonly flags: number; readonly first: number; readonly last: number },
): NatRange {
  return {
    ...given({
      portFirst: data.maybeRegister(types.first, 2),
      portLast: data.maybeRegister(types.last, 2),
    }),
    flags: data.flags(types.flags, natFlags),
  };
}

/** 1 family (0 in tables of inet: both), registers of 2 address and 3 port. */
export function decodeTproxy(data: AttributeReader): Expression {
  const number = data.u32(1);
  const family = number === 0 ? 'unspecified' : addressFamilies[number];
  if (family === undefined) data.fail();
  return {
    kind: 'tproxy',
    family: family ?? 'unspecified',
    ...given({
      addressRegister: data.maybeRegister(2, 4),
      portRegister: data.maybeRegister(3, 2),
    }),
  };
}

/** 1 first queue, 2 count of queues, 3 flags (1 bypass, 2 fanout), all u16; 4 register of the queue's number instead. */
export function decodeQueue(data: AttributeReader): Expression {
  const flags = data.flags(3, 3, 2);
  const register = data.maybeRegister(4, 2);
  return {
    kind: 'queue',
    number: register === undefined ? data.number(1, 2) : (data.maybeNumber(1, 2) ?? 0),
    total: data.maybeNumber(2, 2) ?? 1,
    bypass: (flags & 1) !== 0,
    fanout: (flags & 2) !== 0,
    ...given({ register }),
  };
}

/** Registers of 1 address and 2 device. */
export function decodeDup(data: AttributeReader): Expression {
  return {
    kind: 'dup',
    ...given({
      addressRegister: data.maybeRegister(1, 4),
      deviceRegister: data.maybeRegister(2, 4),
    }),
  };
}

/** Registers of 1 device and 2 address, 3 family of the address. */
export function decodeFwd(data: AttributeReader): Expression {
  const family = data.has(3) ? data.oneOf(3, addressFamilies) : undefined;
  const addressRegister = data.maybeRegister(2, 4);
  return {
    kind: 'fwd',
    deviceRegister: data.register(1, 4),
    ...given({ addressRegister, family }),
  };
}

/** 1 largest segment (u16), 2 window scale (u8), 3 flags. */
export function decodeSynproxy(data: AttributeReader): Expression {
  return {
    kind: 'synproxy',
    mss: data.maybeNumber(1, 2) ?? 0,
    wscale: data.maybeNumber(2, 1) ?? 0,
    flags: data.maybeU32(3) ?? 0,
  };
}

/** 1 flowtable. */
export function decodeFlowOffload(data: AttributeReader): Expression {
  return { kind: 'flow-offload', table: data.text(1) };
}

/** 1 whether it ever was, 2 milliseconds since, 3 padding. */
export function decodeLast(data: AttributeReader): Expression {
  data.ignore(3);
  return { kind: 'last', setMs: data.maybeU64(2) ?? 0, isSet: data.u32(1) !== 0 };
}

export function decodeNotrack(): Expression {
  return { kind: 'notrack' };
}

/** linux/netfilter/nf_tables_compat.h, the same for both: 1 name, 2 revision, 3 info. */
export function decodeExtension(kind: 'match' | 'target', data: AttributeReader): Expression {
  return {
    kind,
    name: data.text(1),
    revision: data.u32(2),
    info: data.bytes(3),
  };
}
