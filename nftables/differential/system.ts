/** @module The system calls that the differential test needs: namespaces, raw and packet sockets, netlink sockets. */
import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import koffi from 'koffi';

export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;
export const AF_PACKET = 17;
export const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0x800;
const SOCK_CLOEXEC = 0x80000;
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const SO_RCVBUFFORCE = 33;
export const SO_MARK = 36;
const MSG_DONTWAIT = 0x40;
const CLONE_NEWNET = 0x40000000;
const CLONE_NEWNS = 0x20000;

const libc = koffi.load(null);
const cSocket: (family: number, type: number, protocol: number) => number = libc.func(
  'int socket(int, int, int)',
);
const cSetsockopt: (
  fd: number,
  level: number,
  name: number,
  value: Uint8Array,
  n: number,
) => number = libc.func('int setsockopt(int, int, int, const void *, uint32_t)');
const cBind: (fd: number, address: Uint8Array, length: number) => number = libc.func(
  'int bind(int, const void *, uint32_t)',
);
const cSendto: (
  fd: number,
  bytes: Uint8Array,
  length: number,
  flags: number,
  address: Uint8Array,
  addressLength: number,
) => number = libc.func('long sendto(int, const void *, size_t, int, const void *, uint32_t)');
const cSend: (fd: number, bytes: Uint8Array, length: number, flags: number) => number = libc.func(
  'long send(int, const void *, size_t, int)',
);
const cRecv: (fd: number, bytes: Uint8Array, length: number, flags: number) => number = libc.func(
  'long recv(int, void *, size_t, int)',
);
const cUnshare: (flags: number) => number = libc.func('int unshare(int)');
const cSetns: (fd: number, kind: number) => number = libc.func('int setns(int, int)');

/** The name of the errno of the call that just failed. */
function errorName(): string {
  const errno = koffi.errno();
  // Two names share 11 and 95; these are the usual ones.
  if (errno === constants.errno.EAGAIN) return 'EAGAIN';
  const found = Object.entries(constants.errno).find(([, value]) => value === errno);
  return found?.[0] ?? `E${errno}`;
}

export function fail(what: string): never {
  throw new Error(`${what}: ${errorName()}`);
}

/** Moves this thread into a new network namespace and gives a descriptor that keeps it. */
export function newNetwork(): number {
  if (cUnshare(CLONE_NEWNET) !== 0) fail('unshare');
  return openSync('/proc/thread-self/ns/net', 'r');
}

/** Moves this thread, and the programs that it starts from here on, into a new mount namespace. */
export function newMounts(): void {
  if (cUnshare(CLONE_NEWNS) !== 0) fail('unshare');
}

export function enterNetwork(namespace: number): void {
  if (cSetns(namespace, CLONE_NEWNET) !== 0) fail('setns');
}

/** A non-blocking socket of the namespace that this thread is in. */
export function openSocket(family: number, type: number, protocol: number): number {
  const fd = cSocket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
  if (fd < 0) fail(`socket(${family}, ${type}, ${protocol})`);
  return fd;
}

export function closeSocket(fd: number): void {
  closeSync(fd);
}

export function bindSocket(fd: number, address: Uint8Array): void {
  if (cBind(fd, address, address.length) !== 0) fail('bind');
}

export function setOption(fd: number, level: number, name: number, value: number): void {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value | 0);
  if (cSetsockopt(fd, level, name, bytes, 4) !== 0) fail(`setsockopt(${level}, ${name})`);
}

const markOption = Buffer.alloc(4);
export function setMark(fd: number, mark: number): void {
  markOption.writeUInt32LE(mark >>> 0);
  if (cSetsockopt(fd, SOL_SOCKET, SO_MARK, markOption, 4) !== 0) fail('SO_MARK');
}

/** As much as is allowed: beyond the limit of the system only the superuser of the first user namespace may go. */
export function setReceiveBuffer(fd: number, bytes: number): void {
  const value = Buffer.alloc(4);
  value.writeInt32LE(bytes);
  if (cSetsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, value, 4) === 0) return;
  if (cSetsockopt(fd, SOL_SOCKET, SO_RCVBUF, value, 4) !== 0) fail('SO_RCVBUF');
}

/** Undefined, or the errno name. */
export function sendTo(fd: number, bytes: Uint8Array, address: Uint8Array): string | undefined {
  return cSendto(fd, bytes, bytes.length, 0, address, address.length) < 0 ? errorName() : undefined;
}

export function sendBytes(fd: number, bytes: Uint8Array): void {
  if (cSend(fd, bytes, bytes.length, 0) < 0) fail('send');
}

/** Length received, or -1 when nothing waits. Throws what else went wrong: ENOBUFS when messages were lost. */
export function receive(fd: number, into: Uint8Array): number {
  const length = cRecv(fd, into, into.length, MSG_DONTWAIT);
  if (length >= 0) return length;
  const name = errorName();
  if (name === 'EAGAIN' || name === 'EWOULDBLOCK') return -1;
  throw new Error(`recv: ${name}`);
}
