/**
 * @module The C library, as far as sockets need it (socket(2), recvmmsg(2), epoll(7), eventfd(2)).
 * Layouts are those of 64-bit little-endian Linux (x86-64, arm64), the same for glibc and musl.
 */
import koffi from 'koffi';
import { formatAddress } from '../packet/address.ts';
import { HostError } from './host.ts';

export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_PACKET = 17;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0x800;
const SOCK_CLOEXEC = 0x80000;
export const IPPROTO_ICMP = 1;
export const IPPROTO_TCP = 6;
export const IPPROTO_UDP = 17;
export const IPPROTO_ICMPV6 = 58;
export const IPPROTO_RAW = 255;
export const MSG_DONTWAIT = 0x40;
export const MSG_ERRQUEUE = 0x2000;
export const MSG_TRUNC = 0x20;
export const EPOLLIN = 0x1;
export const EPOLLOUT = 0x4;
export const EPOLLERR = 0x8;
export const EPOLLHUP = 0x10;

const EPOLL_CLOEXEC = 0x80000;
const EFD_NONBLOCK = 0x800;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const CLOCK_REALTIME = 0;
const maximumDatagramBytes = 65_536;
/** struct sockaddr_storage. */
const maximumNameBytes = 128;

/** Memory outside the JavaScript heap that the kernel may write to while nobody looks. */
export interface NativeMemory {
  readonly address: bigint;
  readonly bytes: Buffer;
}

/** The functions themselves; every one throws HostError or returns what the manual page says. */
export interface Libc {
  /** A non-blocking descriptor, closed on exec. Throws HostError with the errno name. */
  socket(family: number, type: number, protocol: number): number;
  close(fd: number): void;
  /** Closes in another thread: the kernel lets whoever closes a packet socket wait for all of its processors, some 10 ms. */
  closeElsewhere(fd: number): Promise<void>;
  /** Zero, or the errno name. */
  setsockopt(fd: number, level: number, name: number, value: Uint8Array): string | undefined;
  getsockoptInt(fd: number, level: number, name: number): number;
  /** How many messages a socket had no room for since it was opened, modulo 2^32; 0 where the kernel does not say. */
  messagesDropped(fd: number): number;
  bind(fd: number, address: Uint8Array): string | undefined;
  connect(fd: number, address: Uint8Array): string | undefined;
  send(fd: number, bytes: Uint8Array): string | undefined;
  /** The own address of a connected socket, as text. */
  localAddress(fd: number): string;
  sendto(fd: number, bytes: Uint8Array, address: Uint8Array): string | undefined;
  /** Number of messages received, 0 when none waits, or the errno name. */
  recvmmsg(fd: number, vector: bigint, count: number, flags: number): number | string;
  epollCreate(): number;
  /** `token` comes back with every event of the descriptor. */
  epollAdd(epoll: number, fd: number, events: number, token: number): void;
  epollRemove(epoll: number, fd: number): void;
  /** Number of events; waits for ever in another thread. */
  epollWait(epoll: number, events: bigint, count: number, done: (ready: number) => void): void;
  epollPoll(epoll: number, events: bigint, count: number): number;
  eventfd(): number;
  wake(eventfd: number): void;
  unwake(eventfd: number): void;
  /** CLOCK_REALTIME in nanoseconds: the clock of SO_TIMESTAMPNS. */
  now(): bigint;
  allocate(size: number): NativeMemory;
  free(memory: NativeMemory): void;
}

const SOL_SOCKET = 1;
/** Words of 32 bits, the last of which counts drops (linux/sock_diag.h: SK_MEMINFO_DROPS, SK_MEMINFO_VARS). */
const SO_MEMINFO = 55;
const memoryDrops = 8;
const memoryWords = 9;

/** Loads the functions from the running process, whichever C library it was linked with. */
export function openLibc(): Libc {
  const library = koffi.load(null);
  const cSocket = library.func('int socket(int, int, int)');
  const cClose = library.func('int close(int)');
  const cSetsockopt = library.func('int setsockopt(int, int, int, uint64_t, uint32_t)');
  const cGetsockopt = library.func('int getsockopt(int, int, int, void *, void *)');
  const cBind = library.func('int bind(int, uint64_t, uint32_t)');
  const cConnect = library.func('int connect(int, uint64_t, uint32_t)');
  const cGetsockname = library.func('int getsockname(int, void *, void *)');
  const cSend = library.func('int64_t send(int, uint64_t, size_t, int)');
  const cSendto = library.func('int64_t sendto(int, uint64_t, size_t, int, uint64_t, uint32_t)');
  const cRecvmmsg = library.func('int recvmmsg(int, uint64_t, unsigned int, int, uint64_t)');
  const cEpollCreate = library.func('int epoll_create1(int)');
  const cEpollCtl = library.func('int epoll_ctl(int, int, int, const void *)');
  const cEpollWait = library.func('int epoll_wait(int, uint64_t, int, int)');
  const cEventfd = library.func('int eventfd(unsigned int, int)');
  const cWrite = library.func('int64_t write(int, const void *, size_t)');
  const cRead = library.func('int64_t read(int, void *, size_t)');
  const cClockGettime = library.func('int clock_gettime(int, uint64_t)');

  const names = new Map<number, string>();
  for (const [name, number] of Object.entries(koffi.os.errno)) {
    if (!names.has(number)) names.set(number, name);
  }
  // Two names share a number here; these are the ones that manual pages and this program use.
  for (const name of ['EAGAIN', 'EOPNOTSUPP', 'EDEADLK']) {
    const number = koffi.os.errno[name];
    if (number !== undefined) names.set(number, name);
  }
  const errno = (): string => errnoName(names, koffi.errno());
  const check = (result: number, call: string): number => {
    if (result >= 0) return result;
    const code = errno();
    throw new HostError(code, `${call}: ${code}`);
  };
  const pointers = new Map<bigint, unknown>();
  const allocate = (size: number): NativeMemory => {
    const pointer: unknown = koffi.alloc('uint8_t', size);
    const address = koffi.address(pointer);
    pointers.set(address, pointer);
    const bytes = Buffer.from(koffi.view(pointer, size));
    bytes.fill(0);
    return { address, bytes };
  };
  // Arguments go through memory of our own: V8 keeps a short array inside its heap, and moves it out for good when
  // native code asks for its address, which costs more than the system call.
  const data = allocate(maximumDatagramBytes);
  const name = allocate(maximumNameBytes);
  const time = allocate(16);
  const asData = (bytes: Uint8Array): bigint => {
    data.bytes.set(bytes);
    return data.address;
  };
  const asName = (bytes: Uint8Array): bigint => {
    name.bytes.set(bytes);
    return name.address;
  };
  const eight = Buffer.alloc(8);
  const one = Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]);

  return {
    socket: (family, type, protocol) =>
      check(cSocket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol), 'socket'),
    close: (fd) => {
      cClose(fd);
    },
    closeElsewhere: async (fd) =>
      await new Promise((resolve) => {
        cClose.async(fd, () => {
          resolve();
        });
      }),
    setsockopt: (fd, level, option, value) =>
      cSetsockopt(fd, level, option, asData(value), value.length) < 0 ? errno() : undefined,
    getsockoptInt: (fd, level, option) => {
      const value = Buffer.alloc(4);
      const length = Buffer.from([4, 0, 0, 0]);
      check(cGetsockopt(fd, level, option, value, length), 'getsockopt');
      return value.readInt32LE(0);
    },
    messagesDropped: (fd) => {
      const words = Buffer.alloc(memoryWords * 4);
      const length = Buffer.from([words.length, 0, 0, 0]);
      if (cGetsockopt(fd, SOL_SOCKET, SO_MEMINFO, words, length) < 0) return 0;
      return words.readUInt32LE(memoryDrops * 4);
    },
    bind: (fd, address) => (cBind(fd, asName(address), address.length) < 0 ? errno() : undefined),
    connect: (fd, address) =>
      cConnect(fd, asName(address), address.length) < 0 ? errno() : undefined,
    localAddress: (fd) => {
      const own = Buffer.alloc(28);
      const length = Buffer.from([28, 0, 0, 0]);
      check(cGetsockname(fd, own, length), 'getsockname');
      const six = own.readUInt16LE(0) === AF_INET6;
      return formatAddress(six ? own.subarray(8, 24) : own.subarray(4, 8));
    },
    send: (fd, bytes) =>
      Number(cSend(fd, asData(bytes), bytes.length, MSG_DONTWAIT)) < 0 ? errno() : undefined,
    sendto: (fd, bytes, address) =>
      Number(
        cSendto(fd, asData(bytes), bytes.length, MSG_DONTWAIT, asName(address), address.length),
      ) < 0
        ? errno()
        : undefined,
    recvmmsg: (fd, vector, count, flags) => {
      const received: number = cRecvmmsg(fd, vector, count, flags | MSG_DONTWAIT, 0);
      if (received >= 0) return received;
      const code = errno();
      return code === 'EAGAIN' ? 0 : code;
    },
    epollCreate: () => check(cEpollCreate(EPOLL_CLOEXEC), 'epoll_create1'),
    epollAdd: (epoll, fd, events, token) => {
      check(cEpollCtl(epoll, EPOLL_CTL_ADD, fd, epollEvent(token, events)), 'epoll_ctl');
    },
    epollRemove: (epoll, fd) => {
      cEpollCtl(epoll, EPOLL_CTL_DEL, fd, epollEvent(0, 0));
    },
    epollWait: (epoll, events, count, done) => {
      cEpollWait.async(epoll, events, count, -1, (_error: unknown, ready: number) => {
        done(ready);
      });
    },
    epollPoll: (epoll, events, count) => cEpollWait(epoll, events, count, 0),
    eventfd: () => check(cEventfd(0, EFD_NONBLOCK | SOCK_CLOEXEC), 'eventfd'),
    wake: (fd) => {
      cWrite(fd, one, one.length);
    },
    unwake: (fd) => {
      cRead(fd, eight, eight.length);
    },
    now: () => {
      cClockGettime(CLOCK_REALTIME, time.address);
      return time.bytes.readBigInt64LE(0) * 1_000_000_000n + time.bytes.readBigInt64LE(8);
    },
    allocate,
    free: (memory) => {
      const pointer = pointers.get(memory.address);
      pointers.delete(memory.address);
      if (pointer !== undefined) koffi.free(pointer);
    },
  };
}

/** Size of struct epoll_event: packed on x86-64 only (sys/epoll.h). */
export const epollEventBytes = process.arch === 'x64' ? 12 : 16;

/** Offset of `data` in struct epoll_event. */
export const epollDataOffset = process.arch === 'x64' ? 4 : 8;

function epollEvent(token: number, events: number): Buffer {
  const event = Buffer.alloc(epollEventBytes);
  event.writeUInt32LE(events, 0);
  event.writeUInt32LE(token, epollDataOffset);
  return event;
}

function errnoName(names: ReadonlyMap<number, string>, number: number): string {
  return names.get(number) ?? `errno ${number}`;
}

/** The name of an errno number as the C library's header has it. */
export function nameOfErrno(number: number): string {
  for (const [name, value] of Object.entries(koffi.os.errno)) if (value === number) return name;
  return `errno ${number}`;
}
