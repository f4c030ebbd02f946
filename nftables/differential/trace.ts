/**
 * @module What nf_tables says about a traced packet (NFT_MSG_TRACE of group NFNLGRP_NFTRACE).
 *
 * struct nlmsghdr, struct nfgenmsg whose family is the table's, then NFTA_TRACE_*: 1 table, 2 chain, 3 rule handle (be64),
 * 4 type (be32), 5 verdict (nested: 1 code, be32; 2 chain), 6 id (be32), 8 network header, 16 policy (be32).
 * The headers come with the first message of each base chain.
 */
import { eachAttribute } from './netlink.ts';

export const NFNLGRP_NFTRACE = 9;
const NFNL_SUBSYS_NFTABLES = 10;
const NFT_MSG_TRACE = 17;

// enum nft_trace_types
const NFT_TRACETYPE_POLICY = 1;
const NFT_TRACETYPE_RETURN = 2;

export type TraceVerdict =
  | 'accept'
  | 'drop'
  | 'stolen'
  | 'queue'
  | 'continue'
  | 'return'
  | 'jump'
  | 'goto'
  | `code-${number}`;

export interface TraceEvent {
  readonly id: number;
  readonly family: string;
  readonly table: string;
  readonly chain: string;
  readonly type: 'policy' | 'return' | 'rule';
  /** Of a rule. */
  readonly handle: number;
  /** Of a rule what it gave, of a policy the policy. */
  readonly verdict: TraceVerdict;
  /** IPv4 identification or IPv6 flow label, where the message holds the network header. */
  readonly tag?: number;
}

const families = new Map([
  [1, 'inet'],
  [2, 'ip'],
  [3, 'arp'],
  [5, 'netdev'],
  [7, 'bridge'],
  [10, 'ip6'],
]);

// enum nf verdicts (linux/netfilter.h) and enum nft_verdicts.
const verdicts = new Map<number, TraceVerdict>([
  [0, 'drop'],
  [1, 'accept'],
  [2, 'stolen'],
  [3, 'queue'],
  [-1, 'continue'],
  [-3, 'jump'],
  [-4, 'goto'],
  [-5, 'return'],
]);

function verdictOf(code: number): TraceVerdict {
  // The upper half holds a queue's number and flags, or the errno of a drop.
  return (
    verdicts.get(code) ?? (code >= 0 ? verdicts.get(code & 0xff) : undefined) ?? `code-${code}`
  );
}

/** The events of one datagram, in order. */
export function decodeTraces(
  bytes: Buffer,
  length: number,
  take: (event: TraceEvent) => void,
): void {
  let at = 0;
  while (at + 20 <= length) {
    const size = bytes.readUInt32LE(at);
    if (size < 20 || at + size > length) return;
    if (bytes.readUInt16LE(at + 4) === ((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_TRACE)) {
      take(decodeTrace(bytes, at, at + size));
    }
    at += (size + 3) & ~3;
  }
}

function decodeTrace(bytes: Buffer, start: number, end: number): TraceEvent {
  let table = '';
  let chain = '';
  let handle = 0;
  let kind = 0;
  let id = 0;
  let code = -1;
  let tag: number | undefined;
  eachAttribute(bytes, start + 20, end, (type, from, to) => {
    switch (type) {
      case 1:
        table = bytes.toString('latin1', from, to - 1);
        break;
      case 2:
        chain = bytes.toString('latin1', from, to - 1);
        break;
      case 3:
        handle = Number(bytes.readBigUInt64BE(from));
        break;
      case 4:
        kind = bytes.readUInt32BE(from);
        break;
      case 5:
        eachAttribute(bytes, from, to, (inner, at) => {
          if (inner === 1) code = bytes.readInt32BE(at);
        });
        break;
      case 6:
        id = bytes.readUInt32BE(from);
        break;
      case 8:
        tag = networkTag(bytes, from, to);
        break;
      case 16:
        code = bytes.readInt32BE(from);
        break;
      default:
        break;
    }
  });
  return {
    id,
    family: families.get(bytes.readUInt8(start + 16)) ?? '?',
    table,
    chain,
    type:
      kind === NFT_TRACETYPE_POLICY ? 'policy' : kind === NFT_TRACETYPE_RETURN ? 'return' : 'rule',
    handle,
    verdict: verdictOf(code),
    ...(tag === undefined ? {} : { tag }),
  };
}

function networkTag(bytes: Buffer, from: number, to: number): number | undefined {
  if (to - from < 20) return undefined;
  return bytes.readUInt8(from) >> 4 === 4
    ? bytes.readUInt16BE(from + 4)
    : bytes.readUInt32BE(from) & 0xfffff;
}
