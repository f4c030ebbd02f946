/**
 * @module Netlink bytes of nf_tables -> tables, chains, rules and their expressions. Pure.
 *
 * Netlink's own headers are in host byte order (little-endian here); every number inside nf_tables' attributes
 * is big-endian (linux/netfilter/nf_tables.h). Register contents are bytes as the kernel holds them: packet
 * fields in network order, `meta mark` and other integers of the kernel in host order.
 */

/** Address family of a table: enum nfproto. */
export type Family = 'inet' | 'ip' | 'arp' | 'netdev' | 'bridge' | 'ip6';

/** Who serves the rules. iptables-nft's rules are nf_tables rules with `match` and `target` in them. */
export type Backend = 'nf_tables' | 'iptables-legacy';

export interface Table {
  readonly backend: Backend;
  readonly family: Family;
  readonly name: string;
  /** A dormant table's base chains are not registered: no packet meets them. */
  readonly dormant: boolean;
}

export interface Chain {
  readonly backend: Backend;
  readonly family: Family;
  readonly table: string;
  readonly name: string;
  readonly handle: bigint;
  /** Only of a base chain. */
  readonly base?: BaseChain;
}

export interface BaseChain {
  readonly hook: string;
  readonly priority: number;
  readonly policy: 'accept' | 'drop';
  /** `filter`, `nat`, `route`. */
  readonly type: string;
  readonly devices: readonly string[];
}

export interface Rule {
  readonly backend: Backend;
  readonly family: Family;
  readonly table: string;
  readonly chain: string;
  readonly handle: bigint;
  readonly expressions: readonly Expression[];
}

/** A consistent picture of every rule of this network namespace. */
export interface Ruleset {
  readonly tables: readonly Table[];
  readonly chains: readonly Chain[];
  readonly rules: readonly Rule[];
}

export type Comparison = 'eq' | 'neq' | 'lt' | 'lte' | 'gt' | 'gte';

export interface Verdict {
  readonly code: 'accept' | 'drop' | 'queue' | 'continue' | 'break' | 'jump' | 'goto' | 'return';
  readonly chain?: string;
}

/** One step of a rule. Registers are counted in 32-bit words from 0; a load may fill several. */
export type Expression =
  | {
      readonly kind: 'payload';
      readonly base: 'link' | 'network' | 'transport' | 'inner';
      readonly offset: number;
      readonly length: number;
      readonly register: number;
    }
  | { readonly kind: 'meta-load'; readonly key: number; readonly register: number }
  | { readonly kind: 'meta-set'; readonly key: number; readonly register: number }
  | {
      readonly kind: 'compare';
      readonly register: number;
      readonly comparison: Comparison;
      readonly value: Uint8Array;
    }
  | {
      readonly kind: 'range';
      readonly register: number;
      readonly comparison: 'eq' | 'neq';
      readonly first: Uint8Array;
      readonly last: Uint8Array;
    }
  | {
      /** destination = (source & mask) ^ xor */
      readonly kind: 'bitwise';
      readonly source: number;
      readonly destination: number;
      readonly mask: Uint8Array;
      readonly xor: Uint8Array;
    }
  | { readonly kind: 'load'; readonly register: number; readonly value: Uint8Array }
  | { readonly kind: 'verdict'; readonly verdict: Verdict }
  | {
      readonly kind: 'lookup';
      readonly set: string;
      readonly register: number;
      /** What a map gives: a verdict, or data in a register; absent for a plain set. */
      readonly gives?: 'verdict' | { readonly register: number };
    }
  | { readonly kind: 'tproxy' }
  | {
      /** An x_tables extension: iptables-nft's, or an entry of legacy iptables. */
      readonly kind: 'match' | 'target';
      readonly name: string;
      readonly revision: number;
      readonly info: Uint8Array;
    }
  /** Anything that is not decoded: it may match or not, and write any register. */
  | { readonly kind: 'opaque'; readonly name: string };

/** NFT_META_ keys that are understood. */
export const metaKeys = { protocol: 1, mark: 3, nfproto: 15, l4proto: 16 } as const;

/** One netlink message without its header. */
export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly payload: Uint8Array;
}

const families: ReadonlyMap<number, Family> = new Map([
  [1, 'inet'],
  [2, 'ip'],
  [3, 'arp'],
  [5, 'netdev'],
  [7, 'bridge'],
  [10, 'ip6'],
]);

const inetHooks = ['prerouting', 'input', 'forward', 'output', 'postrouting', 'ingress'];
const hooks: Readonly<Record<Family, readonly string[]>> = {
  inet: inetHooks,
  ip: inetHooks,
  ip6: inetHooks,
  bridge: inetHooks,
  arp: ['input', 'output', 'forward'],
  netdev: ['ingress', 'egress'],
};

/** Splits what one recv(2) gave: struct nlmsghdr is u32 length, u16 type, u16 flags, u32 sequence, u32 port id. */
export function decodeMessages(bytes: Uint8Array): readonly Message[] {
  const view = viewOf(bytes);
  const messages: Message[] = [];
  let at = 0;
  while (at + 16 <= bytes.length) {
    const length = view.getUint32(at, true);
    if (length < 16 || at + length > bytes.length) break;
    messages.push({
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      payload: bytes.subarray(at + 16, at + length),
    });
    at += (length + 3) & ~3;
  }
  return messages;
}

type Attributes = ReadonlyMap<number, Uint8Array>;

/** Splits attributes: u16 length with header, u16 type with flags in its two highest bits. Lengths can lie. */
function* attributesOf(bytes: Uint8Array): Generator<readonly [number, Uint8Array]> {
  const view = viewOf(bytes);
  let at = 0;
  while (at + 4 <= bytes.length) {
    const length = view.getUint16(at, true);
    if (length < 4 || at + length > bytes.length) return;
    yield [view.getUint16(at + 2, true) & 0x3fff, bytes.subarray(at + 4, at + length)];
    at += (length + 3) & ~3;
  }
}

function indexed(bytes: Uint8Array | undefined): Attributes {
  return new Map(bytes === undefined ? [] : attributesOf(bytes));
}

/** Every nf_tables message starts with struct nfgenmsg: u8 family, u8 version, be16 resource id. */
function open(payload: Uint8Array): { family: Family; attributes: Attributes } | undefined {
  const family = families.get(payload[0] ?? 0);
  return family === undefined ? undefined : { family, attributes: indexed(payload.subarray(4)) };
}

/** Decodes NFT_MSG_NEWTABLE: 1 name, 2 flags (NFT_TABLE_F_DORMANT is 1). */
export function decodeTable(payload: Uint8Array): Table | undefined {
  const message = open(payload);
  const name = text(message?.attributes.get(1));
  if (message === undefined || name === undefined) return undefined;
  const flags = number(message.attributes.get(2)) ?? 0;
  return { backend: 'nf_tables', family: message.family, name, dormant: (flags & 1) !== 0 };
}

/** Decodes NFT_MSG_NEWCHAIN: 1 table, 2 handle, 3 name, 4 hook { 1 number, 2 priority, 3 device, 4 devices }, 5 policy, 7 type. */
export function decodeChain(payload: Uint8Array): Chain | undefined {
  const message = open(payload);
  if (message === undefined) return undefined;
  const { family, attributes } = message;
  const table = text(attributes.get(1));
  const name = text(attributes.get(3));
  if (table === undefined || name === undefined) return undefined;
  const chain = {
    backend: 'nf_tables',
    family,
    table,
    name,
    handle: handle(attributes.get(2)),
  } as const;
  if (!attributes.has(4)) return chain;
  const hook = indexed(attributes.get(4));
  const devices = [...attributesOf(hook.get(4) ?? new Uint8Array())].map(([, value]) => value);
  const number_ = number(hook.get(1)) ?? -1;
  return {
    ...chain,
    base: {
      hook: hooks[family][number_] ?? `hook-${number_}`,
      priority: (number(hook.get(2)) ?? 0) | 0,
      policy: number(attributes.get(5)) === 0 ? 'drop' : 'accept',
      type: text(attributes.get(7)) ?? '',
      devices: [hook.get(3), ...devices].flatMap((device) => text(device) ?? []),
    },
  };
}

/** Decodes NFT_MSG_NEWRULE: 1 table, 2 chain, 3 handle, 4 expressions. */
export function decodeRule(payload: Uint8Array): Rule | undefined {
  const message = open(payload);
  if (message === undefined) return undefined;
  const { family, attributes } = message;
  const table = text(attributes.get(1));
  const chain = text(attributes.get(2));
  if (table === undefined || chain === undefined) return undefined;
  const expressions: Expression[] = [];
  for (const [, element] of attributesOf(attributes.get(4) ?? new Uint8Array())) {
    const expression = indexed(element);
    const name = text(expression.get(1)) ?? '';
    const data = indexed(expression.get(2));
    expressions.push(decodeExpression(name, data) ?? { kind: 'opaque', name });
  }
  const place = { backend: 'nf_tables', family, table, chain } as const;
  return { ...place, handle: handle(attributes.get(3)), expressions };
}

/** Decodes NFT_MSG_NEWGEN: 1 generation id. */
export function decodeGeneration(payload: Uint8Array): number | undefined {
  return number(indexed(payload.subarray(4)).get(1));
}

function decodeExpression(name: string, data: Attributes): Expression | undefined {
  switch (name) {
    case 'payload':
      return decodePayload(data);
    case 'meta':
      return decodeMeta(data);
    case 'cmp':
      return decodeCompare(data);
    case 'range':
      return decodeRange(data);
    case 'bitwise':
      return decodeBitwise(data);
    case 'immediate':
      return decodeImmediate(data);
    case 'lookup':
      return decodeLookup(data);
    case 'tproxy':
      return { kind: 'tproxy' };
    case 'match':
    case 'target':
      return decodeExtension(name, data);
    default:
      return undefined;
  }
}

/** 1 destination register, 2 base, 3 offset, 4 length; with 5 (source register) it writes into the packet. */
function decodePayload(data: Attributes): Expression | undefined {
  const destination = register(data.get(1));
  const base = (['link', 'network', 'transport', 'inner'] as const)[number(data.get(2)) ?? -1];
  const offset = number(data.get(3));
  const length = number(data.get(4));
  if (destination === undefined || base === undefined || data.has(5)) return undefined;
  if (offset === undefined || length === undefined) return undefined;
  return { kind: 'payload', base, offset, length, register: destination };
}

/** 1 destination register, 2 key, 3 source register. */
function decodeMeta(data: Attributes): Expression | undefined {
  const key = number(data.get(2));
  const source = register(data.get(3));
  const destination = register(data.get(1));
  if (key === undefined) return undefined;
  if (source !== undefined) return { kind: 'meta-set', key, register: source };
  return destination === undefined ? undefined : { kind: 'meta-load', key, register: destination };
}

/** 1 source register, 2 operator (NFT_CMP_EQ is 0), 3 data. */
function decodeCompare(data: Attributes): Expression | undefined {
  const source = register(data.get(1));
  const comparison = (['eq', 'neq', 'lt', 'lte', 'gt', 'gte'] as const)[number(data.get(2)) ?? -1];
  const value = valueOf(data.get(3));
  if (source === undefined || comparison === undefined || value === undefined) return undefined;
  return { kind: 'compare', register: source, comparison, value };
}

/** 1 source register, 2 operator (NFT_RANGE_EQ is 0), 3 first, 4 last. */
function decodeRange(data: Attributes): Expression | undefined {
  const source = register(data.get(1));
  const comparison = (['eq', 'neq'] as const)[number(data.get(2)) ?? -1];
  const first = valueOf(data.get(3));
  const last = valueOf(data.get(4));
  if (source === undefined || comparison === undefined) return undefined;
  if (first === undefined || last === undefined) return undefined;
  return { kind: 'range', register: source, comparison, first, last };
}

/** 1 source, 2 destination, 3 length, 4 mask, 5 xor, 6 operation: only NFT_BITWISE_MASK_XOR (0, or absent) has both. */
function decodeBitwise(data: Attributes): Expression | undefined {
  const source = register(data.get(1));
  const destination = register(data.get(2));
  const mask = valueOf(data.get(4));
  const xor = valueOf(data.get(5));
  if ((number(data.get(6)) ?? 0) !== 0 || source === undefined || destination === undefined) {
    return undefined;
  }
  if (mask === undefined || xor?.length !== mask.length) return undefined;
  return { kind: 'bitwise', source, destination, mask, xor };
}

/** 1 destination register, 2 data: a value, or for register 0 a verdict. */
function decodeImmediate(data: Attributes): Expression | undefined {
  const nested = indexed(data.get(2));
  if (nested.has(2)) {
    const verdict = decodeVerdict(indexed(nested.get(2)));
    return verdict === undefined ? undefined : { kind: 'verdict', verdict };
  }
  const destination = register(data.get(1));
  const value = nested.get(1);
  if (destination === undefined || value === undefined) return undefined;
  return { kind: 'load', register: destination, value };
}

/** 1 code (enum nft_verdicts is negative, NF_ is not), 2 chain. */
function decodeVerdict(data: Attributes): Verdict | undefined {
  const codes = new Map<number, Verdict['code']>([
    [0, 'drop'],
    [1, 'accept'],
    [3, 'queue'],
    [-1, 'continue'],
    [-2, 'break'],
    [-3, 'jump'],
    [-4, 'goto'],
    [-5, 'return'],
  ]);
  const raw = number(data.get(1));
  if (raw === undefined) return undefined;
  const code = codes.get((raw | 0) < 0 ? raw | 0 : raw & 0xff);
  const chain = text(data.get(2));
  return code === undefined ? undefined : { code, ...(chain === undefined ? {} : { chain }) };
}

/** 1 set, 2 source register, 3 destination register: NFT_REG_VERDICT (0) for a verdict map. */
function decodeLookup(data: Attributes): Expression | undefined {
  const set = text(data.get(1));
  const source = register(data.get(2));
  if (set === undefined || source === undefined) return undefined;
  if (!data.has(3)) return { kind: 'lookup', set, register: source };
  const destination = register(data.get(3));
  const gives = destination === undefined ? 'verdict' : { register: destination };
  return { kind: 'lookup', set, register: source, gives };
}

/** linux/netfilter/nf_tables_compat.h, the same for both: 1 name, 2 revision, 3 info. */
function decodeExtension(kind: 'match' | 'target', data: Attributes): Expression | undefined {
  const name = text(data.get(1));
  const info = data.get(3);
  if (name === undefined || info === undefined) return undefined;
  return { kind, name, revision: number(data.get(2)) ?? 0, info };
}

/** struct nft_data, nested: 1 value. */
function valueOf(data: Uint8Array | undefined): Uint8Array | undefined {
  return indexed(data).get(1);
}

/** NFT_REG_1 to NFT_REG_4 (1 to 4) are four words each and overlay NFT_REG32_00 to _15 (8 to 23). 0 is the verdict. */
function register(value: Uint8Array | undefined): number | undefined {
  const raw = number(value) ?? 0;
  if (raw >= 1 && raw <= 4) return (raw - 1) * 4;
  return raw >= 8 && raw <= 23 ? raw - 8 : undefined;
}

function number(value: Uint8Array | undefined): number | undefined {
  return value === undefined || value.length < 4 ? undefined : viewOf(value).getUint32(0);
}

function handle(value: Uint8Array | undefined): bigint {
  return value === undefined || value.length < 8 ? 0n : viewOf(value).getBigUint64(0);
}

function text(value: Uint8Array | undefined): string | undefined {
  if (value === undefined) return undefined;
  const end = value.indexOf(0);
  return new TextDecoder().decode(end < 0 ? value : value.subarray(0, end));
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
