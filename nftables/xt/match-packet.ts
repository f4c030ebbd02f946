/** @module Matches on other fields of a packet, and on the socket that sent it. */
import { bit, hasOthers, holds, i32, u8, u16, u32 } from './bytes.ts';
import type { XtFamily, XtMatchOf } from './types.ts';

/** struct xt_dscp_info: u8 dscp, u8 invert. */
export function decodeDscp(info: Uint8Array): XtMatchOf<'dscp'> | undefined {
  if (!holds(info, 2)) return undefined;
  return { kind: 'dscp', dscp: u8(info, 0), inverted: u8(info, 1) !== 0 };
}

/** struct xt_tos_match_info: u8 mask, u8 value, u8 invert. */
export function decodeTos(info: Uint8Array): XtMatchOf<'tos'> | undefined {
  if (!holds(info, 3)) return undefined;
  return { kind: 'tos', mask: u8(info, 0), value: u8(info, 1), inverted: u8(info, 2) !== 0 };
}

/** struct xt_length_info: u16 min, u16 max, u8 invert. */
export function decodeLength(info: Uint8Array): XtMatchOf<'length'> | undefined {
  if (!holds(info, 6)) return undefined;
  return {
    kind: 'length',
    first: u16(info, 0),
    last: u16(info, 2),
    inverted: u8(info, 4) !== 0,
  };
}

/** struct xt_pkttype_info: int type, int invert. */
export function decodePkttype(info: Uint8Array): XtMatchOf<'pkttype'> | undefined {
  if (!holds(info, 8)) return undefined;
  return { kind: 'pkttype', type: i32(info, 0), inverted: i32(info, 4) !== 0 };
}

/** struct xt_esp: u32 index[2], u8 inverse. */
export function decodeEsp(info: Uint8Array): XtMatchOf<'esp'> | undefined {
  const inverse = u8(info, 8);
  if (!holds(info, 12) || hasOthers(inverse, 1)) return undefined;
  return { kind: 'esp', first: u32(info, 0), last: u32(info, 4), inverted: inverse === 1 };
}

/**
 * struct ipt_ah: u32 index[2], u8 inverse. struct ip6t_ah: u32 index[2], u32 header length, u8 asked (reserved field), u8 inverse (1 index,
 * 2 length). Both fill sixteen bytes.
 */
export function decodeAh(info: Uint8Array, family: XtFamily): XtMatchOf<'ah'> | undefined {
  if (!holds(info, 12)) return undefined;
  const index = { kind: 'ah', first: u32(info, 0), last: u32(info, 4) } as const;
  if (family === 'ip') {
    const inverse = u8(info, 8);
    return hasOthers(inverse, 1) ? undefined : { ...index, inverted: inverse === 1 };
  }
  const inverse = u8(info, 13);
  if (hasOthers(inverse, 3) || u8(info, 12) > 1) return undefined;
  return {
    ...index,
    inverted: bit(inverse, 1),
    headerLength: { value: u32(info, 8), inverted: bit(inverse, 2) },
    reservedIsZero: u8(info, 12) === 1,
  };
}

const comparisons = ['eq', 'neq', 'lt', 'gt'] as const;

/** struct ipt_ttl_info and ip6t_hl_info: u8 mode, u8 value. */
export function decodeTtl(
  kind: 'ttl' | 'hl',
  info: Uint8Array,
): XtMatchOf<'ttl' | 'hl'> | undefined {
  const comparison = comparisons[u8(info, 0)];
  if (!holds(info, 2) || comparison === undefined) return undefined;
  return { kind, comparison, value: u8(info, 1) };
}

/**
 * struct xt_owner_match_info: u32 user min and max, u32 group min and max, u8 match, u8 invert (1 user, 2 group, 4 a socket exists,
 * 8 supplementary groups too).
 */
export function decodeOwner(info: Uint8Array): XtMatchOf<'owner'> | undefined {
  const asked = u8(info, 16);
  const inverse = u8(info, 17);
  if (!holds(info, 18) || hasOthers(asked | inverse, 0xf)) return undefined;
  const user = { first: u32(info, 0), last: u32(info, 4), inverted: bit(inverse, 1) };
  const group = { first: u32(info, 8), last: u32(info, 12), inverted: bit(inverse, 2) };
  return {
    kind: 'owner',
    ...(bit(asked, 1) ? { user } : {}),
    ...(bit(asked, 2) ? { group } : {}),
    supplementaryGroups: bit(asked, 8),
    ...(bit(asked, 4) ? { socketExists: !bit(inverse, 4) } : {}),
  };
}

/** struct xt_socket_mtinfo1 to 3: u8 flags (1 transparent, 2 no wildcard, 4 restore the socket's mark). */
export function decodeSocket(
  revision: 1 | 2 | 3,
  info: Uint8Array,
): XtMatchOf<'socket'> | undefined {
  const flags = u8(info, 0);
  if (!holds(info, 1) || hasOthers(flags, (1 << revision) - 1)) return undefined;
  return {
    kind: 'socket',
    revision,
    transparent: bit(flags, 1),
    noWildcard: bit(flags, 2),
    restoreMark: bit(flags, 4),
  };
}

/** struct xt_cpu_info: u32 cpu, u32 invert. */
export function decodeCpu(info: Uint8Array): XtMatchOf<'cpu'> | undefined {
  const invert = u32(info, 4);
  if (!holds(info, 8) || invert > 1) return undefined;
  return { kind: 'cpu', cpu: u32(info, 0), inverted: invert === 1 };
}

/**
 * struct ip6t_rt: u32 type, u32 segments left[2], u32 length, u8 flags (1 type; the others ask for more), u8 inverted flags, 16 addresses,
 * u8 their count.
 */
export function decodeRoutingHeader(info: Uint8Array): XtMatchOf<'rt'> | undefined {
  const flags = u8(info, 16);
  if (!holds(info, 280) || hasOthers(flags, 1)) return undefined;
  return {
    kind: 'rt',
    ...(bit(flags, 1) ? { type: u32(info, 0) } : {}),
    inverted: bit(u8(info, 17), 1),
  };
}
