/**
 * @module What is known of a packet at one point of its way. A value: whoever changes it makes a new one, so that a branch is taken by
 * keeping the old one.
 */
import { agreeing, maybe, no, type Ternary, yes } from './ternary.ts';

export interface PacketState {
  /** Equal for equal states: a change gives a new one. */
  readonly version: number;
  readonly family: 'ip' | 'ip6';
  readonly protocol: number;
  readonly fragment: 'none' | 'first' | 'later';
  /** From the first byte of the IP header on. What lies behind its end is there or not, and not known. */
  readonly bytes: Uint8Array;
  /** The bits of `bytes` that are known. */
  readonly known: Uint8Array;
  /** Where the transport header begins. */
  readonly transportOffset: number;
  /** This many bytes are there for sure, */
  readonly certainLength: number;
  /** and no more than this many. */
  readonly largestLength: number;
  /** Ethernet header: destination, source, type. */
  readonly link: Uint8Array;
  readonly linkKnown: Uint8Array;
  readonly mark: number;
  readonly markKnown: number;
  readonly priority: number;
  readonly priorityKnown: number;
  readonly conntrack: Conntrack;
  /** Whether NAT has chosen a destination or a source for this connection (nf_nat_initialized). */
  readonly destinationChosen: Ternary;
  readonly sourceChosen: Ternary;
  /** Whether some rule has changed where the packet goes. */
  readonly redirected: Ternary;
  /** Whether a rule has handed it to another socket (tproxy). */
  readonly intercepted: Ternary;
}

/** The bits of `ct state` (enum nft_ct_state bits of nf_conntrack_common.h). */
export const stateBits = {
  invalid: 1,
  established: 2,
  related: 4,
  new: 8,
  untracked: 64,
} as const;

/** What conntrack has attached to a packet. */
export interface Conntrack {
  /** Every bit that `ct state` may give; it gives one of them. */
  readonly states: number;
  /** Whether there is an entry: of a packet that is invalid, untracked or not yet looked at there is none. */
  readonly entry: Ternary;
  /** The entry is a template that only holds a zone. */
  readonly template: boolean;
  readonly mark: number;
  readonly markKnown: number;
  /** enum ip_conntrack_status */
  readonly status: number;
  readonly statusKnown: number;
  readonly direction?: 0 | 1;
  readonly zone?: number;
  /** The labels are all zero. */
  readonly unlabelled: boolean;
  /** The packet's addresses and ports when its connection began. */
  readonly original?: Tuple;
}

export interface Tuple {
  readonly bytes: Uint8Array;
  readonly known: Uint8Array;
  readonly transportOffset: number;
}

/** Before conntrack has looked at a packet: no entry, and `ct state` says invalid (nft_ct_get_eval). */
export const notLookedAt: Conntrack = {
  states: stateBits.invalid,
  entry: no,
  template: false,
  mark: 0,
  markKnown: 0,
  status: 0,
  statusKnown: 0,
  unlabelled: false,
};

export const untracked: Conntrack = { ...notLookedAt, states: stateBits.untracked };

/** What is known in both of two states. */
export function join(
  a: PacketState | undefined,
  b: PacketState | undefined,
  nextVersion: () => number,
): PacketState | undefined {
  if (a === undefined || b === undefined || a.version === b.version) return a ?? b;
  const image = joinBytes(a, b);
  return {
    ...a,
    ...image,
    version: nextVersion(),
    certainLength: Math.min(a.certainLength, b.certainLength),
    largestLength: Math.max(a.largestLength, b.largestLength),
    ...joinLink(a, b),
    markKnown: agreeing(a.mark, a.markKnown, b.mark, b.markKnown),
    priorityKnown: agreeing(a.priority, a.priorityKnown, b.priority, b.priorityKnown),
    conntrack: joinConntrack(a.conntrack, b.conntrack),
    destinationChosen: joinTernary(a.destinationChosen, b.destinationChosen),
    sourceChosen: joinTernary(a.sourceChosen, b.sourceChosen),
    redirected: joinTernary(a.redirected, b.redirected),
    intercepted: joinTernary(a.intercepted, b.intercepted),
  };
}

export function joinTernary(a: Ternary, b: Ternary): Ternary {
  return a === b ? a : maybe;
}

function joinBytes(a: PacketState, b: PacketState): Pick<PacketState, 'bytes' | 'known'> {
  if (a.bytes === b.bytes && a.known === b.known) return { bytes: a.bytes, known: a.known };
  const length = Math.min(a.bytes.length, b.bytes.length);
  return {
    bytes: a.bytes.slice(0, length),
    known: agreeingBytes(a.bytes, a.known, b.bytes, b.known, length),
  };
}

function joinLink(a: PacketState, b: PacketState): Pick<PacketState, 'linkKnown'> {
  if (a.link === b.link && a.linkKnown === b.linkKnown) return { linkKnown: a.linkKnown };
  return { linkKnown: agreeingBytes(a.link, a.linkKnown, b.link, b.linkKnown, a.link.length) };
}

function agreeingBytes(
  a: Uint8Array,
  aKnown: Uint8Array,
  b: Uint8Array,
  bKnown: Uint8Array,
  length: number,
): Uint8Array {
  const known = new Uint8Array(length);
  for (let index = 0; index < length; index++) {
    known[index] = agreeing(a[index] ?? 0, aKnown[index] ?? 0, b[index] ?? 0, bKnown[index] ?? 0);
  }
  return known;
}

function joinConntrack(a: Conntrack, b: Conntrack): Conntrack {
  if (a === b) return a;
  const { direction: _direction, zone: _zone, original: _original, ...rest } = a;
  return {
    ...rest,
    states: a.states | b.states,
    entry: joinTernary(a.entry, b.entry),
    template: a.template && b.template,
    markKnown: agreeing(a.mark, a.markKnown, b.mark, b.markKnown),
    statusKnown: agreeing(a.status, a.statusKnown, b.status, b.statusKnown),
    unlabelled: a.unlabelled && b.unlabelled,
    // What only one of them has is asked only where that one is meant: the other has no entry and breaks.
    ...pick('direction', a, b),
    ...pick('zone', a, b),
    ...pick('original', a, b),
  };
}

function pick<K extends 'direction' | 'zone' | 'original'>(
  key: K,
  a: Conntrack,
  b: Conntrack,
): Partial<Conntrack> {
  if (a.entry === no) return b[key] === undefined ? {} : { [key]: b[key] };
  if (b.entry === no || a[key] === b[key]) return a[key] === undefined ? {} : { [key]: a[key] };
  return {};
}

export interface Address {
  readonly value: Uint8Array;
  readonly known: Uint8Array;
}

export function sourceOf({ family, bytes, known }: PacketState): Address {
  return family === 'ip' ? addressAt(bytes, known, 12, 4) : addressAt(bytes, known, 8, 16);
}

export function destinationOf({ family, bytes, known }: PacketState): Address {
  return family === 'ip' ? addressAt(bytes, known, 16, 4) : addressAt(bytes, known, 24, 16);
}

/** A copy: for a view (`subarray`) the engine moves the whole array out of its heap, which takes longer than all else here. */
export function addressAt(
  bytes: Uint8Array,
  known: Uint8Array,
  at: number,
  length: number,
): Address {
  const address = { value: new Uint8Array(length), known: new Uint8Array(length) };
  for (let index = 0; index < length; index++) {
    address.value[index] = bytes[at + index] ?? 0;
    address.known[index] = known[at + index] ?? 0;
  }
  return address;
}

/** Whether a load of bytes that end at `end` finds them. */
export function reaches(state: PacketState, end: number): Ternary {
  if (end <= state.certainLength) return yes;
  return end > state.largestLength ? no : maybe;
}
