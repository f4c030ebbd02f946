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
  const image = new Image();
  const transportOffset = family === 'ip' ? writeIPv4(image, packet) : writeIPv6(image, packet);
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
    ...image.take(),
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

/** Bytes that are written one after the other, with the bits that are known. */
class Image {
  readonly #bytes: number[] = [];
  readonly #known: number[] = [];

  put(at: number, bytes: ArrayLike<number>, known?: ArrayLike<number>): void {
    for (let index = 0; index < bytes.length; index++) {
      while (this.#bytes.length <= at + index) {
        this.#bytes.push(0);
        this.#known.push(0);
      }
      this.#bytes[at + index] = bytes[index] ?? 0;
      this.#known[at + index] = known === undefined ? 255 : (known[index] ?? 0);
    }
  }

  put16(at: number, value: number | undefined): void {
    if (value === undefined) this.put(at, [0, 0], [0, 0]);
    else this.put(at, [(value >> 8) & 255, value & 255]);
  }

  put8(at: number, value: number | undefined): void {
    this.put(at, [(value ?? 0) & 255], [value === undefined ? 0 : 255]);
  }

  take(): Pick<PacketState, 'bytes' | 'known'> {
    return { bytes: Uint8Array.from(this.#bytes), known: Uint8Array.from(this.#known) };
  }
}

/**
 * RFC 791: version and header length, type of service, total length (2), identification (2), flags and fragment offset (2), time to live,
 * protocol, checksum (2), source (4), destination (4). No options.
 */
function writeIPv4(image: Image, packet: Packet): number {
  image.put(0, [0x45]);
  image.put(1, [(packet.dscp ?? 0) << 2], [packet.dscp === undefined ? 0 : 0xfc]);
  image.put16(2, packet.length);
  image.put16(4, undefined);
  // Reserved bit, don't fragment, more fragments, 13 bits of offset.
  if (packet.fragment === 'later') image.put(6, [0, 0], [0x80, 0]);
  else if (packet.fragment === 'first') image.put(6, [0x20, 0], [0xbf, 0xff]);
  else image.put(6, [0, 0], [0xbf, 0xff]);
  image.put8(8, packet.ttl);
  image.put8(9, packet.protocol);
  image.put16(10, undefined);
  putAddress(image, 12, packet.source, 'ip');
  putAddress(image, 16, packet.destination, 'ip');
  return 20;
}

/** RFC 8200: version, traffic class, flow label (4 bytes), payload length (2), next header, hop limit, source (16), destination (16). */
function writeIPv6(image: Image, packet: Packet): number {
  const { dscp } = packet;
  const known = dscp === undefined ? [0xf0, 0] : [0xff, 0xc0];
  image.put(0, [0x60 | ((dscp ?? 0) >> 2), ((dscp ?? 0) << 6) & 255, 0, 0], [...known, 0, 0]);
  image.put16(4, packet.length === undefined ? undefined : packet.length - 40);
  image.put8(7, packet.ttl);
  putAddress(image, 8, packet.source, 'ip6');
  putAddress(image, 24, packet.destination, 'ip6');
  if ((packet.fragment ?? 'none') === 'none') {
    image.put8(6, packet.protocol);
    return 40;
  }
  // The fragment header: next header, reserved, offset and flags (2), identification (4).
  image.put8(6, 44);
  image.put(40, [packet.protocol, 0]);
  if (packet.fragment === 'first') image.put(42, [0, 1]);
  else image.put16(42, undefined);
  image.put(44, [0, 0, 0, 0], [0, 0, 0, 0]);
  return 48;
}

function putAddress(
  image: Image,
  at: number,
  text: string | undefined,
  family: 'ip' | 'ip6',
): void {
  const length = family === 'ip' ? 4 : 16;
  const address = text === undefined ? undefined : parsePrefix(text, family);
  if (address === undefined) image.put(at, new Uint8Array(length), new Uint8Array(length));
  else image.put(at, address.bytes, address.known);
}

/** Gives how many bytes are there for sure. */
function writeTransport(image: Image, packet: Packet, at: number): number {
  const { protocol } = packet;
  const length = headerLengths.get(protocol) ?? 0;
  image.put(at, new Uint8Array(length), new Uint8Array(length));
  if (withPorts.has(protocol)) {
    image.put16(at, packet.sourcePort);
    image.put16(at + 2, packet.destinationPort);
  }
  if (protocol === 1 || protocol === 58) {
    image.put8(at, packet.icmpType);
    image.put8(at + 1, packet.icmpCode);
  }
  if (protocol === UDP && packet.length !== undefined) image.put16(at + 4, packet.length - at);
  if (protocol === TCP) {
    const begins = (packet.conntrack ?? 'new') === 'new';
    image.put8(at + 13, packet.tcpFlags ?? (begins ? SYN : undefined));
    // A header without options: the data lies right behind it.
    if (packet.payload !== undefined) image.put(at + 12, [0x50], [0xf0]);
  }
  if (packet.payload === undefined) return length;
  image.put(at + length, packet.payload);
  return length + packet.payload.length;
}

/** Destination (6), source (6), type (2). */
function linkHeader(packet: Packet): Pick<PacketState, 'link' | 'linkKnown'> {
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
