/** @module Addresses as numbers, so that one can count from one to the next; their text and bytes. */

export type IpFamily = 'ip' | 'ip6';

export const bitsOf = (family: IpFamily): number => (family === 'ip' ? 32 : 128);

export function addressText(address: bigint, family: IpFamily): string {
  if (family === 'ip') {
    const n = Number(address);
    return `${n >>> 24}.${(n >>> 16) & 255}.${(n >>> 8) & 255}.${n & 255}`;
  }
  const groups: string[] = [];
  for (let shift = 112n; shift >= 0n; shift -= 16n) {
    groups.push(((address >> shift) & 0xffffn).toString(16));
  }
  return groups.join(':');
}

/** Of dotted IPv4, and of IPv6 with at most one `::` and no dotted part. */
export function parseAddress(text: string): bigint {
  if (!text.includes(':')) {
    return text.split('.').reduce((sum, part) => (sum << 8n) | BigInt(part), 0n);
  }
  const [left = '', right] = text.split('::');
  const head = left === '' ? [] : left.split(':');
  const tail = right === undefined || right === '' ? [] : right.split(':');
  const middle = Array<string>(right === undefined ? 0 : 8 - head.length - tail.length).fill('0');
  return [...head, ...middle, ...tail].reduce(
    (sum, group) => (sum << 16n) | BigInt(`0x${group}`),
    0n,
  );
}

export function bytesOf(address: bigint, family: IpFamily): Uint8Array {
  const bytes = new Uint8Array(bitsOf(family) / 8);
  let left = address;
  for (let i = bytes.length - 1; i >= 0; i--) {
    bytes[i] = Number(left & 255n);
    left >>= 8n;
  }
  return bytes;
}

export function macBytes(text: string): Uint8Array {
  return Uint8Array.from(text.split(':'), (part) => Number.parseInt(part, 16));
}

export interface Network {
  readonly family: IpFamily;
  readonly first: bigint;
  readonly last: bigint;
  readonly prefix: number;
}

export function parseNetwork(text: string): Network {
  const [address = '', prefixText] = text.split('/');
  const family = address.includes(':') ? 'ip6' : 'ip';
  const bits = bitsOf(family);
  const prefix = prefixText === undefined ? bits : Number(prefixText);
  const hostMask = (1n << BigInt(bits - prefix)) - 1n;
  const value = parseAddress(address);
  return { family, first: value & ~hostMask, last: value | hostMask, prefix };
}

export const contains = (network: Network, address: bigint): boolean =>
  address >= network.first && address <= network.last;
