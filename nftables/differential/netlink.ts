/** @module Messages of nfnetlink as bytes: what is asked of conntrack, and the attributes of traces. */
import {
  AF_NETLINK,
  bindSocket,
  closeSocket,
  openSocket,
  SOCK_RAW,
  setOption,
  setReceiveBuffer,
} from './system.ts';

const NETLINK_NETFILTER = 12;
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NLA_F_NESTED = 0x8000;

export function openNetfilter(groups: readonly number[] = [], receiveBytes = 1 << 20): number {
  const fd = openSocket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
  try {
    // struct sockaddr_nl: u16 family, u16 padding, u32 port id, u32 groups.
    const address = Buffer.alloc(12);
    address.writeUInt16LE(AF_NETLINK);
    bindSocket(fd, address);
    setReceiveBuffer(fd, receiveBytes);
    for (const group of groups) setOption(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group);
    return fd;
  } catch (cause) {
    closeSocket(fd);
    throw cause;
  }
}

export function attribute(type: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.alloc((4 + payload.length + 3) & ~3);
  bytes.writeUInt16LE(4 + payload.length);
  bytes.writeUInt16LE(type, 2);
  bytes.set(payload, 4);
  return bytes;
}

export const nested = (type: number, parts: readonly Uint8Array[]): Buffer =>
  attribute(type | NLA_F_NESTED, Buffer.concat(parts));

export const be32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
};

export const be16 = (value: number): Buffer => {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
};

/** struct nlmsghdr, struct nfgenmsg (u8 family, u8 version, be16 resource id), attributes. */
export function request(
  subsystem: number,
  message: number,
  flags: number,
  family: number,
  attributes: readonly Uint8Array[],
  sequence = 1,
  resource = 0,
): Buffer {
  const body = Buffer.concat(attributes);
  const bytes = Buffer.alloc(20 + body.length);
  bytes.writeUInt32LE(bytes.length);
  bytes.writeUInt16LE((subsystem << 8) | message, 4);
  bytes.writeUInt16LE(flags, 6);
  bytes.writeUInt32LE(sequence, 8);
  bytes.writeUInt8(family, 16);
  bytes.writeUInt16BE(resource, 18);
  bytes.set(body, 20);
  return bytes;
}

/** Hands over each attribute: its type and where its value lies. */
export function eachAttribute(
  bytes: Buffer,
  start: number,
  end: number,
  take: (type: number, from: number, to: number) => void,
): void {
  let at = start;
  while (at + 4 <= end) {
    const length = bytes.readUInt16LE(at);
    if (length < 4 || at + length > end) return;
    take(bytes.readUInt16LE(at + 2) & 0x3fff, at + 4, at + length);
    at += (length + 3) & ~3;
  }
}
