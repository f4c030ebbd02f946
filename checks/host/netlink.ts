/**
 * @module Netlink: the message format (pure), and one blocking question with its answer.
 *
 * Only small dumps of this machine are asked for; the kernel answers within the call, so nothing is waited
 * for. All numbers of netlink are in the host's byte order, which is little-endian on every platform that
 * koffi and Kubernetes share (s390x is not served).
 */
import { constants } from 'node:os';
import koffi from 'koffi';
import { viewOf } from '../packet/bytes.ts';
import { HostError } from './host.ts';

export const NETLINK_ROUTE = 0;
export const NETLINK_SOCK_DIAG = 4;
export const NETLINK_NETFILTER = 12;

// linux/netlink.h
export const NLM_F_REQUEST = 0x01;
export const NLM_F_DUMP = 0x300;
const NLM_F_ACK = 0x04;
const NLM_F_DUMP_INTR = 0x10;
const NLMSG_NOOP = 1;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLA_TYPE_MASK = 0x3fff;

// asm-generic/socket.h, linux/socket.h
const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const SO_RCVTIMEO = 20;
const MSG_TRUNC = 0x20;

const receiveBytes = 256 << 10;
const maximumMessages = 200_000;
const maximumTotalBytes = 64 << 20;

const libc = koffi.load(null);
const openSocket: (family: number, type: number, protocol: number) => number = libc.func(
  'int socket(int, int, int)',
);
const closeSocket: (fd: number) => number = libc.func('int close(int)');
const setOption: (
  fd: number,
  level: number,
  name: number,
  value: Uint8Array,
  length: number,
) => number = libc.func('int setsockopt(int, int, int, const void *, uint32_t)');
const send: (fd: number, bytes: Uint8Array, length: number, flags: number) => number = libc.func(
  'long send(int, const void *, size_t, int)',
);
const receive: (fd: number, bytes: Uint8Array, length: number, flags: number) => number = libc.func(
  'long recv(int, void *, size_t, int)',
);

/** One netlink message without its header. */
export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly payload: Uint8Array;
}

/** One attribute: type without the NLA_F_ bits, and its value. */
export interface Attribute {
  readonly type: number;
  readonly value: Uint8Array;
}

/**
 * Encodes a request. struct nlmsghdr (linux/netlink.h): u32 length with header, u16 type, u16 flags,
 * u32 sequence, u32 port id; then the payload.
 */
export function encodeRequest(type: number, flags: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(align(16 + payload.length));
  const view = viewOf(bytes);
  view.setUint32(0, 16 + payload.length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags | NLM_F_REQUEST, true);
  view.setUint32(8, 1, true);
  bytes.set(payload, 16);
  return bytes;
}

/** Encodes an attribute: struct nlattr is u16 length with header, u16 type; padded to four bytes. */
export function encodeAttribute(type: number, value: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(align(4 + value.length));
  const view = viewOf(bytes);
  view.setUint16(0, 4 + value.length, true);
  view.setUint16(2, type, true);
  bytes.set(value, 4);
  return bytes;
}

/** Splits what one recv(2) gave. Ends at the first header that does not fit: lengths can lie. */
export function decodeMessages(bytes: Uint8Array): readonly Message[] {
  const view = viewOf(bytes);
  const messages: Message[] = [];
  let at = 0;
  while (at + 16 <= bytes.length) {
    const length = view.getUint32(at, true);
    if (length < 16 || at + length > bytes.length) break;
    messages.push({
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      sequence: view.getUint32(at + 8, true),
      payload: bytes.subarray(at + 16, at + length),
    });
    at += align(length);
  }
  return messages;
}

/** Splits a run of attributes. Ends at the first that does not fit: lengths can lie. */
export function decodeAttributes(bytes: Uint8Array): readonly Attribute[] {
  const view = viewOf(bytes);
  const attributes: Attribute[] = [];
  let at = 0;
  while (at + 4 <= bytes.length) {
    const length = view.getUint16(at, true);
    if (length < 4 || at + length > bytes.length) break;
    attributes.push({
      type: view.getUint16(at + 2, true) & NLA_TYPE_MASK,
      value: bytes.subarray(at + 4, at + length),
    });
    at += align(length);
  }
  return attributes;
}

/**
 * Sends one request and returns the payload messages of its answer. A dump that changed underneath
 * (NLM_F_DUMP_INTR) is asked again. Throws HostError with the errno name that the kernel gave.
 */
export function askKernel(protocol: number, request: Uint8Array): readonly Message[] {
  const fd = openSocket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
  if (fd < 0) throw systemError('netlink socket');
  try {
    const large = new Uint8Array(new Int32Array([1 << 20]).buffer);
    setOption(fd, SOL_SOCKET, SO_RCVBUF, large, large.length);
    // struct timeval: two seconds, so that a kernel that does not answer cannot stop the process.
    const patience = new Uint8Array(new BigInt64Array([2n, 0n]).buffer);
    setOption(fd, SOL_SOCKET, SO_RCVTIMEO, patience, patience.length);
    for (let attempt = 0; attempt < 4; attempt++) {
      const answer = askOnce(fd, request);
      if (answer !== undefined) return answer;
    }
    throw new HostError('EAGAIN', 'the kernel changed during every attempt to read it');
  } finally {
    closeSocket(fd);
  }
}

function askOnce(fd: number, request: Uint8Array): readonly Message[] | undefined {
  const flags = viewOf(request).getUint16(6, true);
  const isDump = (flags & NLM_F_DUMP) === NLM_F_DUMP;
  if (send(fd, request, request.length, 0) < 0) throw systemError('netlink send');
  const answer: Message[] = [];
  let totalBytes = 0;
  let interrupted = false;
  const buffer = Buffer.allocUnsafe(receiveBytes);
  for (;;) {
    const length = receive(fd, buffer, buffer.length, MSG_TRUNC);
    if (length < 0) {
      const error = systemError('netlink receive');
      if (error.code === 'EINTR') continue;
      throw error;
    }
    totalBytes += length;
    if (length > buffer.length || totalBytes > maximumTotalBytes) {
      throw new HostError('EMSGSIZE', 'netlink answer is too large');
    }
    for (const message of decodeMessages(Uint8Array.from(buffer.subarray(0, length)))) {
      if ((message.flags & NLM_F_DUMP_INTR) !== 0) interrupted = true;
      if (message.type === NLMSG_NOOP) continue;
      if (message.type === NLMSG_DONE) {
        const error = errorOf(message.payload);
        if (error !== 0) throw fromErrno(error, 'netlink dump');
        return interrupted ? undefined : answer;
      }
      if (message.type === NLMSG_ERROR) {
        const error = errorOf(message.payload);
        if (error !== 0) throw fromErrno(error, 'netlink request');
        return answer;
      }
      if (answer.length >= maximumMessages) {
        throw new HostError('EMSGSIZE', 'netlink answer has too many messages');
      }
      answer.push(message);
      if (!isDump && (flags & NLM_F_ACK) === 0) return answer;
    }
  }
}

/** struct nlmsgerr and the payload of NLMSG_DONE start with a negative errno, or zero. */
function errorOf(payload: Uint8Array): number {
  if (payload.length < 4) return 0;
  return -viewOf(payload).getInt32(0, true);
}

function systemError(what: string): HostError {
  return fromErrno(koffi.errno(), what);
}

function fromErrno(errno: number, what: string): HostError {
  const names = Object.entries(constants.errno).filter(([, value]) => value === errno);
  // Two names share 11 and 95; these are the ones in manual pages.
  const usual = names.find(([name]) => name === 'EAGAIN' || name === 'EOPNOTSUPP');
  const code = (usual ?? names[0])?.[0] ?? `E${errno}`;
  return new HostError(code, `${what}: ${code}`);
}

function align(length: number): number {
  return (length + 3) & ~3;
}

/** The parts one after the other. */
export function concatenate(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((total, { length }) => total + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
