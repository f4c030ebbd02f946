/**
 * @module Fields of C structures at fixed places. An info blob is as long as its struct, rounded up to eight bytes (XT_ALIGN on every
 * 64-bit machine), whether iptables-nft or legacy iptables loaded it. Numbers are in host byte order (little-endian) unless said.
 */
import { hostNumber, hostShort, textOf } from '../decode/attributes.ts';

export { hostNumber as u32, hostShort as u16 };

/** Whether a blob holds a struct of this size. */
export function holds(info: Uint8Array, structBytes: number): boolean {
  return info.length === ((structBytes + 7) & ~7);
}

export function u8(bytes: Uint8Array, at: number): number {
  return bytes[at] ?? 0;
}

/** Network byte order. */
export function be16(bytes: Uint8Array, at: number): number {
  return (u8(bytes, at) << 8) | u8(bytes, at + 1);
}

export function i32(bytes: Uint8Array, at: number): number {
  return hostNumber(bytes, at) | 0;
}

export function u64(bytes: Uint8Array, at: number): number {
  return hostNumber(bytes, at) + hostNumber(bytes, at + 4) * 2 ** 32;
}

export function textAt(bytes: Uint8Array, at: number, length: number): string {
  return textOf(bytes.subarray(at, at + length));
}

/** Copied, so that it does not hold the message that it came in. */
export function bytesAt(bytes: Uint8Array, at: number, length: number): Uint8Array {
  return bytes.slice(at, at + length);
}

/** union nf_inet_addr has 16 bytes; an IPv4 address is the first four. */
export function addressAt(bytes: Uint8Array, at: number, family: 'ip' | 'ip6'): Uint8Array {
  return bytesAt(bytes, at, family === 'ip' ? 4 : 16);
}

/** Whether any bit is set that is not known. */
export function hasOthers(flags: number, known: number): boolean {
  return (flags & ~known) !== 0;
}

export function bit(flags: number, mask: number): boolean {
  return (flags & mask) !== 0;
}
