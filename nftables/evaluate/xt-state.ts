/** @module Matches on what the kernel knows of a packet besides its bytes: its connection, mark, route and socket. */
import { type ConntrackMatch, conntrackStates, type XtMatch, type XtMatchOf } from '../xt/types.ts';
import { addressOf, addressType, isReversePath } from './expressions/fib.ts';
import { packetType } from './expressions/meta.ts';
import type { Machine } from './machine.ts';
import { addressAt, type Conntrack, stateBits, type Tuple } from './state.ts';
import { isBetween, maybe, no, type Ternary, yes } from './ternary.ts';
import {
  all,
  both,
  either,
  invertedIf,
  isInNetwork,
  isMasked,
  isNumberIn,
  type Test,
  truth,
} from './xt-tests.ts';

export function stateTest(match: XtMatch): Test | undefined {
  switch (match.kind) {
    case 'conntrack':
      return (machine) => conntrackTest(machine, match);
    case 'state':
      return ({ state }) => isInStates(state.conntrack, match.mask, false);
    case 'mark':
      return ({ state }) =>
        invertedIf(
          match.inverted,
          isMasked({ value: state.mark, known: state.markKnown }, match.value, match.mask),
        );
    case 'connmark':
      return ({ state }) => {
        const { entry, mark, markKnown } = state.conntrack;
        const same = isMasked({ value: mark, known: markKnown }, match.value, match.mask);
        // Without an entry it never matches.
        return both(entry, invertedIf(match.inverted, same));
      };
    case 'addrtype':
      return (machine) => addrtypeTest(machine, match);
    case 'rpfilter':
      return (machine) => rpfilterTest(machine, match);
    case 'pkttype':
      return (machine) => {
        const type = packetType(machine);
        return type === undefined ? maybe : invertedIf(match.inverted, truth(type === match.type));
      };
    case 'physdev':
      return (machine) => physdevTest(machine, match);
    case 'owner':
      return (machine) => ownerTest(machine, match);
    default:
      return undefined;
  }
}

/** The states that a packet may be in, each as XT_CONNTRACK_STATE_BIT has it. */
const stateOf = [
  [stateBits.invalid, conntrackStates.invalid],
  [stateBits.established, conntrackStates.established],
  [stateBits.related, conntrackStates.related],
  [stateBits.new, conntrackStates.new],
  [stateBits.untracked, conntrackStates.untracked],
] as const;

// enum ip_conntrack_status
const IPS_SRC_NAT = 16;
const IPS_DST_NAT = 32;

/** A tracked packet also has the bits SNAT and DNAT, by its connection. */
function isInStates(conntrack: Conntrack, mask: number, withNat: boolean): Ternary {
  const { states, status, statusKnown } = conntrack;
  let results: Ternary | undefined;
  for (const [bit, name] of stateOf) {
    if ((states & bit) === 0) continue;
    const isTracked = bit !== stateBits.invalid && bit !== stateBits.untracked;
    let result: Ternary = truth((mask & name) !== 0);
    for (const [natBit, natName] of [
      [IPS_SRC_NAT, conntrackStates.snat],
      [IPS_DST_NAT, conntrackStates.dnat],
    ] as const) {
      if (!withNat || !isTracked || (mask & natName) === 0) continue;
      const isKnown = (statusKnown & natBit) !== 0;
      result = either(result, isKnown ? truth((status & natBit) !== 0) : maybe);
    }
    results = results === undefined || results === result ? result : maybe;
  }
  return results ?? maybe;
}

/** conntrack_mt: a packet without an entry is asked for its state alone. */
function conntrackTest(machine: Machine, match: ConntrackMatch): Ternary {
  const { conntrack } = machine.state;
  const { states } = match;
  const isState =
    states === undefined
      ? yes
      : invertedIf(states.inverted, isInStates(conntrack, states.mask, true));
  const untrackedResult = states === undefined ? no : isState;
  if (conntrack.entry === no) return untrackedResult;
  const tracked = both(isState, entryTest(machine, match));
  if (conntrack.entry === yes) return tracked;
  return tracked === untrackedResult ? tracked : maybe;
}

function entryTest(machine: Machine, match: ConntrackMatch): Ternary {
  const { conntrack, protocol, family } = machine.state;
  const { original, status, statusKnown, direction } = conntrack;
  const address = (
    at: readonly [number, number],
    asked: ConntrackMatch['originalSource'],
  ): Ternary => {
    if (asked === undefined) return yes;
    if (original === undefined) return maybe;
    const [offset, length] = family === 'ip' ? [at[0], 4] : [at[1], 16];
    return isInNetwork(addressAt(original.bytes, original.known, offset, length), asked);
  };
  // What the answers look like depends on translations yet to come.
  const reply = (asked: unknown): Ternary => (asked === undefined ? yes : maybe);
  return all(
    match.protocol === undefined
      ? yes
      : invertedIf(match.protocol.inverted, truth(match.protocol.number === protocol)),
    address([12, 8], match.originalSource),
    address([16, 24], match.originalDestination),
    reply(match.replySource),
    reply(match.replyDestination),
    originalPort(machine, original, 0, match.originalSourcePort),
    originalPort(machine, original, 2, match.originalDestinationPort),
    reply(match.replySourcePort),
    reply(match.replyDestinationPort),
    match.status === undefined
      ? yes
      : invertedIf(
          match.status.inverted,
          anyBit({ value: status, known: statusKnown }, match.status.mask),
        ),
    reply(match.expires),
    match.direction === undefined
      ? yes
      : direction === undefined
        ? maybe
        : truth((match.direction === 'original') === (direction === 0)),
  );
}

const withPorts: ReadonlySet<number> = new Set([6, 17, 33, 132, 136]);

function originalPort(
  { state }: Machine,
  original: Tuple | undefined,
  offset: number,
  asked: ConntrackMatch['originalSourcePort'],
): Ternary {
  if (asked === undefined) return yes;
  // Of ICMP these are the identifier, and type and code.
  if (original === undefined || !withPorts.has(state.protocol)) return maybe;
  const be16 = (value: number): Uint8Array => Uint8Array.of(value >> 8, value & 0xff);
  const at = original.transportOffset + offset;
  const { bytes, known } = original;
  return invertedIf(
    asked.inverted,
    isBetween(bytes, known, at, be16(asked.first), be16(asked.last)),
  );
}

function anyBit(
  { value, known }: { readonly value: number; readonly known: number },
  mask: number,
): Ternary {
  if ((value & known & mask) !== 0) return yes;
  return (mask & ~known) === 0 ? no : maybe;
}

/** xt_addrtype.c: match_type, and match_type6, which asks for the form of an address before it asks the routing table. */
function addrtypeTest(machine: Machine, match: XtMatchOf<'addrtype'>): Ternary {
  const device = match.limitToInput
    ? machine.input
    : match.limitToOutput
      ? machine.output
      : undefined;
  const side = (destination: boolean, types: number, inverted: boolean): Ternary => {
    if (types === 0) return yes;
    const address = addressOf(machine, destination);
    if (machine.state.family === 'ip') {
      const type = addressType(machine, address, device);
      return type === undefined ? maybe : invertedIf(inverted, truth((types & (1 << type)) !== 0));
    }
    return invertedIf(inverted, formOfAddress6(machine, address, types, device !== undefined));
  };
  return both(
    side(false, match.source, match.sourceInverted),
    side(true, match.destination, match.destinationInverted),
  );
}

// Bits of enum rtn_type
const UNSPEC = 1 << 0;
const UNICAST = 1 << 1;
const LOCAL = 1 << 2;
const ANYCAST = 1 << 4;
const MULTICAST = 1 << 5;
const UNREACHABLE = 1 << 7;

function formOfAddress6(
  machine: Machine,
  { value, known }: { readonly value: Uint8Array; readonly known: Uint8Array },
  types: number,
  onDevice: boolean,
): Ternary {
  const isKnown = (index: number): boolean => known[index] === 0xff;
  const isMulticast: Ternary =
    ((value[0] ?? 0) & (known[0] ?? 0)) !== (known[0] ?? 0)
      ? no
      : isKnown(0)
        ? truth(value[0] === 0xff)
        : maybe;
  const isZero = value.every((byte, index) => (byte & (known[index] ?? 0)) === 0);
  const isWhole = known.every((mask) => mask === 0xff);
  const isAny: Ternary = !isZero ? no : isWhole ? yes : maybe;
  const forms = all(
    (types & MULTICAST) === 0 ? yes : isMulticast,
    (types & UNICAST) === 0 ? yes : both(invertedIf(true, isMulticast), invertedIf(true, isAny)),
    (types & UNSPEC) === 0 ? yes : isAny,
  );
  const looked = types & (LOCAL | ANYCAST | UNREACHABLE);
  if (looked === 0) return forms;
  const local = machine.host.isLocal('ip6', value, known);
  if (looked !== LOCAL || (onDevice && local !== no)) return both(forms, maybe);
  return both(forms, local);
}

const loopback = 772;

/** xt_rpfilter: what loops back passes; `--loose` lets through any route, which a strict one is too. */
function rpfilterTest(machine: Machine, match: XtMatchOf<'rpfilter'>): Ternary {
  if (machine.input.type === loopback) return truth(!match.inverted);
  const found = isReversePath(machine);
  const isTold = found === true || (!match.loose && !match.acceptLocal);
  if (found === undefined || !isTold) return maybe;
  return invertedIf(match.inverted, truth(found));
}

/** xt_physdev.c: of a packet that came by no bridge only what is negated matches. */
function physdevTest({ input }: Machine, match: XtMatchOf<'physdev'>): Ternary {
  const isBridged: Ternary =
    input.present === no ? no : input.kind === undefined || input.kind === 'bridge' ? maybe : no;
  if (isBridged !== no) return maybe;
  return truth(
    match.input?.inverted !== false &&
      match.output?.inverted !== false &&
      match.isInput !== true &&
      match.isOutput !== true &&
      match.isBridged !== true,
  );
}

/** owner_mt: only what this host sends has a socket; without one all that is asked must be negated. */
function ownerTest(machine: Machine, match: XtMatchOf<'owner'>): Ternary {
  const { user, group, socketExists, supplementaryGroups } = match;
  const { userId, groupId, local } = machine;
  if (!local) {
    return truth(
      user?.inverted !== false &&
        group?.inverted !== false &&
        socketExists !== true &&
        !supplementaryGroups,
    );
  }
  if (userId === undefined && groupId === undefined) return maybe;
  if (socketExists === false) return no;
  const isUser =
    user === undefined ? yes : userId === undefined ? maybe : isNumberIn(userId, userId, user);
  const isGroup =
    group === undefined
      ? yes
      : groupId === undefined || supplementaryGroups
        ? maybe
        : isNumberIn(groupId, groupId, group);
  return both(isUser, isGroup);
}
