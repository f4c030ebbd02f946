/** @module ICMP echo and errors: ICMPv4 (RFC 792, 1191, 4884) and ICMPv6 (RFC 4443). */
import type { Family } from '../family.ts';
import { copyOf, viewOf } from './bytes.ts';
import { internetChecksum } from './checksum.ts';
import { decodeQuotedIpv4 } from './ipv4.ts';
import { decodeQuotedIpv6 } from './ipv6.ts';

/** Length of an ICMP header: the first 8 bytes of every echo and error. */
export const icmpHeaderBytes = 8;
/** IP protocol number of ICMP in either family. */
export const icmpProtocol: Readonly<Record<Family, number>> = {
  ipv4: 1,
  ipv6: 58,
};
/** Types of the echo messages in either family. */
export const echoTypes: Readonly<
  Record<Family, { readonly request: number; readonly reply: number }>
> = { ipv4: { request: 8, reply: 0 }, ipv6: { request: 128, reply: 129 } };

/** An echo to send. */
export interface EchoToSend {
  readonly family: Family;
  readonly identifier: number;
  readonly sequence: number;
  readonly data: Uint8Array;
}

/** The packet that an ICMP error complains about, as far as it is quoted. */
export interface QuotedPacket {
  readonly protocol: number;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  /** Length that the quoted IP header states, of the whole packet. */
  readonly packetBytes: number;
  /** UDP and TCP. */
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  /** ICMP echo. */
  readonly identifier?: number;
  readonly sequence?: number;
  /** What is quoted after the 8-byte header of UDP or of an ICMP echo; of any other protocol the whole IP payload. */
  readonly payload: Uint8Array;
}

/** What an ICMP message says. `data` and `payload` are copies. */
export type Icmp =
  | {
      readonly kind: 'echo-request' | 'echo-reply';
      readonly identifier: number;
      readonly sequence: number;
      readonly data: Uint8Array;
    }
  | {
      readonly kind: 'error';
      readonly type: number;
      readonly code: number;
      /** Next-hop MTU of "fragmentation needed" (3/4) or "packet too big" (2/0); absent where the router did not say. */
      readonly mtu?: number;
      readonly quoted: QuotedPacket;
    };

/**
 * Encodes an echo request: ICMPv4 8/0, ICMPv6 128/0.
 *
 * Layout: type 1 · code 1 · checksum 2 · identifier 2 · sequence 2 · data. The checksum of ICMPv6 covers the source
 * address, which the kernel chooses: it stays 0 here, and the kernel fills it in on every ICMPv6 raw socket
 * (RFC 3542 section 3.1).
 */
export function encodeEchoRequest(echo: EchoToSend): Uint8Array {
  return encodeEcho(echoTypes[echo.family].request, echo);
}

/** Encodes an echo reply: ICMPv4 0/0, ICMPv6 129/0; layout and checksum as in a request. */
export function encodeEchoReply(echo: EchoToSend): Uint8Array {
  return encodeEcho(echoTypes[echo.family].reply, echo);
}

function encodeEcho(type: number, { family, identifier, sequence, data }: EchoToSend): Uint8Array {
  const bytes = new Uint8Array(icmpHeaderBytes + data.length);
  bytes[0] = type;
  setUint16(bytes, 4, identifier);
  setUint16(bytes, 6, sequence);
  bytes.set(data, icmpHeaderBytes);
  if (family === 'ipv4') setUint16(bytes, 2, internetChecksum(bytes));
  return bytes;
}

/** Without a DataView: a thousand of these leave in a second (see checksum.ts). */
function setUint16(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value >> 8;
  bytes[offset + 1] = value & 0xff;
}

/** Destination unreachable, source quench, time exceeded, parameter problem (a redirect is no error: the packet went on). */
const errorTypesIpv4: readonly number[] = [3, 4, 11, 12];
/** Destination unreachable, packet too big, time exceeded, parameter problem. */
const errorTypesIpv6: readonly number[] = [1, 2, 3, 4];

/**
 * Decodes an ICMP message (without its IP header); undefined when it is malformed or neither echo nor error.
 *
 * The checksum is not judged: a receive buffer may cut a long echo. `internetChecksum(message) === 0` judges a whole
 * ICMPv4 message, and the kernel has judged ICMPv6 (RFC 3542 section 3.1).
 */
export function decodeIcmp(family: Family, bytes: Uint8Array): Icmp | undefined {
  if (bytes.length < icmpHeaderBytes) return undefined;
  const view = viewOf(bytes);
  const type = view.getUint8(0);
  const code = view.getUint8(1);
  const { request, reply } = echoTypes[family];
  if (type === request || type === reply) {
    if (code !== 0) return undefined;
    return {
      kind: type === request ? 'echo-request' : 'echo-reply',
      identifier: view.getUint16(4),
      sequence: view.getUint16(6),
      data: copyOf(bytes, icmpHeaderBytes),
    };
  }
  const errorTypes = family === 'ipv4' ? errorTypesIpv4 : errorTypesIpv6;
  if (!errorTypes.includes(type)) return undefined;
  const quoted = decodeQuoted(family, quotedBytes(family, type, bytes));
  if (quoted === undefined) return undefined;
  const mtu = reportedMtu(family, type, code, view);
  return {
    kind: 'error',
    type,
    code,
    ...(mtu === undefined ? {} : { mtu }),
    quoted,
  };
}

/**
 * The next-hop MTU.
 *
 * ICMPv4 3/4 (RFC 1191 section 4): type 1 · code 1 · checksum 2 · unused 2 · MTU 2; 0 from a router older than that RFC.
 * ICMPv6 2 (RFC 4443 section 3.2): type 1 · code 1 · checksum 2 · MTU 4.
 */
function reportedMtu(
  family: Family,
  type: number,
  code: number,
  view: DataView,
): number | undefined {
  if (family === 'ipv6') return type === 2 ? view.getUint32(4) : undefined;
  if (type !== 3 || code !== 4) return undefined;
  const mtu = view.getUint16(6);
  return mtu === 0 ? undefined : mtu;
}

/**
 * The quoted packet without the extensions that may follow it (RFC 4884 section 3).
 *
 * Their presence shows in a length of the quote, of at least 128 bytes: ICMPv4 byte 5 in 4-byte words, ICMPv6 byte 4 in
 * 8-byte words. Only unreachable, time exceeded and (ICMPv4) parameter problem have it; anything shorter is what an
 * older router left in an unused field.
 */
function quotedBytes(family: Family, type: number, bytes: Uint8Array): Uint8Array {
  const view = viewOf(bytes);
  const extensible = family === 'ipv4' ? type !== 4 : type === 1 || type === 3;
  const length = family === 'ipv4' ? view.getUint8(5) * 4 : view.getUint8(4) * 8;
  const end = extensible && length >= 128 ? icmpHeaderBytes + length : bytes.length;
  return bytes.subarray(icmpHeaderBytes, end);
}

/** Both RFCs promise at least the IP header and 8 bytes more, or all there was; less cannot be matched to a probe. */
function decodeQuoted(family: Family, bytes: Uint8Array): QuotedPacket | undefined {
  const packet = family === 'ipv4' ? decodeQuotedIpv4(bytes) : decodeQuotedIpv6(bytes);
  if (packet === undefined) return undefined;
  const { protocol, source, destination, payload } = packet;
  if (payload.length < Math.min(8, packet.totalBytes - packet.headerBytes)) return undefined;
  const common = {
    protocol,
    source,
    destination,
    packetBytes: packet.totalBytes,
  };
  const offsetBytes =
    'fragmentOffsetBytes' in packet
      ? packet.fragmentOffsetBytes
      : (packet.fragment?.offsetBytes ?? 0);
  if (offsetBytes !== 0 || payload.length < 8) return { ...common, payload: copyOf(payload) };
  const view = viewOf(payload);
  if (protocol === 6 || protocol === 17) {
    return {
      ...common,
      sourcePort: view.getUint16(0),
      destinationPort: view.getUint16(2),
      payload: copyOf(payload, protocol === 17 ? 8 : 0),
    };
  }
  const { request, reply } = echoTypes[family];
  const type = view.getUint8(0);
  if (protocol === icmpProtocol[family] && (type === request || type === reply)) {
    return {
      ...common,
      identifier: view.getUint16(4),
      sequence: view.getUint16(6),
      payload: copyOf(payload, 8),
    };
  }
  return { ...common, payload: copyOf(payload) };
}
