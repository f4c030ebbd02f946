/** @module Which decoder reads which match. What has another revision or size than is known here stays undecoded. */
import { holds, textAt } from './bytes.ts';
import {
  decodeAddrtype,
  decodeIprange,
  decodeMac,
  decodePhysdev,
  decodeRpfilter,
  decodeSet,
} from './match-address.ts';
import { decodeConntrack, decodeMark, decodeState } from './match-conntrack.ts';
import {
  decodeAh,
  decodeCpu,
  decodeDscp,
  decodeEsp,
  decodeLength,
  decodeOwner,
  decodePkttype,
  decodeRoutingHeader,
  decodeSocket,
  decodeTos,
  decodeTtl,
} from './match-packet.ts';
import { decodeIcmp, decodeMultiport, decodeTcp, decodeUdp } from './match-ports.ts';
import { decodeHashlimit, decodeLimit, decodeRecent, decodeStatistic } from './match-rate.ts';
import type { XtBlob, XtFamily, XtMatch } from './types.ts';

type Decode = (info: Uint8Array, family: XtFamily) => XtMatch | undefined;

const decoders: ReadonlyMap<string, Decode> = new Map<string, Decode>([
  ['tcp 0', decodeTcp],
  ['udp 0', decodeUdp],
  ['icmp 0', (info) => decodeIcmp('icmp', info)],
  ['icmp6 0', (info) => decodeIcmp('icmp6', info)],
  ['multiport 0', (info) => decodeMultiport(0, info)],
  ['multiport 1', (info) => decodeMultiport(1, info)],
  ['conntrack 1', (info, family) => decodeConntrack(1, info, family)],
  ['conntrack 2', (info, family) => decodeConntrack(2, info, family)],
  ['conntrack 3', (info, family) => decodeConntrack(3, info, family)],
  ['state 0', decodeState],
  ['mark 1', (info) => decodeMark('mark', info)],
  ['connmark 1', (info) => decodeMark('connmark', info)],
  ['addrtype 0', (info) => decodeAddrtype(0, info)],
  ['addrtype 1', (info) => decodeAddrtype(1, info)],
  ['comment 0', decodeComment],
  ['set 1', (info) => decodeSet(1, info)],
  ['set 2', (info) => decodeSet(2, info)],
  ['set 3', (info) => decodeSet(3, info)],
  ['set 4', (info) => decodeSet(4, info)],
  ['limit 0', decodeLimit],
  ['hashlimit 1', (info) => decodeHashlimit(1, info)],
  ['hashlimit 2', (info) => decodeHashlimit(2, info)],
  ['hashlimit 3', (info) => decodeHashlimit(3, info)],
  ['mac 0', decodeMac],
  ['iprange 1', decodeIprange],
  ['physdev 0', decodePhysdev],
  ['statistic 0', decodeStatistic],
  ['owner 1', decodeOwner],
  ['socket 1', (info) => decodeSocket(1, info)],
  ['socket 2', (info) => decodeSocket(2, info)],
  ['socket 3', (info) => decodeSocket(3, info)],
  ['dscp 0', decodeDscp],
  ['tos 1', decodeTos],
  ['length 0', decodeLength],
  ['pkttype 0', decodePkttype],
  ['rpfilter 0', decodeRpfilter],
  ['esp 0', decodeEsp],
  ['ah 0', decodeAh],
  ['cpu 0', decodeCpu],
  ['recent 0', (info, family) => decodeRecent(0, info, family)],
  ['recent 1', (info, family) => decodeRecent(1, info, family)],
  ['rt 0', decodeRoutingHeader],
  ['ttl 0', (info) => decodeTtl('ttl', info)],
  ['hl 0', (info) => decodeTtl('hl', info)],
]);

/** Undefined for a match that is not known in this revision and size: it may match or not. */
export function decodeMatch(
  { name, revision, info }: XtBlob,
  family: XtFamily,
): XtMatch | undefined {
  return decoders.get(`${name} ${revision}`)?.(info, family);
}

/** struct xt_comment_info: char comment[256]. */
function decodeComment(info: Uint8Array): XtMatch | undefined {
  return holds(info, 256) ? { kind: 'comment', comment: textAt(info, 0, 256) } : undefined;
}
