/** @module A question -> what is known of the packet before its first hook. */
import { parseMac, parsePrefix } from './address.ts';
import { notLookedAt, type PacketState } from './state.ts';
import { no } from './ternary.ts';
import type { Packet } from './types.ts';

const TCP = 6;
const UDP = 17;
const SYN = 0x02;

/** The least that a transport header has: of TCP without options, of an unknown protocol nothing. */
const headerLengths: ReadonlyMap<number, number> = new Map([
  [1, 8],
  [TCP, 20],
  [UDP, 8],
  [33, 12],
  [47, 4],
  [50, 8],
  [51, 12],
  [58, 8],
  [132, 12],
  [136, 8],
]);
const withPorts: ReadonlySet<number> = new Set([TCP, UDP, 33, 132, 136]);
/** The longest IP packet; of IPv6 with its header. */
const longest = 65575;

export function initialState(packet: Packet): PacketState {
  const { family, protocol, fragment = 'none' } = packet;
  const transportOffset = family === 'ip' ? 20 : fragment === 'none' ? 40 : 48;
  const size = transportOffset + (headerLengths.get(protocol) ?? 0) + (packet.payload?.length ?? 0);
  const image: Image = { bytes: new Uint8Array(size), known: new Uint8Array(size) };
  if (family === 'ip') writeIPv4(image, packet);
  else writeIPv6(image, packet);
  const behind = fragment === 'later' ? 0 : writeTransport(image, packet, transportOffset);
  const least = transportOffset + behind;
  const length = packet.length === undefined ? undefined : Math.max(packet.length, least);
  const { link, linkKnown } = linkHeader(packet);
  const marked = packet.mark !== undefined;
  return {
    version: 0,
    family,
    protocol,
    fragment,
    bytes: image.bytes,
    known: image.known,
    transportOffset,
    certainLength: length ?? least,
    largestLength: length ?? longest,
    link,
    linkKnown,
    mark: (packet.mark ?? 0) >>> 0,
    markKnown: marked ? 0xffffffff : 0,
    priority: 0,
    priorityKnown: 0,
    conntrack: notLookedAt,
    destinationChosen: no,
    sourceChosen: no,
    redirected: no,
    intercepted: no,
  };
}

/** Bytes, and the bits of them that are known. */
interface Image {
  readonly bytes: Uint8Array;
  readonly known: Uint8Array;
}

/** In a loop: there are few, and `set` takes longer to begin. */
function put(image: Image, at: number, bytes: Uint8Array, known?: Uint8Array): void {
  for (let index = 0; index < bytes.length; index++) {
    image.bytes[at + index] = bytes[index] ?? 0;
    image.known[at + index] = known === undefined ? 255 : (known[index] ?? 0);
  }
}

/** A byte of which some bits are known. */
function putBits(image: Image, at: number, value: number, known: number): void {
  image.bytes[at] = value;
  image.known[at] = known;
}

function put16(image: Image, at: number, value: number | undefined): void {
  if (value === undefined) return;
  put8(image, at, value >> 8);
  put8(image, at + 1, value);
}

function put8(image: Image, at: number, value: number | undefined): void {
  if (value === undefined) return;
  image.bytes[at] = value;
  image.known[at] = 255;
}

/**
 * RFC 791: version and header length, type of service, total length (2), identification (2), flags and fragment offset (2), time to live,
 * protocol, checksum (2), source (4), destination (4). No options.
 */
function writeIPv4(image: Image, packet: Packet): void {
  put8(image, 0, 0x45);
  putBits(image, 1, (packet.dscp ?? 0) << 2, packet.dscp === undefined ? 0 : 0xfc);
  put16(image, 2, packet.length);
  // Reserved bit, don't fragment, more fragments, 13 bits of offset.
  if (packet.fragment === 'later') putBits(image, 6, 0, 0x80);
  else {
    putBits(image, 6, packet.fragment === 'first' ? 0x20 : 0, 0xbf);
    put8(image, 7, 0);
  }
  put8(image, 8, packet.ttl);
  put8(image, 9, packet.protocol);
  putAddress(image, 12, packet.source, 'ip');
  putAddress(image, 16, packet.destination, 'ip');
}

/** RFC 8200: version, traffic class, flow label (4 bytes), payload length (2), next header, hop limit, source (16), destination (16). */
function writeIPv6(image: Image, packet: Packet): void {
  const { dscp } = packet;
  putBits(image, 0, 0x60 | ((dscp ?? 0) >> 2), dscp === undefined ? 0xf0 : 0xff);
  putBits(image, 1, ((dscp ?? 0) << 6) & 255, dscp === undefined ? 0 : 0xc0);
  put16(image, 4, packet.length === undefined ? undefined : packet.length - 40);
  put8(image, 7, packet.ttl);
  putAddress(image, 8, packet.source, 'ip6');
  putAddress(image, 24, packet.destination, 'ip6');
  if ((packet.fragment ?? 'none') === 'none') {
    put8(image, 6, packet.protocol);
    return;
  }
  // The fragment header: next header, reserved, offset and flags (2), identification (4).
  put8(image, 6, 44);
  put8(image, 40, packet.protocol);
  put8(image, 41, 0);
  if (packet.fragment === 'first') put16(image, 42, 1);
}

function putAddress(
  image: Image,
  at: number,
  text: string | undefined,
  family: 'ip' | 'ip6',
): void {
  const address = text === undefined ? undefined : parsePrefix(text, family);
  if (address !== undefined) put(image, at, address.bytes, address.known);
}

/** Gives how many bytes are there for sure. */
function writeTransport(image: Image, packet: Packet, at: number): number {
  const { protocol } = packet;
  const length = headerLengths.get(protocol) ?? 0;
  if (withPorts.has(protocol)) {
    put16(image, at, packet.sourcePort);
    put16(image, at + 2, packet.destinationPort);
  }
  if (protocol === 1 || protocol === 58) {
    put8(image, at, packet.icmpType);
    put8(image, at + 1, packet.icmpCode);
  }
  if (protocol === UDP && packet.length !== undefined) put16(image, at + 4, packet.length - at);
  if (protocol === TCP) {
    const begins = (packet.conntrack ?? 'new') === 'new';
    put8(image, at + 13, packet.tcpFlags ?? (begins ? SYN : undefined));
    // A header without options: the data lies right behind it.
    if (packet.payload !== undefined) putBits(image, at + 12, 0x50, 0xf0);
  }
  if (packet.payload === undefined) return length;
  put(image, at + length, packet.payload);
  return length + packet.payload.length;
}

/** Destination (6), source (6), type (2). */
function linkHeader(packet: Packet): Pick<PacketState, 'link' | 'linkKnown'> {
  const { destinationMac, sourceMac } = packet;
  if (destinationMac === undefined && sourceMac === undefined) return bareLinks[packet.family];
  return linkWith(packet);
}

function linkWith(packet: Packet): Pick<PacketState, 'link' | 'linkKnown'> {
  const link = new Uint8Array(14);
  const linkKnown = new Uint8Array(14);
  const write = (at: number, bytes: Uint8Array | undefined): void => {
    if (bytes === undefined) return;
    link.set(bytes, at);
    linkKnown.fill(255, at, at + bytes.length);
  };
  write(0, packet.destinationMac === undefined ? undefined : parseMac(packet.destinationMac));
  write(6, packet.sourceMac === undefined ? undefined : parseMac(packet.sourceMac));
  write(12, Uint8Array.of(...(packet.family === 'ip' ? [0x08, 0x00] : [0x86, 0xdd])));
  return { link, linkKnown };
}

const bareLinks = {
  ip: linkWith({ direction: 'in', protocol: 0, family: 'ip' }),
  ip6: linkWith({ direction: 'in', protocol: 0, family: 'ip6' }),
} as const;
