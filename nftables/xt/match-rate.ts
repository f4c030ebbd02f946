/** @module Matches on rates and chance: limit, hashlimit, statistic, recent. */
import { addressAt, bit, hasOthers, holds, textAt, u8, u16, u32, u64 } from './bytes.ts';
import type { HashLimit, XtFamily, XtMatchOf } from './types.ts';

/** struct xt_rateinfo: u32 average, u32 burst, and 32 bytes that the kernel keeps to itself. */
export function decodeLimit(info: Uint8Array): XtMatchOf<'limit'> | undefined {
  if (!holds(info, 40)) return undefined;
  return { kind: 'limit', average: u32(info, 0), burst: u32(info, 4) };
}

const hashKeys = [
  [4, 'srcip'],
  [8, 'srcport'],
  [1, 'dstip'],
  [2, 'dstport'],
] as const;

/**
 * struct xt_hashlimit_mtinfo1: char name[16], u32 mode, u32 average, u32 burst, u32 size, u32 max, u32 gc interval, u32 expire,
 * u8 source prefix, u8 destination prefix, a pointer.
 * mtinfo2: char name[255] and a byte of padding, u64 average, u64 burst, u32 mode, u32 size, max, gc interval, expire, the prefixes;
 * mtinfo3 has u32 interval before the prefixes.
 */
export function decodeHashlimit(
  revision: 1 | 2 | 3,
  info: Uint8Array,
): XtMatchOf<'hashlimit'> | undefined {
  if (!holds(info, [56, 304, 312][revision - 1] ?? 0)) return undefined;
  const isOld = revision === 1;
  const mode = u32(info, isOld ? 16 : 272);
  if (hasOthers(mode, 0x7f)) return undefined;
  const fields = isOld ? 28 : 276;
  const prefixes = fields + (revision === 3 ? 20 : 16);
  const limit: HashLimit = {
    name: textAt(info, 0, isOld ? 16 : 255),
    revision,
    // XT_HASHLIMIT_INVERT is the usual case: the match ends where the limit does.
    over: bit(mode, 0x10),
    bytes: bit(mode, 0x20),
    rateMatch: bit(mode, 0x40),
    keys: hashKeys.flatMap(([flag, name]) => (bit(mode, flag) ? [name] : [])),
    average: isOld ? u32(info, 20) : u64(info, 256),
    burst: isOld ? u32(info, 24) : u64(info, 264),
    size: u32(info, fields),
    max: u32(info, fields + 4),
    gcIntervalMs: u32(info, fields + 8),
    expireMs: u32(info, fields + 12),
    ...(revision === 3 ? { interval: u32(info, fields + 16) } : {}),
    sourcePrefix: u8(info, prefixes),
    destinationPrefix: u8(info, prefixes + 1),
  };
  return { kind: 'hashlimit', limit };
}

/**
 * struct xt_statistic_info: u16 mode (0 random, 1 nth), u16 flags (1 invert), then u32 probability of 2^31, or u32 every, u32 packet,
 * u32 count; a pointer.
 */
export function decodeStatistic(info: Uint8Array): XtMatchOf<'statistic'> | undefined {
  const mode = u16(info, 0);
  const flags = u16(info, 2);
  if (!holds(info, 24) || mode > 1 || hasOthers(flags, 1)) return undefined;
  const inverted = bit(flags, 1);
  if (mode === 0) return { kind: 'statistic', inverted, probability: u32(info, 4) };
  return { kind: 'statistic', inverted, nth: { every: u32(info, 4), packet: u32(info, 8) } };
}

const recentActions = new Map([
  [1, 'check'],
  [2, 'set'],
  [4, 'update'],
  [8, 'remove'],
] as const);

/**
 * struct xt_recent_mtinfo: u32 seconds, u32 hit count, u8 what to do (1 check, 2 set, 4 update, 8 remove, 16 same TTL, 32 reap), u8
 * invert, char name[200], u8 side; revision 1: union nf_inet_addr mask.
 */
export function decodeRecent(
  revision: 0 | 1,
  info: Uint8Array,
  family: XtFamily,
): XtMatchOf<'recent'> | undefined {
  const flags = u8(info, 8);
  const action = recentActions.get((flags & 15) as 1 | 2 | 4 | 8);
  const side = u8(info, 210);
  if (!holds(info, revision === 0 ? 212 : 228) || action === undefined || side > 1)
    return undefined;
  if (hasOthers(flags, 63)) return undefined;
  return {
    kind: 'recent',
    action,
    seconds: u32(info, 0),
    hitCount: u32(info, 4),
    reap: bit(flags, 32),
    sameTtl: bit(flags, 16),
    name: textAt(info, 10, 200),
    side: side === 0 ? 'source' : 'destination',
    ...(revision === 0 ? {} : { mask: addressAt(info, 212, family) }),
    inverted: u8(info, 9) !== 0,
  };
}
