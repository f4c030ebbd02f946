/** @module One packet that is sent: all that is chosen about it, its bytes, and the question about it. */
import type { ConntrackState, Direction, Packet } from '../evaluate/types.ts';
import { addressText, bytesOf } from './address.ts';
import { internetChecksum } from './checksum.ts';

export interface Shot {
  readonly direction: Direction;
  readonly family: 'ip' | 'ip6';
  readonly protocol: number;
  readonly source: bigint;
  readonly destination: bigint;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly icmpType: number;
  readonly icmpCode: number;
  readonly icmpId: number;
  readonly tcpFlags: number;
  /** Where it comes in; absent on its way out. */
  readonly inInterface?: string;
  /** Where it leaves; absent on its way in. */
  readonly outInterface?: string;
  readonly conntrack: ConntrackState;
  /** It belongs to a connection that was put into conntrack before: as its first sender's packet, or as an answer. */
  readonly connection?: 'original' | 'reply';
  readonly connectionMark: number;
  readonly mark: number;
  readonly ttl: number;
  readonly dscp: number;
  /** Bytes behind the transport header, before the tag that ends the packet. */
  readonly payload: Uint8Array;
  /** TCP options, whole words. */
  readonly tcpOptions: Uint8Array;
}

export const tagLength = 4;

const TCP = 6;
const UDP = 17;
const ICMP = 1;
const ICMPV6 = 58;

export const hasPorts = (protocol: number): boolean => protocol === TCP || protocol === UDP;
export const isIcmp = (protocol: number): boolean => protocol === ICMP || protocol === ICMPV6;

/** What `evaluate` is asked: everything that the model of a question can say about the packet. */
export function questionOf(shot: Shot): Packet {
  const { family } = shot;
  return {
    direction: shot.direction,
    family,
    protocol: shot.protocol,
    source: addressText(shot.source, family),
    destination: addressText(shot.destination, family),
    ...(hasPorts(shot.protocol)
      ? { sourcePort: shot.sourcePort, destinationPort: shot.destinationPort }
      : {}),
    ...(isIcmp(shot.protocol) ? { icmpType: shot.icmpType, icmpCode: shot.icmpCode } : {}),
    ...(shot.protocol === TCP ? { tcpFlags: shot.tcpFlags } : {}),
    ...(shot.inInterface === undefined ? {} : { inInterface: shot.inInterface }),
    ...(shot.outInterface === undefined ? {} : { outInterface: shot.outInterface }),
    conntrack: shot.conntrack,
    connectionMark: shot.connectionMark,
    mark: shot.mark,
    ttl: shot.ttl,
    dscp: shot.dscp,
    length: networkLength(shot),
    fragment: 'none',
    ...(shot.direction === 'out' ? { userId: 0, groupId: 0 } : {}),
    ...(isIcmp(shot.protocol) || hasPorts(shot.protocol)
      ? { payload: transportPayload(shot, 0).subarray(0, shot.payload.length) }
      : {}),
  };
}

function networkLength(shot: Shot): number {
  const header = shot.family === 'ip' ? 20 : 40;
  return header + transportHeaderLength(shot) + shot.payload.length + tagLength;
}

function transportHeaderLength(shot: Shot): number {
  if (shot.protocol === TCP) return 20 + shot.tcpOptions.length;
  return hasPorts(shot.protocol) || isIcmp(shot.protocol) ? 8 : 0;
}

function transportPayload(shot: Shot, tag: number): Uint8Array {
  const bytes = new Uint8Array(shot.payload.length + tagLength);
  bytes.set(shot.payload);
  new DataView(bytes.buffer).setUint32(shot.payload.length, tag);
  return bytes;
}

/**
 * The IP packet. The tag ends it, and its lower half is the IPv4 identification or the IPv6 flow label too, by which traces of
 * the packet are known: no header that a rule rewrites.
 */
export function bytesOfShot(shot: Shot, tag: number): Uint8Array {
  const transport = transportBytes(shot, tag);
  if (shot.family === 'ip') {
    const bytes = new Uint8Array(20 + transport.length);
    const view = new DataView(bytes.buffer);
    bytes[0] = 0x45;
    bytes[1] = shot.dscp << 2;
    view.setUint16(2, bytes.length);
    view.setUint16(4, tag & 0xffff);
    bytes[8] = shot.ttl;
    bytes[9] = shot.protocol;
    bytes.set(bytesOf(shot.source, 'ip'), 12);
    bytes.set(bytesOf(shot.destination, 'ip'), 16);
    view.setUint16(10, internetChecksum([bytes.subarray(0, 20)]));
    bytes.set(transport, 20);
    return bytes;
  }
  const bytes = new Uint8Array(40 + transport.length);
  const view = new DataView(bytes.buffer);
  // Version, traffic class, flow label.
  view.setUint32(0, ((6 << 28) | (shot.dscp << 22) | (tag & 0xffff)) >>> 0);
  view.setUint16(4, bytes.length - 40);
  bytes[6] = shot.protocol;
  bytes[7] = shot.ttl;
  bytes.set(bytesOf(shot.source, 'ip6'), 8);
  bytes.set(bytesOf(shot.destination, 'ip6'), 24);
  bytes.set(transport, 40);
  return bytes;
}

function transportBytes(shot: Shot, tag: number): Uint8Array {
  const payload = transportPayload(shot, tag);
  const header = transportHeaderLength(shot);
  const bytes = new Uint8Array(header + payload.length);
  const view = new DataView(bytes.buffer);
  bytes.set(payload, header);
  const { protocol } = shot;
  if (protocol === TCP) {
    view.setUint16(0, shot.sourcePort);
    view.setUint16(2, shot.destinationPort);
    view.setUint32(4, tag);
    if ((shot.tcpFlags & 0x10) !== 0) view.setUint32(8, 1);
    bytes[12] = (header / 4) << 4;
    bytes[13] = shot.tcpFlags;
    view.setUint16(14, 0x2000);
    bytes.set(shot.tcpOptions, 20);
    view.setUint16(16, transportChecksum(shot, bytes));
  } else if (hasPorts(protocol)) {
    view.setUint16(0, shot.sourcePort);
    view.setUint16(2, shot.destinationPort);
    view.setUint16(4, bytes.length);
    const sum = transportChecksum(shot, bytes);
    view.setUint16(6, sum === 0 ? 0xffff : sum);
  } else if (isIcmp(protocol)) {
    bytes[0] = shot.icmpType;
    bytes[1] = shot.icmpCode;
    view.setUint16(4, shot.icmpId);
    view.setUint16(6, 1);
    view.setUint16(
      2,
      protocol === ICMP ? internetChecksum([bytes]) : transportChecksum(shot, bytes),
    );
  }
  return bytes;
}

/** Over the pseudo header too: addresses, protocol and length. */
function transportChecksum(shot: Shot, bytes: Uint8Array): number {
  const rest = new Uint8Array([0, shot.protocol, bytes.length >> 8, bytes.length & 255]);
  return internetChecksum([
    bytesOf(shot.source, shot.family),
    bytesOf(shot.destination, shot.family),
    rest,
    bytes,
  ]);
}

/** The tag at the end of a packet that arrived, or undefined when it is too short for one. */
export function tagOf(bytes: Uint8Array): number | undefined {
  if (bytes.length < tagLength) return undefined;
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(bytes.length - 4);
}
