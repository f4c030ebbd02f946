/** @module Reads the sets of ip_set, which `match set` and `target SET` of iptables name by number. */
import { KernelError } from './errors.ts';
import { decodeIpSetPart, type IpSetPart } from './ipset-decode.ts';
import { closeSocket, getOption, lastError, openSocket } from './libc.ts';
import type { IpSet, IpSetEntry } from './model.ts';
import { encodeAttribute, NetfilterSocket } from './netlink.ts';
import { isPresent } from './present.ts';

/** NFNL_SUBSYS_IPSET (6), IPSET_CMD_LIST (7) */
const IPSET_CMD_LIST = 0x607;
const IPSET_ATTR_PROTOCOL = 1;
/** IPSET_ERR_PROTOCOL: the kernel, before 4.20, knows protocol 6 alone. */
const OLD_PROTOCOL = 'E4097';

/** Reads every set, in the kernel's order. Changes nothing: where ip_set is not loaded there are no sets, and it is not asked. */
export async function readIpSets(root = '/'): Promise<readonly IpSet[]> {
  for (const module of ['nfnetlink', 'ip_set']) {
    const presence = await isPresent(module, root);
    if (presence === 'no') return [];
    if (presence === 'unclear') {
      throw new KernelError('ENODATA', `cannot tell whether ${module} is there without loading it`);
    }
  }
  try {
    using socket = new NetfilterSocket();
    try {
      return await list(socket, 7);
    } catch (cause) {
      if (!(cause instanceof KernelError) || cause.code !== OLD_PROTOCOL) throw cause;
      return await list(socket, 6);
    }
  } catch (cause) {
    // A kernel without modules that was built without ip_set.
    if (cause instanceof KernelError && cause.code === 'EINVAL') return [];
    throw cause;
  }
}

async function list(socket: NetfilterSocket, protocol: number): Promise<readonly IpSet[]> {
  const collected = new Map<string, Collected>();
  const request = {
    type: IPSET_CMD_LIST,
    attributes: [encodeAttribute(IPSET_ATTR_PROTOCOL, Uint8Array.of(protocol))],
  };
  await socket.dump(request, ({ payload }) => {
    const part = decodeIpSetPart(payload);
    if (part !== undefined) collect(collected, part);
  });
  return [...collected.values()].flatMap(({ head, entries, isUnderstood }) => {
    if (head === undefined) return [];
    const index = head.index ?? indexOf(head.name);
    return index === undefined ? [] : [{ ...head, index, entries, isUnderstood }];
  });
}

interface Collected {
  head: IpSetPart['head'];
  readonly entries: IpSetEntry[];
  isUnderstood: boolean;
}

function collect(sets: Map<string, Collected>, part: IpSetPart): void {
  const set = sets.get(part.name) ?? { head: undefined, entries: [], isUnderstood: true };
  sets.set(part.name, set);
  set.head ??= part.head;
  for (const entry of part.entries) set.entries.push(entry);
  set.isUnderstood &&= part.isUnderstood;
}

const SOL_IP = 0;
const SO_IP_SET = 83;
const IP_SET_OP_VERSION = 0x100;
const IP_SET_OP_GET_BYNAME = 6;
const NO_INDEX = 0xffff;
const AF_INET = 2;
const SOCK_RAW_CLOEXEC = 0o2000003;
const IPPROTO_RAW = 255;

/**
 * Asks for a set's number the old way. struct ip_set_req_get_set: u32 operation, u32 version, and the name of 32 bytes, which the answer
 * begins with a u16 instead. Which version is spoken tells struct ip_set_req_version: u32 operation, u32 version.
 */
export function indexOf(name: string): number | undefined {
  const fd = openSocket(AF_INET, SOCK_RAW_CLOEXEC, IPPROTO_RAW);
  if (fd < 0) throw lastError('socket');
  try {
    const version = new Uint32Array([IP_SET_OP_VERSION, 0]);
    ask(fd, new Uint8Array(version.buffer));
    const request = new Uint8Array(40);
    request.set(new Uint8Array(new Uint32Array([IP_SET_OP_GET_BYNAME, version[1] ?? 0]).buffer));
    request.set(new TextEncoder().encode(name).subarray(0, 31), 8);
    ask(fd, request);
    const index = (request[8] ?? 0) | ((request[9] ?? 0) << 8);
    return index === NO_INDEX ? undefined : index;
  } finally {
    closeSocket(fd);
  }
}

function ask(fd: number, bytes: Uint8Array): void {
  const length = new Uint8Array(new Uint32Array([bytes.length]).buffer);
  if (getOption(fd, SOL_IP, SO_IP_SET, bytes, length) < 0) throw lastError('ip_set');
}
