/** @module Targets that change what is known of a packet or its connection: MARK, CONNMARK, CT, SET, CLASSIFY. */
import { bit, hasOthers, holds, textAt, u8, u16, u32 } from './bytes.ts';
import { setReferenceAt } from './match-address.ts';
import type { SetReference, XtTargetOf } from './types.ts';

/** struct xt_mark_tginfo2: u32 mark, u32 mask. */
export function decodeMarkTarget(info: Uint8Array): XtTargetOf<'mark'> | undefined {
  if (!holds(info, 8)) return undefined;
  return { kind: 'mark', value: u32(info, 0), mask: u32(info, 4) };
}

const modes = ['set', 'save', 'restore'] as const;

/**
 * struct xt_connmark_tginfo1: u32 connection mark, u32 connection mask, u32 packet mask, u8 mode. tginfo2 has u8 shift direction
 * (0 left, 1 right) and u8 shift bits before the mode.
 */
export function decodeConnmarkTarget(
  revision: 1 | 2,
  info: Uint8Array,
): XtTargetOf<'connmark'> | undefined {
  const mode = modes[u8(info, revision === 1 ? 12 : 14)];
  if (!holds(info, 16) || mode === undefined) return undefined;
  const common = {
    kind: 'connmark',
    revision,
    mode,
    mark: u32(info, 0),
    connectionMask: u32(info, 4),
    packetMask: u32(info, 8),
  } as const;
  if (revision === 1 || u8(info, 13) === 0) return common;
  // The kernel refuses no number of bits, and shifts by 32 or more as the machine does.
  if (u8(info, 12) > 1 || u8(info, 13) > 31) return undefined;
  const direction = u8(info, 12) === 0 ? 'left' : 'right';
  return { ...common, shift: { direction, bits: u8(info, 13) } };
}

/**
 * struct xt_ct_target_info: u16 flags (1 notrack, 2 written as NOTRACK, 4 zone of original direction, 8 of reply, 16 zone from mark),
 * u16 zone, u32 events, u32 expectation events, char helper[16], a pointer. Revisions 1 and 2 have char timeout[32] before the pointer.
 */
export function decodeCt(revision: number, info: Uint8Array): XtTargetOf<'ct'> | undefined {
  const flags = u16(info, 0);
  if (!holds(info, revision === 0 ? 40 : 72) || hasOthers(flags, 0x1f)) return undefined;
  return {
    kind: 'ct',
    notrack: bit(flags, 1),
    isNotrackAlias: bit(flags, 2),
    zone: u16(info, 2),
    ...(bit(flags, 4) && !bit(flags, 8) ? { zoneDirection: 'original' } : {}),
    ...(bit(flags, 8) && !bit(flags, 4) ? { zoneDirection: 'reply' } : {}),
    zoneFromMark: bit(flags, 16),
    events: u32(info, 4),
    expectationEvents: u32(info, 8),
    helper: textAt(info, 12, 16),
    timeout: revision === 0 ? '' : textAt(info, 28, 32),
  };
}

const NO_SET = 0xffff;
const DEFAULT_TIMEOUT = 0xffff_ffff;

/**
 * struct xt_set_info_target_v3: struct xt_set_info of the set to add to, to delete from and to map by; u32 flags (1 exist, 0x100 map the mark,
 * 0x200 the priority, 0x400 the queue), u32 timeout. v2 has no map, v1 neither flags nor timeout.
 */
export function decodeSetTarget(
  revision: 1 | 2 | 3,
  info: Uint8Array,
): XtTargetOf<'set'> | undefined {
  if (!holds(info, [8, 16, 20][revision - 1] ?? 0)) return undefined;
  const fields = revision === 3 ? 12 : 8;
  const flags = revision === 1 ? 0 : u32(info, fields);
  const timeout = revision === 1 ? DEFAULT_TIMEOUT : u32(info, fields + 4);
  const add = referenceAt(info, 0);
  const remove = referenceAt(info, 4);
  const map = revision === 3 ? referenceAt(info, 8) : undefined;
  if (add === 'unknown' || remove === 'unknown' || map === 'unknown') return undefined;
  if (hasOthers(flags, 0x701)) return undefined;
  return {
    kind: 'set',
    ...(add === undefined ? {} : { add }),
    ...(remove === undefined ? {} : { remove }),
    ...(map === undefined ? {} : { map }),
    exist: bit(flags, 1),
    ...(timeout === DEFAULT_TIMEOUT ? {} : { timeoutSeconds: timeout }),
    mapMark: bit(flags, 0x100),
    mapPriority: bit(flags, 0x200),
    mapQueue: bit(flags, 0x400),
  };
}

function referenceAt(info: Uint8Array, at: number): SetReference | 'unknown' | undefined {
  if (u16(info, at) === NO_SET) return undefined;
  return setReferenceAt(info, at) ?? 'unknown';
}

/** struct xt_classify_target_info: u32 priority. */
export function decodeClassify(info: Uint8Array): XtTargetOf<'classify'> | undefined {
  return holds(info, 4) ? { kind: 'classify', priority: u32(info, 0) } : undefined;
}
