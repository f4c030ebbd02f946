/** @module Neighbours from rtnetlink(7): whether the next hop is known by its link-layer address. Asking resolves nothing. */
import { formatAddress, parseAddress, sameAddress } from '../packet/address.ts';
import { viewOf } from '../packet/bytes.ts';
import { HostError, type Neighbour, type Route } from './host.ts';
import {
  askKernel,
  concatenate,
  decodeAttributes,
  encodeAttribute,
  encodeRequest,
  NETLINK_ROUTE,
  NLM_F_DUMP,
} from './netlink.ts';

// linux/rtnetlink.h, linux/neighbour.h
const RTM_NEWNEIGH = 28;
const RTM_GETNEIGH = 30;
const NDA_DST = 1;
const NDA_LLADDR = 2;
const AF_INET = 2;
const AF_INET6 = 10;

/** NUD_*, one bit each. */
const states = [
  'incomplete',
  'reachable',
  'stale',
  'delay',
  'probe',
  'failed',
  'noarp',
  'permanent',
] as const;

/**
 * Reads the neighbour that packets by this route to an address go to: the gateway, or the address itself. Undefined where the kernel has
 * no entry, which says nothing: it makes one with the first packet.
 */
export function readNeighbour(
  address: string,
  route: Pick<Route, 'index' | 'interface' | 'gateway' | 'type'>,
): Neighbour | undefined {
  if (route.type !== 'unicast') return undefined;
  const hop = parseAddress(route.gateway ?? address);
  if (hop === undefined) throw new HostError('EINVAL', `${address} is not an IP address`);
  const entries = askFor(hop, route.index);
  for (const payload of entries) {
    const entry = decodeNeighbour(payload);
    if (entry?.index !== route.index || !sameAddress(entry.destination, hop)) continue;
    const { state, linkAddress } = entry;
    return {
      address: formatAddress(hop),
      interface: route.interface,
      state,
      ...(linkAddress === undefined ? {} : { linkAddress }),
    };
  }
  return undefined;
}

/** One entry; kernels before 5.0 give only the whole table. */
function askFor(hop: Uint8Array, index: number): readonly Uint8Array[] {
  try {
    return ask(encodeNeighbourRequest(hop, index), 0);
  } catch (cause) {
    if (!(cause instanceof HostError)) throw cause;
    if (cause.code === 'ENOENT') return [];
    if (cause.code !== 'EOPNOTSUPP' && cause.code !== 'EINVAL') throw cause;
    return ask(encodeNeighbourRequest(hop, 0).subarray(0, 12), NLM_F_DUMP);
  }
}

function ask(payload: Uint8Array, flags: number): readonly Uint8Array[] {
  return askKernel(NETLINK_ROUTE, encodeRequest(RTM_GETNEIGH, flags, payload))
    .filter(({ type }) => type === RTM_NEWNEIGH)
    .map((message) => message.payload);
}

/** struct ndmsg: u8 family, u8 pad, u16 pad, i32 interface, u16 state, u8 flags, u8 type; then NDA_DST. */
export function encodeNeighbourRequest(hop: Uint8Array, index: number): Uint8Array {
  const header = new Uint8Array(12);
  header[0] = hop.length === 4 ? AF_INET : AF_INET6;
  viewOf(header).setInt32(4, index, true);
  return concatenate(header, encodeAttribute(NDA_DST, hop));
}

/** Decodes RTM_NEWNEIGH: struct ndmsg, then attributes. */
export function decodeNeighbour(payload: Uint8Array):
  | {
      readonly index: number;
      readonly destination: Uint8Array;
      readonly state: string;
      readonly linkAddress?: string;
    }
  | undefined {
  if (payload.length < 12) return undefined;
  const view = viewOf(payload);
  const attributes = new Map(
    decodeAttributes(payload.subarray(12)).map(({ type, value }) => [type, value]),
  );
  const destination = attributes.get(NDA_DST);
  if (destination?.length !== 4 && destination?.length !== 16) return undefined;
  const linkAddress = attributes.get(NDA_LLADDR);
  const bits = view.getUint16(8, true);
  return {
    index: view.getInt32(4, true),
    destination,
    state: states.find((_, bit) => (bits & (1 << bit)) !== 0) ?? 'none',
    ...(linkAddress?.length !== 6
      ? {}
      : { linkAddress: [...linkAddress].map((byte) => hex(byte)).join(':') }),
  };
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, '0');
}
