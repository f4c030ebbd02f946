/** @module The system calls that Node has not, through koffi. */
import koffi from 'koffi';
import { errorFromErrno, type KernelError } from './errors.ts';

const libc = koffi.load(null);

export const openSocket: (family: number, type: number, protocol: number) => number = libc.func(
  'int socket(int, int, int)',
);

export const closeSocket: (fd: number) => number = libc.func('int close(int)');

export const bindSocket: (fd: number, address: Uint8Array, length: number) => number = libc.func(
  'int bind(int, const void *, uint32_t)',
);

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

const eventfd: (value: number, flags: number) => number = libc.func('int eventfd(uint32_t, int)');
const write: (fd: number, bytes: Uint8Array, length: number) => number = libc.func(
  'long write(int, const void *, size_t)',
);
const poll = libc.func('int poll(uint64_t, uint64_t, int)');

const EFD_NONBLOCK = 0o4000;
const EFD_CLOEXEC = 0o2000000;
const POLLIN = 1;

/** Tells when a descriptor can be read, and can be told to stop. */
export interface Waiter extends Disposable {
  /** Waits in a thread of Node's pool, so that nothing is blocked; false when it was woken. One wait at a time. */
  wait(): Promise<boolean>;
  wake(): void;
}

/** struct pollfd: i32 descriptor, i16 events, i16 what happened. In memory that no garbage collector moves while the thread waits. */
export function createWaiter(fd: number): Waiter {
  const waker = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (waker < 0) throw lastError('eventfd');
  const memory: unknown = koffi.alloc('uint8_t', 16);
  const view = new DataView(koffi.view(memory, 16));
  for (const [index, watched] of [fd, waker].entries()) {
    view.setInt32(index * 8, watched, true);
    view.setInt32(index * 8 + 4, POLLIN, true);
  }
  return {
    wait: () =>
      new Promise((resolve) => {
        poll.async(koffi.address(memory), 2, -1, () => resolve(view.getInt16(14, true) === 0));
      }),
    wake: () => {
      write(waker, new Uint8Array(new BigUint64Array([1n]).buffer), 8);
    },
    [Symbol.dispose]: () => {
      closeSocket(waker);
      koffi.free(memory);
    },
  };
}

export function lastErrno(): number {
  return koffi.errno();
}

/** The error of the system call that just failed. */
export function lastError(what: string): KernelError {
  return errorFromErrno(koffi.errno(), what);
}
