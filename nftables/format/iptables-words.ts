/** @module Words of iptables-save: addresses, prefixes, interfaces, protocols, quoted text. */

/** Text of 4 or 16 bytes, as inet_ntop(3) writes it. */
export function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  const groups = Array.from({ length: 8 }, (_, index) => groupAt(bytes, index));
  const zeros = longestZeros(groups);
  const hex = groups.map((group) => group.toString(16));
  // The last four bytes of ::a.b.c.d and ::ffff:a.b.c.d are written as in IPv4.
  const isEmbedded =
    zeros.start === 0 && (zeros.length === 6 || (zeros.length === 5 && groups[5] === 0xffff));
  if (isEmbedded) {
    const head = zeros.length === 6 ? '::' : '::ffff:';
    return `${head}${bytes.subarray(12).join('.')}`;
  }
  if (zeros.length < 2) return hex.join(':');
  const before = hex.slice(0, zeros.start).join(':');
  return `${before}::${hex.slice(zeros.start + zeros.length).join(':')}`;
}

function groupAt(bytes: Uint8Array, index: number): number {
  return ((bytes[index * 2] ?? 0) << 8) | (bytes[index * 2 + 1] ?? 0);
}

function longestZeros(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (const start of groups.keys()) {
    let length = 0;
    while (groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  return best;
}

/** The prefix length of a mask of ones and then zeros. */
export function prefixOf(mask: Uint8Array): number | undefined {
  let length = 0;
  for (const byte of mask) length += Math.clz32(~(byte << 24));
  const isPlain = mask.every((byte, index) => byte === prefixByte(length, index));
  return isPlain ? length : undefined;
}

function prefixByte(length: number, index: number): number {
  const ones = Math.min(8, Math.max(0, length - index * 8));
  return (0xff00 >> ones) & 0xff;
}

export function maskOf(length: number, bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, index) => prefixByte(length, index));
}

/** `10.0.0.0/8`, `10.0.0.1/32`, `1.0.3.0/255.0.255.0`. */
export function networkText(address: Uint8Array, mask: Uint8Array): string {
  return `${addressText(address)}/${prefixOf(mask) ?? addressText(mask)}`;
}

/** The same, but a single address has no prefix. */
export function hostOrNetworkText(address: Uint8Array, mask: Uint8Array): string {
  return prefixOf(mask) === mask.length * 8 ? addressText(address) : networkText(address, mask);
}

const ascii = new TextDecoder();

/** A name that is compared whole ends with NUL; `eth+` is compared in its first bytes alone. */
export function interfaceText(compared: Uint8Array): string {
  const end = compared.indexOf(0);
  if (end >= 0) return ascii.decode(compared.subarray(0, end));
  return compared.length >= 16 ? ascii.decode(compared) : `${ascii.decode(compared)}+`;
}

/** The bytes of a name that are under its mask. */
export function maskedInterfaceText(name: Uint8Array, mask: Uint8Array): string {
  const end = mask.findIndex((byte) => byte === 0);
  return interfaceText(end < 0 ? name : name.subarray(0, end));
}

/** Names as /etc/protocols has them. */
const protocols: ReadonlyMap<number, string> = new Map([
  [1, 'icmp'],
  [2, 'igmp'],
  [4, 'ipencap'],
  [6, 'tcp'],
  [17, 'udp'],
  [33, 'dccp'],
  [41, 'ipv6'],
  [47, 'gre'],
  [50, 'esp'],
  [51, 'ah'],
  [58, 'ipv6-icmp'],
  [88, 'eigrp'],
  [89, 'ospf'],
  [103, 'pim'],
  [108, 'ipcomp'],
  [112, 'vrrp'],
  [132, 'sctp'],
  [136, 'udplite'],
]);

export function protocolText(protocol: number): string {
  return protocols.get(protocol) ?? String(protocol);
}

/** Quoted, unless it is one plain word. */
export function quoted(text: string): string {
  if (/^[-\w]+$/.test(text)) return text;
  return `"${text.replaceAll(/["'\\]/g, '\\$&')}"`;
}

export function hex(value: number): string {
  return `0x${(value >>> 0).toString(16)}`;
}

/** At least two digits. */
export function hexByte(value: number): string {
  return `0x${value.toString(16).padStart(2, '0')}`;
}

/** `22`, `80:90`. */
export function rangeText(range: { readonly first: number; readonly last: number }): string {
  return range.first === range.last ? `${range.first}` : `${range.first}:${range.last}`;
}

/** `! --option value`, `--option value`. */
export function option(name: string, value: string | number, inverted = false): string {
  return `${inverted ? '! ' : ''}--${name} ${value}`;
}

export function flag(name: string, inverted = false): string {
  return `${inverted ? '! ' : ''}--${name}`;
}

/** The names of the bits that are set. */
export function bitNames(bits: number, names: readonly (readonly [number, string])[]): string {
  return names.flatMap(([bit, name]) => ((bits & bit) !== 0 ? [name] : [])).join(',');
}

/** Options joined, those that are not there left out. */
export function words(...parts: readonly (string | false | undefined)[]): string {
  return parts.filter((part) => part !== undefined && part !== false && part !== '').join(' ');
}
