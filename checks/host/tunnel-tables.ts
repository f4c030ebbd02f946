/**
 * @module What the kernel knows of the far ends of one tunnel device, from rtnetlink(7): neighbours (which link-layer address has an
 * overlay address) and the forwarding database (to which node packets for a link-layer address go). Asking changes nothing.
 */
import { formatAddress } from '../packet/address.ts';
import { viewOf } from '../packet/bytes.ts';
import { type ForwardingEntry, HostError, type TunnelNeighbour } from './host.ts';
import {
  askKernel,
  concatenate,
  encodeAttribute,
  encodeRequest,
  type Message,
  NETLINK_ROUTE,
  NLM_F_DUMP,
} from './netlink.ts';
import { indexed, macText } from './rtnetlink.ts';

// linux/rtnetlink.h, linux/neighbour.h
const RTM_NEWNEIGH = 28;
const RTM_GETNEIGH = 30;
const NDA_DST = 1;
const NDA_LLADDR = 2;
const NDA_IFINDEX = 8;
const NUD_PERMANENT = 0x80;
/** NUD_INCOMPLETE, NUD_FAILED and NUD_NONE: no link-layer address that would be used. */
const unresolved = 0x01 | 0x20;

const AF_INET = 2;
const AF_BRIDGE = 7;
const AF_INET6 = 10;

/** struct ndmsg: u8 family, u8 and u16 padding, i32 interface, u16 state, u8 flags, u8 type; then attributes. */
const ndmsgBytes = 12;

/** Reads the neighbours of a device, of both families. */
export function readTunnelNeighbours(index: number): readonly TunnelNeighbour[] {
  return [AF_INET, AF_INET6].flatMap((family) => {
    const header = new Uint8Array(ndmsgBytes);
    header[0] = family;
    // A kernel that does not know the filter sends those of all devices.
    const device = encodeAttribute(NDA_IFINDEX, uint32(index));
    return dump(concatenate(header, device)).flatMap(({ payload }) => {
      const found = decodeNeighbour(payload);
      return found === undefined || found.index !== index ? [] : [found.entry];
    });
  });
}

/** Reads the forwarding database of a VXLAN device. */
export function readForwardingDatabase(index: number): readonly ForwardingEntry[] {
  // struct ifinfomsg and no more: from the beginning this was how the kernel was asked for one port (rtnl_fdb_dump).
  const header = new Uint8Array(16);
  header[0] = AF_BRIDGE;
  viewOf(header).setInt32(4, index, true);
  return dump(header).flatMap(({ payload }) => {
    const found = decodeForwarding(payload);
    return found === undefined || found.index !== index ? [] : [found.entry];
  });
}

/** Decodes RTM_NEWNEIGH of IPv4 and IPv6. */
export function decodeNeighbour(
  payload: Uint8Array,
): { readonly index: number; readonly entry: TunnelNeighbour } | undefined {
  if (payload.length < ndmsgBytes) return undefined;
  const view = viewOf(payload);
  const family = view.getUint8(0);
  const attributes = indexed(payload.subarray(ndmsgBytes));
  const address = attributes.get(NDA_DST);
  if (address === undefined || address.length !== addressBytes.get(family)) return undefined;
  const state = view.getUint16(8, true);
  const mac = macText(attributes.get(NDA_LLADDR));
  const isUsable = state !== 0 && (state & unresolved) === 0;
  return {
    index: view.getInt32(4, true),
    entry: {
      address: formatAddress(address),
      permanent: (state & NUD_PERMANENT) !== 0,
      ...(mac === undefined || !isUsable ? {} : { mac }),
    },
  };
}

/** Decodes RTM_NEWNEIGH of AF_BRIDGE; undefined for an entry that names no far end. */
export function decodeForwarding(
  payload: Uint8Array,
): { readonly index: number; readonly entry: ForwardingEntry } | undefined {
  if (payload.length < ndmsgBytes) return undefined;
  const view = viewOf(payload);
  if (view.getUint8(0) !== AF_BRIDGE) return undefined;
  const attributes = indexed(payload.subarray(ndmsgBytes));
  const mac = macText(attributes.get(NDA_LLADDR));
  const destination = attributes.get(NDA_DST);
  if (mac === undefined || (destination?.length !== 4 && destination?.length !== 16))
    return undefined;
  return {
    index: view.getInt32(4, true),
    entry: { mac, destination: formatAddress(destination) },
  };
}

const addressBytes: ReadonlyMap<number, number> = new Map([
  [AF_INET, 4],
  [AF_INET6, 16],
]);

function dump(payload: Uint8Array): readonly Message[] {
  try {
    return askKernel(NETLINK_ROUTE, encodeRequest(RTM_GETNEIGH, NLM_F_DUMP, payload)).filter(
      ({ type }) => type === RTM_NEWNEIGH,
    );
  } catch (cause) {
    // A kernel without this family; a device that has just gone.
    const code = cause instanceof HostError ? cause.code : '';
    if (code === 'EAFNOSUPPORT' || code === 'EOPNOTSUPP' || code === 'ENODEV') return [];
    throw cause;
  }
}

function uint32(value: number): Uint8Array {
  return new Uint8Array(new Uint32Array([value]).buffer);
}
