/** @module Targets that end a packet's way, hand it on or tell of it: REJECT, NFQUEUE, LOG, NFLOG, AUDIT, and the standard target. */

import type { Reject, Verdict } from '../model.ts';
import { bit, hasOthers, holds, i32, textAt, u8, u16, u32 } from './bytes.ts';
import type { XtFamily, XtTargetOf } from './types.ts';

/** struct xt_standard_target: int verdict, below zero -verdict - 1, but -5 is RETURN. A jump is an offset, which says nothing here. */
export function decodeStandard(info: Uint8Array): XtTargetOf<'standard'> | undefined {
  const verdict = holds(info, 4) ? standardVerdict(i32(info, 0)) : undefined;
  return verdict === undefined ? undefined : { kind: 'standard', verdict };
}

export function standardVerdict(raw: number): Verdict | undefined {
  switch (raw) {
    case -1:
      return { code: 'drop' };
    case -2:
      return { code: 'accept' };
    case -5:
      return { code: 'return' };
    default:
      break;
  }
  // NF_QUEUE is 3 in the low byte, the queue's number the upper half, NF_VERDICT_FLAG_QUEUE_BYPASS 0x8000.
  const code = -raw - 1;
  if (raw >= 0 || (code & 0xff) !== 3 || hasOthers(code & 0xffff, 0x8003)) return undefined;
  return { code: 'queue', number: (code >>> 16) & 0xffff, bypass: (code & 0x8000) !== 0 };
}

interface RejectWord {
  readonly word: string;
  readonly reject: Reject;
}

function icmp(word: string, code: number): RejectWord {
  return { word, reject: { with: 'icmp', code } };
}

const reset: RejectWord = { word: 'tcp-reset', reject: { with: 'tcp-reset' } };

/** enum ipt_reject_with and enum ip6t_reject_with; an echo reply is answered by no kernel that still runs. */
const rejects: Readonly<Record<XtFamily, readonly (RejectWord | undefined)[]>> = {
  ip: [
    icmp('icmp-net-unreachable', 0),
    icmp('icmp-host-unreachable', 1),
    icmp('icmp-proto-unreachable', 2),
    icmp('icmp-port-unreachable', 3),
    undefined,
    icmp('icmp-net-prohibited', 9),
    icmp('icmp-host-prohibited', 10),
    reset,
    icmp('icmp-admin-prohibited', 13),
  ],
  ip6: [
    icmp('icmp6-no-route', 0),
    icmp('icmp6-adm-prohibited', 1),
    icmp('icmp6-not-neighbour', 2),
    icmp('icmp6-addr-unreachable', 3),
    icmp('icmp6-port-unreachable', 4),
    undefined,
    reset,
    icmp('icmp6-policy-fail', 5),
    icmp('icmp6-reject-route', 6),
  ],
};

/** struct ipt_reject_info and ip6t_reject_info: u32 kind. */
export function decodeReject(info: Uint8Array, family: XtFamily): XtTargetOf<'reject'> | undefined {
  const found = holds(info, 4) ? rejects[family][u32(info, 0)] : undefined;
  return found === undefined ? undefined : { kind: 'reject', ...found };
}

/** struct xt_NFQ_info_v3: u16 number, u16 total, u16 flags (1 bypass, 2 cpu fanout). v2 has u16 bypass, v1 no flags, v0 the number alone. */
export function decodeNfqueue(
  revision: 0 | 1 | 2 | 3,
  info: Uint8Array,
): XtTargetOf<'nfqueue'> | undefined {
  const flags = revision >= 2 ? u16(info, 4) : 0;
  if (!holds(info, 8) || hasOthers(flags, revision === 3 ? 3 : 1)) return undefined;
  return {
    kind: 'nfqueue',
    number: u16(info, 0),
    total: revision === 0 ? 1 : u16(info, 2),
    bypass: bit(flags, 1),
    cpuFanout: bit(flags, 2),
  };
}

/** struct xt_log_info: u8 level, u8 flags (1 sequence, 2 TCP options, 4 IP options, 8 user, 32 link header), char prefix[30]. */
export function decodeLog(info: Uint8Array): XtTargetOf<'log'> | undefined {
  const flags = u8(info, 1);
  if (!holds(info, 32) || hasOthers(flags, 0x2f)) return undefined;
  return { kind: 'log', level: u8(info, 0), flags, prefix: textAt(info, 2, 30) };
}

/** struct xt_nflog_info: u32 length, u16 group, u16 threshold, u16 flags (1 the length counts), u16 padding, char prefix[64]. */
export function decodeNflog(info: Uint8Array): XtTargetOf<'nflog'> | undefined {
  const flags = u16(info, 8);
  if (!holds(info, 76) || hasOthers(flags, 1)) return undefined;
  return {
    kind: 'nflog',
    group: u16(info, 4),
    threshold: u16(info, 6),
    length: u32(info, 0),
    hasLength: bit(flags, 1),
    prefix: textAt(info, 12, 64),
  };
}

const auditTypes = ['accept', 'drop', 'reject'] as const;

/** struct xt_audit_info: u8 type. */
export function decodeAudit(info: Uint8Array): XtTargetOf<'audit'> | undefined {
  const type = auditTypes[u8(info, 0)];
  return holds(info, 1) && type !== undefined ? { kind: 'audit', type } : undefined;
}
