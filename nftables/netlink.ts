/** @module Questions to a netlink socket of netfilter, answered in small pieces so that a large ruleset blocks nobody. */
import { constants } from 'node:os';
import { hostNumber } from './decode/attributes.ts';
import { decodeMessages, type Message } from './decode/messages.ts';
import { errorFromErrno, KernelError } from './errors.ts';
import {
  bindSocket,
  closeSocket,
  lastErrno,
  lastError,
  openSocket,
  receiveFrom,
  send,
  setOption,
} from './libc.ts';

// linux/netlink.h, linux/socket.h, asm-generic/socket.h
const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const NETLINK_NETFILTER = 12;
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const SO_RCVTIMEO = 20;
const SO_RCVBUFFORCE = 33;
const NLM_F_REQUEST = 0x01;
const NLM_F_DUMP_INTR = 0x10;
const NLM_F_DUMP = 0x300;
const NLMSG_NOOP = 1;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLMSG_OVERRUN = 4;
const MSG_TRUNC = 0x20;

/** The kernel makes pieces of a dump of at most 32 KiB, and larger ones only for an object that is. */
/** sizeof(struct sockaddr_nl) */
const senderBytes = 12;
const receiveBytes = 256 << 10;
const maximumTotalBytes = 2 ** 30;
const maximumSliceMs = 5;

/** A question: the subsystem's number in the high byte of `type`; what follows struct nfgenmsg in `attributes`. */
export interface Request {
  readonly type: number;
  /** enum nfproto; 0 is all. */
  readonly family?: number;
  readonly attributes?: readonly Uint8Array[];
}

/** Bytes that one recv(2) gave, valid until the next; or why there are none. */
type Received = Uint8Array | { readonly errno: number };

/** A netlink socket to netfilter, and what it is received into. */
export class Receiver {
  readonly fd: number;
  readonly #buffer = new Uint8Array(receiveBytes);
  /** struct sockaddr_nl: u16 family, u16 padding, u32 port id, u32 groups. */
  readonly #sender = new Uint8Array(128);
  readonly #senderLength = new Uint8Array(128);

  constructor(bufferBytes: number) {
    this.fd = openSocket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    if (this.fd < 0) throw lastError('netlink socket');
    growReceiveBuffer(this.fd, bufferBytes);
    // A socket that has no port id yet is left out when the kernel tells all but port 0 of a change.
    const address = new Uint8Array(senderBytes);
    address[0] = AF_NETLINK;
    if (bindSocket(this.fd, address, address.length) < 0) throw lastError('netlink bind');
  }

  [Symbol.dispose](): void {
    closeSocket(this.fd);
  }

  /** The next datagram of the kernel. Anybody else is not heard: only the kernel has port id 0. */
  receive(flags: number): Received {
    for (;;) {
      this.#senderLength[0] = senderBytes;
      const length = receiveFrom(
        this.fd,
        this.#buffer,
        this.#buffer.length,
        flags | MSG_TRUNC,
        this.#sender,
        this.#senderLength,
      );
      if (length < 0) {
        const errno = lastErrno();
        if (errno === constants.errno.EINTR) continue;
        return { errno };
      }
      if (length > this.#buffer.length) {
        throw new KernelError('EMSGSIZE', 'netlink message is too large');
      }
      if (hostNumber(this.#sender, 4) === 0) return this.#buffer.subarray(0, length);
    }
  }
}

/** A netlink socket to netfilter. One question at a time. */
export class NetfilterSocket {
  readonly #receiver = new Receiver(4 << 20);
  readonly #request = createRequest();
  #sequence = 0;
  #rested = performance.now();

  constructor() {
    // struct timeval: five seconds, so that a kernel that does not answer cannot stop the process.
    const patience = new Uint8Array(new BigInt64Array([5n, 0n]).buffer);
    setOption(this.#receiver.fd, SOL_SOCKET, SO_RCVTIMEO, patience, patience.length);
  }

  [Symbol.dispose](): void {
    this.#receiver[Symbol.dispose]();
  }

  /** Asks for one object. What is handed back is valid until the next question. */
  ask(request: Request): Message | undefined {
    this.#send(request, NLM_F_REQUEST);
    for (;;) {
      for (const message of this.#receive()) {
        if (!isControl(message)) return message;
        const error = errorOf(message);
        if (error !== 0) throw errorFromErrno(error, 'netfilter');
        if (message.type === NLMSG_ERROR || message.type === NLMSG_DONE) return undefined;
      }
    }
  }

  /**
   * Hands over every object of a kind, each valid until `take` returns; false when the ruleset changed underneath. The kernel
   * makes the next piece when it is asked for: nothing is lost by serving others in between.
   */
  async dump(request: Request, take: (message: Message) => void): Promise<boolean> {
    let consistent = true;
    for (const piece of this.pieces(request)) {
      for (const message of piece) {
        if (isInterrupted(message)) consistent = false;
        if (!isControl(message)) take(message);
      }
      await this.rest();
    }
    return consistent;
  }

  /** Lets others run when this one has run for a while. */
  async rest(): Promise<void> {
    if (performance.now() - this.#rested < maximumSliceMs) return;
    await new Promise((resolve) => setImmediate(resolve));
    this.#rested = performance.now();
  }

  /** The pieces of a dump, each valid until the next is asked for. Control messages are among them. */
  *pieces(request: Request): Generator<readonly Message[]> {
    this.#send(request, NLM_F_REQUEST | NLM_F_DUMP);
    let totalBytes = 0;
    for (;;) {
      const messages = this.#receive();
      for (const { payload } of messages) totalBytes += payload.length;
      if (totalBytes > maximumTotalBytes)
        throw new KernelError('EMSGSIZE', 'netlink answer is too large');
      const ends = messages.filter(({ type }) => type === NLMSG_DONE || type === NLMSG_ERROR);
      for (const end of ends) {
        const error = errorOf(end);
        if (error !== 0) throw errorFromErrno(error, 'netfilter');
      }
      yield messages;
      if (ends.length > 0) return;
    }
  }

  /** struct nlmsghdr, struct nfgenmsg (u8 family, u8 version, be16 resource), attributes. Written where the last one was. */
  #send({ type, family = 0, attributes = [] }: Request, flags: number): void {
    const { bytes, view } = this.#request;
    let length = 20;
    for (const attribute of attributes) {
      if (length + attribute.length > bytes.length) throw new KernelError('EMSGSIZE', 'request');
      bytes.set(attribute, length);
      length += attribute.length;
    }
    this.#sequence = (this.#sequence + 1) >>> 0;
    view.setUint32(0, length, true);
    view.setUint16(4, type, true);
    view.setUint16(6, flags, true);
    view.setUint32(8, this.#sequence, true);
    view.setUint8(16, family);
    if (send(this.#receiver.fd, bytes, length, 0) < 0) throw lastError('netlink send');
  }

  /** What the kernel says to the question that was sent last; answers to earlier ones are not heard. */
  #receive(): readonly Message[] {
    for (;;) {
      const received = this.#receiver.receive(0);
      if ('errno' in received) {
        if (received.errno === constants.errno.EAGAIN) {
          throw new KernelError('ETIMEDOUT', 'netlink: the kernel does not answer');
        }
        throw errorFromErrno(received.errno, 'netlink receive');
      }
      const messages = decodeMessages(received);
      if (messages.every(({ sequence }) => sequence === this.#sequence)) return messages;
      const own = messages.filter(({ sequence }) => sequence === this.#sequence);
      if (own.length > 0) return own;
    }
  }
}

/** Beyond net.core.rmem_max where that is allowed. */
function growReceiveBuffer(fd: number, bytes: number): void {
  const size = new Uint8Array(new Int32Array([bytes]).buffer);
  if (setOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, size, size.length) < 0) {
    setOption(fd, SOL_SOCKET, SO_RCVBUF, size, size.length);
  }
}

/** Encodes an attribute: u16 length with header, u16 type; padded to four bytes. */
export function encodeAttribute(type: number, value: Uint8Array): Uint8Array {
  const bytes = new Uint8Array((4 + value.length + 3) & ~3);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 4 + value.length, true);
  view.setUint16(2, type, true);
  bytes.set(value, 4);
  return bytes;
}

/** A text with its NUL. */
export function encodeText(type: number, text: string): Uint8Array {
  return encodeAttribute(type, Buffer.from(`${text}\0`));
}

/** A number of 64 bits in network order. */
export function encodeU64(type: number, value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value);
  return encodeAttribute(type, bytes);
}

/** Room for a request. What native code is given time and again is too large to lie among V8's objects, and is never moved. */
function createRequest(): { readonly bytes: Uint8Array; readonly view: DataView } {
  const bytes = new Uint8Array(4096);
  return { bytes, view: new DataView(bytes.buffer) };
}

/** Messages of netlink itself. */
export function isControl({ type }: Message): boolean {
  return type >= NLMSG_NOOP && type <= NLMSG_OVERRUN;
}

/** Whether the ruleset changed while the dump went on. */
export function isInterrupted({ flags }: Message): boolean {
  return (flags & NLM_F_DUMP_INTR) !== 0;
}

/** struct nlmsgerr and the payload of NLMSG_DONE start with a negative errno, or zero. */
function errorOf({ payload }: Message): number {
  if (payload.length < 4) return 0;
  return -new DataView(payload.buffer, payload.byteOffset).getInt32(0, true);
}
