/** @module Matches on bytes of the packet. */
import type { InvertibleRange, NumberRange, XtMatch, XtMatchOf } from '../xt/types.ts';
import { addressOf } from './expressions/fib.ts';
import type { Machine } from './machine.ts';
import { maybe, no, type Ternary, yes } from './ternary.ts';
import {
  all,
  both,
  byteAt,
  either,
  invertedIf,
  isInAddresses,
  isMasked,
  isNumberIn,
  isShortIn,
  isWordIn,
  type Test,
  trafficClass,
  truth,
} from './xt-tests.ts';

const protocols = { tcp: 6, udp: 17, icmp: 1, icmp6: 58, esp: 50, ah: 51 } as const;

/** Undefined for a match that asks for something else. */
export function packetTest(match: XtMatch): Test | undefined {
  switch (match.kind) {
    case 'tcp':
      return (machine) => transport(machine, protocols.tcp, () => tcp(machine, match));
    case 'udp':
      return (machine) => transport(machine, protocols.udp, () => ports(machine, match));
    case 'icmp':
    case 'icmp6':
      return (machine) => transport(machine, protocols[match.kind], () => icmp(machine, match));
    case 'multiport':
      return (machine) => multiport(machine, match);
    case 'iprange': {
      const { source, destination } = match;
      return (machine) =>
        both(
          source === undefined ? yes : isInAddresses(addressOf(machine, false), source),
          destination === undefined ? yes : isInAddresses(addressOf(machine, true), destination),
        );
    }
    case 'mac':
      return (machine) => mac(machine, match);
    case 'dscp':
      return ({ state }) =>
        invertedIf(match.inverted, isMasked(trafficClass(state), match.dscp << 2, 0xfc));
    case 'tos':
      return ({ state }) =>
        invertedIf(match.inverted, isMasked(trafficClass(state), match.value, match.mask));
    case 'length':
      return ({ state }) => isNumberIn(state.certainLength, state.largestLength, match);
    case 'ttl':
    case 'hl':
      return (machine) => ttl(machine, match);
    case 'esp':
      return (machine) =>
        transport(machine, protocols.esp, () =>
          isWordIn(machine.state, machine.state.transportOffset, match),
        );
    case 'rt':
      // No packet has such a header, here as for `exthdr`.
      return () => no;
    case 'ah':
      return (machine) => transport(machine, protocols.ah, () => authentication(machine, match));
    default:
      return undefined;
  }
}

/** A later fragment has no transport header, and does not match. */
function transport(machine: Machine, protocol: number, test: () => Ternary): Ternary {
  const { state } = machine;
  if (state.fragment === 'later') return no;
  // iptables loads such a match only behind `-p`.
  return state.protocol === protocol ? test() : maybe;
}

type Ports = Pick<XtMatchOf<'udp'>, 'sourcePorts' | 'destinationPorts'>;

function ports({ state }: Machine, { sourcePorts, destinationPorts }: Ports): Ternary {
  const at = state.transportOffset;
  const test = (offset: number, range: InvertibleRange): Ternary =>
    invertedIf(range.inverted, isShortIn(state, at + offset, range));
  return both(test(0, sourcePorts), test(2, destinationPorts));
}

/** xt_tcpudp.c: tcp_mt. */
function tcp(machine: Machine, match: XtMatchOf<'tcp'>): Ternary {
  const { state } = machine;
  const { flags } = match;
  return all(
    ports(machine, match),
    invertedIf(
      flags.inverted,
      isMasked(byteAt(state, state.transportOffset + 13), flags.value, flags.mask),
    ),
    // The options of a packet are not known.
    match.option === 0 ? yes : maybe,
  );
}

/** A type of 255 is any, in IPv4 alone. */
function icmp({ state }: Machine, match: XtMatchOf<'icmp' | 'icmp6'>): Ternary {
  const at = state.transportOffset;
  if (match.kind === 'icmp' && match.type === 255) return truth(!match.inverted);
  const type = isMasked(byteAt(state, at), match.type, 0xff);
  const code = byteAt(state, at + 1);
  const isCodeIn = isNumberIn(code.value & code.known, code.value | (~code.known & 0xff), {
    ...match.codes,
    inverted: false,
  });
  return invertedIf(match.inverted, both(type, isCodeIn));
}

const withPorts: ReadonlySet<number> = new Set([6, 17, 33, 132, 136]);

/** xt_multiport.c: the first two bytes of the header are the source port, the next two the destination port. */
function multiport({ state }: Machine, match: XtMatchOf<'multiport'>): Ternary {
  if (state.fragment === 'later') return no;
  if (!withPorts.has(state.protocol)) return maybe;
  const at = state.transportOffset;
  const isAny = (offset: number): Ternary =>
    match.ports.reduce<Ternary>(
      (found, range: NumberRange) => either(found, isShortIn(state, at + offset, range)),
      no,
    );
  const found = {
    source: () => isAny(0),
    destination: () => isAny(2),
    either: () => either(isAny(0), isAny(2)),
  }[match.side]();
  return invertedIf(match.inverted, found);
}

const ethernet = 1;

/** xt_mac.c: only a packet that came in by an Ethernet has a source, and one over loopback has not. */
function mac({ input, state, local }: Machine, match: XtMatchOf<'mac'>): Ternary {
  if (local || input.present === no) return no;
  if (input.type !== undefined && input.type !== ethernet) return no;
  let same: Ternary = yes;
  for (const [index, byte] of match.address.entries()) {
    const known = state.linkKnown[6 + index] ?? 0;
    if ((((state.link[6 + index] ?? 0) ^ byte) & known) !== 0) same = no;
    else if (known !== 0xff) same = both(same, maybe);
  }
  return both(invertedIf(match.inverted, same), input.type === undefined ? maybe : yes);
}

function ttl({ state }: Machine, { kind, comparison, value }: XtMatchOf<'ttl' | 'hl'>): Ternary {
  const field = byteAt(state, kind === 'ttl' ? 8 : 7);
  const [lowest, highest] = [field.value & field.known, field.value | (~field.known & 0xff)];
  const within = (first: number, last: number, inverted = false): Ternary =>
    isNumberIn(lowest, highest, { first, last, inverted });
  switch (comparison) {
    case 'eq':
      return within(value, value);
    case 'neq':
      return within(value, value, true);
    case 'lt':
      return value === 0 ? no : within(0, value - 1);
    case 'gt':
      return value === 255 ? no : within(value + 1, 255);
  }
}

/** The index stands behind next header, length and two reserved bytes. */
function authentication({ state }: Machine, match: XtMatchOf<'ah'>): Ternary {
  const { headerLength, reservedIsZero } = match;
  const isMore =
    (headerLength !== undefined && (headerLength.value !== 0 || headerLength.inverted)) ||
    reservedIsZero === true;
  return both(isWordIn(state, state.transportOffset + 4, match), isMore ? maybe : yes);
}
