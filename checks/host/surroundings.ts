/** @module What firewall rules can ask of the host, from rtnetlink(7): interfaces, addresses, routes, policy rules. Asking changes nothing. */
import type { Environment, Interface, Route } from 'node-nftables';
import { formatAddress } from '../packet/address.ts';
import { viewOf } from '../packet/bytes.ts';
import { HostError, type InterfaceAddress, type Link } from './host.ts';
import {
  askKernel,
  concatenate,
  decodeAttributes,
  encodeAttribute,
  encodeRequest,
  NETLINK_ROUTE,
  NLM_F_DUMP,
} from './netlink.ts';
import { decodeLink, readAddresses } from './rtnetlink.ts';

// linux/rtnetlink.h
const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
const RTM_NEWROUTE = 24;
const RTM_GETROUTE = 26;
const RTM_NEWRULE = 32;
const RTM_GETRULE = 34;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_MULTIPATH = 9;
const RTA_TABLE = 15;
const RTA_VIA = 18;
const RTM_F_CLONED = 0x200;
const RTNH_F_DEAD = 1;

// linux/if_link.h
const IFLA_LINK = 5;
const IFLA_MASTER = 10;
const IFLA_GROUP = 27;
const IFLA_EXT_MASK = 29;
const IFLA_LINK_NETNSID = 37;
const IFLA_XDP = 43;
const IFLA_XDP_ATTACHED = 2;
const IFLA_XDP_PROG_ID = 4;
const RTEXT_FILTER_SKIP_STATS = 1 << 3;

// linux/fib_rules.h
const FRA_PRIORITY = 6;
const FRA_TABLE = 15;
const selectors = [
  1, // FRA_DST
  2, // FRA_SRC
  3, // FRA_IIFNAME
  10, // FRA_FWMARK
  17, // FRA_OIFNAME
  19, // FRA_L3MDEV
  20, // FRA_UID_RANGE
  22, // FRA_IP_PROTO
  23, // FRA_SPORT_RANGE
  24, // FRA_DPORT_RANGE
] as const;
/** The rules of every Linux: priority and table. */
const usualRules = new Set(['0 255', '32766 254', '32767 253']);

const AF_INET = 2;
const AF_INET6 = 10;

/** An interface as rules see it, with what stands on its way to the wire. */
export interface Device extends Interface {
  /** Index of the device below, of a VLAN or macvlan in this namespace. */
  readonly lower?: number;
  /** Index of the bridge, bond or VRF that it belongs to. */
  readonly masterIndex?: number;
  /** Id of the XDP program on it; 0 where the kernel tells only that there is one. */
  readonly xdp?: number;
}

/** What the host is, as far as rules can ask. */
export interface Surroundings extends Environment {
  readonly interfaces: readonly Device[];
  readonly links: readonly Link[];
}

/** Reads interfaces, addresses, routes and policy rules. More routes than can be read at once are left out: not known. */
export function readSurroundings(): Surroundings {
  const skip = encodeAttribute(IFLA_EXT_MASK, uint32(RTEXT_FILTER_SKIP_STATS));
  const messages = askKernel(
    NETLINK_ROUTE,
    encodeRequest(RTM_GETLINK, NLM_F_DUMP, concatenate(new Uint8Array(16), skip)),
  ).filter(({ type }) => type === RTM_NEWLINK);
  const links = messages.flatMap(({ payload }) => decodeLink(payload) ?? []);
  const addresses = readAddresses(links);
  const interfaces = devicesOf(
    messages.flatMap(({ payload }) => decodeDevice(payload) ?? []),
    addresses,
  );
  const routes = readRoutes(interfaces);
  return {
    links,
    interfaces,
    ...(routes === undefined ? {} : { routes }),
    hasPolicyRouting: hasPolicyRouting(),
  };
}

function devicesOf(
  devices: readonly Device[],
  addresses: readonly InterfaceAddress[],
): readonly Device[] {
  const names = new Map(devices.map(({ index, name }) => [index, name]));
  return devices.map((device) => {
    const master = device.masterIndex === undefined ? undefined : names.get(device.masterIndex);
    return {
      ...device,
      addresses: addresses
        .filter(({ index }) => index === device.index)
        .map(({ address, prefixLength }) => `${address}/${prefixLength}`),
      ...(master === undefined ? {} : { master }),
    };
  });
}

/**
 * Decodes RTM_NEWLINK for what rules ask of an interface. struct ifinfomsg: u8 family, u8 pad, u16 type (ARPHRD_*), i32 index,
 * u32 flags, u32 change; then attributes.
 */
export function decodeDevice(payload: Uint8Array): Device | undefined {
  const link = decodeLink(payload);
  if (link === undefined) return undefined;
  const attributes = indexed(payload.subarray(16));
  const master = number(attributes.get(IFLA_MASTER));
  // With a namespace id beside it, the index of the lower device is one of another namespace: a veth's other end.
  const lower = attributes.has(IFLA_LINK_NETNSID) ? undefined : number(attributes.get(IFLA_LINK));
  const xdp = indexed(attributes.get(IFLA_XDP));
  const attached = (xdp.get(IFLA_XDP_ATTACHED)?.[0] ?? 0) !== 0;
  return {
    name: link.name,
    index: link.index,
    type: viewOf(payload).getUint16(2, true),
    group: number(attributes.get(IFLA_GROUP)) ?? 0,
    ...(link.kind === undefined ? {} : { kind: link.kind }),
    addresses: [],
    ...(master === undefined || master === 0 ? {} : { masterIndex: master }),
    // A veth pair in one namespace is one another's lower device: nothing passes from the one down to the other.
    ...(lower === undefined || lower === 0 || link.kind === 'veth' ? {} : { lower }),
    ...(attached ? { xdp: number(xdp.get(IFLA_XDP_PROG_ID)) ?? 0 } : {}),
  };
}

function readRoutes(interfaces: readonly Device[]): readonly Route[] | undefined {
  const names = new Map(interfaces.map(({ index, name }) => [index, name]));
  try {
    return [AF_INET, AF_INET6].flatMap((family) =>
      dump(RTM_GETROUTE, family).flatMap(({ type, payload }) =>
        type === RTM_NEWROUTE ? (decodeListedRoute(payload, names) ?? []) : [],
      ),
    );
  } catch (cause) {
    if (cause instanceof HostError && (cause.code === 'EMSGSIZE' || cause.code === 'EAGAIN'))
      return undefined;
    throw cause;
  }
}

/** linux/rtnetlink.h, the RTN_ enumeration from RTN_UNICAST on. */
const routeTypes = [
  'unicast',
  'local',
  'broadcast',
  'anycast',
  'multicast',
  'blackhole',
  'unreachable',
  'prohibit',
  'throw',
  'nat',
] as const satisfies readonly Route['type'][];
const tables = new Map<number, 'main' | 'local' | 'default'>([
  [253, 'default'],
  [254, 'main'],
  [255, 'local'],
]);

/**
 * Decodes RTM_NEWROUTE of a dump. struct rtmsg: u8 family, destination length, source length, tos, table, protocol, scope,
 * type; u32 flags; then attributes. Undefined for what no look-up of the three usual tables finds.
 */
export function decodeListedRoute(
  payload: Uint8Array,
  names: ReadonlyMap<number, string>,
): Route | undefined {
  if (payload.length < 12) return undefined;
  const view = viewOf(payload);
  const family = view.getUint8(0);
  const prefix = view.getUint8(1);
  const attributes = indexed(payload.subarray(12));
  const table = tables.get(number(attributes.get(RTA_TABLE)) ?? view.getUint8(4));
  const type = routeTypes[view.getUint8(7) - 1];
  const flags = view.getUint32(8, true);
  const isAlive = (flags & (RTM_F_CLONED | RTNH_F_DEAD)) === 0;
  if (table === undefined || type === undefined || !isAlive) return undefined;
  if (family !== AF_INET && family !== AF_INET6) return undefined;
  const bytes = family === AF_INET ? 4 : 16;
  const destination = attributes.get(RTA_DST) ?? new Uint8Array(bytes);
  if (destination.length !== bytes || prefix > bytes * 8) return undefined;
  const hops = attributes.get(RTA_MULTIPATH);
  const own = number(attributes.get(RTA_OIF));
  const indexes = hops === undefined ? (own === undefined ? [] : [own]) : hopsOf(hops);
  const gateway =
    decodeIp(attributes.get(RTA_GATEWAY)) ?? decodeIp(attributes.get(RTA_VIA)?.subarray(2));
  return {
    family: family === AF_INET ? 'ip' : 'ip6',
    destination: `${formatAddress(destination)}/${prefix}`,
    type,
    table,
    metric: number(attributes.get(RTA_PRIORITY)) ?? 0,
    interfaces: indexes.flatMap((index) => names.get(index) ?? []),
    ...(gateway === undefined ? {} : { gateway }),
  };
}

/** RTA_MULTIPATH: one struct rtnexthop after the other: u16 length, u8 flags, u8 hops, i32 interface; then attributes. */
function hopsOf(bytes: Uint8Array): readonly number[] {
  const view = viewOf(bytes);
  const indexes: number[] = [];
  let at = 0;
  while (at + 8 <= bytes.length) {
    const length = view.getUint16(at, true);
    if (length < 8) break;
    if ((view.getUint8(at + 2) & RTNH_F_DEAD) === 0) indexes.push(view.getInt32(at + 4, true));
    at += (length + 3) & ~3;
  }
  return indexes;
}

function hasPolicyRouting(): boolean {
  return [AF_INET, AF_INET6].some((family) =>
    dump(RTM_GETRULE, family).some(
      ({ type, payload }) => type === RTM_NEWRULE && !isUsualRule(payload),
    ),
  );
}

/** struct fib_rule_hdr: u8 family, destination length, source length, tos, table, two unused, action; u32 flags; attributes. */
export function isUsualRule(payload: Uint8Array): boolean {
  if (payload.length < 12) return false;
  const view = viewOf(payload);
  const attributes = indexed(payload.subarray(12));
  const table = number(attributes.get(FRA_TABLE)) ?? view.getUint8(4);
  const priority = number(attributes.get(FRA_PRIORITY)) ?? 0;
  const isPlain = view.getUint8(3) === 0 && selectors.every((type) => !attributes.has(type));
  return isPlain && usualRules.has(`${priority} ${table}`);
}

function dump(message: number, family: number): ReturnType<typeof askKernel> {
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

function indexed(bytes: Uint8Array | undefined): ReadonlyMap<number, Uint8Array> {
  return new Map(
    decodeAttributes(bytes ?? new Uint8Array()).map(({ type, value }) => [type, value]),
  );
}

function number(value: Uint8Array | undefined): number | undefined {
  return value === undefined || value.length < 4 ? undefined : viewOf(value).getUint32(0, true);
}

function decodeIp(value: Uint8Array | undefined): string | undefined {
  return value?.length === 4 || value?.length === 16 ? formatAddress(value) : undefined;
}

function uint32(value: number): Uint8Array {
  return new Uint8Array(new Uint32Array([value]).buffer);
}
