/**
 * @module Expressions that load something of the packet or of the kernel into registers, and those that write it back. Pure.
 *
 * Each function quotes the attributes that it reads (linux/netfilter/nf_tables.h). A key that is not known stays a number.
 */
import { ctKeys, type Expression, metaKeys, rtKeys } from '../model.ts';
import { type AttributeReader, given } from './attributes.ts';

const payloadBases = ['link', 'network', 'transport', 'inner', 'tunnel'] as const;

/**
 * 1 destination register, 2 base, 3 offset, 4 length; with 5 (source register) it writes into the packet, and 6 type, 7 offset and
 * 8 flags say which checksum it mends.
 */
export function decodePayload(data: AttributeReader): Expression {
  const base = data.oneOf(2, payloadBases) ?? 'link';
  const offset = data.u32(3);
  const length = data.u32(4);
  if (length === 0) data.fail();
  if (!data.has(5)) {
    return { kind: 'payload', base, offset, length, register: data.register(1, length) };
  }
  return {
    kind: 'payload-set',
    base,
    offset,
    length,
    register: data.register(5, length),
    checksumType: data.maybeU32(6) ?? 0,
    checksumOffset: data.maybeU32(7) ?? 0,
    checksumFlags: data.maybeU32(8) ?? 0,
  };
}

/** 1 number (the only one is 0), 2 type, 3 flags, 4 header size, 5 expression: `payload` or `meta`, which reads behind that header. */
export function decodeInner(
  data: AttributeReader,
  decode: (element: Uint8Array) => Expression,
): Expression {
  if (data.u32(1) !== 0) data.fail();
  const type = data.u32(2);
  const flags = data.flags(3, 0x0f);
  const headerSize = data.u32(4);
  const expression = decode(data.bytes(5));
  if (expression.kind !== 'payload' && expression.kind !== 'meta') data.fail();
  return { kind: 'inner', type, headerSize, flags, expression };
}

/** 1 destination register, 2 key, 3 source register. */
export function decodeMeta(data: AttributeReader): Expression {
  const number = data.u32(2);
  const key = metaKeys[number] ?? (`key-${number}` as const);
  if (data.has(3)) return { kind: 'meta-set', key, register: data.register(3) };
  return { kind: 'meta', key, register: data.register(1) };
}

/** 1 destination register, 2 key, 3 direction (u8, of keys that have one), 4 source register. */
export function decodeCt(data: AttributeReader): Expression {
  const number = data.u32(2);
  const key = ctKeys[number] ?? (`key-${number}` as const);
  const direction = data.has(3) ? data.oneOf(3, ['original', 'reply'] as const, 1) : undefined;
  const place = { key, ...given({ direction }) };
  if (data.has(4)) return { kind: 'ct-set', ...place, register: data.register(4) };
  return { kind: 'ct', ...place, register: data.register(1) };
}

/** 1 destination register, 2 result (NFT_FIB_RESULT_OIF is 1), 3 flags: 1 saddr, 2 daddr, 4 mark, 8 iif, 16 oif, 32 present. */
export function decodeFib(data: AttributeReader): Expression {
  const result = data.oneOf(2, [undefined, 'oif', 'oifname', 'type'] as const) ?? 'oif';
  const bits = data.flags(3, 0x3f);
  const flags = {
    saddr: (bits & 1) !== 0,
    daddr: (bits & 2) !== 0,
    mark: (bits & 4) !== 0,
    iif: (bits & 8) !== 0,
    oif: (bits & 16) !== 0,
    present: (bits & 32) !== 0,
  };
  return { kind: 'fib', result, flags, register: data.register(1) };
}

const extensionProtocols = ['ipv6', 'tcp-option', 'ipv4-option', 'sctp', 'dccp'] as const;

/**
 * 1 destination register, 2 type (u8), 3 offset, 4 length, 5 flags (1 is present), 6 operation, 7 source register. With neither
 * register it strips the TCP option.
 */
export function decodeExthdr(data: AttributeReader): Expression {
  const type = data.number(2, 1);
  const offset = data.u32(3);
  const length = data.u32(4);
  const present = data.flags(5, 1) !== 0;
  const protocol = data.has(6) ? (data.oneOf(6, extensionProtocols) ?? 'ipv6') : 'ipv6';
  const header = { protocol, type, offset, length } as const;
  if (data.has(1)) {
    return { kind: 'exthdr', ...header, present, register: data.register(1, length) };
  }
  // Only those of TCP can be written; SCTP's and the others' never were.
  if (present || protocol !== 'tcp-option') data.fail();
  const register = data.maybeRegister(7, length);
  return { kind: 'exthdr-set', ...header, ...given({ register }) };
}

/** 1 destination register, 2 key. */
export function decodeRt(data: AttributeReader): Expression {
  const number = data.u32(2);
  return {
    kind: 'rt',
    key: rtKeys[number] ?? `key-${number}`,
    register: data.register(1),
  };
}

/** 1 key, 2 destination register, 3 level: the ancestor of a cgroup. */
export function decodeSocket(data: AttributeReader): Expression {
  const keys = ['transparent', 'mark', 'wildcard', 'cgroupv2'] as const;
  const key = data.oneOf(1, keys) ?? 'transparent';
  const level = data.maybeU32(3);
  return { kind: 'socket', key, ...given({ level }), register: data.register(2) };
}

/** 1 destination register, 2 ttl (u8), 3 flags. */
export function decodeOsf(data: AttributeReader): Expression {
  const ttl = data.number(2, 1);
  const flags = data.flags(3, 1);
  return { kind: 'osf', register: data.register(1, 16), ttl, flags };
}

const xfrmKeys = [undefined, 'daddr4', 'daddr6', 'saddr4', 'saddr6', 'reqid', 'spi'] as const;

/** 1 destination register, 2 key, 3 direction (u8: XFRM_POLICY_IN is 0, OUT is 1), 4 index into the secpath. */
export function decodeXfrm(data: AttributeReader): Expression {
  const number = data.u32(2);
  const key = xfrmKeys[number] ?? (`key-${number}` as const);
  const direction = data.oneOf(3, ['in', 'out'] as const, 1) ?? 'in';
  return { kind: 'xfrm', key, direction, spnum: data.u32(4), register: data.register(1) };
}

/** 1 key, 2 destination register, 3 mode. */
export function decodeTunnel(data: AttributeReader): Expression {
  const number = data.u32(1);
  return {
    kind: 'tunnel',
    key: (['path', 'id'] as const)[number] ?? `key-${number}`,
    mode: data.maybeU32(3) ?? 0,
    register: data.register(2),
  };
}

/** 1 source register, 2 destination register, 3 length, 4 modulus, 5 seed, 6 offset, 7 type: 0 Jenkins, 1 symmetric (no source). */
export function decodeHash(data: AttributeReader): Expression {
  const symmetric = data.u32(7);
  const sum = { register: data.register(2), modulus: data.u32(4), offset: data.maybeU32(6) ?? 0 };
  if (symmetric === 1) return { kind: 'hash', type: 'symmetric', ...sum };
  if (symmetric !== 0) data.fail();
  const length = data.u32(3);
  const source = data.register(1, length);
  const seed = data.maybeU32(5);
  return { kind: 'hash', type: 'jenkins', ...sum, source, length, ...given({ seed }) };
}

/** 1 destination register, 2 modulus, 3 type, 4 offset. */
export function decodeNumgen(data: AttributeReader): Expression {
  return {
    kind: 'numgen',
    type: data.oneOf(3, ['incremental', 'random'] as const) ?? 'random',
    register: data.register(1),
    modulus: data.u32(2),
    offset: data.maybeU32(4) ?? 0,
  };
}
