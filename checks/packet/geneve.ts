/** @module Geneve (RFC 8926 section 3.4). */
import { viewOf } from './bytes.ts';

/** Length of a Geneve header without options. */
export const geneveHeaderBytes = 8;

/** A packet to send, without options. */
export interface GeneveToSend {
  /** 0 is the only version there is; receivers drop every other. */
  readonly version: number;
  /** EtherType of the payload; 0x6558 is an Ethernet frame. */
  readonly protocolType: number;
  readonly vni: number;
  readonly payload: Uint8Array;
}

/** A Geneve packet. `options` and `payload` are views of the input. */
export interface Geneve extends GeneveToSend {
  /** The O bit: a control packet. */
  readonly control: boolean;
  /** The C bit: an option must be understood, or the packet dropped. */
  readonly critical: boolean;
  readonly options: Uint8Array;
}

/**
 * Encodes a packet.
 *
 * Layout: version 2 bits, options length in 4-byte words 6 bits · O, C and 6 reserved bits · protocol type 2 · VNI 3 ·
 * reserved 1 · options · payload.
 */
export function encodeGeneve({ version, protocolType, vni, payload }: GeneveToSend): Uint8Array {
  if (!Number.isInteger(version) || version < 0 || version > 3) {
    throw new RangeError(`a Geneve version of ${version}`);
  }
  if (!Number.isInteger(vni) || vni < 0 || vni > 0xff_ffff) throw new RangeError(`a VNI of ${vni}`);
  const bytes = new Uint8Array(geneveHeaderBytes + payload.length);
  const view = viewOf(bytes);
  view.setUint8(0, version << 6);
  view.setUint16(2, protocolType);
  view.setUint32(4, vni * 0x100);
  bytes.set(payload, geneveHeaderBytes);
  return bytes;
}

/** Decodes a packet of any version, read as version 0 lays it out; undefined when header or options are cut short. */
export function decodeGeneve(bytes: Uint8Array): Geneve | undefined {
  if (bytes.length < geneveHeaderBytes) return undefined;
  const view = viewOf(bytes);
  const first = view.getUint8(0);
  const bits = view.getUint8(1);
  const start = geneveHeaderBytes + (first & 0x3f) * 4;
  if (start > bytes.length) return undefined;
  return {
    version: first >> 6,
    control: (bits & 0x80) !== 0,
    critical: (bits & 0x40) !== 0,
    protocolType: view.getUint16(2),
    vni: view.getUint32(4) >>> 8,
    options: bytes.subarray(geneveHeaderBytes, start),
    payload: bytes.subarray(start),
  };
}
