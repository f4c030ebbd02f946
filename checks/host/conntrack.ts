/** @module What connection tracking knows, from ctnetlink and /proc. Asking tracks nothing. */
import { parseAddress, sameAddress } from '../packet/address.ts';
import type { Files } from './files.ts';
import { HostError } from './host.ts';
import { isSafeToAsk } from './modules.ts';
import {
  askKernel,
  concatenate,
  decodeAttributes,
  encodeAttribute,
  encodeRequest,
  NETLINK_NETFILTER,
} from './netlink.ts';

// linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h: type is subsystem << 8 | message
const IPCTNL_MSG_CT_GET = (1 << 8) | 1;
const CTA_TUPLE_ORIG = 1;
const CTA_STATUS = 3;
const IPS_SEEN_REPLY = 2;
const CTA_TUPLE_IP = 1;
const CTA_TUPLE_PROTO = 2;
const CTA_IP_V4_SRC = 1;
const CTA_IP_V4_DST = 2;
const CTA_IP_V6_SRC = 3;
const CTA_IP_V6_DST = 4;
const CTA_PROTO_NUM = 1;
const NLA_F_NESTED = 0x8000;
const AF_INET = 2;
const AF_INET6 = 10;

interface Flow {
  readonly protocol: number;
  readonly source: string;
  readonly destination: string;
}

/**
 * Whether a packet of this flow would be ESTABLISHED: conntrack holds the flow from the other side, or has seen a reply
 * to it. The sender's own earlier packets alone leave it NEW. Undefined when it could not look.
 */
export async function readConntrackEstablishes(
  files: Files,
  flow: Flow,
): Promise<boolean | undefined> {
  for (const module of ['nfnetlink', 'nf_conntrack', 'nf_conntrack_netlink']) {
    if (!(await isSafeToAsk(files, module))) return undefined;
  }
  try {
    const entry = askForEntry(flow);
    return entry !== undefined && establishes(entry, flow);
  } catch (cause) {
    // EPERM without CAP_NET_ADMIN; the others where the kernel has no such netlink family or subsystem.
    if (cause instanceof HostError) return undefined;
    throw cause;
  }
}

/** The kernel's hash holds both tuples of a flow, so this finds it as original and as reply direction. */
function askForEntry(flow: Flow): Uint8Array | undefined {
  try {
    return askKernel(NETLINK_NETFILTER, encodeConntrackRequest(flow))[0]?.payload;
  } catch (cause) {
    if (cause instanceof HostError && cause.code === 'ENOENT') return undefined;
    throw cause;
  }
}

/** struct nfgenmsg (4), then CTA_TUPLE_ORIG as it was first seen, CTA_STATUS be32 with IPS_SEEN_REPLY in bit 1. */
export function establishes(entry: Uint8Array, { source }: Pick<Flow, 'source'>): boolean {
  const attributes = decodeAttributes(entry.subarray(4));
  const status = attributes.find(({ type }) => type === CTA_STATUS)?.value;
  if (status !== undefined && ((status[3] ?? 0) & IPS_SEEN_REPLY) !== 0) return true;
  const original = attributes.find(({ type }) => type === CTA_TUPLE_ORIG)?.value;
  const addresses = decodeAttributes(original ?? new Uint8Array()).find(
    ({ type }) => type === CTA_TUPLE_IP,
  )?.value;
  const from = decodeAttributes(addresses ?? new Uint8Array()).find(
    ({ type }) => type === CTA_IP_V4_SRC || type === CTA_IP_V6_SRC,
  )?.value;
  const wanted = parseAddress(source);
  // An entry whose sender cannot be read may be the reverse one.
  return from === undefined || wanted === undefined || !sameAddress(from, wanted);
}

/**
 * Encodes the question for one tuple in zone 0. struct nfgenmsg: u8 family, u8 version, be16 resource id;
 * then CTA_TUPLE_ORIG { CTA_TUPLE_IP { source, destination }, CTA_TUPLE_PROTO { number } }.
 */
export function encodeConntrackRequest({ protocol, source, destination }: Flow): Uint8Array {
  const [from, to] = [parseAddress(source), parseAddress(destination)];
  if (from === undefined || to?.length !== from.length) {
    throw new HostError('EINVAL', `${source} and ${destination} are not of one address family`);
  }
  const isIpv4 = from.length === 4;
  const addresses = concatenate(
    encodeAttribute(isIpv4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, from),
    encodeAttribute(isIpv4 ? CTA_IP_V4_DST : CTA_IP_V6_DST, to),
  );
  const number = encodeAttribute(CTA_PROTO_NUM, new Uint8Array([protocol]));
  const tuple = concatenate(
    encodeAttribute(CTA_TUPLE_IP | NLA_F_NESTED, addresses),
    encodeAttribute(CTA_TUPLE_PROTO | NLA_F_NESTED, number),
  );
  const family = new Uint8Array([isIpv4 ? AF_INET : AF_INET6, 0, 0, 0]);
  const payload = concatenate(family, encodeAttribute(CTA_TUPLE_ORIG | NLA_F_NESTED, tuple));
  return encodeRequest(IPCTNL_MSG_CT_GET, 0, payload);
}

/** Entries and their limit; undefined where conntrack is not in use, or where they may not be read. */
export async function readConntrackUsage(
  files: Files,
): Promise<{ readonly count: number; readonly limit: number } | undefined> {
  try {
    const count = await files.readText('/proc/sys/net/netfilter/nf_conntrack_count');
    const limit = await files.readText('/proc/sys/net/netfilter/nf_conntrack_max');
    if (count === undefined || limit === undefined) return undefined;
    return { count: Number(count.trim()), limit: Number(limit.trim()) };
  } catch (error) {
    if (error instanceof HostError) return undefined;
    throw error;
  }
}
