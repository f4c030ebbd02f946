/** @module IPv4 (RFC 791). */
import { copyOf, viewOf } from './bytes.ts';
import { internetChecksum } from './checksum.ts';

/** Length of an IPv4 header without options. */
export const ipv4HeaderBytes = 20;

/** What `encodeIpv4` needs. */
export interface Ipv4ToSend {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly protocol: number;
  readonly payload: Uint8Array;
  /** 0 lets an IP_HDRINCL socket of Linux choose one. */
  readonly identification: number;
  readonly dontFragment: boolean;
  readonly ttl: number;
}

/** An IPv4 header and what is there of its payload. */
export interface Ipv4 {
  readonly headerBytes: number;
  /** Of the whole packet, as the header says. */
  readonly totalBytes: number;
  readonly identification: number;
  readonly dontFragment: boolean;
  readonly moreFragments: boolean;
  /** Where this fragment's payload belongs; 0 also for a packet that is not a fragment. */
  readonly fragmentOffsetBytes: number;
  readonly ttl: number;
  readonly protocol: number;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  /** A view of the input. */
  readonly payload: Uint8Array;
}

/**
 * Encodes a packet without options, with its header checksum.
 *
 * Layout: version and header length in words 1 · DSCP and ECN 1 · total length 2 · identification 2 ·
 * flags (3 bits: 0, DF, MF) and fragment offset in 8-byte units (13 bits) 2 · TTL 1 · protocol 1 ·
 * header checksum 2 · source 4 · destination 4 · options · payload.
 */
export function encodeIpv4(packet: Ipv4ToSend): Uint8Array {
  const totalBytes = ipv4HeaderBytes + packet.payload.length;
  if (totalBytes > 0xffff) throw new RangeError(`an IPv4 packet of ${totalBytes} bytes`);
  const bytes = new Uint8Array(totalBytes);
  const view = viewOf(bytes);
  view.setUint8(0, 0x45);
  view.setUint16(2, totalBytes);
  view.setUint16(4, packet.identification);
  view.setUint16(6, packet.dontFragment ? 0x4000 : 0);
  view.setUint8(8, packet.ttl);
  view.setUint8(9, packet.protocol);
  bytes.set(packet.source, 12);
  bytes.set(packet.destination, 16);
  view.setUint16(10, internetChecksum(bytes.subarray(0, ipv4HeaderBytes)));
  bytes.set(packet.payload, ipv4HeaderBytes);
  return bytes;
}

/**
 * Decodes a whole packet; undefined when fewer bytes are there than the total length says.
 *
 * Bytes beyond the total length are link padding and are cut off. The header checksum is not judged: the kernel has done so
 * for everything that a raw socket delivers.
 */
export function decodeIpv4(bytes: Uint8Array): Ipv4 | undefined {
  const packet = decodeQuotedIpv4(bytes);
  if (packet === undefined || packet.totalBytes > bytes.length) return undefined;
  return packet;
}

/** Decodes a packet that may have been cut short, as an ICMP error quotes it; the header must be whole. */
export function decodeQuotedIpv4(bytes: Uint8Array): Ipv4 | undefined {
  if (bytes.length < ipv4HeaderBytes) return undefined;
  const view = viewOf(bytes);
  const first = view.getUint8(0);
  const headerBytes = (first & 0x0f) * 4;
  const totalBytes = view.getUint16(2);
  if (first >> 4 !== 4 || headerBytes < ipv4HeaderBytes) return undefined;
  if (headerBytes > bytes.length || totalBytes < headerBytes) return undefined;
  const fragment = view.getUint16(6);
  return {
    headerBytes,
    totalBytes,
    identification: view.getUint16(4),
    dontFragment: (fragment & 0x4000) !== 0,
    moreFragments: (fragment & 0x2000) !== 0,
    fragmentOffsetBytes: (fragment & 0x1fff) * 8,
    ttl: view.getUint8(8),
    protocol: view.getUint8(9),
    source: copyOf(bytes, 12, 16),
    destination: copyOf(bytes, 16, 20),
    payload: bytes.subarray(headerBytes, totalBytes),
  };
}
