/** @module Statements that need no register in nft's words: counters, limits, logs, rejects. */
import type { Expression, ExpressionOf, Family } from '../model.ts';
import { identifier, quote } from './bytes.ts';
import type { Context } from './dependencies.ts';
import * as names from './names.ts';

/** Undefined for what is no such statement, or has no words. */
export function writeSimple(expression: Expression): string | undefined {
  switch (expression.kind) {
    case 'counter':
      return `counter packets ${expression.packets} bytes ${expression.bytes}`;
    case 'limit':
      return writeLimit(expression);
    case 'quota':
      return writeQuota(expression);
    case 'connlimit':
      return `ct count ${expression.over ? 'over ' : ''}${expression.count}`;
    case 'log':
      return writeLog(expression);
    case 'notrack':
      return 'notrack';
    case 'synproxy':
      return writeSynproxy(expression);
    case 'flow-offload':
      return identifier(expression.table) && `flow add @${expression.table}`;
    case 'last':
      return expression.isSet ? `last used ${expression.setMs}ms` : 'last used never';
    default:
      return undefined;
  }
}

const units: ReadonlyMap<number, string> = new Map([
  [1, 'second'],
  [60, 'minute'],
  [3600, 'hour'],
  [86_400, 'day'],
  [604_800, 'week'],
]);

/** In the largest unit that holds it without a rest. */
function writeBytes(bytes: number): string {
  if (bytes > 0 && bytes % 1_048_576 === 0) return `${bytes / 1_048_576} mbytes`;
  return bytes > 0 && bytes % 1024 === 0 ? `${bytes / 1024} kbytes` : `${bytes} bytes`;
}

export function writeLimit(limit: ExpressionOf<'limit'>): string | undefined {
  const unit = units.get(limit.unitSeconds);
  if (unit === undefined) return undefined;
  const over = limit.over ? 'over ' : '';
  if (limit.type === 'bytes') {
    const burst = limit.burst === 0 ? '' : ` burst ${writeBytes(limit.burst)}`;
    return `limit rate ${over}${writeBytes(limit.rate)}/${unit}${burst}`;
  }
  // Five packets are what nft says when nobody does.
  const burst = limit.burst === 5 ? '' : ` burst ${limit.burst} packets`;
  return `limit rate ${over}${limit.rate}/${unit}${burst}`;
}

export function writeQuota(quota: ExpressionOf<'quota'>): string {
  const used = quota.usedBytes === 0 ? '' : ` used ${writeBytes(quota.usedBytes)}`;
  return `quota ${quota.over ? 'over ' : ''}${writeBytes(quota.bytes)}${used}`;
}

/** linux/netfilter/nf_log.h: 1 TCP sequence, 2 TCP options, 4 IP options, 8 owner, 32 link layer. */
function writeLog(log: ExpressionOf<'log'>): string | undefined {
  let text = 'log';
  if (log.prefix !== undefined) {
    const prefix = quote(log.prefix);
    if (prefix === undefined) return undefined;
    text += ` prefix ${prefix}`;
  }
  if (log.group !== undefined) {
    text += ` group ${log.group}`;
    if (log.snaplen !== undefined && log.snaplen > 0) text += ` snaplen ${log.snaplen}`;
    if (log.queueThreshold !== undefined && log.queueThreshold > 0) {
      text += ` queue-threshold ${log.queueThreshold}`;
    }
  }
  if (log.level !== undefined && log.level !== 4) {
    const level = names.logLevel.get(log.level);
    if (level === undefined) return undefined;
    text += ` level ${level}`;
  }
  const flags = log.flags ?? 0;
  if (flags === 0x2f) return `${text} flags all`;
  const tcp = [
    ...((flags & 1) === 0 ? [] : ['sequence']),
    ...((flags & 2) === 0 ? [] : ['options']),
  ];
  if (tcp.length > 0) text += ` flags tcp ${tcp.join(',')}`;
  if ((flags & 4) !== 0) text += ' flags ip options';
  if ((flags & 8) !== 0) text += ' flags skuid';
  return (flags & 32) === 0 ? text : `${text} flags ether`;
}

/** linux/netfilter/nf_synproxy.h: 1 mss, 2 wscale, 4 sack-perm, 8 timestamp. */
export function writeSynproxy({ mss, wscale, flags }: ExpressionOf<'synproxy'>): string {
  let text = 'synproxy';
  if ((flags & 1) !== 0) text += ` mss ${mss}`;
  if ((flags & 2) !== 0) text += ` wscale ${wscale}`;
  if ((flags & 8) !== 0) text += ' timestamp';
  return (flags & 4) === 0 ? text : `${text} sack-perm`;
}

/** linux/netfilter/nf_nat.h: 4 random, 8 persistent, 16 fully-random. */
export function writeNatFlags(flags: number): string {
  const words = [
    ...((flags & 4) === 0 ? [] : ['random']),
    ...((flags & 16) === 0 ? [] : ['fully-random']),
    ...((flags & 8) === 0 ? [] : ['persistent']),
  ];
  return words.length === 0 ? '' : ` ${words.join(',')}`;
}

/** Where the protocols are known, `reject` alone says the usual answer of that protocol. */
export function writeReject(
  { reject }: ExpressionOf<'reject'>,
  family: Family,
  context: Context,
): string | undefined {
  if (reject.with === 'tcp-reset') return 'reject with tcp reset';
  if (reject.with === 'icmpx') {
    const isUsual = reject.code === 'port-unreachable' && context.network === undefined;
    return isUsual ? 'reject' : `reject with icmpx ${reject.code}`;
  }
  const network = context.network;
  if (network !== 'ip' && network !== 'ip6') return undefined;
  const usual = network === 'ip' ? 3 : 4;
  if (reject.code === usual && family === network) return 'reject';
  const words = network === 'ip' ? names.icmpCode : names.icmpv6Code;
  const protocol = network === 'ip' ? 'icmp' : 'icmpv6';
  return `reject with ${protocol} ${words.get(reject.code) ?? reject.code}`;
}
