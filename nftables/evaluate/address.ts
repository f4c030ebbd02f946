/** @module Addresses as text <-> bytes. No `node:net`: the evaluator runs anywhere. */

export interface PartialBytes {
  readonly bytes: Uint8Array;
  /** Bits that are known. */
  readonly known: Uint8Array;
}

const wholes = { ip: new Uint8Array(4).fill(255), ip6: new Uint8Array(16).fill(255) } as const;

/** Reads `10.0.0.1`, `10.0.0.0/8`, `fe80::1`, `2001:db8::/32`. Undefined for anything else, so that it stays open. */
export function parsePrefix(text: string, family: 'ip' | 'ip6'): PartialBytes | undefined {
  const slash = text.indexOf('/');
  const address = slash === -1 ? text : text.slice(0, slash);
  const bytes = family === 'ip' ? parseIPv4(address) : parseIPv6(address);
  if (bytes === undefined) return undefined;
  const width = bytes.length * 8;
  const length = slash === -1 ? width : Number(text.slice(slash + 1) || Number.NaN);
  if (!Number.isInteger(length) || length < 0 || length > width) return undefined;
  return { bytes, known: length === width ? wholes[family] : maskOf(length, bytes.length) };
}

/** `count` leading ones in `length` bytes. */
export function maskOf(count: number, length: number): Uint8Array {
  const mask = new Uint8Array(length);
  for (let index = 0; index < length; index++) {
    const ones = Math.min(8, Math.max(0, count - index * 8));
    mask[index] = (0xff00 >> ones) & 255;
  }
  return mask;
}

export function parseIPv4(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(4);
  let part = 0;
  let number = -1;
  for (let index = 0; index <= text.length; index++) {
    const digit = text.charCodeAt(index) - 48;
    if (digit >= 0 && digit <= 9) {
      number = (number === -1 ? 0 : number * 10) + digit;
      if (number > 255) return undefined;
    } else if ((index === text.length || digit === dot) && number !== -1 && part < 4) {
      bytes[part] = number;
      part += 1;
      number = -1;
    } else return undefined;
  }
  return part === 4 ? bytes : undefined;
}
const dot = '.'.charCodeAt(0) - 48;

/** RFC 4291, section 2.2. A zone (`%eth0`) is left away. */
export function parseIPv6(text: string): Uint8Array | undefined {
  let [address = ''] = text.split('%');
  const tail = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(address);
  if (tail !== null) {
    const last = parseIPv4(tail[2] ?? '');
    if (last === undefined) return undefined;
    const [a = 0, b = 0, c = 0, d = 0] = last;
    address = `${tail[1]}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  }
  const halves = address.split('::');
  if (halves.length > 2) return undefined;
  const head = groupsOf(halves[0] ?? '');
  const rest = halves.length === 2 ? groupsOf(halves[1] ?? '') : [];
  if (head === undefined || rest === undefined) return undefined;
  const missing = 8 - head.length - rest.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...head, ...Array.from({ length: missing }, () => 0), ...rest];
  return Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 255]));
}

function groupsOf(text: string): number[] | undefined {
  if (text === '') return [];
  const groups = text.split(':');
  if (!groups.every((group) => /^[\da-f]{1,4}$/i.test(group))) return undefined;
  return groups.map((group) => Number.parseInt(group, 16));
}

/** Six bytes of `02:00:00:00:00:01`. */
export function parseMac(text: string): Uint8Array | undefined {
  if (!/^[\da-f]{1,2}([:-][\da-f]{1,2}){5}$/i.test(text)) return undefined;
  return Uint8Array.from(text.split(/[:-]/).map((part) => Number.parseInt(part, 16)));
}

/** Text of 4 or 16 bytes; IPv6 by RFC 5952. */
export function formatAddress(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  const groups: number[] = [];
  for (let index = 0; index + 1 < bytes.length; index += 2) {
    groups.push(((bytes[index] ?? 0) << 8) | (bytes[index + 1] ?? 0));
  }
  let start = -1;
  let length = 1;
  for (let index = 0; index < groups.length; index++) {
    let run = 0;
    while (groups[index + run] === 0) run++;
    if (run > length) [start, length] = [index, run];
  }
  const words = groups.map((group) => group.toString(16));
  if (start === -1) return words.join(':');
  return `${words.slice(0, start).join(':')}::${words.slice(start + length).join(':')}`;
}
