/** @module IP prefixes in CIDR notation (RFC 4632, RFC 4291 section 2.3). Pure. */
import { formatAddress, parseAddress } from './address.ts';

/** A prefix whose host bits are zero. */
export interface Prefix {
  readonly bytes: Uint8Array;
  readonly length: number;
}

/** Reads `10.244.1.0/24`, or an address alone; host bits are dropped. Undefined for what is neither. */
export function parsePrefix(text: string): Prefix | undefined {
  const [address = '', suffix, ...rest] = text.split('/');
  const bytes = parseAddress(address);
  if (bytes === undefined || rest.length > 0) return undefined;
  if (suffix !== undefined && !/^[0-9]{1,3}$/.test(suffix)) return undefined;
  const length = suffix === undefined ? bytes.length * 8 : Number(suffix);
  return length > bytes.length * 8 ? undefined : { bytes: masked(bytes, length), length };
}

export function prefixText({ bytes, length }: Prefix): string {
  return `${formatAddress(bytes)}/${length}`;
}

/** Whether the one lies in the other, or is the same. */
export function isInside(inner: Prefix, outer: Prefix): boolean {
  if (inner.bytes.length !== outer.bytes.length || inner.length < outer.length) return false;
  return masked(inner.bytes, outer.length).every((byte, index) => byte === outer.bytes[index]);
}

export function overlap(one: Prefix, other: Prefix): boolean {
  return isInside(one, other) || isInside(other, one);
}

/** The address so many after the first of the prefix, as text; undefined where the prefix ends before. */
export function addressIn({ bytes, length }: Prefix, offset: number): string | undefined {
  const hostBits = bytes.length * 8 - length;
  if (hostBits < 32 && offset >= 2 ** hostBits) return undefined;
  const address = bytes.slice();
  let carry = offset;
  for (let index = address.length - 1; index >= 0 && carry > 0; index--) {
    const sum = (address[index] ?? 0) + carry;
    address[index] = sum & 0xff;
    carry = sum >>> 8;
  }
  return formatAddress(address);
}

function masked(bytes: Uint8Array, length: number): Uint8Array {
  return bytes.map((byte, index) => {
    const ones = Math.min(8, Math.max(0, length - index * 8));
    return byte & ((0xff << (8 - ones)) & 0xff);
  });
}
