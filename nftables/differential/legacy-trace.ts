/**
 * @module What legacy iptables says about a traced packet: `TRACE: filter:INPUT:rule:3 `, logged to nfnetlink_log.
 *
 * struct nlmsghdr, struct nfgenmsg, then NFULA_*: 9 payload (the packet from its network header), 10 prefix.
 */
import { writeFileSync } from 'node:fs';
import { attribute, be32, eachAttribute, openNetfilter, request } from './netlink.ts';
import { receive, sendBytes } from './system.ts';

const NFNL_SUBSYS_ULOG = 4;
const NFULNL_MSG_PACKET = 0;
const NFULNL_MSG_CONFIG = 1;
// enum nfulnl_attr_config
const NFULA_CFG_CMD = 1;
const NFULA_CFG_MODE = 2;
const NFULA_CFG_QTHRESH = 5;
const NFULNL_CFG_CMD_BIND = 1;
const NFULNL_COPY_PACKET = 2;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;

export interface LegacyEvent {
  readonly family: 'ip' | 'ip6';
  readonly table: string;
  readonly chain: string;
  readonly type: 'rule' | 'policy' | 'return';
  /** Place in its chain. */
  readonly index: number;
  readonly tag: number;
}

/** A socket that hears them; in the namespace of the host under test. */
export function openLegacyTraces(receiveBytes: number): number {
  // The logger that traces go to; family 2 is IPv4, 10 IPv6.
  for (const family of [2, 10]) {
    writeFileSync(`/proc/sys/net/netfilter/nf_log/${family}`, 'nfnetlink_log');
  }
  const fd = openNetfilter([], receiveBytes);
  const configure = (attributes: readonly Uint8Array[]): void => {
    const answer = Buffer.alloc(4096);
    const flags = NLM_F_REQUEST | NLM_F_ACK;
    sendBytes(fd, request(NFNL_SUBSYS_ULOG, NFULNL_MSG_CONFIG, flags, 0, attributes));
    const length = receive(fd, answer);
    if (length < 20 || answer.readInt32LE(16) !== 0) throw new Error('nfnetlink_log: refused');
  };
  configure([attribute(NFULA_CFG_CMD, Uint8Array.of(NFULNL_CFG_CMD_BIND))]);
  // struct nfulnl_msg_config_mode: be32 copy range, u8 mode.
  configure([
    attribute(NFULA_CFG_MODE, Buffer.concat([be32(64), Uint8Array.of(NFULNL_COPY_PACKET, 0)])),
    attribute(NFULA_CFG_QTHRESH, be32(1)),
  ]);
  return fd;
}

const pattern = /^TRACE: (\w+):([^:]+):(rule|policy|return):(\d+)/;

export function decodeLegacyTraces(
  bytes: Buffer,
  length: number,
  take: (event: LegacyEvent) => void,
): void {
  let at = 0;
  while (at + 20 <= length) {
    const size = bytes.readUInt32LE(at);
    if (size < 20 || at + size > length) return;
    if (bytes.readUInt16LE(at + 4) === ((NFNL_SUBSYS_ULOG << 8) | NFULNL_MSG_PACKET)) {
      const event = decodeOne(bytes, at + 20, at + size);
      if (event !== undefined) take(event);
    }
    at += (size + 3) & ~3;
  }
}

function decodeOne(bytes: Buffer, start: number, end: number): LegacyEvent | undefined {
  let prefix = '';
  let tag: number | undefined;
  let family: 'ip' | 'ip6' = 'ip';
  eachAttribute(bytes, start, end, (type, from, to) => {
    if (type === 10) prefix = bytes.toString('latin1', from, to - 1);
    if (type !== 9 || to - from < 20) return;
    family = bytes.readUInt8(from) >> 4 === 4 ? 'ip' : 'ip6';
    tag = family === 'ip' ? bytes.readUInt16BE(from + 4) : bytes.readUInt32BE(from) & 0xfffff;
  });
  const [, table, chain, type, index] = pattern.exec(prefix) ?? [];
  if (tag === undefined || table === undefined || chain === undefined) return undefined;
  return {
    family,
    table,
    chain,
    type: type === 'policy' ? 'policy' : type === 'return' ? 'return' : 'rule',
    index: Number(index),
    tag,
  };
}
