/** @module The system calls that Node has not, through koffi. */
import koffi from 'koffi';
import { errorFromErrno, type KernelError } from './errors.ts';

const libc = koffi.load(null);

export const openSocket: (family: number, type: number, protocol: number) => number = libc.func(
  'int socket(int, int, int)',
);

export const closeSocket: (fd: number) => number = libc.func('int close(int)');

export const setOption: (
  fd: number,
  level: number,
  name: number,
  value: Uint8Array,
  length: number,
) => number = libc.func('int setsockopt(int, int, int, const void *, uint32_t)');

export const getOption: (
  fd: number,
  level: number,
  name: number,
  value: Uint8Array,
  length: Uint8Array,
) => number = libc.func('int getsockopt(int, int, int, void *, void *)');

export const send: (fd: number, bytes: Uint8Array, length: number, flags: number) => number =
  libc.func('long send(int, const void *, size_t, int)');

export const receiveFrom: (
  fd: number,
  bytes: Uint8Array,
  length: number,
  flags: number,
  sender: Uint8Array,
  senderLength: Uint8Array,
) => number = libc.func('long recvfrom(int, void *, size_t, int, void *, void *)');

export function lastErrno(): number {
  return koffi.errno();
}

/** The error of the system call that just failed. */
export function lastError(what: string): KernelError {
  return errorFromErrno(koffi.errno(), what);
}
