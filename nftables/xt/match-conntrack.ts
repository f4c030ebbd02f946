/** @module Matches on connection tracking and marks: conntrack, state, mark, connmark. */
import { addressAt, be16, bit, hasOthers, holds, u8, u16, u32 } from './bytes.ts';
import {
  type ConntrackMatch,
  conntrackStates,
  type InvertibleRange,
  type MaskedAddress,
  type XtFamily,
  type XtMatchOf,
} from './types.ts';

// XT_CONNTRACK_*, of match_flags and invert_flags
const STATE = 1 << 0;
const PROTO = 1 << 1;
const ORIGINAL_SOURCE = 1 << 2;
const ORIGINAL_DESTINATION = 1 << 3;
const REPLY_SOURCE = 1 << 4;
const REPLY_DESTINATION = 1 << 5;
const STATUS = 1 << 6;
const EXPIRES = 1 << 7;
const ORIGINAL_SOURCE_PORT = 1 << 8;
const ORIGINAL_DESTINATION_PORT = 1 << 9;
const REPLY_SOURCE_PORT = 1 << 10;
const REPLY_DESTINATION_PORT = 1 << 11;
const DIRECTION = 1 << 12;
const STATE_ALIAS = 1 << 13;
const KNOWN = (1 << 14) - 1;

/**
 * struct xt_conntrack_mtinfo3: four times address and mask (16 bytes each: original source, original destination, reply source, reply
 * destination), u32 expires min and max, u16 protocol, u16 ports[4] (original source, original destination, reply source, reply
 * destination), u16 match flags, u16 invert flags, u16 state mask, u16 status mask, u16 ports' upper ends[4].
 * Revision 2 has no upper ends and its ports in network byte order; revision 1 also has the last two masks as u8.
 */
export function decodeConntrack(
  revision: number,
  info: Uint8Array,
  family: XtFamily,
): ConntrackMatch | undefined {
  if (!holds(info, [0, 152, 156, 164][revision] ?? 0)) return undefined;
  const flags = u16(info, 146);
  const inverse = u16(info, 148);
  if (hasOthers(flags | inverse, KNOWN)) return undefined;
  const is = (flag: number): boolean => bit(flags, flag);
  const isInverted = (flag: number): boolean => bit(inverse, flag);
  const address = (flag: number, at: number): MaskedAddress => ({
    address: addressAt(info, at, family),
    mask: addressAt(info, at + 16, family),
    inverted: isInverted(flag),
  });
  const port = (flag: number, index: number): InvertibleRange => {
    const at = 138 + index * 2;
    if (revision < 3) {
      const only = be16(info, at);
      return { first: only, last: only, inverted: isInverted(flag) };
    }
    return {
      first: u16(info, at),
      last: u16(info, 154 + index * 2),
      inverted: isInverted(flag),
    };
  };
  const [states, status] =
    revision === 1 ? [u8(info, 150), u8(info, 151)] : [u16(info, 150), u16(info, 152)];
  return {
    kind: 'conntrack',
    ...(is(STATE) ? { states: { mask: states, inverted: isInverted(STATE) } } : {}),
    isStateAlias: is(STATE_ALIAS),
    ...(is(PROTO) ? { protocol: { number: u16(info, 136), inverted: isInverted(PROTO) } } : {}),
    ...(is(ORIGINAL_SOURCE) ? { originalSource: address(ORIGINAL_SOURCE, 0) } : {}),
    ...(is(ORIGINAL_DESTINATION) ? { originalDestination: address(ORIGINAL_DESTINATION, 32) } : {}),
    ...(is(REPLY_SOURCE) ? { replySource: address(REPLY_SOURCE, 64) } : {}),
    ...(is(REPLY_DESTINATION) ? { replyDestination: address(REPLY_DESTINATION, 96) } : {}),
    ...(is(ORIGINAL_SOURCE_PORT) ? { originalSourcePort: port(ORIGINAL_SOURCE_PORT, 0) } : {}),
    ...(is(ORIGINAL_DESTINATION_PORT)
      ? { originalDestinationPort: port(ORIGINAL_DESTINATION_PORT, 1) }
      : {}),
    ...(is(REPLY_SOURCE_PORT) ? { replySourcePort: port(REPLY_SOURCE_PORT, 2) } : {}),
    ...(is(REPLY_DESTINATION_PORT)
      ? { replyDestinationPort: port(REPLY_DESTINATION_PORT, 3) }
      : {}),
    ...(is(STATUS) ? { status: { mask: status, inverted: isInverted(STATUS) } } : {}),
    ...(is(EXPIRES)
      ? {
          expires: {
            first: u32(info, 128),
            last: u32(info, 132),
            inverted: isInverted(EXPIRES),
          },
        }
      : {}),
    ...(is(DIRECTION) ? { direction: isInverted(DIRECTION) ? 'reply' : 'original' } : {}),
  };
}

/** XT_STATE_UNTRACKED, which is another bit than that of conntrack. */
const OLD_UNTRACKED = 0x40;

/** struct xt_state_info: u32 mask. */
export function decodeState(info: Uint8Array): XtMatchOf<'state'> | undefined {
  const mask = u32(info, 0);
  if (!holds(info, 4) || hasOthers(mask, OLD_UNTRACKED | 0xf)) return undefined;
  const untracked = bit(mask, OLD_UNTRACKED) ? conntrackStates.untracked : 0;
  return { kind: 'state', mask: (mask & 0xf) | untracked };
}

/** struct xt_mark_mtinfo1 and xt_connmark_mtinfo1: u32 mark, u32 mask, u8 invert. */
export function decodeMark(
  kind: 'mark' | 'connmark',
  info: Uint8Array,
): XtMatchOf<'mark' | 'connmark'> | undefined {
  if (!holds(info, 12) || u8(info, 8) > 1) return undefined;
  return { kind, value: u32(info, 0), mask: u32(info, 4), inverted: u8(info, 8) === 1 };
}
