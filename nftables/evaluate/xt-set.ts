/** @module `match set`: whether a part of the packet is in a set of ip_set. */
import type { IpSet, IpSetEntry, Ruleset } from '../model.ts';
import { decodeTarget } from '../xt/targets.ts';
import type { SetReference, XtMatchOf } from '../xt/types.ts';
import { maskOf } from './address.ts';
import { addressOf } from './expressions/fib.ts';
import type { Device, Machine } from './machine.ts';
import { isEqual, maybe, no, type Ternary, yes } from './ternary.ts';
import { type IndexedSet, indexSet } from './xt-set-index.ts';
import { both, invertedIf, isMasked, isShortIn, type Test, truth } from './xt-tests.ts';

/** What of a ruleset a set match asks for. */
export interface SetScope {
  readonly findIpSet: (index: number) => IpSet | undefined;
  readonly findIpSetNamed: (name: string) => IpSet | undefined;
  /** Whether some rule adds to it or takes from it. */
  readonly isIpSetChanged: (index: number) => boolean;
}

/** Numbers of the sets that rules change (target SET). */
export function changedIpSets({ rules }: Pick<Ruleset, 'rules'>): ReadonlySet<number> {
  const changed = new Set<number>();
  for (const { expressions, family } of rules) {
    for (const expression of expressions) {
      if (expression.kind !== 'target' || expression.name !== 'SET') continue;
      const target = decodeTarget(expression, family === 'ip6' ? 'ip6' : 'ip');
      if (target?.kind !== 'set') continue;
      for (const reference of [target.add, target.remove]) {
        if (reference !== undefined) changed.add(reference.index);
      }
    }
  }
  return changed;
}

export function setTest(match: XtMatchOf<'set'>, scope: SetScope): Test {
  const { set: reference, returnNoMatch } = match;
  const set = scope.findIpSet(reference.index);
  if (set === undefined) return () => maybe;
  const find = finderOf(set, scope, returnNoMatch);
  const isCounted = match.packets !== undefined || match.bytes !== undefined;
  return (machine) => {
    const found = find(machine, reference);
    return invertedIf(reference.inverted, isCounted ? both(found, maybe) : found);
  };
}

type Find = (machine: Machine, reference: SetReference) => Ternary;

const cannotTell: Find = () => maybe;

function finderOf(set: IpSet, scope: SetScope, returnNoMatch: boolean): Find {
  if (!set.isUnderstood || scope.isIpSetChanged(set.index)) return cannotTell;
  if (set.type !== 'list:set') {
    const indexed = indexSet(set);
    return indexed === undefined
      ? cannotTell
      : (machine, reference) => findIn(machine, indexed, reference, returnNoMatch);
  }
  if (returnNoMatch || set.hasTimeouts) return cannotTell;
  const members = set.entries.map(({ set: name }) => {
    const member = name === undefined ? undefined : scope.findIpSetNamed(name);
    // A list holds no list.
    return member === undefined || member.type === 'list:set'
      ? cannotTell
      : finderOf(member, scope, false);
  });
  return (machine, reference) =>
    members.reduce<Ternary>(
      (found, member) =>
        found === yes ? yes : (Math.max(found, member(machine, reference)) as Ternary),
      no,
    );
}

/** A set of another family, or of more dimensions than are asked for, never matches (ip_set_test). */
function findIn(
  machine: Machine,
  indexed: IndexedSet,
  { dimensions }: SetReference,
  returnNoMatch: boolean,
): Ternary {
  const { set, fields } = indexed;
  if (set.family !== 'unspecified' && set.family !== machine.state.family) return no;
  if (dimensions.length < fields.length) return no;
  const isNegated = returnNoMatch && fields.includes('net');
  const outcomes = new Set<boolean>();
  for (const entry of candidatesOf(machine, indexed, dimensions)) {
    const result = matchEntry(machine, indexed, entry, dimensions);
    if (result === no) continue;
    outcomes.add(entry.noMatch === isNegated);
    // It may be gone before the packet comes.
    const isSure = result === yes && (entry.timeoutSeconds ?? 0) === 0;
    if (isSure) return settle(outcomes);
  }
  // It may be that none of them matches.
  outcomes.add(false);
  return settle(outcomes);
}

function settle(outcomes: ReadonlySet<boolean>): Ternary {
  if (outcomes.size > 1) return maybe;
  return truth(outcomes.has(true));
}

/** Those that the packet's first address may be of, the longest prefix first. */
function candidatesOf(
  machine: Machine,
  { set, fields, sorted, byPrefix }: IndexedSet,
  dimensions: SetReference['dimensions'],
): readonly IpSetEntry[] {
  const [field] = fields;
  if (field !== 'ip' && field !== 'net') return sorted;
  const { value, known } = addressOf(machine, dimensions[0] === 'dst');
  if (known.some((mask) => mask !== 0xff)) return sorted;
  const masked = maskedBySet(set, value);
  return [...byPrefix].flatMap(([prefix, byAddress]) => {
    const mask = maskOf(prefix, masked.length);
    const key = masked.map((byte, index) => byte & (mask[index] ?? 0)).join('.');
    return byAddress.get(key) ?? [];
  });
}

function maskedBySet({ netmask, bitmask }: IpSet, address: Uint8Array): Uint8Array {
  const mask = bitmask ?? (netmask === undefined ? undefined : maskOf(netmask, address.length));
  return mask === undefined ? address : address.map((byte, index) => byte & (mask[index] ?? 0));
}

function matchEntry(
  machine: Machine,
  { set, fields }: IndexedSet,
  entry: IpSetEntry,
  dimensions: SetReference['dimensions'],
): Ternary {
  let result: Ternary = yes;
  let addresses = 0;
  for (const [index, field] of fields.entries()) {
    const isDestination = dimensions[index] === 'dst';
    let one: Ternary;
    if (field === 'ip' || field === 'net') {
      const second = addresses > 0;
      one = matchAddress(machine, set, {
        address: second ? entry.address2 : entry.address,
        prefix: second ? entry.prefix2 : entry.prefix,
        isDestination,
      });
      addresses++;
    } else if (field === 'port') one = matchPort(machine, set, entry, isDestination);
    else if (field === 'iface') {
      one = matchDevice(isDestination ? machine.output : machine.input, entry);
    } else if (field === 'mac') one = matchMac(machine, entry, isDestination);
    else one = matchMark(machine, set, entry);
    if (one === no) return no;
    result = both(result, one);
  }
  return result;
}

function matchAddress(
  machine: Machine,
  set: IpSet,
  {
    address,
    prefix,
    isDestination,
  }: {
    readonly address: Uint8Array | undefined;
    readonly prefix: number | undefined;
    readonly isDestination: boolean;
  },
): Ternary {
  const { value, known } = addressOf(machine, isDestination);
  if (address === undefined || address.length !== value.length) return no;
  const asked = maskOf(prefix ?? address.length * 8, address.length);
  const mask = maskedBySet(set, asked);
  const masked = value.map((byte, index) => byte & (mask[index] ?? 0));
  const told = known.map((byte, index) => byte | (~(mask[index] ?? 0) & 0xff));
  return isEqual(masked, told, 0, address);
}

const withPorts: ReadonlySet<number> = new Set([6, 17, 132, 136]);
const icmp = { ip: 1, ip6: 58 } as const;

/** ip_set_get_ip4_port and its like: ports of TCP, UDP, SCTP and UDPlite, type and code of ICMP, 0 of other protocols. */
function matchPort(
  { state }: Machine,
  set: IpSet,
  entry: IpSetEntry,
  isDestination: boolean,
): Ternary {
  const { protocol, family, fragment, transportOffset } = state;
  const isBitmap = set.type.startsWith('bitmap:');
  // bitmap:port holds ports of TCP and UDP alike.
  if (isBitmap ? protocol !== 6 && protocol !== 17 : entry.protocol !== protocol) return no;
  const first = entry.port ?? 0;
  const range = { first, last: entry.portEnd ?? first };
  if (protocol === icmp[family]) {
    return fragment === 'later' ? no : isShortIn(state, transportOffset, range);
  }
  if (!withPorts.has(protocol)) return truth(first === 0);
  if (fragment === 'later') return no;
  return isShortIn(state, transportOffset + (isDestination ? 2 : 0), range);
}

function matchDevice(device: Device, entry: IpSetEntry): Ternary {
  if (entry.physicalInterface === true)
    return device.kind === 'bridge' || device.kind === undefined ? maybe : no;
  if (device.present === no || entry.interface === undefined) return no;
  if (device.name === undefined) return maybe;
  const want = new TextEncoder().encode(`${entry.interface}\0`);
  const length = entry.interfaceWildcard === true ? want.length - 1 : want.length;
  for (let index = 0; index < length; index++) {
    if ((device.name[index] ?? 0) !== want[index]) return no;
  }
  return device.present;
}

/** An entry of bitmap:ip,mac without an address is filled by the first packet. */
function matchMac(machine: Machine, { mac }: IpSetEntry, isDestination: boolean): Ternary {
  if (mac === undefined) return yes;
  if (machine.local) return no;
  const { link, linkKnown } = machine.state;
  const at = isDestination ? 0 : 6;
  return both(maybe, isEqual(link, linkKnown, at, mac));
}

function matchMark({ state }: Machine, { markMask }: IpSet, { mark }: IpSetEntry): Ternary {
  const known = { value: state.mark, known: state.markKnown };
  return mark === undefined ? no : isMasked(known, mark, markMask ?? 0xffff_ffff);
}
