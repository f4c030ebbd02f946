/** @module Bytes of the packet: `payload` loads and writes (nft_payload.c). */
import type { ExpressionOf, PayloadBase } from '../../model.ts';
import {
  because,
  change,
  type Machine,
  nextVersion,
  type Step,
  store,
  storeUnknown,
} from '../machine.ts';
import { type PacketState, reaches } from '../state.ts';
import { maybe, no, type Ternary, yes } from '../ternary.ts';

const TCP = 6;
const UDP = 17;
const GRE = 47;
const IPIP = 4;

export function compilePayload(expression: ExpressionOf<'payload'>): Step {
  const { base, offset, length, register } = expression;
  const origin = `${describe(base, offset, length)} is not known`;
  const missing = `whether the packet has ${describe(base, offset, length)} is not known`;
  if (base === 'link') return (machine) => loadLink(machine, expression, origin);
  return (machine) => {
    const { state } = machine;
    const start = startOf(state, base, machine);
    if (start === undefined) return no;
    if (start === 'unknown') {
      storeUnknown(machine, register, length, origin);
      return because(machine, missing);
    }
    const at = start + offset;
    const there = reaches(state, at + length);
    if (there === no) return no;
    store(machine, register, state.bytes, state.known, length, origin, at);
    return there === yes ? yes : because(machine, missing);
  };
}

/** Where a header begins, counted from the IP header. Undefined where the kernel finds none (NFT_BREAK). */
export function startOf(
  state: PacketState,
  base: PayloadBase,
  machine: Machine,
): number | 'unknown' | undefined {
  switch (base) {
    case 'network':
      return 0;
    case 'transport':
      return state.fragment === 'later' ? undefined : state.transportOffset;
    case 'inner':
      if (state.fragment === 'later') return undefined;
      return innerStart(state, machine);
    case 'link':
    case 'tunnel':
      return 'unknown';
  }
}

/** nft_payload_inner_offset: behind the header of UDP or TCP; of GRE and IP in IP since Linux 6.2. */
function innerStart(state: PacketState, _machine: Machine): number | 'unknown' | undefined {
  const { protocol, transportOffset, bytes, known } = state;
  if (protocol === UDP) return transportOffset + 8;
  if (protocol === IPIP) return transportOffset;
  if (protocol === GRE) return 'unknown';
  if (protocol !== TCP) return undefined;
  const at = transportOffset + 12;
  if (((known[at] ?? 0) & 0xf0) !== 0xf0) return 'unknown';
  return transportOffset + ((bytes[at] ?? 0) >> 4) * 4;
}

function loadLink(machine: Machine, expression: ExpressionOf<'payload'>, origin: string): Ternary {
  const { offset, length, register } = expression;
  const { state } = machine;
  const present = hasLinkHeader(machine);
  if (present === no) return no;
  store(machine, register, state.link, state.linkKnown, length, origin, offset);
  if (present === maybe) machine.why = 'whether the packet has a link header is not known';
  return present;
}

// ARPHRD_ETHER, ARPHRD_LOOPBACK
const ethernet = 1;
const loopback = 772;

/** A packet that came in by an Ethernet has its header still; one that this host sends gets it behind the last IP hook. */
export function hasLinkHeader(machine: Machine): Ternary {
  const device = machine.hook === 'egress' ? machine.output : machine.input;
  if (machine.local && machine.hook !== 'egress') return no;
  if (device.type === undefined) return maybe;
  return device.type === ethernet || device.type === loopback ? yes : no;
}

export function compilePayloadSet(expression: ExpressionOf<'payload-set'>): Step {
  const { base, offset, length, register } = expression;
  return (machine) => {
    if (base === 'link') return writeLink(machine, expression);
    const { state } = machine;
    const start = startOf(state, base, machine);
    if (start === undefined) return no;
    if (start === 'unknown') {
      forgetFrom(machine, state.transportOffset);
      return because(machine, 'where the written bytes begin is not known');
    }
    const there = reaches(state, start + offset + length);
    if (there === no) return no;
    const at = register * 4;
    writeBytes(
      machine,
      start + offset,
      machine.registers.subarray(at, at + length),
      machine.known.subarray(at, at + length),
    );
    if (expression.checksumType !== 0) forget(machine, start + expression.checksumOffset, 2);
    // NFT_PAYLOAD_L4CSUM_PSEUDOHDR: the transport header's checksum follows a changed address.
    if ((expression.checksumFlags & 1) !== 0) forgetTransportChecksum(machine);
    noteRedirection(machine, state);
    return there === yes
      ? yes
      : because(machine, 'whether the packet has the bytes to write is not known');
  };
}

function writeLink(
  machine: Machine,
  { offset, length, register }: ExpressionOf<'payload-set'>,
): Ternary {
  const present = hasLinkHeader(machine);
  if (present === no || offset + length > 14) return present === no ? no : maybe;
  const { state } = machine;
  const [link, linkKnown] = [state.link.slice(), state.linkKnown.slice()];
  for (let index = 0; index < length; index++) {
    link[offset + index] = machine.registers[register * 4 + index] ?? 0;
    linkKnown[offset + index] = machine.known[register * 4 + index] ?? 0;
  }
  change(machine, { link, linkKnown });
  return present;
}

/** Writes bytes of the image; those behind its end stay unknown. */
export function writeBytes(
  machine: Machine,
  at: number,
  value: Uint8Array,
  valueKnown: Uint8Array,
): void {
  const { state } = machine;
  const bytes = state.bytes.slice();
  const known = state.known.slice();
  for (let index = 0; index < value.length && at + index < bytes.length; index++) {
    bytes[at + index] = value[index] ?? 0;
    known[at + index] = valueKnown[index] ?? 0;
  }
  const same =
    bytes.every((byte, index) => byte === state.bytes[index]) &&
    known.every((byte, index) => byte === state.known[index]);
  if (!same) machine.state = { ...state, bytes, known, version: nextVersion(machine) };
}

export function forget(machine: Machine, at: number, length: number): void {
  writeBytes(machine, at, new Uint8Array(length), new Uint8Array(length));
}

export function forgetFrom(machine: Machine, at: number): void {
  forget(machine, at, Math.max(0, machine.state.bytes.length - at));
}

const checksums: ReadonlyMap<number, number> = new Map([
  [TCP, 16],
  [UDP, 6],
  [58, 2],
  [136, 6],
]);

export function forgetTransportChecksum(machine: Machine): void {
  const { state } = machine;
  const at = checksums.get(state.protocol);
  if (at !== undefined) forget(machine, state.transportOffset + at, 2);
}

/** Another destination address or port than before sends the packet elsewhere. */
function noteRedirection(machine: Machine, before: PacketState): void {
  const { state } = machine;
  if (state.redirected === yes) return;
  const [first, last] = before.family === 'ip' ? [16, 20] : [24, 40];
  const port = before.transportOffset + 2;
  const changed = differs(before, state, first, last) || differs(before, state, port, port + 2);
  if (!changed) return;
  change(machine, { redirected: yes });
  const { rule, certain } = machine;
  if (rule !== undefined) machine.rewrites.push({ rule, kind: 'dnat', certain });
}

function differs(a: PacketState, b: PacketState, from: number, to: number): boolean {
  for (let index = from; index < to; index++) {
    if (a.bytes[index] !== b.bytes[index] || a.known[index] !== b.known[index]) return true;
  }
  return false;
}

const names: ReadonlyMap<string, string> = new Map([
  ['transport 0 2', 'the source port'],
  ['transport 2 2', 'the destination port'],
  ['transport 0 1', 'the ICMP type'],
  ['transport 1 1', 'the ICMP code'],
  ['transport 13 1', 'the TCP flags'],
  ['network 12 4', 'the source address'],
  ['network 16 4', 'the destination address'],
  ['network 8 16', 'the source address'],
  ['network 24 16', 'the destination address'],
  ['network 8 1', 'the time to live'],
  ['network 7 1', 'the hop limit'],
  ['network 2 2', 'the length'],
  ['link 0 6', 'the destination MAC address'],
  ['link 6 6', 'the source MAC address'],
]);

function describe(base: PayloadBase, offset: number, length: number): string {
  const name = names.get(`${base} ${offset} ${length}`);
  return name ?? `@${shortBases[base]},${offset * 8},${length * 8}`;
}

const shortBases: Readonly<Record<PayloadBase, string>> = {
  link: 'll',
  network: 'nh',
  transport: 'th',
  inner: 'ih',
  tunnel: 'tunnel',
};
