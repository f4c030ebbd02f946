/** @module VXLAN (RFC 7348 section 5). */
import { viewOf } from './bytes.ts';

/** Length of a VXLAN header. */
export const vxlanHeaderBytes = 8;

/** The I flag: the VNI is valid. Receivers drop a packet without it. */
const vniFlag = 0x08;

/** A VXLAN packet. */
export interface Vxlan {
  /** Absent when the I flag is clear. */
  readonly vni?: number;
  /** The inner Ethernet frame; decoded, a view of the input. */
  readonly payload: Uint8Array;
}

/**
 * Encodes a packet; without `vni` the I flag stays clear and the header is all zero.
 *
 * Layout: flags 1 (0x08 = I) · reserved 3 · VNI 3 · reserved 1 · Ethernet frame.
 */
export function encodeVxlan({ vni, payload }: Vxlan): Uint8Array {
  const bytes = new Uint8Array(vxlanHeaderBytes + payload.length);
  if (vni !== undefined) {
    if (!Number.isInteger(vni) || vni < 0 || vni > 0xff_ffff)
      throw new RangeError(`a VNI of ${vni}`);
    const view = viewOf(bytes);
    view.setUint8(0, vniFlag);
    view.setUint32(4, vni * 0x100);
  }
  bytes.set(payload, vxlanHeaderBytes);
  return bytes;
}

/** Decodes a packet; undefined when the header is cut short. Reserved bits are ignored, as the RFC asks. */
export function decodeVxlan(bytes: Uint8Array): Vxlan | undefined {
  if (bytes.length < vxlanHeaderBytes) return undefined;
  const view = viewOf(bytes);
  const payload = bytes.subarray(vxlanHeaderBytes);
  if ((view.getUint8(0) & vniFlag) === 0) return { payload };
  return { vni: view.getUint32(4) >>> 8, payload };
}
