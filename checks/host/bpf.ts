/**
 * @module Socket filters (SO_ATTACH_FILTER, Documentation/networking/filter.rst): the kernel passes only what is ours.
 * A raw IPv4 socket hands the filter the packet from its IP header, a raw IPv6 socket from the transport header.
 */
import { magic, magicOffset, messageTypes, preambleBytes, typeOffset } from '../packet/message.ts';
import type { Libc } from './libc.ts';

/** struct sock_filter: code (2), jump if true (1), jump if false (1), k (4). */
export interface Instruction {
  readonly code: number;
  readonly jt: number;
  readonly jf: number;
  readonly k: number;
}

const SOL_SOCKET = 1;
const SO_ATTACH_FILTER = 26;
const acceptBytes = 0xffff;

export const loadByte = (k: number): Instruction => ({ code: 0x30, jt: 0, jf: 0, k });
export const loadHalf = (k: number): Instruction => ({ code: 0x28, jt: 0, jf: 0, k });
export const loadWord = (k: number): Instruction => ({ code: 0x20, jt: 0, jf: 0, k });
export const loadHalfAtX = (k: number): Instruction => ({ code: 0x48, jt: 0, jf: 0, k });
export const loadWordAtX = (k: number): Instruction => ({ code: 0x40, jt: 0, jf: 0, k });
export const loadByteAtX = (k: number): Instruction => ({ code: 0x50, jt: 0, jf: 0, k });
/** X = 4 * (byte[k] & 15): the length of the IPv4 header. */
export const headerLengthToX = (k: number): Instruction => ({ code: 0xb1, jt: 0, jf: 0, k });
export const setX = (k: number): Instruction => ({ code: 0x01, jt: 0, jf: 0, k });
export const and = (k: number): Instruction => ({ code: 0x54, jt: 0, jf: 0, k });
const equal = (k: number, jt: number, jf: number): Instruction => ({ code: 0x15, jt, jf, k });
const accept: Instruction = { code: 0x06, jt: 0, jf: 0, k: acceptBytes };
const refuse: Instruction = { code: 0x06, jt: 0, jf: 0, k: 0 };

/** One condition: what is loaded is one of these numbers, or is not that one, or it is only loaded. */
export type Condition =
  | { readonly load: readonly Instruction[]; readonly is?: readonly number[] }
  | { readonly load: readonly Instruction[]; readonly isNot: number };

/** Passes so many bytes of packets that meet all conditions of one of the alternatives. A load beyond the packet refuses it. */
export function anyOf(
  alternatives: readonly (readonly Condition[])[],
  bytes: number,
): readonly Instruction[] {
  const program = alternatives.flatMap((conditions) => {
    let code: readonly Instruction[] = [{ ...accept, k: bytes }];
    for (const condition of conditions.toReversed()) {
      // Over what is already there lies the next alternative.
      const next = code.length;
      code = [...condition.load, ...jumps(condition, next), ...code];
    }
    return code;
  });
  return [...program, refuse];
}

function jumps(condition: Condition, next: number): readonly Instruction[] {
  if ('isNot' in condition) return [equal(condition.isNot, next, 0)];
  const { is = [] } = condition;
  const last = is.length - 1;
  return is.map((k, at) => equal(k, last - at, at === last ? next : 0));
}

function locate(ipv4: boolean): Instruction {
  return ipv4 ? headerLengthToX(0) : setX(0);
}

/** Passes UDP datagrams that carry a probe or a request of ours. */
export function probesOverUdp(ipv4: boolean): readonly Instruction[] {
  const message = 8 + preambleBytes;
  return [
    locate(ipv4),
    loadWordAtX(message + magicOffset),
    equal(magic, 0, 3),
    loadByteAtX(message + typeOffset),
    equal(messageTypes.probe, 2, 0),
    equal(messageTypes.request, 1, 0),
    refuse,
    accept,
  ];
}

/**
 * Passes echo replies with our identifier and echo requests that carry a request of ours; on IPv6 also
 * destination-unreachable, packet-too-big and time-exceeded, which have no other way to us there.
 */
export function echoes(ipv4: boolean, identifier: number): readonly Instruction[] {
  if (ipv4) {
    return [
      locate(true),
      loadByteAtX(0),
      equal(0, 0, 2), // echo reply
      loadHalfAtX(4),
      equal(identifier, 4, 3),
      equal(8, 0, 2), // echo request
      loadWordAtX(8 + magicOffset),
      equal(magic, 1, 0),
      refuse,
      accept,
    ];
  }
  return [
    locate(false),
    loadByteAtX(0),
    equal(129, 0, 2), // echo reply
    loadHalfAtX(4),
    equal(identifier, 7, 6),
    equal(128, 0, 2), // echo request
    loadWordAtX(8 + magicOffset),
    equal(magic, 4, 3),
    equal(1, 3, 0), // destination unreachable
    equal(2, 2, 0), // packet too big
    equal(3, 1, 0), // time exceeded
    refuse,
    accept,
  ];
}

/** Passes TCP segments that open a connection (SYN without ACK) to a port from one IPv4 address, or any IPv6 one. */
export function connectionAttempts(
  ipv4: boolean,
  port: number,
  source: number | undefined,
): readonly Instruction[] {
  const fromSource: Instruction[] =
    ipv4 && source !== undefined ? [loadWord(12), equal(source, 0, 6)] : [];
  return [
    ...fromSource,
    locate(ipv4),
    loadHalfAtX(2),
    equal(port, 0, 3),
    loadByteAtX(13),
    and(0x12),
    equal(0x02, 1, 0),
    refuse,
    accept,
  ];
}

/** Passes nothing. Attached before binding, so that nothing slips in before the real filter. */
export const nothing: readonly Instruction[] = [refuse];

/** Attaches a filter; throws with the errno name when the kernel refuses it. */
export function attachFilter(libc: Libc, fd: number, program: readonly Instruction[]): void {
  const code = libc.allocate(program.length * 8);
  try {
    for (const [index, { code: opcode, jt, jf, k }] of program.entries()) {
      code.bytes.writeUInt16LE(opcode, index * 8);
      code.bytes.writeUInt8(jt, index * 8 + 2);
      code.bytes.writeUInt8(jf, index * 8 + 3);
      code.bytes.writeUInt32LE(k, index * 8 + 4);
    }
    // struct sock_fprog: length (2), padding (6), pointer (8).
    const header = Buffer.alloc(16);
    header.writeUInt16LE(program.length, 0);
    header.writeBigUInt64LE(code.address, 8);
    const failed = libc.setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, header);
    if (failed !== undefined) throw new Error(`SO_ATTACH_FILTER: ${failed}`);
  } finally {
    libc.free(code);
  }
}
