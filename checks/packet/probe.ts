/** @module Where a message of ours stands: in a UDP payload, in IP protocols 4 and 50; and the mark of an echo that carries none. */
import type { Payload } from '../../rules/schema.ts';
import { viewOf } from './bytes.ts';
import {
  type DecodedMessage,
  decodeMessage,
  decodePreamble,
  encodeMessage,
  type Mac,
  type Message,
  magic,
  messageBytes,
  preamble,
  preambleBytes,
} from './message.ts';

/** UDP payload of every request: large enough for any response, and below every path MTU that IPv6 allows (1,280). */
export const requestPayloadBytes = 1200;

/** Largest JSON body of a request or response in a UDP payload of `requestPayloadBytes`. */
export function maximumBodyBytes(mac?: Mac): number {
  return requestPayloadBytes - preambleBytes - messageBytes({ body: new Uint8Array(0) }, mac);
}

/**
 * The UDP payload that carries a message: preamble 22 · message · zero padding up to `payloadBytes`.
 *
 * `payloadBytes` smaller than the message is an error of the caller, since a cut message would be dropped (RangeError).
 */
export function encodeDatagram(
  message: Message,
  options: { readonly payload: Payload; readonly payloadBytes?: number; readonly mac?: Mac },
): Uint8Array {
  const least = preambleBytes + messageBytes(message, options.mac);
  const total = options.payloadBytes ?? least;
  if (total < least) throw new RangeError(`${least} bytes do not fit into a payload of ${total}`);
  const bytes = new Uint8Array(total);
  bytes.set(preamble(options.payload));
  bytes.set(encodeMessage(message, options.mac), preambleBytes);
  return bytes;
}

/** A UDP payload of ours, decoded: which preamble and which message, or why it is dropped. */
export type DecodedDatagram =
  | { readonly payload: Payload; readonly message: Message }
  | Extract<DecodedMessage, { malformed: unknown }>;

/** Decodes a UDP payload. A payload that does not start with one of the preambles is `not-ours`. */
export function decodeDatagram(bytes: Uint8Array, mac?: Mac): DecodedDatagram {
  if (bytes.length < preambleBytes) return { malformed: 'too-short' };
  const payload = decodePreamble(bytes);
  if (payload === undefined) return { malformed: 'not-ours' };
  const decoded = decodeMessage(bytes.subarray(preambleBytes), mac);
  return 'malformed' in decoded ? decoded : { payload, message: decoded.message };
}

/** What stands before the message in a probe of IP protocol 4 or 50. */
export const ipProbeHeaderBytes = 8;

/**
 * Body of a probe of IP protocol 4 or 50: four bytes that are neither IPv4 nor IPv6 (first nibble 0) and, read as an ESP
 * header, a reserved SPI (RFC 4303 section 2.1: 1 to 255), four bytes of sequence number, then the message.
 */
export function encodeIpProbe(message: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(ipProbeHeaderBytes + message.length);
  viewOf(bytes).setUint32(0, 0xf0);
  bytes.set(message, ipProbeHeaderBytes);
  return bytes;
}

/** Where the magic stands in the data of an echo that is no request of an agent. */
export const echoMarkOffset = 8;

/** Writes what tells an echo of ours from any other: token 8 · magic 4. The data must have room for both. */
export function markEcho(data: Uint8Array, token: bigint): void {
  const view = viewOf(data);
  view.setBigUint64(0, token);
  view.setUint32(echoMarkOffset, magic);
}
