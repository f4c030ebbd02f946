/**
 * @module What one packet is to a flow: a probe of ours, an answer to one, a fragment, an ICMP error about a probe, or nothing. Pure.
 * Packets start at their IP header, may be cut, and may be anybody's: whatever they say is hostile.
 */
import type { Flow, IcmpError } from '../diagnosis/evidence.ts';
import { formatAddress, parseAddress, sameAddress } from '../packet/address.ts';
import { viewOf } from '../packet/bytes.ts';
import { onesComplementSum, pseudoHeaderSum } from '../packet/checksum.ts';
import { decodeIcmp, echoTypes, icmpHeaderBytes, icmpProtocol } from '../packet/icmp.ts';
import { decodeQuotedIpv4 } from '../packet/ipv4.ts';
import { decodeQuotedIpv6 } from '../packet/ipv6.ts';
import {
  magic,
  magicOffset,
  messageHeaderBytes,
  messageTypes,
  nonceOffset,
  portOffset,
  preambleBytes,
  sessionOffset,
  typeOffset,
} from '../packet/message.ts';
import { echoMarkOffset, ipProbeHeaderBytes } from '../packet/probe.ts';
import { tcpHeaderBytes } from '../packet/tcp.ts';
import { judgeUdpChecksum, udpProtocol } from '../packet/udp.ts';
import { tcpProtocol } from './tap-filter.ts';

/** One packet of a flow. `key` is the same wherever, and however often, that packet is seen. */
export type Sighted =
  | { readonly kind: 'probe'; readonly key: string; readonly goodChecksum: boolean | undefined }
  | { readonly kind: 'answer'; readonly key: string }
  | { readonly kind: 'fragment'; readonly key: string }
  | { readonly kind: 'error'; readonly error: IcmpError };

/** A flow with its addresses as bytes, so that they are not parsed for each packet. */
export interface ReadyFlow extends Pick<Flow, 'family' | 'protocol' | 'port'> {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
}

export function readyFlow({ source, destination, ...rest }: Flow): ReadyFlow {
  const bytes = (address: string): Uint8Array => parseAddress(address) ?? new Uint8Array();
  return { ...rest, source: bytes(source), destination: bytes(destination) };
}

/** An IP packet, of which the end may be missing. */
interface Packet {
  readonly protocol: number;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly fragment: { readonly offset: number; readonly more: boolean; readonly id: number };
  readonly payload: Uint8Array;
  readonly isWhole: boolean;
}

/** Says what a packet is to the flow; undefined when it has nothing to do with it. */
export function sight(flow: ReadyFlow, bytes: Uint8Array): Sighted | undefined {
  const packet = flow.family === 'ipv4' ? readIpv4(bytes) : readIpv6(bytes);
  if (packet === undefined) return undefined;
  return (
    readOwn(flow, packet) ?? (packet.fragment.offset === 0 ? readError(flow, packet) : undefined)
  );
}

/**
 * The key of a probe behind the INPUT hook, from its transport header on; undefined when it is none. A rule may have sent it to another
 * address or port: of UDP the port counts that the probe itself says it was for.
 */
export function keyPastInput(flow: ReadyFlow, payload: Uint8Array): string | undefined {
  if (flow.protocol !== udpProtocol) return probeKey(flow, payload);
  const message = payload.subarray(8 + preambleBytes);
  if (message.length < messageHeaderBytes) return undefined;
  if (viewOf(message).getUint16(portOffset) !== flow.port) return undefined;
  return messageKey(message, messageTypes.probe);
}

function readIpv4(bytes: Uint8Array): Packet | undefined {
  const packet = decodeQuotedIpv4(bytes);
  if (packet === undefined) return undefined;
  const { fragmentOffsetBytes: offset, moreFragments: more, identification: id } = packet;
  return { ...packet, fragment: { offset, more, id }, isWhole: packet.totalBytes <= bytes.length };
}

function readIpv6(bytes: Uint8Array): Packet | undefined {
  const packet = decodeQuotedIpv6(bytes);
  if (packet === undefined) return undefined;
  const { fragment } = packet;
  return {
    ...packet,
    fragment: {
      offset: fragment?.offsetBytes ?? 0,
      more: fragment?.moreFragments ?? false,
      id: fragment?.identification ?? 0,
    },
    isWhole: packet.totalBytes <= bytes.length,
  };
}

function readOwn(flow: ReadyFlow, packet: Packet): Sighted | undefined {
  const { protocol, source, destination, fragment, payload } = packet;
  if (protocol !== flow.protocol) return undefined;
  const isThere = sameAddress(source, flow.source) && sameAddress(destination, flow.destination);
  const isBack = sameAddress(source, flow.destination) && sameAddress(destination, flow.source);
  if (fragment.offset !== 0)
    return isThere ? { kind: 'fragment', key: `${fragment.id} ${fragment.offset}` } : undefined;
  if (isThere) {
    const key = probeKey(flow, payload);
    if (key !== undefined) return { kind: 'probe', key, goodChecksum: hasGoodChecksum(packet) };
  }
  if (isBack) {
    const key = answerKey(flow, payload);
    if (key !== undefined) return { kind: 'answer', key };
  }
  return undefined;
}

/** The mark of a probe; undefined when it is none. */
function probeKey(flow: ReadyFlow, payload: Uint8Array): string | undefined {
  const view = viewOf(payload);
  switch (flow.protocol) {
    case udpProtocol: {
      if (payload.length < 8 || view.getUint16(2) !== flow.port) return undefined;
      return messageKey(payload.subarray(8 + preambleBytes), messageTypes.probe);
    }
    case tcpProtocol:
      if (payload.length < tcpHeaderBytes || view.getUint16(2) !== flow.port) return undefined;
      // A segment that is sent again is the same attempt.
      return ((payload[13] ?? 0) & 0x12) === 0x02 ? `${view.getUint16(0)}` : undefined;
    case icmpProtocol[flow.family]:
      return echoKey(payload, echoTypes[flow.family].request);
    default:
      return messageKey(payload.subarray(ipProbeHeaderBytes), messageTypes.probe);
  }
}

/** The mark of what answers a probe. For TCP it is the port that the attempt came from. */
function answerKey(flow: ReadyFlow, payload: Uint8Array): string | undefined {
  const view = viewOf(payload);
  switch (flow.protocol) {
    case udpProtocol:
      if (payload.length < 8 || view.getUint16(0) !== flow.port) return undefined;
      return messageKey(payload.subarray(8), messageTypes.answer);
    case tcpProtocol:
      if (payload.length < tcpHeaderBytes || view.getUint16(0) !== flow.port) return undefined;
      return ((payload[13] ?? 0) & 0x06) === 0 ? undefined : `${view.getUint16(2)}`;
    case icmpProtocol[flow.family]:
      return echoKey(payload, echoTypes[flow.family].reply);
    default:
      return messageKey(payload.subarray(ipProbeHeaderBytes), messageTypes.probe);
  }
}

/** Session and nonce. The MAC is not judged: a tap says what passed, and damage on the way is one of the things that it says. */
function messageKey(bytes: Uint8Array, type: number): string | undefined {
  if (bytes.length < nonceOffset + 8) return undefined;
  const view = viewOf(bytes);
  if (view.getUint32(magicOffset) !== magic || bytes[typeOffset] !== type) return undefined;
  return `${view.getBigUint64(sessionOffset)} ${view.getBigUint64(nonceOffset)}`;
}

function echoKey(payload: Uint8Array, type: number): string | undefined {
  if (payload.length < icmpHeaderBytes + echoMarkOffset + 4 || payload[0] !== type)
    return undefined;
  const view = viewOf(payload);
  if (view.getUint32(icmpHeaderBytes + echoMarkOffset) !== magic) return undefined;
  return `${view.getUint32(4)} ${view.getBigUint64(icmpHeaderBytes)}`;
}

/** Undefined where it cannot be told: a fragment, a packet that was cut, a protocol without one. */
function hasGoodChecksum(packet: Packet): boolean | undefined {
  const { protocol, source, destination, payload, isWhole, fragment } = packet;
  if (!isWhole || fragment.more) return undefined;
  if (protocol === udpProtocol) {
    const judged = judgeUdpChecksum({ source, destination, datagram: payload });
    return judged === 'good' || judged === 'partial' || (judged === 'none' && source.length === 4);
  }
  if (protocol === icmpProtocol.ipv4) return onesComplementSum(payload) === 0xffff;
  if (protocol !== tcpProtocol && protocol !== icmpProtocol.ipv6) return undefined;
  const pseudo = pseudoHeaderSum({ source, destination, protocol, length: payload.length });
  if (onesComplementSum(payload, pseudo) === 0xffff) return true;
  // Left to a NIC that never saw it, as over veth.
  return viewOf(payload).getUint16(protocol === tcpProtocol ? 16 : 2) === pseudo;
}

function readError(
  flow: ReadyFlow,
  { protocol, source, destination, payload }: Packet,
): Sighted | undefined {
  if (protocol !== icmpProtocol[flow.family]) return undefined;
  if (!sameAddress(destination, flow.source)) return undefined;
  const decoded = decodeIcmp(flow.family, payload);
  if (decoded?.kind !== 'error') return undefined;
  const { type, code, quoted } = decoded;
  if (quoted.protocol !== flow.protocol) return undefined;
  if (!sameAddress(quoted.source, flow.source)) return undefined;
  if (!sameAddress(quoted.destination, flow.destination)) return undefined;
  const hasPorts = flow.protocol === udpProtocol || flow.protocol === tcpProtocol;
  if (hasPorts && quoted.destinationPort !== flow.port) return undefined;
  if (isForeign(flow, quoted.payload)) return undefined;
  return { kind: 'error', error: { type, code, from: formatAddress(source) } };
}

/** Whether a quote is long enough to show our mark, and shows none. Routers may quote no more than the ports. */
function isForeign({ family, protocol }: ReadyFlow, quoted: Uint8Array): boolean {
  if (protocol === tcpProtocol) return false;
  const offset =
    protocol === udpProtocol
      ? preambleBytes
      : protocol === icmpProtocol[family]
        ? echoMarkOffset
        : ipProbeHeaderBytes;
  if (quoted.length < offset + typeOffset + 1) return false;
  if (viewOf(quoted).getUint32(offset) !== magic) return true;
  return protocol !== icmpProtocol[family] && quoted[offset + typeOffset] !== messageTypes.probe;
}
