/** @module Interfaces, addresses and routes from rtnetlink(7). Asking changes nothing. */
import { isIPv4, isIPv6 } from 'node:net';
import { formatAddress, parseAddress } from '../packet/address.ts';
import { viewOf } from '../packet/bytes.ts';
import { HostError, type InterfaceAddress, type Link, type Route } from './host.ts';
import {
  type Attribute,
  askKernel,
  concatenate,
  decodeAttributes,
  encodeAttribute,
  encodeRequest,
  NETLINK_ROUTE,
  NLM_F_DUMP,
} from './netlink.ts';

// linux/rtnetlink.h
const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
const RTM_NEWADDR = 20;
const RTM_GETADDR = 22;
const RTM_NEWROUTE = 24;
const RTM_GETROUTE = 26;
const RTA_DST = 1;
const RTA_SRC = 2;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PREFSRC = 7;
const RTA_TABLE = 15;
/** Asks for the table that had the route: without it IPv4 says that it was main. */
const RTM_F_LOOKUP_TABLE = 0x1000;
const RTA_VIA = 18;

// linux/if_link.h
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINKINFO = 18;
const IFLA_EXT_MASK = 29;
const RTEXT_FILTER_SKIP_STATS = 1 << 3;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const IFLA_VXLAN_ID = 1;
const IFLA_VXLAN_LOCAL = 4;
const IFLA_VXLAN_LEARNING = 7;
const IFLA_VXLAN_L2MISS = 13;
const IFLA_VXLAN_L3MISS = 14;
const IFLA_VXLAN_PORT = 15;
const IFLA_VXLAN_LOCAL6 = 17;
const IFLA_VXLAN_COLLECT_METADATA = 25;
const IFLA_GENEVE_ID = 1;
const IFLA_GENEVE_PORT = 5;
const IFLA_GENEVE_COLLECT_METADATA = 6;

// linux/if_addr.h
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;

// net/if.h
const IFF_UP = 0x1;
const IFF_LOOPBACK = 0x8;

const AF_INET = 2;
const AF_INET6 = 10;

/** Reads every interface of this network namespace. */
export function readLinks(): readonly Link[] {
  // struct ifinfomsg, all zero: every family, every interface. Statistics are most of the bytes.
  const skip = encodeAttribute(IFLA_EXT_MASK, uint32(RTEXT_FILTER_SKIP_STATS));
  const request = encodeRequest(RTM_GETLINK, NLM_F_DUMP, concatenate(new Uint8Array(16), skip));
  return askKernel(NETLINK_ROUTE, request)
    .filter(({ type }) => type === RTM_NEWLINK)
    .map(({ payload }) => decodeLink(payload))
    .filter((link) => link !== undefined);
}

/** Reads every address of this network namespace. */
export function readAddresses(links: readonly Link[]): readonly InterfaceAddress[] {
  const request = encodeRequest(RTM_GETADDR, NLM_F_DUMP, new Uint8Array(8));
  const names = new Map(links.map(({ index, name }) => [index, name]));
  return askKernel(NETLINK_ROUTE, request)
    .filter(({ type }) => type === RTM_NEWADDR)
    .map(({ payload }) => decodeAddress(payload, names))
    .filter((address) => address !== undefined);
}

/**
 * Reads the way out to an address, as `ip route get` does; undefined when the kernel has none. The look-up
 * runs in a packet that is never sent, so no exception (route cache entry) is made. `from` is the source address of the packet, where
 * a policy rule may ask for it; without one the kernel chooses.
 */
export function readRoute(
  address: string,
  links: readonly Link[],
  from?: string,
): Route | undefined {
  const destination = addressBytes(address);
  const source = from === undefined ? undefined : addressBytes(from);
  // struct rtmsg: family, destination length, source length, tos, table, protocol, scope, type; u32 flags.
  const header = new Uint8Array(12);
  header[0] = isIPv6(address) ? AF_INET6 : AF_INET;
  header[1] = destination.length * 8;
  if (source !== undefined) header[2] = source.length * 8;
  viewOf(header).setUint32(8, RTM_F_LOOKUP_TABLE, true);
  const payload = concatenate(
    header,
    encodeAttribute(RTA_DST, destination),
    source === undefined ? new Uint8Array() : encodeAttribute(RTA_SRC, source),
  );
  const names = new Map(links.map(({ index, name }) => [index, name]));
  try {
    for (const message of askKernel(NETLINK_ROUTE, encodeRequest(RTM_GETROUTE, 0, payload))) {
      if (message.type === RTM_NEWROUTE) return decodeRoute(message.payload, names);
    }
    return undefined;
  } catch (cause) {
    return withoutRoute(cause);
  }
}

function addressBytes(address: string): Uint8Array {
  const bytes = parseAddress(address);
  if (bytes === undefined) throw new HostError('EINVAL', `${address} is not an IP address`);
  return bytes;
}

/** What IPv4 says instead of an answer, when the route is one that refuses (fib_props in fib_semantics.c). */
function withoutRoute(cause: unknown): Route | undefined {
  if (!(cause instanceof HostError)) throw cause;
  if (cause.code === 'ENETUNREACH') return undefined;
  const type = { EHOSTUNREACH: 'unreachable', EACCES: 'prohibit', EINVAL: 'blackhole' }[cause.code];
  if (type === undefined) throw cause;
  return { interface: '', index: 0, type };
}

/**
 * Decodes RTM_NEWLINK. struct ifinfomsg: u8 family, u8 pad, u16 type, i32 index, u32 flags, u32 change;
 * then attributes, of which IFLA_LINKINFO nests the kind and the kind's own data.
 */
export function decodeLink(payload: Uint8Array): Link | undefined {
  if (payload.length < 16) return undefined;
  const view = viewOf(payload);
  const flags = view.getUint32(8, true);
  const attributes = indexed(payload.subarray(16));
  const name = text(attributes.get(IFLA_IFNAME));
  if (name === undefined) return undefined;
  const info = indexed(attributes.get(IFLA_LINKINFO));
  const kind = text(info.get(IFLA_INFO_KIND));
  const mac = macText(attributes.get(IFLA_ADDRESS));
  return {
    index: view.getInt32(4, true),
    name,
    mtu: number(attributes.get(IFLA_MTU)) ?? 0,
    up: (flags & IFF_UP) !== 0,
    loopback: (flags & IFF_LOOPBACK) !== 0,
    ...(kind === undefined ? {} : { kind }),
    ...(mac === undefined ? {} : { mac }),
    ...tunnel(kind, indexed(info.get(IFLA_INFO_DATA))),
  };
}

/** What VXLAN and Geneve say of themselves. Ports are in network byte order; a flag is a u8, or present and empty. */
function tunnel(kind: string | undefined, data: ReadonlyMap<number, Uint8Array>): Partial<Link> {
  if (kind === 'vxlan') {
    const local = decodeIp(data.get(IFLA_VXLAN_LOCAL)) ?? decodeIp(data.get(IFLA_VXLAN_LOCAL6));
    return {
      ...defined('vni', number(data.get(IFLA_VXLAN_ID))),
      ...defined('port', port(data.get(IFLA_VXLAN_PORT))),
      external: flag(data.get(IFLA_VXLAN_COLLECT_METADATA)),
      learning: flag(data.get(IFLA_VXLAN_LEARNING)),
      ...(flag(data.get(IFLA_VXLAN_L2MISS)) || flag(data.get(IFLA_VXLAN_L3MISS))
        ? { asksForEntries: true }
        : {}),
      ...(local === undefined ? {} : { local }),
    };
  }
  if (kind === 'geneve') {
    return {
      ...defined('vni', number(data.get(IFLA_GENEVE_ID))),
      ...defined('port', port(data.get(IFLA_GENEVE_PORT))),
      external: data.has(IFLA_GENEVE_COLLECT_METADATA),
    };
  }
  return {};
}

/**
 * Decodes RTM_NEWADDR. struct ifaddrmsg: u8 family, u8 prefix length, u8 flags, u8 scope, u32 index. On a
 * point-to-point link IFA_ADDRESS is the far end and IFA_LOCAL the own one; IPv6 has only IFA_ADDRESS.
 */
export function decodeAddress(
  payload: Uint8Array,
  names: ReadonlyMap<number, string>,
): InterfaceAddress | undefined {
  if (payload.length < 8) return undefined;
  const view = viewOf(payload);
  const family = view.getUint8(0);
  if (family !== AF_INET && family !== AF_INET6) return undefined;
  const attributes = indexed(payload.subarray(8));
  const address = decodeIp(attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS));
  if (address === undefined || isIPv4(address) !== (family === AF_INET)) return undefined;
  const index = view.getUint32(4, true);
  return {
    index,
    interface: names.get(index) ?? '',
    address,
    prefixLength: view.getUint8(1),
    family: family === AF_INET ? 'ipv4' : 'ipv6',
    scope: scopeName(view.getUint8(3)),
  };
}

function scopeName(scope: number): InterfaceAddress['scope'] {
  // enum rt_scope_t; the numbers between site and link are for local use and reach no further than a site.
  if (scope === 0) return 'global';
  if (scope === 253) return 'link';
  if (scope === 254) return 'host';
  if (scope === 255) return 'nowhere';
  return 'site';
}

/** Decodes RTM_NEWROUTE: struct rtmsg (12 bytes, its type the eighth), then attributes. */
export function decodeRoute(
  payload: Uint8Array,
  names: ReadonlyMap<number, string>,
): Route | undefined {
  if (payload.length < 12) return undefined;
  const attributes = indexed(payload.subarray(12));
  const index = number(attributes.get(RTA_OIF)) ?? 0;
  const source = decodeIp(attributes.get(RTA_PREFSRC));
  // RTA_VIA carries a gateway of the other family behind a u16 family number (RFC 5549 next hops).
  const gateway =
    decodeIp(attributes.get(RTA_GATEWAY)) ?? decodeIp(attributes.get(RTA_VIA)?.subarray(2));
  return {
    interface: names.get(index) ?? '',
    index,
    type: routeType(viewOf(payload).getUint8(7)),
    table: number(attributes.get(RTA_TABLE)) ?? viewOf(payload).getUint8(4),
    ...(source === undefined ? {} : { source }),
    ...(gateway === undefined ? {} : { gateway }),
  };
}

/** linux/rtnetlink.h, the RTN_ enumeration. */
const routeTypes = [
  'unspecified',
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
] as const;

export function routeType(type: number): string {
  return routeTypes[type] ?? `type-${type}`;
}

/** The attributes of a message by their type; of several of one type the last. */
export function indexed(bytes: Uint8Array | undefined): ReadonlyMap<number, Uint8Array> {
  const attributes: readonly Attribute[] = decodeAttributes(bytes ?? new Uint8Array());
  return new Map(attributes.map(({ type, value }) => [type, value]));
}

export function number(value: Uint8Array | undefined): number | undefined {
  return value === undefined || value.length < 4 ? undefined : viewOf(value).getUint32(0, true);
}

function port(value: Uint8Array | undefined): number | undefined {
  return value === undefined || value.length < 2 ? undefined : viewOf(value).getUint16(0, false);
}

function flag(value: Uint8Array | undefined): boolean {
  return value !== undefined && value[0] !== 0;
}

export function decodeIp(value: Uint8Array | undefined): string | undefined {
  return value?.length === 4 || value?.length === 16 ? formatAddress(value) : undefined;
}

export function text(value: Uint8Array | undefined): string | undefined {
  if (value === undefined) return undefined;
  const end = value.indexOf(0);
  return new TextDecoder().decode(end < 0 ? value : value.subarray(0, end));
}

/** Six bytes as text; undefined for anything else: a GRE or IPIP device has an IP address there. */
export function macText(value: Uint8Array | undefined): string | undefined {
  if (value?.length !== 6) return undefined;
  return [...value].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

function defined(name: 'vni' | 'port', value: number | undefined): Partial<Link> {
  return value === undefined ? {} : { [name]: value };
}

function uint32(value: number): Uint8Array {
  return new Uint8Array(new Uint32Array([value]).buffer);
}
