/** @module Whether the kernel would take a packet that comes in on an interface, from rtnetlink(7). Asking sends nothing and counts nothing. */
import { parseAddress } from '../packet/address.ts';
import { viewOf } from '../packet/bytes.ts';
import { HostError } from './host.ts';
import {
  askKernel,
  concatenate,
  encodeAttribute,
  encodeRequest,
  NETLINK_ROUTE,
} from './netlink.ts';

// linux/rtnetlink.h
const RTM_GETROUTE = 26;
const RTA_DST = 1;
const RTA_SRC = 2;
const RTA_IIF = 3;
const AF_INET = 2;

/** A packet of IPv4 that might come in. */
export interface IncomingPacket {
  readonly source: string;
  readonly destination: string;
  /** Index of the interface. */
  readonly index: number;
}

/**
 * Asks as `ip route get DESTINATION from SOURCE iif INTERFACE` does: the kernel runs the look-up of an incoming packet, with its
 * reverse-path filter. `refused`: it would drop the packet for its source. Undefined where it drops it for another reason.
 */
export function readInputRoute(packet: IncomingPacket): 'taken' | 'refused' | undefined {
  const source = parseAddress(packet.source);
  const destination = parseAddress(packet.destination);
  if (source?.length !== 4 || destination?.length !== 4)
    throw new HostError('EINVAL', 'only IPv4 has a reverse-path filter');
  // struct rtmsg: family, destination length, source length, tos, table, protocol, scope, type; u32 flags.
  const header = new Uint8Array(12);
  header.set([AF_INET, 32, 32]);
  const index = new Uint8Array(4);
  viewOf(index).setUint32(0, packet.index, true);
  const payload = concatenate(
    header,
    encodeAttribute(RTA_DST, destination),
    encodeAttribute(RTA_SRC, source),
    encodeAttribute(RTA_IIF, index),
  );
  try {
    askKernel(NETLINK_ROUTE, encodeRequest(RTM_GETROUTE, 0, payload));
    return 'taken';
  } catch (cause) {
    if (!(cause instanceof HostError)) throw cause;
    // EXDEV up to Linux 6.13; since then the look-up gives drop reasons, all of which are told as EINVAL.
    return cause.code === 'EXDEV' || cause.code === 'EINVAL' ? 'refused' : undefined;
  }
}
