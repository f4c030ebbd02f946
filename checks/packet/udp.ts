/** @module UDP (RFC 768; over IPv6 RFC 8200 section 8.1). */
import { viewOf } from './bytes.ts';
import { internetChecksum, onesComplementSum, pseudoHeaderSum } from './checksum.ts';

/** Length of a UDP header. */
export const udpHeaderBytes = 8;
/** IP protocol number of UDP. */
export const udpProtocol = 17;

/** What `encodeUdp` needs; the addresses go into the checksum only. */
export interface UdpToSend {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly payload: Uint8Array;
}

/** A UDP datagram. `payload` is a view of the input. */
export interface Udp {
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** Header and payload, as the header says. */
  readonly length: number;
  readonly checksum: number;
  readonly payload: Uint8Array;
}

/**
 * Encodes a datagram with its checksum.
 *
 * Layout: source port 2 · destination port 2 · length 2 · checksum 2 · payload. A checksum that comes out as 0 is sent
 * as 0xffff, because 0 means "none".
 */
export function encodeUdp({
  source,
  destination,
  sourcePort,
  destinationPort,
  payload,
}: UdpToSend): Uint8Array {
  const length = udpHeaderBytes + payload.length;
  if (length > 0xffff) throw new RangeError(`a UDP datagram of ${length} bytes`);
  const datagram = new Uint8Array(length);
  const view = viewOf(datagram);
  view.setUint16(0, sourcePort);
  view.setUint16(2, destinationPort);
  view.setUint16(4, length);
  datagram.set(payload, udpHeaderBytes);
  const pseudo = pseudoHeaderSum({
    source,
    destination,
    protocol: udpProtocol,
    length,
  });
  view.setUint16(6, internetChecksum(datagram, pseudo) || 0xffff);
  return datagram;
}

/**
 * Decodes a datagram; undefined when it is shorter than its header or its length field says.
 *
 * Bytes beyond the length field are link padding and are cut off, as the kernel does.
 */
export function decodeUdp(bytes: Uint8Array): Udp | undefined {
  if (bytes.length < udpHeaderBytes) return undefined;
  const view = viewOf(bytes);
  const length = view.getUint16(4);
  if (length < udpHeaderBytes || length > bytes.length) return undefined;
  return {
    sourcePort: view.getUint16(0),
    destinationPort: view.getUint16(2),
    length,
    checksum: view.getUint16(6),
    payload: bytes.subarray(udpHeaderBytes, length),
  };
}

/**
 * What a receiver's kernel would make of a datagram's checksum.
 *
 * - `good`: it is right.
 * - `none`: the field is 0. IPv4 accepts that; over IPv6 Linux drops it unless the receiving socket opted in
 *   (UDP_NO_CHECK6_RX, VXLAN `udp6zerocsumrx`).
 * - `partial`: the field holds only the folded sum of the pseudo-header. A sender on the same machine left the rest
 *   to a NIC (CHECKSUM_PARTIAL), and veth and other virtual NICs hand the packet over as it is. The kernel knows, and
 *   accepts it; no receiver can tell from the bytes alone, so it counts as good.
 * - `bad`: the kernel throws it away (UdpInCsumErrors). So does a datagram that is cut short.
 */
export type UdpChecksum = 'good' | 'none' | 'partial' | 'bad';

/** Judges the checksum of a datagram (header and payload) between two addresses of one family. */
export function judgeUdpChecksum({
  source,
  destination,
  datagram,
}: {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly datagram: Uint8Array;
}): UdpChecksum {
  const udp = decodeUdp(datagram);
  if (udp === undefined) return 'bad';
  if (udp.checksum === 0) return 'none';
  const pseudo = pseudoHeaderSum({
    source,
    destination,
    protocol: udpProtocol,
    length: udp.length,
  });
  if (onesComplementSum(datagram.subarray(0, udp.length), pseudo) === 0xffff) return 'good';
  return udp.checksum === pseudo ? 'partial' : 'bad';
}
