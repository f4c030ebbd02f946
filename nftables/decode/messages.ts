/**
 * @module Netlink's messages: what one recv(2) gave -> messages. Pure.
 *
 * struct nlmsghdr (linux/netlink.h), host byte order: u32 length with header, u16 type, u16 flags, u32 sequence, u32 port id; padded
 * to four bytes. Messages of netfilter go on with struct nfgenmsg: u8 family, u8 version, be16 resource id.
 */
import type { Family } from '../model.ts';
import { hostNumber, hostShort } from './attributes.ts';

/** One netlink message without its header. The payload is a view of what was received. */
export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly payload: Uint8Array;
}

/** Splits what one recv(2) gave. Ends at the first header that does not fit: lengths can lie. */
export function decodeMessages(bytes: Uint8Array): readonly Message[] {
  const messages: Message[] = [];
  let at = 0;
  while (at + 16 <= bytes.length) {
    const length = hostNumber(bytes, at);
    if (length < 16 || length > bytes.length - at) break;
    messages.push({
      type: hostShort(bytes, at + 4),
      flags: hostShort(bytes, at + 6),
      sequence: hostNumber(bytes, at + 8),
      payload: bytes.subarray(at + 16, at + length),
    });
    at += (length + 3) & ~3;
  }
  return messages;
}

const families: ReadonlyMap<number, Family> = new Map([
  [1, 'inet'],
  [2, 'ip'],
  [3, 'arp'],
  [5, 'netdev'],
  [7, 'bridge'],
  [10, 'ip6'],
]);

/** enum nfproto, by nft's words. */
export function familyOf(number: number): Family | undefined {
  return families.get(number);
}

export function familyNumber(family: Family): number {
  for (const [number, name] of families) if (name === family) return number;
  return 0;
}

/** Bytes of struct nfgenmsg. */
export const generalBytes = 4;
