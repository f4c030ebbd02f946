/** @module What conntrack will say of a packet, from the question and from what the packet is. */
import { type Conntrack, notLookedAt, type PacketState, stateBits, untracked } from './state.ts';
import { no, yes } from './ternary.ts';
import type { ConntrackState, Packet } from './types.ts';

/** nf_conntrack_proto_icmpv6.c: multicast listener and neighbour discovery messages are never tracked. */
const neverTracked: ReadonlySet<number> = new Set([130, 131, 132, 133, 134, 135, 136, 143]);
/** Requests: only these begin an ICMP connection. */
const beginners = { ip: new Set([8, 13, 15, 17]), ip6: new Set([128, 139]) } as const;

/** `new` where nothing is said, unless conntrack never calls such a packet so. */
export function expectedState(packet: Packet): ConntrackState {
  const { protocol, icmpType, family } = packet;
  if (protocol === 58 && icmpType !== undefined && neverTracked.has(icmpType)) return 'untracked';
  if (packet.conntrack !== undefined) return packet.conntrack;
  const isIcmp = protocol === (family === 'ip' ? 1 : 58);
  if (isIcmp && icmpType !== undefined && !beginners[family].has(icmpType)) return 'invalid';
  return 'new';
}

/** The entry that conntrack attaches in prerouting or output; `before` is what hung there already. */
export function lookUp(packet: Packet, state: PacketState): Conntrack {
  const before = state.conntrack;
  if (before.states === stateBits.untracked && before.entry === no) return before;
  // What hangs there since the packet was sent over loopback stays.
  if (before.entry === yes && !before.template) return before;
  const found = entryOf(packet, state, before);
  if ((before.states & stateBits.untracked) === 0) return found;
  const { direction: _direction, original: _original, ...rest } = found;
  return {
    ...rest,
    states: found.states | stateBits.untracked,
    entry: found.entry === no ? no : 1,
  };
}

function entryOf(packet: Packet, state: PacketState, before: Conntrack): Conntrack {
  const expected = expectedState(packet);
  if (expected === 'untracked') return untracked;
  if (expected === 'invalid') return notLookedAt;
  const isNew = expected === 'new';
  const mark = packet.connectionMark ?? 0;
  const zone = before.template ? before.zone : 0;
  return {
    states: stateBits[expected],
    entry: yes,
    template: false,
    mark: mark >>> 0,
    // The mark of a fresh entry is 0.
    markKnown: isNew || packet.connectionMark !== undefined ? 0xffffffff : 0,
    status: 0,
    statusKnown: isNew ? 0xffffffff : 0,
    unlabelled: isNew,
    ...(isNew ? { direction: 0 as const } : {}),
    ...(zone === undefined ? {} : { zone }),
    ...(isNew
      ? {
          original: {
            bytes: state.bytes,
            known: state.known,
            transportOffset: state.transportOffset,
          },
        }
      : {}),
  };
}
