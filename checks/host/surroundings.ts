/** @module What firewall rules can ask of the host, from rtnetlink(7): interfaces, addresses, routes, policy rules. Asking changes nothing. */
import type { Environment, Interface, Route } from 'node-nftables';
import { viewOf } from '../packet/bytes.ts';
import { HostError, type InterfaceAddress, type Link, type ListedRoute } from './host.ts';
import {
  askKernel,
  concatenate,
  encodeAttribute,
  encodeRequest,
  NETLINK_ROUTE,
  NLM_F_DUMP,
} from './netlink.ts';
import { isUsualRule, readRoutes, readRules } from './routing.ts';
import { decodeLink, indexed, number, readAddresses } from './rtnetlink.ts';

// linux/rtnetlink.h
const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;

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
  const routes = findRoutes(interfaces);
  return {
    links,
    interfaces,
    ...(routes === undefined ? {} : { routes }),
    hasPolicyRouting: readRules().some((rule) => !isUsualRule(rule)),
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

function findRoutes(interfaces: readonly Device[]): readonly Route[] | undefined {
  const names = new Map(interfaces.map(({ index, name }) => [index, name]));
  try {
    return readRoutes(names).flatMap((route) => usualRoute(route) ?? []);
  } catch (cause) {
    if (cause instanceof HostError && (cause.code === 'EMSGSIZE' || cause.code === 'EAGAIN'))
      return undefined;
    throw cause;
  }
}

/** The types that the evaluator knows. */
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

/** A route as the evaluator of rules wants it; undefined for what no look-up of the three usual tables finds. */
function usualRoute(route: ListedRoute): Route | undefined {
  const table = tables.get(route.table);
  const type = routeTypes.find((known) => known === route.type);
  if (table === undefined || type === undefined) return undefined;
  const gateway = route.hops.length === 1 ? route.hops[0]?.gateway : undefined;
  return {
    family: route.family === 'ipv4' ? 'ip' : 'ip6',
    destination: route.destination,
    type,
    table,
    metric: route.metric,
    interfaces: route.hops.flatMap(({ interface: name }) => (name === '' ? [] : [name])),
    ...(gateway === undefined ? {} : { gateway }),
  };
}

function uint32(value: number): Uint8Array {
  return new Uint8Array(new Uint32Array([value]).buffer);
}
