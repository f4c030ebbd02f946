/** @module Targets that change the packet itself: TCPMSS, DSCP, TOS, TTL, HL, CHECKSUM. */
import { holds, u8, u16 } from './bytes.ts';
import type { XtTargetOf } from './types.ts';

/** XT_TCPMSS_CLAMP_PMTU */
const CLAMP_TO_PATH = 0xffff;

/** struct xt_tcpmss_info: u16 mss. */
export function decodeTcpmss(info: Uint8Array): XtTargetOf<'tcpmss'> | undefined {
  if (!holds(info, 2)) return undefined;
  const mss = u16(info, 0);
  return mss === CLAMP_TO_PATH ? { kind: 'tcpmss' } : { kind: 'tcpmss', mss };
}

/** struct xt_CHECKSUM_info: u8 operation, 1 is to fill in. */
export function decodeChecksum(info: Uint8Array): XtTargetOf<'checksum'> | undefined {
  return holds(info, 1) && u8(info, 0) === 1 ? { kind: 'checksum' } : undefined;
}

/** struct xt_DSCP_info: u8 dscp. */
export function decodeDscpTarget(info: Uint8Array): XtTargetOf<'dscp'> | undefined {
  return holds(info, 1) && u8(info, 0) < 64 ? { kind: 'dscp', dscp: u8(info, 0) } : undefined;
}

/** struct xt_tos_target_info: u8 value, u8 mask. */
export function decodeTosTarget(info: Uint8Array): XtTargetOf<'tos'> | undefined {
  return holds(info, 2) ? { kind: 'tos', value: u8(info, 0), mask: u8(info, 1) } : undefined;
}

const modes = ['set', 'inc', 'dec'] as const;

/** struct ipt_TTL_info and ip6t_HL_info: u8 mode, u8 value. */
export function decodeTtlTarget(
  kind: 'ttl' | 'hl',
  info: Uint8Array,
): XtTargetOf<'ttl' | 'hl'> | undefined {
  const mode = modes[u8(info, 0)];
  if (!holds(info, 2) || mode === undefined) return undefined;
  return { kind, mode, value: u8(info, 1) };
}
