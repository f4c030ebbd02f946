/** @module What has to be let through, and nothing more: the part of a packet that a rule is written for. Pure. */
import type { Direction, Packet } from 'node-nftables';
import { formatAddress, parseAddress } from '../packet/address.ts';

/** An address or prefix, read and checked. */
export interface Prefix {
  /** Canonical text, without `/32` and `/128`. */
  readonly text: string;
  /** Host bits are zero. */
  readonly bytes: Uint8Array;
  readonly length: number;
}

/** The narrowest description of a packet that every manager has words for. */
export interface Opening {
  readonly direction: Direction;
  readonly family: 'ip' | 'ip6';
  /** Absent where every protocol is meant. */
  readonly protocol?: number;
  /** Of forwarded packets of many addresses: the devices that they come in and go out by. */
  readonly devices?: DevicePair;
  /** The far node's: of packets that come in. */
  readonly source?: Prefix;
  /** The far node's: of packets that go out. Forwarded ones have both. */
  readonly destination?: Prefix;
  /** Destination port. */
  readonly port?: number;
  readonly icmpType?: number;
  /** Only answers: packets of connections that there are already, from this port where the protocol has any. */
  readonly established?: { readonly sourcePort?: number };
}

/** Two devices by name; a trailing `*` matches any ending. */
export interface DevicePair {
  readonly inInterface: string;
  readonly outInterface: string;
}

/** Protocols whose first four bytes are the ports, by the names that every firewall knows. */
export const portProtocols: ReadonlyMap<number, string> = new Map([
  [6, 'tcp'],
  [17, 'udp'],
  [33, 'dccp'],
  [132, 'sctp'],
]);

export const icmpProtocols: ReadonlyMap<number, 'ip' | 'ip6'> = new Map([
  [1, 'ip'],
  [58, 'ip6'],
]);

/**
 * What a rule for this packet would say. Undefined where that would open more than was asked for: no destination port of a protocol
 * that has ports (an answer has the port that was asked as its source), or an address that cannot be read.
 */
export function openingOf(packet: Packet): Opening | undefined {
  const { direction, family, protocol, sourcePort, icmpType } = packet;
  if (!Number.isInteger(protocol) || protocol < 0 || protocol > 255) return undefined;
  const hasPorts = portProtocols.has(protocol);
  const isAnswer = packet.conntrack === 'established' && packet.destinationPort === undefined;
  const destinationPort = isAnswer ? undefined : packet.destinationPort;
  if (hasPorts && !isPort(isAnswer ? sourcePort : destinationPort)) return undefined;
  if (icmpType !== undefined && !isByte(icmpType)) return undefined;
  const source = direction === 'out' ? undefined : packet.source;
  const destination = direction === 'in' ? undefined : packet.destination;
  const from = source === undefined ? undefined : parsePrefix(source, family);
  const to = destination === undefined ? undefined : parsePrefix(destination, family);
  if (
    (source !== undefined && from === undefined) ||
    (destination !== undefined && to === undefined)
  )
    return undefined;
  return {
    direction,
    family,
    protocol,
    // `0.0.0.0/0` says nothing that the family does not.
    ...(from === undefined || from.length === 0 ? {} : { source: from }),
    ...(to === undefined || to.length === 0 ? {} : { destination: to }),
    ...(hasPorts && destinationPort !== undefined ? { port: destinationPort } : {}),
    ...(icmpProtocols.get(protocol) === family && icmpType !== undefined ? { icmpType } : {}),
    ...(isAnswer
      ? { established: hasPorts && sourcePort !== undefined ? { sourcePort } : {} }
      : {}),
  };
}

/** All that is forwarded from one device to another one. Undefined for names that could not be typed safely. */
export function openingBetween(
  family: Opening['family'],
  devices: DevicePair,
): Opening | undefined {
  const names = [devices.inInterface, devices.outInterface];
  if (!names.every((name) => /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}\*?$/.test(name))) return undefined;
  return { direction: 'forward', family, devices };
}

function parsePrefix(text: string, family: 'ip' | 'ip6'): Prefix | undefined {
  const [address = '', suffix, ...rest] = text.split('/');
  const bytes = parseAddress(address);
  if (bytes === undefined || rest.length > 0) return undefined;
  const bits = bytes.length * 8;
  if (bits !== (family === 'ip' ? 32 : 128)) return undefined;
  if (suffix !== undefined && !/^[0-9]{1,3}$/.test(suffix)) return undefined;
  const length = suffix === undefined ? bits : Number(suffix);
  if (length > bits) return undefined;
  const masked = maskOf(length, bytes.length).map((mask, index) => mask & (bytes[index] ?? 0));
  const canonical = formatAddress(masked);
  return { text: length === bits ? canonical : `${canonical}/${length}`, bytes: masked, length };
}

/** The mask of a prefix length over that many bytes. */
export function maskOf(length: number, bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, index) => {
    const ones = Math.min(8, Math.max(0, length - index * 8));
    return (0xff << (8 - ones)) & 0xff;
  });
}

function isPort(value: number | undefined): value is number {
  return value !== undefined && Number.isInteger(value) && value >= 0 && value <= 65535;
}

function isByte(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= 255;
}
