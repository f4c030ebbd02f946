/** @module Matches on where a packet comes from or goes: addrtype, iprange, mac, physdev, rpfilter, set. */
import { addressAt, bit, bytesAt, hasOthers, holds, i32, u8, u16, u32, u64 } from './bytes.ts';
import type {
  AddressRange,
  MaskedInterface,
  SetCounter,
  SetReference,
  XtFamily,
  XtMatchOf,
} from './types.ts';

/**
 * struct xt_addrtype_info_v1: u16 source, u16 destination, u32 flags (1 invert source, 2 invert destination, 4 limit to input device,
 * 8 limit to output device). Revision 0 has u32 invert source and u32 invert destination instead of the flags.
 */
export function decodeAddrtype(
  revision: 0 | 1,
  info: Uint8Array,
): XtMatchOf<'addrtype'> | undefined {
  if (!holds(info, revision === 0 ? 12 : 8)) return undefined;
  const isOld = revision === 0;
  const flags = isOld ? (u32(info, 4) !== 0 ? 1 : 0) | (u32(info, 8) !== 0 ? 2 : 0) : u32(info, 4);
  if (hasOthers(flags, 0xf)) return undefined;
  return {
    kind: 'addrtype',
    revision,
    source: u16(info, 0),
    destination: u16(info, 2),
    sourceInverted: bit(flags, 1),
    destinationInverted: bit(flags, 2),
    limitToInput: bit(flags, 4),
    limitToOutput: bit(flags, 8),
  };
}

/** struct xt_iprange_mtinfo: addresses of 16 bytes, source min and max, destination min and max; u8 flags. */
export function decodeIprange(
  info: Uint8Array,
  family: XtFamily,
): XtMatchOf<'iprange'> | undefined {
  const flags = u8(info, 64);
  if (!holds(info, 68) || hasOthers(flags, 0x33)) return undefined;
  const range = (at: number, inverted: boolean): AddressRange => ({
    first: addressAt(info, at, family),
    last: addressAt(info, at + 16, family),
    inverted,
  });
  return {
    kind: 'iprange',
    ...(bit(flags, 1) ? { source: range(0, bit(flags, 0x10)) } : {}),
    ...(bit(flags, 2) ? { destination: range(32, bit(flags, 0x20)) } : {}),
  };
}

/** struct xt_mac_info: u8 address[6], int invert. */
export function decodeMac(info: Uint8Array): XtMatchOf<'mac'> | undefined {
  if (!holds(info, 12)) return undefined;
  return { kind: 'mac', address: bytesAt(info, 0, 6), inverted: i32(info, 8) !== 0 };
}

/**
 * struct xt_physdev_info: char input name[16], input mask[16], output name[16], output mask[16], u8 invert, u8 bitmask (1 input name,
 * 2 output name, 4 bridged, 8 came in by a bridge port, 16 goes out by one).
 */
export function decodePhysdev(info: Uint8Array): XtMatchOf<'physdev'> | undefined {
  const invert = u8(info, 64);
  const asked = u8(info, 65);
  if (!holds(info, 66) || hasOthers(asked | invert, 0x1f)) return undefined;
  const device = (at: number, flag: number): MaskedInterface => ({
    name: bytesAt(info, at, 16),
    mask: bytesAt(info, at + 16, 16),
    inverted: bit(invert, flag),
  });
  return {
    kind: 'physdev',
    ...(bit(asked, 1) ? { input: device(0, 1) } : {}),
    ...(bit(asked, 2) ? { output: device(32, 2) } : {}),
    ...(bit(asked, 8) ? { isInput: !bit(invert, 8) } : {}),
    ...(bit(asked, 16) ? { isOutput: !bit(invert, 16) } : {}),
    ...(bit(asked, 4) ? { isBridged: !bit(invert, 4) } : {}),
  };
}

/** struct xt_rpfilter_info: u8 flags (1 loose, 2 valid mark, 4 accept local, 8 invert). */
export function decodeRpfilter(info: Uint8Array): XtMatchOf<'rpfilter'> | undefined {
  const flags = u8(info, 0);
  if (!holds(info, 1) || hasOthers(flags, 0xf)) return undefined;
  return {
    kind: 'rpfilter',
    loose: bit(flags, 1),
    validMark: bit(flags, 2),
    acceptLocal: bit(flags, 4),
    inverted: bit(flags, 8),
  };
}

/**
 * struct xt_set_info: u16 index, u8 dimensions, u8 flags (1 inverted; bit n + 1 says that dimension n, from 0, is of the source).
 * Bit 7 (IPSET_RETURN_NOMATCH) is revision 2's alone.
 */
export function setReferenceAt(
  info: Uint8Array,
  at: number,
  known = 0x7f,
): SetReference | undefined {
  const count = u8(info, at + 2);
  const flags = u8(info, at + 3);
  if (count > 6 || hasOthers(flags, known)) return undefined;
  const dimensions = Array.from({ length: count }, (_, index) =>
    bit(flags, 2 << index) ? ('src' as const) : ('dst' as const),
  );
  return { index: u16(info, at), dimensions, inverted: bit(flags, 1) };
}

/**
 * struct xt_set_info_match_v4: struct xt_set_info; packets and bytes, each u64 value and u8 operation padded to 16 bytes; u32 flags.
 * Revision 3 has u8 operation first and then the value. Revisions 1 and 2 are struct xt_set_info alone.
 */
export function decodeSet(revision: 1 | 2 | 3 | 4, info: Uint8Array): XtMatchOf<'set'> | undefined {
  if (!holds(info, revision < 3 ? 4 : 48)) return undefined;
  const set = setReferenceAt(info, 0, revision === 2 ? 0xff : 0x7f);
  if (set === undefined) return undefined;
  if (revision === 1 || revision === 2) {
    const returnNoMatch = revision === 2 && bit(u8(info, 3), 0x80);
    return {
      kind: 'set',
      revision,
      set,
      returnNoMatch,
      updateCounters: true,
      updateSubcounters: true,
    };
  }
  const flags = u32(info, 40);
  const packets = counterAt(revision, info, 8);
  const bytes = counterAt(revision, info, 24);
  if (hasOthers(flags, knownSetFlags) || packets === 'unknown' || bytes === 'unknown') {
    return undefined;
  }
  return {
    kind: 'set',
    revision,
    set,
    returnNoMatch: bit(flags, 0x80),
    updateCounters: !bit(flags, 0x08),
    updateSubcounters: !bit(flags, 0x10),
    ...(packets === undefined ? {} : { packets }),
    ...(bytes === undefined ? {} : { bytes }),
  };
}

/** IPSET_FLAG_SKIP_COUNTER_UPDATE 0x08, SKIP_SUBCOUNTER_UPDATE 0x10, MATCH_COUNTERS 0x20, RETURN_NOMATCH 0x80. */
const knownSetFlags = 0xb8;

const comparisons = [undefined, 'eq', 'neq', 'lt', 'gt'] as const;

function counterAt(
  revision: 3 | 4,
  info: Uint8Array,
  at: number,
): SetCounter | 'unknown' | undefined {
  const [operationAt, valueAt] = revision === 4 ? [at + 8, at] : [at, at + 8];
  const operation = u8(info, operationAt);
  if (operation >= comparisons.length) return 'unknown';
  const comparison = comparisons[operation];
  return comparison === undefined ? undefined : { comparison, value: u64(info, valueAt) };
}
