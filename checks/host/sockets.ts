/** @module Opening sockets that leave the host alone, and reading them in batches. */
import type { Family } from '../family.ts';
import { formatAddress, parseAddress } from '../packet/address.ts';
import {
  AF_INET,
  AF_INET6,
  AF_PACKET,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  type Libc,
  MSG_ERRQUEUE,
  MSG_TRUNC,
  type NativeMemory,
  nameOfErrno,
  SOCK_DGRAM,
} from './libc.ts';
import type { PacketError } from './network.ts';

const SOL_IP = 0;
const SOL_SOCKET = 1;
const SOL_IPV6 = 41;
const SOL_PACKET = 263;
const SO_RCVBUF = 8;
const SO_TIMESTAMPNS = 35;
const IP_HDRINCL = 3;
const IP_MTU_DISCOVER = 10;
const IP_RECVERR = 11;
const IP_PKTINFO = 8;
const IPV6_MTU_DISCOVER = 23;
const IPV6_RECVERR = 25;
const IPV6_V6ONLY = 26;
const IPV6_HDRINCL = 36;
const IPV6_RECVPKTINFO = 49;
const IPV6_PKTINFO = 50;
const IPV6_DONTFRAG = 62;
const PACKET_AUXDATA = 8;
// linux/if_packet.h, status of a packet
const TP_STATUS_CSUMNOTREADY = 1 << 3;
const TP_STATUS_CSUM_VALID = 1 << 7;
/** Never lets an ICMP error into the route cache, and never sets DF by itself (linux/in.h). */
const PMTUDISC_INTERFACE = 4;

export const addressFamily = (family: Family): number => (family === 'ipv4' ? AF_INET : AF_INET6);
export const icmpProtocol = (family: Family): number =>
  family === 'ipv4' ? IPPROTO_ICMP : IPPROTO_ICMPV6;

/** What a socket of ours is set to, besides PMTUDISC_INTERFACE which every one of them has. */
export interface SocketOptions {
  readonly receiveErrors?: boolean;
  readonly timestamps?: boolean;
  readonly packetInfo?: boolean;
  readonly headerIncluded?: boolean;
  readonly dontFragment?: boolean;
  readonly receiveBufferBytes?: number;
}

/**
 * Opens a socket whose traffic cannot change the host's route cache.
 * A raw IPv6 socket must not set IPV6_RECVERR: with it the kernel believes a forged Packet Too Big even in INTERFACE mode.
 */
export function openSocket(
  libc: Libc,
  family: Family,
  type: number,
  protocol: number,
  options: SocketOptions = {},
): number {
  const fd = libc.socket(addressFamily(family), type, protocol);
  const four = family === 'ipv4';
  const set = (level: number, name: number, value: number): void => {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32LE(value);
    const failed = libc.setsockopt(fd, level, name, bytes);
    if (failed !== undefined) {
      libc.close(fd);
      throw new Error(`setsockopt(${level}, ${name}): ${failed}`);
    }
  };
  if (four) set(SOL_IP, IP_MTU_DISCOVER, PMTUDISC_INTERFACE);
  else {
    set(SOL_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_INTERFACE);
    if (type !== 3) set(SOL_IPV6, IPV6_V6ONLY, 1);
  }
  if (options.receiveErrors === true)
    set(four ? SOL_IP : SOL_IPV6, four ? IP_RECVERR : IPV6_RECVERR, 1);
  if (options.timestamps === true) set(SOL_SOCKET, SO_TIMESTAMPNS, 1);
  if (options.packetInfo === true)
    set(four ? SOL_IP : SOL_IPV6, four ? IP_PKTINFO : IPV6_RECVPKTINFO, 1);
  if (options.headerIncluded === true)
    set(four ? SOL_IP : SOL_IPV6, four ? IP_HDRINCL : IPV6_HDRINCL, 1);
  if (options.dontFragment === true && !four) set(SOL_IPV6, IPV6_DONTFRAG, 1);
  if (options.receiveBufferBytes !== undefined)
    set(SOL_SOCKET, SO_RCVBUF, options.receiveBufferBytes);
  return fd;
}

/** linux/if_ether.h: every packet, coming and going; the others are those that come in, behind tc and netdev ingress. */
export const etherTypes = { all: 0x0003, ipv4: 0x0800, ipv6: 0x86dd } as const;

/**
 * Opens a packet socket that hears nothing yet (protocol 0): its filter is attached before `listenToLink` lets anything in. Its packets
 * start at the IP header, whatever the interface puts before it (SOCK_DGRAM in packet(7)).
 */
export function openPacketSocket(libc: Libc, receiveBufferBytes: number): number {
  const fd = libc.socket(AF_PACKET, SOCK_DGRAM, 0);
  for (const [level, name, value] of [
    [SOL_SOCKET, SO_RCVBUF, receiveBufferBytes],
    [SOL_PACKET, PACKET_AUXDATA, 1],
  ] as const) {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32LE(value);
    const failed = libc.setsockopt(fd, level, name, bytes);
    if (failed !== undefined) {
      libc.close(fd);
      throw new Error(`setsockopt(${level}, ${name}): ${failed}`);
    }
  }
  return fd;
}

/** Lets packets of a protocol into a packet socket, from every interface. Binding one takes no port, and nothing from anybody. */
export function listenToLink(libc: Libc, fd: number, etherType: number): string | undefined {
  const address = Buffer.alloc(20);
  address.writeUInt16LE(AF_PACKET, 0);
  address.writeUInt16BE(etherType, 2);
  return libc.bind(fd, address);
}

/**
 * struct sockaddr_in: family (2, host order), port (2), address (4), zero (8);
 * struct sockaddr_in6: family (2), port (2), flow (4), address (16), scope (4).
 */
export function socketAddress(address: string, port: number): Buffer {
  const bytes = parseAddress(address);
  if (bytes === undefined) throw new Error(`not an address: ${address}`);
  if (bytes.length === 4) {
    const result = Buffer.alloc(16);
    result.writeUInt16LE(AF_INET, 0);
    result.writeUInt16BE(port, 2);
    result.set(bytes, 4);
    return result;
  }
  const result = Buffer.alloc(28);
  result.writeUInt16LE(AF_INET6, 0);
  result.writeUInt16BE(port, 2);
  result.set(bytes, 8);
  return result;
}

/** One received message. The bytes are only valid until the handler returns. */
export interface Received {
  readonly bytes: Buffer;
  readonly truncated: boolean;
  /** Sender's address bytes and port (zero on a raw socket). */
  readonly source: Uint8Array;
  readonly sourcePort: number;
  /** Kernel receive time, nanoseconds since the epoch; 0 when the kernel gave none. */
  readonly receivedAt: bigint;
  /** Address it was sent to, where packetInfo was asked for. */
  readonly destination?: Uint8Array;
  /** Present on messages of the error queue. */
  readonly error?: PacketError;
  /** Present on messages of a packet socket. */
  readonly link?: LinkSide;
}

/** What a packet socket says of a packet. */
export interface LinkSide {
  readonly interface: number;
  /** linux/if_packet.h, PACKET_HOST and so on. */
  readonly type: number;
  /** What the kernel knows of the transport checksum: `pending` is still to be computed, `valid` was found right. */
  readonly checksum: 'unknown' | 'pending' | 'valid';
}

/** linux/if_packet.h: for another link-layer address than the interface's, and sent by this host. */
export const packetOtherHost = 3;
export const packetOutgoing = 4;

const slots = 16;
const slotBytes = 9216;
const controlBytes = 256;
const nameBytes = 28;
/** struct mmsghdr on 64-bit Linux: msghdr (56), msg_len (4), padding (4). */
const headerBytes = 64;

/** Reads sockets with recvmmsg(2) into one arena that is used again and again. */
export class Receiver {
  readonly #libc: Libc;
  readonly #headers: NativeMemory;
  readonly #vectors: NativeMemory;
  readonly #names: NativeMemory;
  readonly #controls: NativeMemory;
  readonly #data: NativeMemory;

  constructor(libc: Libc) {
    this.#libc = libc;
    this.#headers = libc.allocate(slots * headerBytes);
    this.#vectors = libc.allocate(slots * 16);
    this.#names = libc.allocate(slots * nameBytes);
    this.#controls = libc.allocate(slots * controlBytes);
    this.#data = libc.allocate(slots * slotBytes);
    for (let slot = 0; slot < slots; slot++) {
      // struct iovec: base (8), length (8).
      this.#vectors.bytes.writeBigUInt64LE(
        this.#data.address + BigInt(slot * slotBytes),
        slot * 16,
      );
      this.#vectors.bytes.writeBigUInt64LE(BigInt(slotBytes), slot * 16 + 8);
      // struct msghdr: name (8), namelen (4+4), iov (8), iovlen (8), control (8), controllen (8), flags (4+4).
      const at = slot * headerBytes;
      const header = this.#headers.bytes;
      header.writeBigUInt64LE(this.#names.address + BigInt(slot * nameBytes), at);
      header.writeBigUInt64LE(this.#vectors.address + BigInt(slot * 16), at + 16);
      header.writeBigUInt64LE(1n, at + 24);
      header.writeBigUInt64LE(this.#controls.address + BigInt(slot * controlBytes), at + 32);
    }
  }

  /** Hands over everything that waits in a socket, at most `limit` messages. */
  receive(fd: number, handle: (message: Received) => void, limit = 4096): void {
    this.#read(fd, 0, handle, limit);
  }

  /** Hands over everything that waits in a socket's error queue. */
  receiveErrors(fd: number, handle: (message: Received) => void): void {
    this.#read(fd, MSG_ERRQUEUE, handle, 64);
  }

  free(): void {
    for (const memory of [this.#headers, this.#vectors, this.#names, this.#controls, this.#data])
      this.#libc.free(memory);
  }

  #read(fd: number, flags: number, handle: (message: Received) => void, limit: number): void {
    for (let done = 0; done < limit; ) {
      for (let slot = 0; slot < slots; slot++) {
        const at = slot * headerBytes;
        this.#headers.bytes.writeUInt32LE(nameBytes, at + 8);
        this.#headers.bytes.writeBigUInt64LE(BigInt(controlBytes), at + 40);
      }
      const received = this.#libc.recvmmsg(fd, this.#headers.address, slots, flags);
      // A pending socket error is reported once, here; what it was lies in the error queue.
      if (typeof received === 'string') {
        if (flags === MSG_ERRQUEUE) return;
        done++;
        continue;
      }
      if (received === 0) return;
      for (let slot = 0; slot < received; slot++) handle(this.#decode(slot));
      done += received;
      if (received < slots) return;
    }
  }

  #decode(slot: number): Received {
    const at = slot * headerBytes;
    const length = Math.min(this.#headers.bytes.readUInt32LE(at + 56), slotBytes);
    const flags = this.#headers.bytes.readUInt32LE(at + 48);
    const controlLength = Math.min(
      Number(this.#headers.bytes.readBigUInt64LE(at + 40)),
      controlBytes,
    );
    const name = this.#names.bytes.subarray(slot * nameBytes, (slot + 1) * nameBytes);
    const family = name.readUInt16LE(0);
    const six = family === AF_INET6;
    const control = this.#controls.bytes.subarray(
      slot * controlBytes,
      slot * controlBytes + controlLength,
    );
    return {
      bytes: this.#data.bytes.subarray(slot * slotBytes, slot * slotBytes + length),
      truncated: (flags & MSG_TRUNC) !== 0,
      source: six ? name.subarray(8, 24) : name.subarray(4, 8),
      sourcePort: name.readUInt16BE(2),
      ...decodeControl(control),
      ...(family === AF_PACKET ? { link: decodeLinkSide(name, control) } : {}),
    };
  }
}

/** struct cmsghdr: length (8), level (4), type (4), data, padded to 8. */
function* controlMessages(
  control: Buffer,
): Generator<{ readonly level: number; readonly type: number; readonly data: Buffer }> {
  for (let at = 0; at + 16 <= control.length; ) {
    const length = Number(control.readBigUInt64LE(at));
    if (length < 16 || at + length > control.length) return;
    yield {
      level: control.readInt32LE(at + 8),
      type: control.readInt32LE(at + 12),
      data: control.subarray(at + 16, at + length),
    };
    at += (length + 7) & ~7;
  }
}

/**
 * struct sockaddr_ll: family (2), protocol (2, network order), interface (4), hardware type (2), packet type (1), address length (1),
 * address (8). struct tpacket_auxdata starts with the status (4).
 */
function decodeLinkSide(name: Buffer, control: Buffer): LinkSide {
  let status = 0;
  for (const { level, type, data } of controlMessages(control))
    if (level === SOL_PACKET && type === PACKET_AUXDATA && data.length >= 4)
      status = data.readUInt32LE(0);
  return {
    interface: name.readInt32LE(4),
    type: name.readUInt8(10),
    checksum:
      (status & TP_STATUS_CSUMNOTREADY) !== 0
        ? 'pending'
        : (status & TP_STATUS_CSUM_VALID) !== 0
          ? 'valid'
          : 'unknown',
  };
}

function decodeControl(control: Buffer): {
  receivedAt: bigint;
  destination?: Uint8Array;
  error?: PacketError;
} {
  const result: { receivedAt: bigint; destination?: Uint8Array; error?: PacketError } = {
    receivedAt: 0n,
  };
  for (const { level, type, data } of controlMessages(control)) {
    if (level === SOL_SOCKET && type === SO_TIMESTAMPNS && data.length >= 16)
      result.receivedAt = data.readBigInt64LE(0) * 1_000_000_000n + data.readBigInt64LE(8);
    // struct in_pktinfo: interface (4), local address (4), header destination (4).
    else if (level === SOL_IP && type === IP_PKTINFO && data.length >= 12)
      result.destination = data.subarray(8, 12);
    else if (level === SOL_IPV6 && type === IPV6_PKTINFO && data.length >= 20)
      result.destination = data.subarray(0, 16);
    else if (
      (level === SOL_IP && type === IP_RECVERR) ||
      (level === SOL_IPV6 && type === IPV6_RECVERR)
    )
      result.error = decodeExtendedError(data);
  }
  return result;
}

/**
 * struct sock_extended_err (linux/errqueue.h): errno (4), origin (1), type (1), code (1), padding (1), info (4), data (4),
 * then the sockaddr of the offender. Origin 1 is the own stack, 2 ICMP, 3 ICMPv6; info is the MTU with EMSGSIZE.
 */
function decodeExtendedError(data: Buffer): PacketError {
  if (data.length < 16) return { errno: 'EIO' };
  const errno = nameOfErrno(data.readUInt32LE(0));
  const origin = data.readUInt8(4);
  const info = data.readUInt32LE(8);
  const mtu = errno === 'EMSGSIZE' ? { mtu: info } : {};
  if (origin !== 2 && origin !== 3) return { errno, ...mtu };
  const offender = data.subarray(16);
  const six = offender.length >= 24 && offender.readUInt16LE(0) === AF_INET6;
  const address = six ? offender.subarray(8, 24) : offender.subarray(4, 8);
  return {
    errno,
    type: data.readUInt8(5),
    code: data.readUInt8(6),
    ...(address.length >= 4 ? { offender: formatAddress(address) } : {}),
    ...mtu,
  };
}
