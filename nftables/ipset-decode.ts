/** @module What ip_set answers to IPSET_CMD_LIST, decoded. Pure. Numbers are in network byte order. */
import { AttributeReader, given, splitAttributes } from './decode/attributes.ts';
import type { IpSet, IpSetEntry } from './model.ts';

/** What one message says: the first of a set has its head, others go on with its entries. */
export interface IpSetPart {
  readonly name: string;
  readonly head?: Omit<IpSet, 'index' | 'entries' | 'isUnderstood'> & { readonly index?: number };
  readonly entries: readonly IpSetEntry[];
  readonly isUnderstood: boolean;
}

const nfgenmsgBytes = 4;

/**
 * Attributes of a message: 1 protocol, 2 name, 3 type, 4 revision, 5 family, 7 head, 8 entries, 11 index (since protocol 7).
 * Undefined without a name.
 */
export function decodeIpSetPart(payload: Uint8Array): IpSetPart | undefined {
  const message = new AttributeReader(payload.subarray(nfgenmsgBytes));
  message.ignore(1);
  const name = message.maybeText(2);
  const type = message.maybeText(3);
  const revision = message.maybeNumber(4, 1);
  const family = message.maybeNumber(5, 1);
  const index = message.maybeNumber(11, 2);
  const head = message.maybeNested(7);
  const list = message.maybeBytes(8);
  if (name === undefined) return undefined;
  const entries: IpSetEntry[] = [];
  let areUnderstood = true;
  if (list !== undefined) {
    const { attributes, whole } = splitAttributes(list);
    areUnderstood = whole;
    for (const [number, element] of attributes) {
      const reader = new AttributeReader(element);
      entries.push(decodeEntry(reader));
      if (number !== entryAttribute || !reader.isUnderstood) areUnderstood = false;
    }
  }
  const decoded =
    type === undefined || head === undefined
      ? undefined
      : { name, ...given({ index }), type, revision: revision ?? 0, ...decodeHead(head, family) };
  return {
    name,
    ...given({ head: decoded }),
    entries,
    isUnderstood: areUnderstood && message.isUnderstood,
  };
}

/** IPSET_ATTR_DATA */
const entryAttribute = 7;
const WITH_COUNTERS = 0x08;
const families: ReadonlyMap<number, 'ip' | 'ip6'> = new Map([
  [2, 'ip'],
  [10, 'ip6'],
]);

/**
 * 1 and 2 first and last address or 4 and 5 port of a bitmap, 3 prefix of that range, 6 default timeout, 8 flags (8 counters, 16 comments,
 * 32 forceadd, 64 skbinfo), 11 mark mask, 12 bitmask, 20 netmask; 17 to 19, 21 to 26 sizes and counts.
 */
function decodeHead(
  head: AttributeReader,
  family: number | undefined,
): Pick<IpSet, 'family' | 'hasTimeouts' | 'hasCounters' | 'netmask' | 'bitmask' | 'markMask'> {
  head.ignore(1, 2, 3, 4, 5, 17, 18, 19, 21, 22, 23, 24, 25, 26);
  const hasTimeouts = head.has(6);
  head.ignore(6);
  const flags = head.flags(8, 0x78);
  return {
    family: families.get(family ?? 0) ?? 'unspecified',
    hasTimeouts,
    hasCounters: (flags & WITH_COUNTERS) !== 0,
    ...given({
      netmask: head.maybeNumber(20, 1),
      bitmask: addressOf(head, 12),
      markMask: head.maybeU32(11),
    }),
  };
}

const PHYSICAL = 0x02;
const NO_MATCH = 0x04;
const WILDCARD = 0x80;

/**
 * 1 address, 2 last address, 3 prefix, 4 port, 5 last port, 6 timeout, 7 protocol, 8 flags (1 before, 2 physical device, 4 nomatch,
 * 128 wildcard), 9 line, 10 mark, 17 MAC address, 18 set, 20 second address, 21 its prefix, 23 device, 24 and 25 counters, 26 comment,
 * 27 to 29 values of skbinfo, 30 padding.
 */
function decodeEntry(entry: AttributeReader): IpSetEntry {
  entry.ignore(9, 24, 25, 27, 28, 29, 30);
  const flags = entry.flags(8, 0xff);
  return {
    ...given({
      address: addressOf(entry, 1),
      addressEnd: addressOf(entry, 2),
      prefix: entry.maybeNumber(3, 1),
      address2: addressOf(entry, 20),
      prefix2: entry.maybeNumber(21, 1),
      protocol: entry.maybeNumber(7, 1),
      port: entry.maybeNumber(4, 2),
      portEnd: entry.maybeNumber(5, 2),
      interface: entry.maybeText(23),
      interfaceWildcard: (flags & WILDCARD) !== 0 ? true : undefined,
      physicalInterface: (flags & PHYSICAL) !== 0 ? true : undefined,
      mac: macOf(entry),
      mark: entry.maybeU32(10),
      set: entry.maybeText(18),
      timeoutSeconds: entry.maybeU32(6),
      comment: entry.maybeText(26),
    }),
    noMatch: (flags & NO_MATCH) !== 0,
  };
}

/** Nested: 1 four bytes, 2 sixteen. */
function addressOf(reader: AttributeReader, type: number): Uint8Array | undefined {
  const nested = reader.maybeNested(type);
  if (nested === undefined) return undefined;
  const v4 = nested.maybeBytes(1);
  const v6 = nested.maybeBytes(2);
  const address = v4 ?? v6;
  if (address === undefined || address.length !== (v4 === undefined ? 16 : 4)) {
    nested.fail();
    return undefined;
  }
  return Uint8Array.from(address);
}

function macOf(entry: AttributeReader): Uint8Array | undefined {
  const mac = entry.maybeBytes(17);
  if (mac === undefined) return undefined;
  if (mac.length !== 6) entry.fail();
  return Uint8Array.from(mac);
}
