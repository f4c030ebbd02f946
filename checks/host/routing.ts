/** @module Every route and every policy rule of this network namespace, from rtnetlink(7). Asking changes nothing. */
import type { Family } from '../family.ts';
import { formatAddress } from '../packet/address.ts';
import { viewOf } from '../packet/bytes.ts';
import { HostError, type ListedRoute, type NextHop, type PolicyRule } from './host.ts';
import { askKernel, encodeRequest, type Message, NETLINK_ROUTE, NLM_F_DUMP } from './netlink.ts';
import { decodeIp, indexed, number, readLinks, routeType, text } from './rtnetlink.ts';

// linux/rtnetlink.h
const RTM_NEWROUTE = 24;
const RTM_GETROUTE = 26;
const RTM_NEWRULE = 32;
const RTM_GETRULE = 34;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_PREFSRC = 7;
const RTA_MULTIPATH = 9;
const RTA_TABLE = 15;
const RTA_VIA = 18;
const RTM_F_CLONED = 0x200;
const RTNH_F_DEAD = 1;
const RTNH_F_ONLINK = 4;

// linux/fib_rules.h
const FRA_DST = 1;
const FRA_SRC = 2;
const FRA_IIFNAME = 3;
const FRA_GOTO = 4;
const FRA_PRIORITY = 6;
const FRA_FWMARK = 10;
const FRA_SUPPRESS_IFGROUP = 13;
const FRA_SUPPRESS_PREFIXLEN = 14;
const FRA_TABLE = 15;
const FRA_FWMASK = 16;
const FRA_OIFNAME = 17;
const FRA_PROTOCOL = 21;
const FIB_RULE_INVERT = 0x2;
/** What else a rule can ask of a packet: it is told by name only. */
const otherSelectors = new Map<number, string>([
  [12, 'tunnel-id'], // FRA_TUN_ID
  [19, 'l3mdev'], // FRA_L3MDEV
  [20, 'uid-range'], // FRA_UID_RANGE
  [22, 'ip-protocol'], // FRA_IP_PROTO
  [23, 'source-port'], // FRA_SPORT_RANGE
  [24, 'destination-port'], // FRA_DPORT_RANGE
  [25, 'dscp'], // FRA_DSCP
  [26, 'flow-label'], // FRA_FLOWLABEL
]);
/** The FR_ACT_ enumeration. */
const ruleActions = new Map<number, PolicyRule['action']>([
  [1, 'lookup'],
  [2, 'goto'],
  [3, 'nop'],
  [6, 'blackhole'],
  [7, 'unreachable'],
  [8, 'prohibit'],
]);

const AF_INET = 2;
const AF_INET6 = 10;
const families: readonly number[] = [AF_INET, AF_INET6];

/** Reads the routes of every table, in the kernel's order. Throws HostError EMSGSIZE where they are too many to be read at once. */
export function readRoutes(
  names: ReadonlyMap<number, string> = interfaceNames(),
): readonly ListedRoute[] {
  return families.flatMap((family) =>
    dump(RTM_GETROUTE, family).flatMap(({ type, payload }) =>
      type === RTM_NEWROUTE ? (decodeListedRoute(payload, names) ?? []) : [],
    ),
  );
}

/** Reads the policy rules of both families, in the order in which the kernel asks them. */
export function readRules(): readonly PolicyRule[] {
  return families.flatMap((family) =>
    dump(RTM_GETRULE, family).flatMap(({ type, payload }) =>
      type === RTM_NEWRULE ? (decodeRule(payload) ?? []) : [],
    ),
  );
}

function interfaceNames(): ReadonlyMap<number, string> {
  return new Map(readLinks().map(({ index, name }) => [index, name]));
}

/**
 * Decodes RTM_NEWROUTE of a dump. struct rtmsg: u8 family, destination length, source length, tos, table, protocol, scope,
 * type; u32 flags; then attributes. Undefined for copies in the route cache, and for routes whose interface is gone.
 */
export function decodeListedRoute(
  payload: Uint8Array,
  names: ReadonlyMap<number, string>,
): ListedRoute | undefined {
  if (payload.length < 12) return undefined;
  const view = viewOf(payload);
  const family = familyOf(view.getUint8(0));
  const flags = view.getUint32(8, true);
  if (family === undefined || (flags & (RTM_F_CLONED | RTNH_F_DEAD)) !== 0) return undefined;
  const attributes = indexed(payload.subarray(12));
  const destination = prefixOf(family, attributes.get(RTA_DST), view.getUint8(1));
  if (destination === undefined) return undefined;
  const several = attributes.get(RTA_MULTIPATH);
  const source = decodeIp(attributes.get(RTA_PREFSRC));
  return {
    family,
    destination,
    type: routeType(view.getUint8(7)),
    table: number(attributes.get(RTA_TABLE)) ?? view.getUint8(4),
    protocol: view.getUint8(5),
    metric: number(attributes.get(RTA_PRIORITY)) ?? 0,
    ...(source === undefined ? {} : { source }),
    hops: several === undefined ? onlyHop(attributes, flags, names) : hopsOf(several, names),
  };
}

function onlyHop(
  attributes: ReadonlyMap<number, Uint8Array>,
  flags: number,
  names: ReadonlyMap<number, string>,
): readonly NextHop[] {
  const index = number(attributes.get(RTA_OIF));
  return index === undefined ? [] : [nextHop(index, attributes, flags, names)];
}

/** RTA_MULTIPATH: one struct rtnexthop after the other: u16 length, u8 flags, u8 hops, i32 interface; then attributes. */
function hopsOf(bytes: Uint8Array, names: ReadonlyMap<number, string>): readonly NextHop[] {
  const view = viewOf(bytes);
  const hops: NextHop[] = [];
  let at = 0;
  while (at + 8 <= bytes.length) {
    const length = view.getUint16(at, true);
    if (length < 8 || at + length > bytes.length) break;
    const flags = view.getUint8(at + 2);
    const attributes = indexed(bytes.subarray(at + 8, at + length));
    if ((flags & RTNH_F_DEAD) === 0)
      hops.push(nextHop(view.getInt32(at + 4, true), attributes, flags, names));
    at += (length + 3) & ~3;
  }
  return hops;
}

function nextHop(
  index: number,
  attributes: ReadonlyMap<number, Uint8Array>,
  flags: number,
  names: ReadonlyMap<number, string>,
): NextHop {
  // RTA_VIA carries a gateway of the other family behind a u16 family number (RFC 5549 next hops).
  const gateway =
    decodeIp(attributes.get(RTA_GATEWAY)) ?? decodeIp(attributes.get(RTA_VIA)?.subarray(2));
  return {
    index,
    interface: names.get(index) ?? '',
    ...(gateway === undefined ? {} : { gateway }),
    onlink: (flags & RTNH_F_ONLINK) !== 0,
  };
}

/** Decodes RTM_NEWRULE. struct fib_rule_hdr: u8 family, destination length, source length, tos, table, two unused, action; u32 flags; attributes. */
export function decodeRule(payload: Uint8Array): PolicyRule | undefined {
  if (payload.length < 12) return undefined;
  const view = viewOf(payload);
  const family = familyOf(view.getUint8(0));
  if (family === undefined) return undefined;
  const attributes = indexed(payload.subarray(12));
  const destination = given(attributes.get(FRA_DST), (value) =>
    prefixOf(family, value, view.getUint8(1)),
  );
  const source = given(attributes.get(FRA_SRC), (value) =>
    prefixOf(family, value, view.getUint8(2)),
  );
  const mark = number(attributes.get(FRA_FWMARK));
  const inInterface = text(attributes.get(FRA_IIFNAME));
  const outInterface = text(attributes.get(FRA_OIFNAME));
  // Minus one stands for none.
  const suppressed = number(attributes.get(FRA_SUPPRESS_PREFIXLEN)) ?? 0xffff_ffff;
  const action = view.getUint8(7);
  const target = number(attributes.get(FRA_GOTO));
  const others = [...otherSelectors].flatMap(([type, name]) =>
    attributes.has(type) ? [name] : [],
  );
  const group = number(attributes.get(FRA_SUPPRESS_IFGROUP)) ?? 0xffff_ffff;
  return {
    family,
    priority: number(attributes.get(FRA_PRIORITY)) ?? 0,
    action: ruleActions.get(action) ?? `action-${action}`,
    table: number(attributes.get(FRA_TABLE)) ?? view.getUint8(4),
    protocol: attributes.get(FRA_PROTOCOL)?.[0] ?? 0,
    inverted: (view.getUint32(8, true) & FIB_RULE_INVERT) !== 0,
    ...(source === undefined ? {} : { source }),
    ...(destination === undefined ? {} : { destination }),
    ...(inInterface === undefined ? {} : { inInterface }),
    ...(outInterface === undefined ? {} : { outInterface }),
    ...(mark === undefined
      ? {}
      : { mark: { value: mark, mask: number(attributes.get(FRA_FWMASK)) ?? 0xffff_ffff } }),
    ...(suppressed === 0xffff_ffff ? {} : { suppressPrefixLength: suppressed }),
    ...(target === undefined ? {} : { goto: target }),
    others: [
      ...(view.getUint8(3) === 0 ? [] : ['tos']),
      ...(group === 0xffff_ffff ? [] : ['suppress-interface-group']),
      ...others,
    ],
  };
}

/** The rules of every Linux, by priority and table: `0 local`, `32766 main`, and of IPv4 `32767 default`. */
const usualRules = new Set(['0 255', '32766 254', '32767 253']);

/** Whether it is one of the rules that every Linux has. */
export function isUsualRule(rule: PolicyRule): boolean {
  return isPlain(rule) && usualRules.has(`${rule.priority} ${rule.table}`);
}

/** Whether it sends every packet to its table, and takes whatever that says. */
export function isPlain(rule: PolicyRule): boolean {
  return rule.action === 'lookup' && !rule.inverted && !hasSelectors(rule);
}

function hasSelectors(rule: PolicyRule): boolean {
  const { source, destination, inInterface, outInterface, mark, suppressPrefixLength } = rule;
  return (
    rule.others.length > 0 ||
    [source, destination, inInterface, outInterface, mark, suppressPrefixLength].some(
      (selector) => selector !== undefined,
    )
  );
}

function familyOf(number: number): Family | undefined {
  if (number === AF_INET) return 'ipv4';
  return number === AF_INET6 ? 'ipv6' : undefined;
}

/** A prefix in CIDR notation; undefined where its length does not fit. Without an address it is that of everything. */
function prefixOf(
  family: Family,
  address: Uint8Array | undefined,
  length: number,
): string | undefined {
  const bytes = family === 'ipv4' ? 4 : 16;
  const whole = address ?? new Uint8Array(bytes);
  if (whole.length !== bytes || length > bytes * 8) return undefined;
  return `${formatAddress(whole)}/${length}`;
}

function given<T>(
  value: Uint8Array | undefined,
  read: (value: Uint8Array) => T | undefined,
): T | undefined {
  return value === undefined ? undefined : read(value);
}

function dump(message: number, family: number): readonly Message[] {
  // struct rtmsg and struct fib_rule_hdr are both of 12 bytes and start with the family.
  const header = new Uint8Array(12);
  header[0] = family;
  try {
    return askKernel(NETLINK_ROUTE, encodeRequest(message, NLM_F_DUMP, header));
  } catch (cause) {
    // A kernel without this family, or without policy rules.
    const code = cause instanceof HostError ? cause.code : '';
    if (code === 'EAFNOSUPPORT' || code === 'EOPNOTSUPP') return [];
    throw cause;
  }
}
