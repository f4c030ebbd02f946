/** @module Connections put into conntrack of the host under test, and all of them taken out again (ctnetlink). */
import { existsSync, readFileSync } from 'node:fs';
import { bytesOf } from './address.ts';
import { attribute, be16, be32, nested, openNetfilter, request } from './netlink.ts';
import { hasPorts, isIcmp, type Shot } from './shot.ts';
import { receive, sendBytes } from './system.ts';

const NFNL_SUBSYS_CTNETLINK = 1;
const IPCTNL_MSG_CT_NEW = 0;
const IPCTNL_MSG_CT_DELETE = 2;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const NLM_F_EXCL = 0x200;
const NLM_F_CREATE = 0x400;
// enum ctattr_type
const CTA_TUPLE_ORIG = 1;
const CTA_TUPLE_REPLY = 2;
const CTA_STATUS = 3;
const CTA_PROTOINFO = 4;
const CTA_TIMEOUT = 7;
const CTA_MARK = 8;
// enum ip_conntrack_status: seen reply, assured, confirmed.
const established = 2 | 4 | 8;
const TCP_CONNTRACK_ESTABLISHED = 3;

export interface ConntrackSocket {
  /** An established connection that this packet belongs to. */
  readonly add: (shot: Shot) => void;
  readonly flush: () => void;
  /** How many connections it has refused so far, because there was one with the same addresses and ports. */
  readonly refused: () => number;
}

export function openConntrack(): ConntrackSocket {
  const fd = openNetfilter();
  const answer = Buffer.alloc(8192);
  const ask = (bytes: Buffer, what: string): void => {
    sendBytes(fd, bytes);
    if (receive(fd, answer) < 20) throw new Error(`conntrack ${what}: no answer`);
    // struct nlmsgerr starts with a negative errno.
    const error = answer.readInt32LE(16);
    if (error !== 0) throw new Error(`conntrack ${what}: errno ${-error}`);
  };
  return {
    add: (shot) => {
      ask(newConnection(shot), 'add');
    },
    flush: () => {
      ask(
        request(NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE, NLM_F_REQUEST | NLM_F_ACK, 0, []),
        'flush',
      );
    },
    refused: countRefused,
  };
}

/** A line of names and one of hexadecimal counters for each processor; of the namespace that this thread is in. */
function countRefused(): number {
  const path = '/proc/thread-self/net/stat/nf_conntrack';
  if (!existsSync(path)) return 0;
  const [names = [], ...processors] = readFileSync(path, 'utf8')
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/));
  const column = names.indexOf('insert_failed');
  return processors.reduce((sum, one) => sum + Number.parseInt(one[column] ?? '0', 16), 0);
}

function newConnection(shot: Shot): Buffer {
  const isReply = shot.connection === 'reply';
  const here = tuple(shot, false);
  const back = tuple(shot, true);
  return request(
    NFNL_SUBSYS_CTNETLINK,
    IPCTNL_MSG_CT_NEW,
    NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
    shot.family === 'ip' ? 2 : 10,
    [
      nested(CTA_TUPLE_ORIG, isReply ? back : here),
      nested(CTA_TUPLE_REPLY, isReply ? here : back),
      attribute(CTA_STATUS, be32(established)),
      attribute(CTA_TIMEOUT, be32(600)),
      attribute(CTA_MARK, be32(shot.connectionMark)),
      // CTA_PROTOINFO_TCP with its state: else the kernel takes the next packet for the first.
      ...(shot.protocol === 6
        ? [
            nested(CTA_PROTOINFO, [
              nested(1, [attribute(1, Uint8Array.of(TCP_CONNTRACK_ESTABLISHED))]),
            ]),
          ]
        : []),
    ],
  );
}

/** CTA_TUPLE_IP (1 IPv4 source, 2 destination, 3 and 4 of IPv6) and CTA_TUPLE_PROTO (1 number, 2 and 3 ports, 4 to 9 ICMP). */
function tuple(shot: Shot, reversed: boolean): Buffer[] {
  const { family, protocol } = shot;
  const source = bytesOf(reversed ? shot.destination : shot.source, family);
  const destination = bytesOf(reversed ? shot.source : shot.destination, family);
  const base = family === 'ip' ? 1 : 3;
  const parts = [attribute(1, Uint8Array.of(protocol))];
  if (hasPorts(protocol)) {
    parts.push(
      attribute(2, be16(reversed ? shot.destinationPort : shot.sourcePort)),
      attribute(3, be16(reversed ? shot.sourcePort : shot.destinationPort)),
    );
  } else if (isIcmp(protocol)) {
    const first = protocol === 1 ? 4 : 7;
    const type = reversed ? (answers.get(shot.icmpType) ?? shot.icmpType) : shot.icmpType;
    parts.push(
      attribute(first, be16(shot.icmpId)),
      attribute(first + 1, Uint8Array.of(type)),
      attribute(first + 2, Uint8Array.of(shot.icmpCode)),
    );
  }
  return [nested(1, [attribute(base, source), attribute(base + 1, destination)]), nested(2, parts)];
}

/** Echo and timestamp, and their replies. */
const answers = new Map([
  [8, 0],
  [0, 8],
  [13, 14],
  [14, 13],
  [128, 129],
  [129, 128],
]);
