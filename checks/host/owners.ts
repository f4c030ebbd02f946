/**
 * @module Who listens on a port: NETLINK_SOCK_DIAG, or /proc/net where asking would load a module.
 *
 * The kernel's own sockets look like anybody's: sock_create_kern gives them an inode and uid 0. One is known
 * by a live tunnel device of its port, or because no process holds it although every process was looked into.
 */
import { readlinkSync } from 'node:fs';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { formatAddress } from '../packet/address.ts';
import { viewOf } from '../packet/bytes.ts';
import type { Files } from './files.ts';
import { HostError, type Link, type PortOwner } from './host.ts';
import { isSafeToAsk } from './modules.ts';
import { askKernel, encodeRequest, NETLINK_SOCK_DIAG, NLM_F_DUMP } from './netlink.ts';

type Transport = PortOwner['transport'];

// linux/sock_diag.h, net/tcp_states.h
const SOCK_DIAG_BY_FAMILY = 20;
const TCP_CLOSE = 7;
const TCP_LISTEN = 10;
const AF_INET = 2;
const AF_INET6 = 10;
const protocols: Readonly<Record<Transport, number>> = { tcp: 6, udp: 17 };

/** An unconnected UDP socket is in TCP_CLOSE; a connected one (TCP_ESTABLISHED) takes one peer's datagrams only. */
const states: Readonly<Record<Transport, number>> = { tcp: TCP_LISTEN, udp: TCP_CLOSE };

/** Link kinds whose device opens a UDP socket of its own while it is up. */
const tunnelKinds: ReadonlySet<string> = new Set(['vxlan', 'geneve']);

/** How many descriptors are looked at for one question: a look costs some three microseconds. */
const maximumDescriptors = 200_000;

/** PROC_PID_INIT_INO (include/linux/proc_ns.h): the namespace in which every process is seen. */
const firstPidNamespace = 'pid:[4026531836]';

/** Reads the sockets of this network namespace that own the port, named as far as /proc shows it. */
export async function readPortOwners(
  files: Files,
  root: string,
  question: { readonly transport: Transport; readonly port: number },
  links: readonly Link[],
): Promise<readonly PortOwner[]> {
  const found = (await mayAskSockDiag(files, question.transport))
    ? askSockDiag(question)
    : await readProcNet(files, question);
  if (found.length === 0) return found;
  const devices = links.filter(({ kind, up, port }) => {
    return kind !== undefined && tunnelKinds.has(kind) && up && port === question.port;
  });
  const { holders, complete } = await findHolders(root, new Set(found.map(({ inode }) => inode)));
  return found.map((owner) => {
    const holder = holders.get(owner.inode);
    if (holder !== undefined) return { ...owner, ...holder, kernel: false };
    const byDevice = question.transport === 'udp' && devices.length > 0 && owner.uid === 0;
    return byDevice || complete || owner.inode === 0 ? { ...owner, kernel: true } : owner;
  });
}

/** Three modules serve it; asking with one of them missing makes the kernel load it (see modules.ts). */
async function mayAskSockDiag(files: Files, transport: Transport): Promise<boolean> {
  for (const module of ['inet_diag', `${transport}_diag`]) {
    if (!(await isSafeToAsk(files, module))) return false;
  }
  return true;
}

function askSockDiag(question: { transport: Transport; port: number }): readonly PortOwner[] {
  return [AF_INET, AF_INET6].flatMap((family) => {
    try {
      return askKernel(NETLINK_SOCK_DIAG, encodeDiagRequest(family, question))
        .map(({ payload }) => decodeDiag(payload, question.transport))
        .filter((owner) => owner !== undefined)
        .filter(({ port }) => port === question.port);
    } catch (cause) {
      // ENOENT: no handler for the family, as on a kernel without IPv6.
      if (cause instanceof HostError && cause.code === 'ENOENT') return [];
      throw cause;
    }
  });
}

/**
 * Encodes struct inet_diag_req_v2 (linux/inet_diag.h): u8 family, u8 protocol, u8 extensions, u8 pad,
 * u32 states; then struct inet_diag_sockid: be16 source port, be16 destination port, be32 source[4],
 * be32 destination[4], u32 interface, u32 cookie[2]. The kernel itself compares the source port.
 */
export function encodeDiagRequest(
  family: number,
  { transport, port }: { readonly transport: Transport; readonly port: number },
): Uint8Array {
  const payload = new Uint8Array(56);
  const view = viewOf(payload);
  view.setUint8(0, family);
  view.setUint8(1, protocols[transport]);
  view.setUint32(4, 1 << states[transport], true);
  view.setUint16(8, port);
  return encodeRequest(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, payload);
}

/**
 * Decodes struct inet_diag_msg: u8 family, u8 state, u8 timer, u8 retransmits; the 48 bytes of struct
 * inet_diag_sockid; u32 expires, rqueue, wqueue, uid, inode.
 */
export function decodeDiag(payload: Uint8Array, transport: Transport): PortOwner | undefined {
  if (payload.length < 72) return undefined;
  const view = viewOf(payload);
  const family = view.getUint8(0);
  if (family !== AF_INET && family !== AF_INET6) return undefined;
  if (view.getUint8(1) !== states[transport]) return undefined;
  return {
    transport,
    family: family === AF_INET ? 'ipv4' : 'ipv6',
    address: formatAddress(payload.subarray(8, family === AF_INET ? 12 : 24)),
    port: view.getUint16(4),
    uid: view.getUint32(64, true),
    inode: view.getUint32(68, true),
  };
}

async function readProcNet(
  files: Files,
  question: { transport: Transport; port: number },
): Promise<readonly PortOwner[]> {
  const { transport, port } = question;
  const [ipv4, ipv6] = [
    await files.readText(`/proc/net/${transport}`),
    await files.readText(`/proc/net/${transport}6`),
  ];
  if (ipv4 === undefined && ipv6 === undefined) {
    throw new HostError('ENOENT', `neither /proc/net/${transport} nor its IPv6 twin can be read`);
  }
  return [
    ...parseProcNet(ipv4 ?? '', transport, 'ipv4'),
    ...parseProcNet(ipv6 ?? '', transport, 'ipv6'),
  ].filter((owner) => owner.port === port);
}

/**
 * Takes the listening (TCP) or bound (UDP) sockets from /proc/net/{tcp,udp}{,6}. Columns: `sl local remote st
 * tx:rx tr:when retransmits uid timeout inode …`; an address is 32-bit words in host byte order, a port plain
 * hexadecimal.
 */
export function parseProcNet(
  text: string,
  transport: Transport,
  family: PortOwner['family'],
): readonly PortOwner[] {
  const owners: PortOwner[] = [];
  for (const line of text.split('\n').slice(1)) {
    const columns = line.trim().split(/\s+/);
    const [, local = '', , state = ''] = columns;
    const match = /^([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4})$/.exec(local);
    if (match?.[1] === undefined || match[2] === undefined) continue;
    if (Number.parseInt(state, 16) !== states[transport]) continue;
    const words = Buffer.from(match[1], 'hex').swap32();
    if ((words.length === 4) !== (family === 'ipv4')) continue;
    owners.push({
      transport,
      family,
      address: formatAddress(words),
      port: Number.parseInt(match[2], 16),
      uid: Number(columns[7] ?? 0),
      inode: Number(columns[9] ?? 0),
    });
  }
  return owners;
}

interface Holders {
  readonly holders: ReadonlyMap<number, { readonly process: string; readonly pid: number }>;
  /** Whether every process of the machine was looked into, so that a socket nobody holds is the kernel's. */
  readonly complete: boolean;
}

/**
 * Looks for the processes that hold these sockets. Foreign ones need CAP_SYS_PTRACE; what is not allowed is
 * left out. Synchronous within one process and not longer: a system call each is cheaper than a promise each.
 */
async function findHolders(root: string, inodes: ReadonlySet<number>): Promise<Holders> {
  const wanted = new Map([...inodes].map((inode) => [`socket:[${inode}]`, inode]));
  const holders = new Map<number, { process: string; pid: number }>();
  const proc = join(root, '/proc');
  let complete = (await readlink(join(proc, 'self/ns/pid')).catch(() => '')) === firstPidNamespace;
  let budget = maximumDescriptors;
  for (const name of await readdir(proc).catch(() => [])) {
    if (!/^[0-9]+$/.test(name)) continue;
    if (holders.size === wanted.size) break;
    const directory = join(proc, name, 'fd');
    let descriptors: readonly string[];
    try {
      descriptors = await readdir(directory);
    } catch (cause) {
      if (!hasGone(cause)) complete = false;
      continue;
    }
    for (const descriptor of descriptors.slice(0, budget)) {
      const target = linkOf(join(directory, descriptor));
      if (target === undefined) {
        complete = false;
        break;
      }
      const inode = wanted.get(target);
      if (inode === undefined || holders.has(inode)) continue;
      const process = await readFile(join(proc, name, 'comm'), 'utf8').catch(() => '');
      holders.set(inode, { process: process.trimEnd(), pid: Number(name) });
    }
    budget -= descriptors.length;
    if (budget <= 0) return { holders, complete: false };
  }
  return { holders, complete };
}

/** Where a descriptor points; empty when it has gone, undefined when that may not be seen. */
function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch (cause) {
    return hasGone(cause) ? '' : undefined;
  }
}

function hasGone(cause: unknown): boolean {
  if (typeof cause !== 'object' || cause === null || !('code' in cause)) return false;
  return cause.code === 'ENOENT' || cause.code === 'ESRCH';
}
