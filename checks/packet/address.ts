/** @module IP addresses as bytes (4 or 16, network order) and as text (RFC 4291 section 2.2, RFC 5952). */
import { copyOf, viewOf } from './bytes.ts';

/** The ten zero bytes and two 0xff bytes before an IPv4 address in an IPv4-mapped one (RFC 4291 section 2.5.5.2). */
const mappedPrefix: readonly number[] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/**
 * The bytes of an address: 4 for IPv4, 16 for IPv6; undefined when the text is neither.
 *
 * A zone (`fe80::1%eth0`) is refused: it names a link of this host, which no far end can use. Leading zeros in
 * IPv4 are refused, because some parsers read `010` as eight.
 */
export function parseAddress(text: string): Uint8Array | undefined {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

function parseIpv4(text: string): Uint8Array | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  const bytes = new Uint8Array(4);
  for (const [index, part] of parts.entries()) {
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part)) return undefined;
    const value = Number(part);
    if (value > 255) return undefined;
    bytes[index] = value;
  }
  return bytes;
}

function parseIpv6(text: string): Uint8Array | undefined {
  // The longest form is `ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255`.
  if (text.length > 45) return undefined;
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const [before = '', after] = halves;
  const head = parseGroups(before, after === undefined ? 'last' : 'inner');
  const tail = parseGroups(after ?? '', 'last');
  if (head === undefined || tail === undefined) return undefined;
  const count = head.length + tail.length;
  // `::` stands for at least one group.
  if (after === undefined ? count !== 8 : count > 7) return undefined;
  const bytes = new Uint8Array(16);
  const view = viewOf(bytes);
  for (const [index, group] of head.entries()) view.setUint16(index * 2, group);
  for (const [index, group] of tail.entries()) {
    view.setUint16((8 - tail.length + index) * 2, group);
  }
  return bytes;
}

/** The 16-bit groups of one side of `::`; an IPv4 address may stand for the last two of the whole address. */
function parseGroups(text: string, place: 'inner' | 'last'): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [index, part] of parts.entries()) {
    if (part.includes('.')) {
      const ipv4 = parseIpv4(part);
      if (place !== 'last' || index !== parts.length - 1 || ipv4 === undefined) return undefined;
      const view = viewOf(ipv4);
      groups.push(view.getUint16(0), view.getUint16(2));
    } else {
      if (!/^[0-9a-f]{1,4}$/i.test(part)) return undefined;
      groups.push(Number.parseInt(part, 16));
    }
  }
  return groups;
}

/**
 * The text of an address: dotted decimal for 4 bytes, RFC 5952 for 16.
 *
 * An IPv4-mapped address stays IPv6 and is written `::ffff:192.0.2.1` (RFC 5952 section 5); `unmap` it first to
 * get the IPv4 one. Throws RangeError for any other number of bytes, which only a bug can hand in.
 */
export function formatAddress(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  if (bytes.length !== 16) throw new RangeError(`an address of ${bytes.length} bytes`);
  if (isMapped(bytes)) return `::ffff:${bytes.subarray(12).join('.')}`;
  const view = viewOf(bytes);
  const groups = Array.from({ length: 8 }, (_, index) => view.getUint16(index * 2));
  const run = longestZeroRun(groups);
  const hex = groups.map((group) => group.toString(16));
  if (run.length < 2) return hex.join(':');
  return `${hex.slice(0, run.start).join(':')}::${hex.slice(run.start + run.length).join(':')}`;
}

/** RFC 5952 section 4.2.3: the longest run is shortened, of equally long ones the first. */
function longestZeroRun(groups: readonly number[]): {
  start: number;
  length: number;
} {
  let best = { start: 0, length: 0 };
  let start = 0;
  for (const [index, group] of groups.entries()) {
    if (group !== 0) start = index + 1;
    else if (index + 1 - start > best.length) best = { start, length: index + 1 - start };
  }
  return best;
}

/** The 16-byte form: an IPv4 address becomes IPv4-mapped (`::ffff:a.b.c.d`). */
export function mapTo16(bytes: Uint8Array): Uint8Array {
  if (bytes.length === 16) return copyOf(bytes);
  if (bytes.length !== 4) throw new RangeError(`an address of ${bytes.length} bytes`);
  const mapped = new Uint8Array(16);
  mapped.set(mappedPrefix);
  mapped.set(bytes, 12);
  return mapped;
}

/** The shortest form: an IPv4-mapped address becomes its 4 bytes, any other stays. */
export function unmap(bytes: Uint8Array): Uint8Array {
  return isMapped(bytes) ? copyOf(bytes, 12) : copyOf(bytes);
}

function isMapped(bytes: Uint8Array): boolean {
  return bytes.length === 16 && mappedPrefix.every((byte, index) => bytes[index] === byte);
}

/** Whether both are the same address; an IPv4 address and its IPv4-mapped form are. */
export function sameAddress(one: Uint8Array, other: Uint8Array): boolean {
  const first = unmap(one);
  const second = unmap(other);
  return first.length === second.length && first.every((byte, index) => byte === second[index]);
}
