/** @module Matches on ports and ICMP types: tcp, udp, icmp, icmp6, multiport. */
import { bit, hasOthers, holds, u8, u16 } from './bytes.ts';
import type { InvertibleRange, NumberRange, XtMatchOf } from './types.ts';

/**
 * struct xt_tcp: u16 source[2], u16 destination[2], u8 option, u8 flags mask, u8 flags compare, u8 inverse (1 source, 2 destination,
 * 4 flags, 8 option).
 */
export function decodeTcp(info: Uint8Array): XtMatchOf<'tcp'> | undefined {
  const inverse = u8(info, 11);
  if (!holds(info, 12) || hasOthers(inverse, 0xf)) return undefined;
  return {
    kind: 'tcp',
    sourcePorts: portsAt(info, 0, bit(inverse, 1)),
    destinationPorts: portsAt(info, 4, bit(inverse, 2)),
    flags: { mask: u8(info, 9), value: u8(info, 10), inverted: bit(inverse, 4) },
    option: u8(info, 8),
    optionInverted: bit(inverse, 8),
  };
}

/** struct xt_udp: u16 source[2], u16 destination[2], u8 inverse. */
export function decodeUdp(info: Uint8Array): XtMatchOf<'udp'> | undefined {
  const inverse = u8(info, 8);
  if (!holds(info, 10) || hasOthers(inverse, 3)) return undefined;
  return {
    kind: 'udp',
    sourcePorts: portsAt(info, 0, bit(inverse, 1)),
    destinationPorts: portsAt(info, 4, bit(inverse, 2)),
  };
}

function portsAt(info: Uint8Array, at: number, inverted: boolean): InvertibleRange {
  return { first: u16(info, at), last: u16(info, at + 2), inverted };
}

/** struct ipt_icmp and ip6t_icmp: u8 type, u8 code[2], u8 inverse. */
export function decodeIcmp(
  kind: 'icmp' | 'icmp6',
  info: Uint8Array,
): XtMatchOf<'icmp' | 'icmp6'> | undefined {
  const inverse = u8(info, 3);
  if (!holds(info, 4) || hasOthers(inverse, 1)) return undefined;
  const codes = { first: u8(info, 1), last: u8(info, 2) };
  return { kind, type: u8(info, 0), codes, inverted: bit(inverse, 1) };
}

const sides = ['source', 'destination', 'either'] as const;

/**
 * struct xt_multiport: u8 side, u8 count, u16 ports[15]. xt_multiport_v1 goes on: u8 range flags[15], u8 invert. A range flag says that
 * the next port is the end of a range that begins here.
 */
export function decodeMultiport(
  revision: number,
  info: Uint8Array,
): XtMatchOf<'multiport'> | undefined {
  const side = sides[u8(info, 0)];
  const count = u8(info, 1);
  if (side === undefined || count > 15 || !holds(info, revision === 0 ? 32 : 48)) return undefined;
  const ports: NumberRange[] = [];
  for (let index = 0; index < count; index++) {
    const first = u16(info, 2 + index * 2);
    const opens = revision === 1 && u8(info, 32 + index) !== 0;
    if (opens && index + 1 >= count) return undefined;
    ports.push({ first, last: opens ? u16(info, 4 + index * 2) : first });
    if (opens) index++;
  }
  return { kind: 'multiport', side, ports, inverted: revision === 1 && u8(info, 47) !== 0 };
}
