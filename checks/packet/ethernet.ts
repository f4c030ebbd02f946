/** @module Ethernet II frames (IEEE 802.3), with the VLAN tags of IEEE 802.1Q. */
import { copyOf, viewOf } from './bytes.ts';

/** Length of an untagged Ethernet header. */
export const ethernetHeaderBytes = 14;

/** Tag protocol identifiers: customer tag and service tag (802.1ad). */
const tagProtocols: readonly number[] = [0x8100, 0x88a8];
/** A service tag and a customer tag; deeper stacks do not reach a node. */
const maximumTags = 2;

/** An untagged frame to send. */
export interface EthernetToSend {
  readonly destination: Uint8Array;
  readonly source: Uint8Array;
  readonly etherType: number;
  readonly payload: Uint8Array;
}

/** A frame. `payload` is a view of the input and may end in link padding. */
export interface Ethernet extends EthernetToSend {
  /** VLAN identifiers, outermost first; empty when untagged. */
  readonly vlans: readonly number[];
}

/** Encodes a frame without tags. Layout: destination 6 · source 6 · EtherType 2 · payload. */
export function encodeEthernet(frame: EthernetToSend): Uint8Array {
  const bytes = new Uint8Array(ethernetHeaderBytes + frame.payload.length);
  bytes.set(frame.destination, 0);
  bytes.set(frame.source, 6);
  viewOf(bytes).setUint16(12, frame.etherType);
  bytes.set(frame.payload, ethernetHeaderBytes);
  return bytes;
}

/**
 * Decodes a frame, tagged or not; undefined when it is cut short or more than doubly tagged.
 *
 * A tag stands before the EtherType: tag protocol 2 · priority 3 bits, drop eligible 1, VLAN identifier 12.
 */
export function decodeEthernet(bytes: Uint8Array): Ethernet | undefined {
  if (bytes.length < ethernetHeaderBytes) return undefined;
  const view = viewOf(bytes);
  const vlans: number[] = [];
  let offset = 12;
  let etherType = view.getUint16(offset);
  while (tagProtocols.includes(etherType)) {
    if (vlans.length === maximumTags || offset + 6 > bytes.length) return undefined;
    vlans.push(view.getUint16(offset + 2) & 0x0fff);
    offset += 4;
    etherType = view.getUint16(offset);
  }
  return {
    destination: copyOf(bytes, 0, 6),
    source: copyOf(bytes, 6, 12),
    vlans,
    etherType,
    payload: bytes.subarray(offset + 2),
  };
}
