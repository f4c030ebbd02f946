/**
 * @module The address part of a legacy entry, as the nf_tables expressions that iptables-nft makes of the same command. So the evaluator and
 * the text need to know but one form.
 */

import type { Comparison, Expression } from './model.ts';
import { bit, bytesAt, u8, u16 } from './xt/bytes.ts';
import type { XtFamily } from './xt/types.ts';

/** Where things are in struct ipt_ip and struct ip6t_ip6, and in the IP header. */
export const addressLayouts = {
  ip: {
    addressBytes: 4,
    interfaces: 16,
    protocol: 80,
    flags: 82,
    inverse: 83,
    sourceOffset: 12,
    destinationOffset: 16,
  },
  ip6: {
    addressBytes: 16,
    interfaces: 64,
    protocol: 128,
    flags: 131,
    inverse: 132,
    sourceOffset: 8,
    destinationOffset: 24,
  },
} as const;

// IPT_INV_* and IP6T_INV_*
const INVERT_IN = 0x01;
const INVERT_OUT = 0x02;
const INVERT_SOURCE = 0x08;
const INVERT_DESTINATION = 0x10;
const INVERT_FRAGMENT = 0x20;
const INVERT_PROTOCOL = 0x40;
const IPT_F_FRAG = 0x01;
const IP6T_F_PROTO = 0x01;

/** No device has a slash in its name: what asks for this one never matches. */
const impossibleName = new TextEncoder().encode('INVAL/D\0');

/**
 * Reads struct ipt_ip: source, destination, their masks, char input and output interface[16], their masks, u16 protocol, u8 flags (1 fragment,
 * 2 goto), u8 inverse. struct ip6t_ip6 has addresses of 16 bytes, and u8 tos before its flags (1 protocol, 2 tos, 4 goto).
 */
export function decodeAddressPart(family: XtFamily, bytes: Uint8Array): readonly Expression[] {
  const layout = addressLayouts[family];
  const flags = u8(bytes, layout.flags);
  const inverse = u8(bytes, layout.inverse);
  const [input, output] = [layout.interfaces, layout.interfaces + 16];
  const size = layout.addressBytes;
  const comparison = (flag: number): 'eq' | 'neq' => (bit(inverse, flag) ? 'neq' : 'eq');
  return [
    ...interfacePart('iifname', comparison(INVERT_IN), bytes, input),
    ...interfacePart('oifname', comparison(INVERT_OUT), bytes, output),
    ...protocolPart(family, bytes, comparison(INVERT_PROTOCOL)),
    ...addressPart(layout.sourceOffset, comparison(INVERT_SOURCE), {
      address: bytesAt(bytes, 0, size),
      mask: bytesAt(bytes, size * 2, size),
    }),
    ...addressPart(layout.destinationOffset, comparison(INVERT_DESTINATION), {
      address: bytesAt(bytes, size, size),
      mask: bytesAt(bytes, size * 3, size),
    }),
    ...fragmentPart(family, flags, inverse),
  ];
}

function interfacePart(
  key: 'iifname' | 'oifname',
  comparison: Comparison,
  bytes: Uint8Array,
  at: number,
): readonly Expression[] {
  const name = bytesAt(bytes, at, 16);
  const mask = bytesAt(bytes, at + 32, 16);
  const load: Expression = { kind: 'meta', key, register: 0 };
  const length = leadingOnes(mask);
  if (mask.subarray(length).some((byte) => byte !== 0)) {
    return [
      load,
      maskPart(mask),
      { kind: 'cmp', register: 0, comparison, value: masked(name, mask) },
    ];
  }
  if (length > 0) {
    return [load, { kind: 'cmp', register: 0, comparison, value: name.slice(0, length) }];
  }
  // Not any interface: `! -i +`.
  if (comparison === 'neq') {
    return [load, { kind: 'cmp', register: 0, comparison: 'eq', value: impossibleName }];
  }
  return [];
}

function protocolPart(
  family: XtFamily,
  bytes: Uint8Array,
  comparison: Comparison,
): readonly Expression[] {
  const layout = addressLayouts[family];
  const protocol = u16(bytes, layout.protocol);
  const isAsked = family === 'ip' ? protocol !== 0 : bit(u8(bytes, layout.flags), IP6T_F_PROTO);
  if (!isAsked) return [];
  if (protocol > 255) return [{ kind: 'opaque', name: 'protocol', attributes: [] }];
  return [
    { kind: 'meta', key: 'l4proto', register: 0 },
    { kind: 'cmp', register: 0, comparison, value: Uint8Array.of(protocol) },
  ];
}

function addressPart(
  offset: number,
  comparison: Comparison,
  { address, mask }: { readonly address: Uint8Array; readonly mask: Uint8Array },
): readonly Expression[] {
  const load = (length: number): Expression => ({
    kind: 'payload',
    base: 'network',
    offset,
    length,
    register: 0,
  });
  const whole = leadingOnes(mask);
  if (mask.subarray(whole).some((byte) => byte !== 0) || (whole === 0 && comparison === 'neq')) {
    const value = Uint8Array.from(address);
    return [load(mask.length), maskPart(mask), { kind: 'cmp', register: 0, comparison, value }];
  }
  if (whole === 0) return [];
  const value = address.slice(0, whole);
  return [load(whole), { kind: 'cmp', register: 0, comparison, value }];
}

/** `-f` is a second or later fragment: its offset, of 13 bits, is not zero. */
function fragmentPart(family: XtFamily, flags: number, inverse: number): readonly Expression[] {
  const isAsked = family === 'ip' && bit(flags, IPT_F_FRAG);
  if (!isAsked) {
    // No tool asks so.
    return bit(inverse, INVERT_FRAGMENT)
      ? [{ kind: 'opaque', name: 'fragment', attributes: [] }]
      : [];
  }
  const comparison = bit(inverse, INVERT_FRAGMENT) ? 'eq' : 'neq';
  return [
    { kind: 'payload', base: 'network', offset: 6, length: 2, register: 0 },
    maskPart(Uint8Array.of(0x1f, 0xff)),
    { kind: 'cmp', register: 0, comparison, value: Uint8Array.of(0, 0) },
  ];
}

function maskPart(mask: Uint8Array): Expression {
  return {
    kind: 'bitwise',
    operation: 'mask-xor',
    source: 0,
    destination: 0,
    length: mask.length,
    mask,
    xor: new Uint8Array(mask.length),
  };
}

function leadingOnes(mask: Uint8Array): number {
  const end = mask.findIndex((byte) => byte !== 0xff);
  return end < 0 ? mask.length : end;
}

function masked(bytes: Uint8Array, mask: Uint8Array): Uint8Array {
  return bytes.map((byte, index) => byte & (mask[index] ?? 0));
}
