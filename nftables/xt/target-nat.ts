/** @module Targets that translate addresses: DNAT, SNAT, MASQUERADE, REDIRECT, NETMAP; and TPROXY. */
import { be16, bytesAt, hasOthers, holds, u32 } from './bytes.ts';
import type { XtFamily, XtNatRange, XtTargetOf } from './types.ts';

/** DNAT and SNAT: revision 0 is IPv4's alone; 2 (DNAT) can shift ports. */
export function decodeNat(
  kind: 'dnat' | 'snat',
  revision: 0 | 1 | 2,
  info: Uint8Array,
  family: XtFamily,
): XtTargetOf<'dnat' | 'snat'> | undefined {
  if (revision === 0 && family === 'ip6') return undefined;
  const range = revision === 0 ? decodeOldRange(info) : decodeRange(info, family, revision === 2);
  return range === undefined ? undefined : { kind, revision, range };
}

/** Revision 0 has the old struct in IPv4 and the new one in IPv6. */
export function decodeLocalNat(
  kind: 'masquerade' | 'redirect' | 'netmap',
  info: Uint8Array,
  family: XtFamily,
): XtTargetOf<'masquerade' | 'redirect' | 'netmap'> | undefined {
  const range = family === 'ip' ? decodeOldRange(info) : decodeRange(info, family, false);
  return range === undefined ? undefined : { kind, range };
}

// NF_NAT_RANGE_*
const MAP_ADDRESSES = 1;
const PORTS = 2;
const PORT_OFFSET = 32;
const KNOWN = 0x7f;

/**
 * struct nf_nat_ipv4_multi_range_compat: u32 count, which is 1, and struct nf_nat_ipv4_range: u32 flags, be32 min and max address,
 * be16 min and max port.
 */
function decodeOldRange(info: Uint8Array): XtNatRange | undefined {
  if (!holds(info, 20) || u32(info, 0) !== 1) return undefined;
  return rangeOf(u32(info, 4), {
    addresses: [bytesAt(info, 8, 4), bytesAt(info, 12, 4)],
    ports: [be16(info, 16), be16(info, 18)],
  });
}

/**
 * struct nf_nat_range: u32 flags, min and max address of 16 bytes, be16 min and max port. nf_nat_range2 has be16 base port behind it.
 */
function decodeRange(info: Uint8Array, family: XtFamily, hasBase: boolean): XtNatRange | undefined {
  if (!holds(info, hasBase ? 44 : 40)) return undefined;
  const length = family === 'ip' ? 4 : 16;
  return rangeOf(u32(info, 0), {
    addresses: [bytesAt(info, 4, length), bytesAt(info, 20, length)],
    ports: [be16(info, 36), be16(info, 38)],
    ...(hasBase ? { base: be16(info, 40) } : {}),
  });
}

function rangeOf(
  flags: number,
  fields: {
    readonly addresses: readonly [Uint8Array, Uint8Array];
    readonly ports: readonly [number, number];
    readonly base?: number;
  },
): XtNatRange | undefined {
  if (hasOthers(flags, KNOWN)) return undefined;
  if ((flags & PORT_OFFSET) !== 0 && fields.base === undefined) return undefined;
  const [addressFirst, addressLast] = fields.addresses;
  const [portFirst, portLast] = fields.ports;
  return {
    flags,
    ...((flags & MAP_ADDRESSES) !== 0 ? { addressFirst, addressLast } : {}),
    ...((flags & PORTS) !== 0 ? { portFirst, portLast } : {}),
    ...((flags & PORT_OFFSET) !== 0 && fields.base !== undefined ? { portBase: fields.base } : {}),
  };
}

/**
 * struct xt_tproxy_target_info: u32 mark mask, u32 mark value, be32 address, be16 port. Revision 1 has an address of 16 bytes.
 * An address of zeros is the one that the packet came in by.
 */
export function decodeTproxy(
  revision: 0 | 1,
  info: Uint8Array,
  family: XtFamily,
): XtTargetOf<'tproxy'> | undefined {
  if (!holds(info, revision === 0 ? 16 : 28) || (revision === 0 && family === 'ip6')) {
    return undefined;
  }
  const address = bytesAt(info, 8, family === 'ip' ? 4 : 16);
  return {
    kind: 'tproxy',
    ...(address.some((byte) => byte !== 0) ? { address } : {}),
    port: be16(info, revision === 0 ? 12 : 24),
    mark: { mask: u32(info, 0), value: u32(info, 4) },
  };
}
