/** @module Small helpers that every codec shares. All multi-byte fields in this folder are big-endian. */

/** A DataView over exactly these bytes, whatever larger buffer they lie in. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * A copy that outlives the receive buffer it was cut from.
 * Not `bytes.slice()`: on a Node Buffer that is a view, not a copy.
 */
export function copyOf(bytes: Uint8Array, start = 0, end = bytes.length): Uint8Array {
  return new Uint8Array(bytes.subarray(start, end));
}
