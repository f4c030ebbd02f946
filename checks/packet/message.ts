/**
 * @module The datagrams of this project: probes, the witness's answers, and requests that travel where HTTP cannot.
 * `docs/wire-format.md` describes the exchange; this file is its bytes. Multi-byte fields are big-endian.
 */
import type { Payload } from '../../rules/schema.ts';
import type { Witnessed } from '../host/network.ts';
import { mapTo16, unmap } from './address.ts';
import { copyOf, viewOf } from './bytes.ts';
import { encodeEthernet } from './ethernet.ts';
import { encodeGeneve } from './geneve.ts';
import { encodeVxlan } from './vxlan.ts';

/** Length of the bytes before the message in every UDP datagram of ours. */
export const preambleBytes = 22;
/** `CNIP`, the first four bytes of a message. */
export const magic = 0x43_4e_49_50;
/** Offsets from the start of the message (in a UDP payload that is `preambleBytes` later), for a socket filter. */
export const magicOffset = 0;
export const versionOffset = 4;
export const typeOffset = 5;
export const flagsOffset = 6;
export const observationOffset = 7;
export const sessionOffset = 8;
export const nonceOffset = 16;
export const addressOffset = 24;
export const portOffset = 40;
export const bodyLengthOffset = 42;
export const heldOffset = 44;
/** Length of a message before its body. */
export const messageHeaderBytes = 48;
/** Length of the keyed MAC: HMAC-SHA-256 cut to its first half (RFC 2104 section 5). */
export const macBytes = 16;
/** Length of one nonce, in the header and in the body of a probe. */
export const nonceBytes = 8;
/** How many nonces heard from a peer a probe carries at most. */
export const maximumHeard = 8;
/** The only version of this format. */
export const messageVersion = 1;

const signedFlag = 0x01;

export type MessageType = 'probe' | 'answer' | 'request' | 'response';

/** Values of the type byte, for a socket filter. */
export const messageTypes: Readonly<Record<MessageType, number>> = {
  probe: 1,
  answer: 2,
  request: 3,
  response: 4,
};

/** Values of the observation byte; 0 in everything but an answer. */
const observations: Readonly<Record<Witnessed, number>> = {
  seen: 1,
  'seen-rewritten': 2,
  'seen-bad-checksum': 3,
  'seen-tproxy-possible': 4,
};

/** One message, decoded. */
export interface Message {
  readonly type: MessageType;
  /** What the witness says of the probe; in an answer, and only there. */
  readonly observation?: Witnessed;
  /** Drawn at random when the sending process starts. */
  readonly session: bigint;
  /** Number of the probe or request; its answer or response repeats it. */
  readonly nonce: bigint;
  /** Probe and request: the intended destination. Answer and response: the destination found in the IP header. */
  readonly address: Uint8Array;
  /** As `address`; 0 where the carrier has no ports. */
  readonly port: number;
  /** Answer: how long the witness held the probe, in microseconds; absent where it did not say. */
  readonly heldMicroseconds?: number;
  /** Probe: nonces heard lately (`encodeHeard`). Answer: empty. Request and response: JSON in UTF-8. */
  readonly body: Uint8Array;
}

/** Keyed digest over bytes, at least `macBytes` long (HMAC-SHA-256); cut to `macBytes` here. */
export type Mac = (bytes: Uint8Array) => Uint8Array;

/** Why a datagram was dropped; a metric label. */
export type Malformed =
  | 'too-short'
  | 'not-ours'
  | 'version'
  | 'type'
  | 'length'
  | 'reserved'
  | 'unsigned'
  | 'bad-mac'
  | 'signed-without-key';

export type DecodedMessage = { readonly message: Message } | { readonly malformed: Malformed };

/** Fixed, locally administered unicast addresses ("CNIP" inside) of the frame in a preamble; nobody owns them. */
const preambleFrame = encodeEthernet({
  destination: Uint8Array.of(0x02, 0x43, 0x4e, 0x49, 0x50, 0x02),
  source: Uint8Array.of(0x02, 0x43, 0x4e, 0x49, 0x50, 0x01),
  // Local Experimental EtherType 1 (IEEE 802): no kernel has a handler for it.
  etherType: 0x88b5,
  payload: new Uint8Array(0),
});

/**
 * The bytes before a message that make the datagram inert to whatever owns the port; a fresh copy.
 *
 * - `vxlan`: VXLAN header 8, all zero (I flag clear: the kernel drops it before any device) · Ethernet header 14.
 * - `geneve`: Geneve header 8 of version 3 (RFC 8926 section 3.4: unknown versions are dropped) · Ethernet header 14.
 * - `zero`: 22 zero bytes (WireGuard has no message type 0; an IKE header of version 0 is not IKE).
 */
export function preamble(payload: Payload): Uint8Array {
  switch (payload) {
    case 'vxlan':
      return encodeVxlan({ payload: preambleFrame });
    case 'geneve':
      return encodeGeneve({
        version: 3,
        protocolType: 0x6558,
        vni: 0,
        payload: preambleFrame,
      });
    case 'zero':
      return new Uint8Array(preambleBytes);
  }
}

/** Which preamble a UDP payload of ours starts with; undefined when it is none of them. */
export function decodePreamble(bytes: Uint8Array): Payload | undefined {
  if (bytes.length < preambleBytes) return undefined;
  const kinds: readonly Payload[] = ['vxlan', 'geneve', 'zero'];
  return kinds.find((kind) => startsWith(bytes, preamble(kind)));
}

function startsWith(bytes: Uint8Array, start: Uint8Array): boolean {
  return start.every((byte, index) => byte === bytes[index]);
}

/** Length of an encoded message, without preamble and padding. */
export function messageBytes(message: Pick<Message, 'body'>, mac?: Mac): number {
  return messageHeaderBytes + message.body.length + (mac === undefined ? 0 : macBytes);
}

/**
 * Encodes a message, signed when a key is at hand.
 *
 * Layout: magic "CNIP" 4 · version 1 · type 1 · flags 1 (bit 0 signed, others zero) · observation 1 · session 8 ·
 * nonce 8 · address 16 (IPv4 as IPv4-mapped) · port 2 · body length 2 · held 4 (microseconds, 0 unless it is an answer that says so) · body · MAC 16 when signed, over all
 * before it. Throws RangeError for a message that `decodeMessage` would refuse, which only a bug can make.
 */
export function encodeMessage(message: Message, mac?: Mac): Uint8Array {
  const { type, observation, session, nonce, address, port, body } = message;
  if ((type === 'answer') !== (observation !== undefined)) {
    throw new RangeError(`an observation belongs to an answer, and to nothing else: ${type}`);
  }
  if (!bodyFits(type, body.length) || body.length > 0xffff) {
    throw new RangeError(`a body of ${body.length} bytes in a ${type}`);
  }
  const bytes = new Uint8Array(messageBytes(message, mac));
  const view = viewOf(bytes);
  view.setUint32(magicOffset, magic);
  view.setUint8(versionOffset, messageVersion);
  view.setUint8(typeOffset, messageTypes[type]);
  view.setUint8(flagsOffset, mac === undefined ? 0 : signedFlag);
  view.setUint8(observationOffset, observation === undefined ? 0 : observations[observation]);
  view.setBigUint64(sessionOffset, session);
  view.setBigUint64(nonceOffset, nonce);
  bytes.set(mapTo16(address), addressOffset);
  view.setUint16(portOffset, port);
  view.setUint16(bodyLengthOffset, body.length);
  if (type === 'answer')
    view.setUint32(heldOffset, Math.min(message.heldMicroseconds ?? 0, 0xffff_ffff));
  bytes.set(body, messageHeaderBytes);
  if (mac !== undefined) {
    const end = messageHeaderBytes + body.length;
    bytes.set(truncatedMac(mac, bytes.subarray(0, end)), end);
  }
  return bytes;
}

/**
 * Decodes a message that starts at byte 0 (after the preamble in UDP; the echo data in ICMP), or says why not.
 *
 * What follows the message is padding and is not looked at. With `mac` only rightly signed messages pass; without it a
 * signed one is refused too, since nothing vouches for it.
 */
export function decodeMessage(bytes: Uint8Array, mac?: Mac): DecodedMessage {
  if (bytes.length < messageHeaderBytes) return { malformed: 'too-short' };
  const view = viewOf(bytes);
  if (view.getUint32(magicOffset) !== magic) return { malformed: 'not-ours' };
  if (view.getUint8(versionOffset) !== messageVersion) return { malformed: 'version' };
  const type = typeOf(view.getUint8(typeOffset));
  if (type === undefined) return { malformed: 'type' };
  const flags = view.getUint8(flagsOffset);
  const heldMicroseconds = view.getUint32(heldOffset);
  if ((flags & ~signedFlag) !== 0 || (heldMicroseconds !== 0 && type !== 'answer')) {
    return { malformed: 'reserved' };
  }
  const signed = (flags & signedFlag) !== 0;
  const bodyLength = view.getUint16(bodyLengthOffset);
  const end = messageHeaderBytes + bodyLength;
  if (!bodyFits(type, bodyLength) || end + (signed ? macBytes : 0) > bytes.length) {
    return { malformed: 'length' };
  }
  if (mac === undefined && signed) return { malformed: 'signed-without-key' };
  if (mac !== undefined) {
    if (!signed) return { malformed: 'unsigned' };
    const expected = truncatedMac(mac, bytes.subarray(0, end));
    if (!equalInConstantTime(expected, bytes.subarray(end, end + macBytes))) {
      return { malformed: 'bad-mac' };
    }
  }
  const observed = view.getUint8(observationOffset);
  const observation = type === 'answer' ? observationOf(observed) : undefined;
  if (type === 'answer' ? observation === undefined : observed !== 0) {
    return { malformed: 'reserved' };
  }
  return {
    message: {
      type,
      ...(observation === undefined ? {} : { observation }),
      ...(heldMicroseconds === 0 ? {} : { heldMicroseconds }),
      session: view.getBigUint64(sessionOffset),
      nonce: view.getBigUint64(nonceOffset),
      address: unmap(bytes.subarray(addressOffset, portOffset)),
      port: view.getUint16(portOffset),
      body: copyOf(bytes, messageHeaderBytes, end),
    },
  };
}

function typeOf(value: number): MessageType | undefined {
  const types: readonly MessageType[] = ['probe', 'answer', 'request', 'response'];
  return types.find((type) => messageTypes[type] === value);
}

function observationOf(value: number): Witnessed | undefined {
  const words: readonly Witnessed[] = [
    'seen',
    'seen-rewritten',
    'seen-bad-checksum',
    'seen-tproxy-possible',
  ];
  return words.find((word) => observations[word] === value);
}

/** Whether a body of this length may stand in a message of this type. */
function bodyFits(type: MessageType, bodyLength: number): boolean {
  switch (type) {
    case 'probe':
      return bodyLength % nonceBytes === 0 && bodyLength <= maximumHeard * nonceBytes;
    case 'answer':
      return bodyLength === 0;
    case 'request':
    case 'response':
      return true;
  }
}

/** Too short a digest would leave zero bytes that a forger can guess, so it is a bug, not a refusal. */
function truncatedMac(mac: Mac, bytes: Uint8Array): Uint8Array {
  const digest = mac(bytes);
  if (digest.length < macBytes) throw new RangeError(`a MAC of ${digest.length} bytes`);
  return digest.subarray(0, macBytes);
}

/** Looks at every byte whatever the first ones say, so that timing tells a forger nothing. */
function equalInConstantTime(expected: Uint8Array, found: Uint8Array): boolean {
  let difference = expected.length ^ found.length;
  for (const [index, byte] of expected.entries()) difference |= byte ^ (found[index] ?? 0);
  return difference === 0;
}

/** Body of a probe: nonces lately heard from the peer, 8 bytes each, newest `maximumHeard` of them (the last ones given). */
export function encodeHeard(nonces: readonly bigint[]): Uint8Array {
  const newest = nonces.slice(-maximumHeard);
  const body = new Uint8Array(newest.length * nonceBytes);
  const view = viewOf(body);
  for (const [index, nonce] of newest.entries()) view.setBigUint64(index * nonceBytes, nonce);
  return body;
}

/** The nonces in the body of a probe; undefined when it is not such a body. */
export function decodeHeard(body: Uint8Array): bigint[] | undefined {
  if (!bodyFits('probe', body.length)) return undefined;
  const view = viewOf(body);
  return Array.from({ length: body.length / nonceBytes }, (_, index) =>
    view.getBigUint64(index * nonceBytes),
  );
}
