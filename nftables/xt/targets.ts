/** @module Which decoder reads which target. What has another revision or size than is known here stays undecoded. */
import {
  decodeClassify,
  decodeConnmarkTarget,
  decodeCt,
  decodeMarkTarget,
  decodeSetTarget,
} from './target-mark.ts';
import { decodeLocalNat, decodeNat, decodeTproxy } from './target-nat.ts';
import {
  decodeChecksum,
  decodeDscpTarget,
  decodeTcpmss,
  decodeTosTarget,
  decodeTtlTarget,
} from './target-packet.ts';
import {
  decodeAudit,
  decodeLog,
  decodeNflog,
  decodeNfqueue,
  decodeReject,
  decodeStandard,
} from './target-verdict.ts';
import type { XtBlob, XtFamily, XtTarget } from './types.ts';

type Decode = (info: Uint8Array, family: XtFamily) => XtTarget | undefined;

const decoders: ReadonlyMap<string, Decode> = new Map<string, Decode>([
  [' 0', decodeStandard],
  ['standard 0', decodeStandard],
  ['REJECT 0', decodeReject],
  ['MARK 2', decodeMarkTarget],
  ['CONNMARK 1', (info) => decodeConnmarkTarget(1, info)],
  ['CONNMARK 2', (info) => decodeConnmarkTarget(2, info)],
  ['LOG 0', decodeLog],
  ['NFLOG 0', decodeNflog],
  ['DNAT 0', (info, family) => decodeNat('dnat', 0, info, family)],
  ['DNAT 1', (info, family) => decodeNat('dnat', 1, info, family)],
  ['DNAT 2', (info, family) => decodeNat('dnat', 2, info, family)],
  ['SNAT 0', (info, family) => decodeNat('snat', 0, info, family)],
  ['SNAT 1', (info, family) => decodeNat('snat', 1, info, family)],
  ['MASQUERADE 0', (info, family) => decodeLocalNat('masquerade', info, family)],
  ['REDIRECT 0', (info, family) => decodeLocalNat('redirect', info, family)],
  ['NETMAP 0', (info, family) => decodeLocalNat('netmap', info, family)],
  ['CT 0', (info) => decodeCt(0, info)],
  ['CT 1', (info) => decodeCt(1, info)],
  ['CT 2', (info) => decodeCt(2, info)],
  ['NOTRACK 0', (info) => (info.length === 0 ? { kind: 'notrack' } : undefined)],
  ['TPROXY 0', (info, family) => decodeTproxy(0, info, family)],
  ['TPROXY 1', (info, family) => decodeTproxy(1, info, family)],
  ['SET 1', (info) => decodeSetTarget(1, info)],
  ['SET 2', (info) => decodeSetTarget(2, info)],
  ['SET 3', (info) => decodeSetTarget(3, info)],
  ['TCPMSS 0', decodeTcpmss],
  ['CLASSIFY 0', decodeClassify],
  ['CHECKSUM 0', decodeChecksum],
  ['DSCP 0', decodeDscpTarget],
  ['TOS 1', decodeTosTarget],
  ['TTL 0', (info) => decodeTtlTarget('ttl', info)],
  ['HL 0', (info) => decodeTtlTarget('hl', info)],
  ['NFQUEUE 0', (info) => decodeNfqueue(0, info)],
  ['NFQUEUE 1', (info) => decodeNfqueue(1, info)],
  ['NFQUEUE 2', (info) => decodeNfqueue(2, info)],
  ['NFQUEUE 3', (info) => decodeNfqueue(3, info)],
  ['TRACE 0', (info) => (info.length === 0 ? { kind: 'trace' } : undefined)],
  ['AUDIT 0', decodeAudit],
]);

/** Undefined for a target that is not known in this revision and size: it may do anything. */
export function decodeTarget(
  { name, revision, info }: XtBlob,
  family: XtFamily,
): XtTarget | undefined {
  return decoders.get(`${name} ${revision}`)?.(info, family);
}
