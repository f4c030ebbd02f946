/** @module Questions to nf_tables over netlink, answered in small pieces so that a large ruleset blocks nobody. */
import { constants } from 'node:os';
import koffi from 'koffi';
import { decodeMessages, type Message } from './decode.ts';

/** What the kernel refused: an errno name. */
export class KernelError extends Error {
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.name = 'KernelError';
    this.code = code;
  }
}

// linux/netlink.h, linux/netfilter/nfnetlink.h
const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const NETLINK_NETFILTER = 12;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
const NFNL_SUBSYS_NFTABLES = 10;
const NLM_F_REQUEST = 0x01;
const NLM_F_DUMP_INTR = 0x10;
const NLM_F_DUMP = 0x300;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const MSG_TRUNC = 0x20;

const receiveBytes = 128 << 10;
const maximumTotalBytes = 1 << 30;

const libc = koffi.load(null);
const openSocket: (family: number, type: number, protocol: number) => number = libc.func(
  'int socket(int, int, int)',
);
const closeSocket: (fd: number) => number = libc.func('int close(int)');
const setOption: (
  fd: number,
  level: number,
  name: number,
  value: Uint8Array,
  length: number,
) => number = libc.func('int setsockopt(int, int, int, const void *, uint32_t)');
const send: (fd: number, bytes: Uint8Array, length: number, flags: number) => number = libc.func(
  'long send(int, const void *, size_t, int)',
);
const receive: (fd: number, bytes: Uint8Array, length: number, flags: number) => number = libc.func(
  'long recv(int, void *, size_t, int)',
);

/** A netlink socket to nf_tables. */
export class NftablesSocket {
  readonly #fd: number;

  constructor() {
    this.#fd = openSocket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    if (this.#fd < 0) throw lastError('netlink socket');
    // struct timeval: five seconds, so that a kernel that does not answer cannot stop the process.
    const patience = new Uint8Array(new BigInt64Array([5n, 0n]).buffer);
    setOption(this.#fd, SOL_SOCKET, SO_RCVTIMEO, patience, patience.length);
  }

  [Symbol.dispose](): void {
    closeSocket(this.#fd);
  }

  /** Asks for one object. */
  ask(message: number): Message | undefined {
    this.#send(message, NLM_F_REQUEST);
    const { messages } = this.#receive();
    return messages[0];
  }

  /** Hands over every object of a kind; false when the ruleset changed underneath. */
  async dump(message: number, take: (message: Message) => void): Promise<boolean> {
    this.#send(message, NLM_F_REQUEST | NLM_F_DUMP);
    let totalBytes = 0;
    let consistent = true;
    for (;;) {
      const { messages, length, done } = this.#receive();
      totalBytes += length;
      if (totalBytes > maximumTotalBytes) throw new KernelError('EMSGSIZE', 'ruleset is too large');
      for (const one of messages) {
        if ((one.flags & NLM_F_DUMP_INTR) !== 0) consistent = false;
        take(one);
      }
      if (done) return consistent;
      // The kernel makes the next piece when it is asked for: nothing is lost by serving others first.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** struct nlmsghdr (u32 length, u16 type, u16 flags, u32 sequence, u32 port id), struct nfgenmsg with family 0, all. */
  #send(message: number, flags: number): void {
    const bytes = new Uint8Array(20);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, bytes.length, true);
    view.setUint16(4, (NFNL_SUBSYS_NFTABLES << 8) | message, true);
    view.setUint16(6, flags, true);
    view.setUint32(8, 1, true);
    if (send(this.#fd, bytes, bytes.length, 0) < 0) throw lastError('netlink send');
  }

  #receive(): { messages: readonly Message[]; length: number; done: boolean } {
    const buffer = Buffer.allocUnsafe(receiveBytes);
    let length = receive(this.#fd, buffer, buffer.length, MSG_TRUNC);
    while (length < 0 && koffi.errno() === constants.errno.EINTR) {
      length = receive(this.#fd, buffer, buffer.length, MSG_TRUNC);
    }
    if (length < 0) throw lastError('netlink receive');
    if (length > buffer.length) throw new KernelError('EMSGSIZE', 'netlink message is too large');
    const messages: Message[] = [];
    let done = false;
    for (const message of decodeMessages(Uint8Array.from(buffer.subarray(0, length)))) {
      if (message.type === NLMSG_DONE || message.type === NLMSG_ERROR) {
        const error = errorOf(message.payload);
        if (error !== 0) throw fromErrno(error, 'nf_tables');
        done = true;
      } else {
        messages.push(message);
      }
    }
    return { messages, length, done };
  }
}

/** struct nlmsgerr and the payload of NLMSG_DONE start with a negative errno, or zero. */
function errorOf(payload: Uint8Array): number {
  if (payload.length < 4) return 0;
  return -new DataView(payload.buffer, payload.byteOffset).getInt32(0, true);
}

/** The error of the system call that just failed. */
export function lastError(what: string): KernelError {
  return fromErrno(koffi.errno(), what);
}

function fromErrno(errno: number, what: string): KernelError {
  const names = Object.entries(constants.errno).filter(([, value]) => value === errno);
  // Two names share 11 and 95; these are the ones in manual pages.
  const usual = names.find(([name]) => name === 'EAGAIN' || name === 'EOPNOTSUPP');
  const code = (usual ?? names[0])?.[0] ?? `E${errno}`;
  return new KernelError(code, `${what}: ${code}`);
}
