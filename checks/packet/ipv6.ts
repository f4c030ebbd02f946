/** @module IPv6 and its extension headers (RFC 8200). */
import { copyOf, viewOf } from './bytes.ts';

/** Length of the fixed IPv6 header. */
export const ipv6HeaderBytes = 40;

/** Extension headers that are walked: hop-by-hop options, routing, destination options; the fragment header is apart. */
const optionHeaders: readonly number[] = [0, 43, 60];
const fragmentHeader = 44;
/** More extension headers than any honest packet has (RFC 8200 section 4.1 lists at most seven). */
const maximumExtensionHeaders = 8;

/** What `encodeIpv6` needs. */
export interface Ipv6ToSend {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  /** Protocol of `payload`, or of its first extension header. */
  readonly nextHeader: number;
  readonly payload: Uint8Array;
  readonly hopLimit: number;
}

/** Where a fragment belongs (RFC 8200 section 4.5). */
export interface Ipv6Fragment {
  readonly offsetBytes: number;
  readonly moreFragments: boolean;
  readonly identification: number;
}

/** An IPv6 header, its extension headers walked, and what is there of its payload. */
export interface Ipv6 {
  /** Of the whole packet, as the header says. */
  readonly totalBytes: number;
  /** Fixed header and the extension headers that were walked. */
  readonly headerBytes: number;
  readonly hopLimit: number;
  /** What follows the extension headers. */
  readonly protocol: number;
  readonly fragment?: Ipv6Fragment;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  /** A view of the input, past the extension headers. */
  readonly payload: Uint8Array;
}

/**
 * Encodes a packet.
 *
 * Layout: version 4 bits, traffic class 8, flow label 20 · payload length 2 · next header 1 · hop limit 1 ·
 * source 16 · destination 16 · payload.
 */
export function encodeIpv6(packet: Ipv6ToSend): Uint8Array {
  if (packet.payload.length > 0xffff) {
    throw new RangeError(`an IPv6 payload of ${packet.payload.length} bytes`);
  }
  const bytes = new Uint8Array(ipv6HeaderBytes + packet.payload.length);
  const view = viewOf(bytes);
  view.setUint8(0, 0x60);
  view.setUint16(4, packet.payload.length);
  view.setUint8(6, packet.nextHeader);
  view.setUint8(7, packet.hopLimit);
  bytes.set(packet.source, 8);
  bytes.set(packet.destination, 24);
  bytes.set(packet.payload, ipv6HeaderBytes);
  return bytes;
}

/**
 * Decodes a whole packet; undefined when fewer bytes are there than the payload length says.
 *
 * Bytes beyond the payload length are link padding and are cut off.
 */
export function decodeIpv6(bytes: Uint8Array): Ipv6 | undefined {
  const packet = decodeQuotedIpv6(bytes);
  if (packet === undefined || packet.totalBytes > bytes.length) return undefined;
  return packet;
}

/** Decodes a packet that may have been cut short, as an ICMPv6 error quotes it; the headers must be whole. */
export function decodeQuotedIpv6(bytes: Uint8Array): Ipv6 | undefined {
  if (bytes.length < ipv6HeaderBytes) return undefined;
  const view = viewOf(bytes);
  if (view.getUint8(0) >> 4 !== 6) return undefined;
  const totalBytes = ipv6HeaderBytes + view.getUint16(4);
  const chain = walkExtensionHeaders(bytes.subarray(0, totalBytes), view.getUint8(6));
  if (chain === undefined) return undefined;
  return {
    totalBytes,
    hopLimit: view.getUint8(7),
    source: copyOf(bytes, 8, 24),
    destination: copyOf(bytes, 24, 40),
    payload: bytes.subarray(chain.headerBytes, totalBytes),
    ...chain,
  };
}

/**
 * Follows the chain from the fixed header to the first header that is not an extension.
 *
 * Option and routing headers: next header 1 · length in 8-byte units without the first 1 · data.
 * Fragment header: next header 1 · reserved 1 · offset in 8-byte units 13 bits, reserved 2, more 1 · identification 4.
 */
function walkExtensionHeaders(
  packet: Uint8Array,
  firstProtocol: number,
): { headerBytes: number; protocol: number; fragment?: Ipv6Fragment } | undefined {
  const view = viewOf(packet);
  let protocol = firstProtocol;
  let offset = ipv6HeaderBytes;
  let fragment: Ipv6Fragment | undefined;
  for (let count = 0; ; count += 1) {
    const isFragment = protocol === fragmentHeader;
    if (!isFragment && !optionHeaders.includes(protocol)) break;
    // What follows a later fragment's header is data, whatever its next header says.
    if (fragment !== undefined && fragment.offsetBytes !== 0) break;
    if (count === maximumExtensionHeaders || offset + 8 > packet.length) return undefined;
    if (isFragment) {
      const place = view.getUint16(offset + 2);
      fragment = {
        offsetBytes: place & 0xfff8,
        moreFragments: (place & 1) !== 0,
        identification: view.getUint32(offset + 4),
      };
    }
    const length = isFragment ? 8 : 8 + view.getUint8(offset + 1) * 8;
    protocol = view.getUint8(offset);
    offset += length;
    if (offset > packet.length) return undefined;
  }
  return {
    headerBytes: offset,
    protocol,
    ...(fragment === undefined ? {} : { fragment }),
  };
}
