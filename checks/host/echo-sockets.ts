/** @module ICMP echo: one socket a family for all requests under way, and for the requests of other agents. */
import type { Family } from '../family.ts';
import { formatAddress, parseAddress } from '../packet/address.ts';
import { decodeIcmp, encodeEchoRequest, icmpHeaderBytes } from '../packet/icmp.ts';
import { encodeIpv4, ipv4HeaderBytes } from '../packet/ipv4.ts';
import { decodeMessage, type Mac, type Message } from '../packet/message.ts';
import { markEcho } from '../packet/probe.ts';
import { udpProtocol } from '../packet/udp.ts';
import { attachFilter, echoes, nothing } from './bpf.ts';
import { HostError } from './host.ts';
import { EPOLLERR, EPOLLIN, type Libc, SOCK_DGRAM, SOCK_RAW } from './libc.ts';
import type { PacketError, Path } from './network.ts';
import type { Reactor } from './reactor.ts';
import {
  icmpProtocol,
  type Received,
  type Receiver,
  type SocketOptions,
  socketAddress,
} from './sockets.ts';
import type { Waiters } from './waiting.ts';

/** An echo request that came in and carries something of ours, with the way back. */
export interface IncomingEcho {
  readonly family: Family;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly identifier: number;
  readonly sequence: number;
  readonly data: Uint8Array;
}

/** What became of one echo request. */
export interface EchoOutcome {
  readonly replied: boolean;
  readonly errors: readonly PacketError[];
  readonly stalled: boolean;
  readonly sendError?: string;
  readonly rttSeconds?: number;
  /** What the far agent sent besides the kernel's reply. */
  readonly response?: Message;
}

export interface EchoSocketsOptions {
  readonly libc: Libc;
  readonly reactor: Reactor;
  readonly receiver: Receiver;
  readonly waiters: Waiters;
  readonly mac: Mac | undefined;
  /** 16 bits: two programs on one host do not take each other's replies for their own. */
  readonly identifier: number;
  readonly onDropped: (reason: string) => void;
  /** A Packet Too Big about a UDP datagram of this source port: on IPv6 it reaches no other socket of ours. */
  readonly onTooBig: (sourcePort: number, destination: string, error: PacketError) => void;
  /** Opens a socket that is closed with the network. Throws HostError. */
  readonly open: (family: Family, type: number, protocol: number, options: SocketOptions) => number;
}

const receiveBufferBytes = 4 << 20;
const fixedTtl = 64;
/** How long an ICMP error of our own stack may take after it refused a packet. */
const ownErrorMs = 30;
const maximumKnownAddresses = 4096;

interface Pending {
  readonly token: bigint;
  /** Present when the answer of an agent is wanted. */
  readonly nonce: bigint | undefined;
  readonly destination: string;
  readonly onReply: (receivedAt: bigint) => void;
  readonly onResponse: (message: Message) => void;
  readonly onError: (error: PacketError) => void;
}

interface EchoSocket {
  readonly fd: number;
  readonly family: Family;
  readonly raw: boolean;
  readonly pending: Map<number, Pending>;
  sequence: number;
}

/** Sends echo requests and matches what comes back. */
export class EchoSockets {
  readonly #options: EchoSocketsOptions;
  readonly #sockets = new Map<Family, EchoSocket>();
  readonly #addresses = new Map<string, Buffer>();
  #fragmenting: number | undefined;
  #token = 0n;
  onRequest: ((echo: IncomingEcho) => void) | undefined;

  constructor(options: EchoSocketsOptions) {
    this.#options = options;
  }

  /** Whether echo requests of a family can be sent; opens the socket at the first question. */
  open(family: Family): boolean {
    return this.#socket(family) !== undefined;
  }

  /** Sends one request. `data` has at least 12 bytes; unless it carries a message, they are overwritten. */
  async exchange(
    path: Path,
    data: Buffer,
    how: { readonly dontFragment: boolean; readonly nonce?: bigint },
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<EchoOutcome> {
    const socket = this.#socket(path.family);
    if (socket === undefined)
      throw new HostError(
        'missing-net-raw',
        'ICMP echo needs CAP_NET_RAW or a group in net.ipv4.ping_group_range',
      );
    const { libc, waiters, identifier } = this.#options;
    const sequence = freeSequence(socket);
    if (sequence === undefined) throw new HostError('EAGAIN', 'too many echo requests at once');
    const token = ++this.#token;
    if (how.nonce === undefined) markEcho(data, token);
    const request = encodeEchoRequest({ family: path.family, identifier, sequence, data });
    const waiting = waiters.wait(timeoutMs, signal);
    const errors: PacketError[] = [];
    let rttSeconds: number | undefined;
    let response: Message | undefined;
    let replied = false;
    const sentAt = libc.now();
    socket.pending.set(sequence, {
      token,
      nonce: how.nonce,
      destination: path.destination,
      onReply: (receivedAt) => {
        replied = true;
        rttSeconds = secondsBetween(sentAt, receivedAt);
        if (how.nonce === undefined) waiting.end();
      },
      onResponse: (message) => {
        response = message;
        waiting.end();
      },
      onError: (error) => {
        errors.push(error);
        waiting.end();
      },
    });
    let sendError: string | undefined;
    let stalled: boolean;
    try {
      sendError = this.#send(socket, path, request, how.dontFragment);
      if (sendError !== undefined) waiting.endWithin(ownErrorMs);
      stalled = await waiting.over;
    } finally {
      waiting.end();
      socket.pending.delete(sequence);
    }
    return {
      replied,
      errors,
      stalled: stalled && !replied && response === undefined,
      ...(sendError === undefined ? {} : { sendError }),
      ...(rttSeconds === undefined ? {} : { rttSeconds }),
      ...(response === undefined ? {} : { response }),
    };
  }

  #socket(family: Family): EchoSocket | undefined {
    const known = this.#sockets.get(family);
    if (known !== undefined) return known;
    const opened = this.#openRaw(family) ?? this.#openUnprivileged(family);
    if (opened === undefined) return undefined;
    const { libc, reactor, receiver, identifier } = this.#options;
    const socket: EchoSocket = { ...opened, family, pending: new Map(), sequence: 0 };
    const { fd, raw } = socket;
    if (raw) attachFilter(libc, fd, echoes(family === 'ipv4', identifier));
    this.#sockets.set(family, socket);
    reactor.add(fd, EPOLLIN, (events) => {
      if ((events & EPOLLIN) !== 0)
        receiver.receive(fd, (received) => {
          this.#onMessage(socket, received);
        });
      if ((events & EPOLLERR) !== 0) this.#readErrors(socket);
    });
    return socket;
  }

  #openRaw(family: Family): { fd: number; raw: boolean } | undefined {
    try {
      // A raw IPv6 socket must not have RECVERR: with it the kernel believes a forged Packet Too Big. Its errors
      // arrive as messages.
      const fd = this.#options.open(family, SOCK_RAW, icmpProtocol(family), {
        receiveErrors: family === 'ipv4',
        timestamps: true,
        receiveBufferBytes,
        packetInfo: family === 'ipv6',
      });
      return { fd, raw: true };
    } catch (error) {
      if (error instanceof HostError) return undefined;
      throw error;
    }
  }

  /** The ping socket of an ordinary user (net.ipv4.ping_group_range); the kernel writes the identifier. */
  #openUnprivileged(family: Family): { fd: number; raw: boolean } | undefined {
    try {
      const fd = this.#options.open(family, SOCK_DGRAM, icmpProtocol(family), {
        receiveErrors: true,
        timestamps: true,
      });
      return { fd, raw: false };
    } catch (error) {
      if (error instanceof HostError) return undefined;
      throw error;
    }
  }

  #send(
    socket: EchoSocket,
    path: Path,
    request: Uint8Array,
    dontFragment: boolean,
  ): string | undefined {
    const { libc } = this.#options;
    const to = this.#addressOf(path.destination);
    if (!dontFragment) return libc.sendto(socket.fd, request, to);
    if (!socket.raw)
      throw new HostError('missing-net-raw', 'packets with DF set by hand need CAP_NET_RAW');
    // The kernel takes a Packet Too Big that quotes an ICMPv6 echo into its route cache, whatever the socket says
    // (icmpv6_err in net/ipv6/icmp.c): on IPv6 only UDP probes leave the host alone.
    if (path.family === 'ipv6')
      throw new Error('an echo request that must not be fragmented is for IPv4');
    const packet = encodeIpv4({
      // Zero lets the kernel fill in the address of the route (raw(7), IP_HDRINCL).
      source: path.source === undefined ? new Uint8Array(4) : bytesOf(path.source),
      destination: bytesOf(path.destination),
      protocol: icmpProtocol('ipv4'),
      payload: request,
      identification: 0,
      dontFragment: true,
      ttl: fixedTtl,
    });
    return libc.sendto(this.#fragmentingSocket(), packet, to);
  }

  /** Sends echo requests with DF; it receives nothing, and their errors come to the other ICMP socket. */
  #fragmentingSocket(): number {
    if (this.#fragmenting !== undefined) return this.#fragmenting;
    const { libc, open } = this.#options;
    const fd = open('ipv4', SOCK_RAW, icmpProtocol('ipv4'), { headerIncluded: true });
    attachFilter(libc, fd, nothing);
    this.#fragmenting = fd;
    return fd;
  }

  /** The same few addresses are probed again and again. */
  #addressOf(destination: string): Buffer {
    const known = this.#addresses.get(destination);
    if (known !== undefined) return known;
    if (this.#addresses.size >= maximumKnownAddresses) this.#addresses.clear();
    const address = socketAddress(destination, 0);
    this.#addresses.set(destination, address);
    return address;
  }

  #readErrors(socket: EchoSocket): void {
    const { receiver, identifier } = this.#options;
    receiver.receiveErrors(socket.fd, ({ bytes, error }) => {
      if (error === undefined) return;
      // The queue returns what was sent, with the IP header where we wrote it ourselves.
      const icmp = bytes[0] === 0x45 ? bytes.subarray(ipv4HeaderBytes) : bytes;
      if (icmp.length < icmpHeaderBytes) return;
      if (socket.raw && icmp.readUInt16BE(4) !== identifier) return;
      socket.pending.get(icmp.readUInt16BE(6))?.onError(error);
    });
    receiver.receive(socket.fd, (received) => {
      this.#onMessage(socket, received);
    });
  }

  #onMessage(socket: EchoSocket, received: Received): void {
    const four = socket.family === 'ipv4';
    const { bytes } = received;
    const at = four && socket.raw ? ((bytes[0] ?? 0) & 15) * 4 : 0;
    if (bytes.length < at + icmpHeaderBytes) return;
    const type = bytes[at];
    if (type === (four ? 0 : 129)) this.#onReply(socket, received, at);
    else if (type === (four ? 8 : 128)) this.#onEchoRequest(socket, received, at);
    else this.#onError(socket, received, at);
  }

  #onReply(socket: EchoSocket, { bytes, receivedAt }: Received, at: number): void {
    const pending = socket.pending.get(bytes.readUInt16BE(at + 6));
    if (pending === undefined) return;
    if (pending.nonce === undefined) {
      const whole = bytes.length >= at + icmpHeaderBytes + 8;
      if (whole && bytes.readBigUInt64BE(at + icmpHeaderBytes) === pending.token)
        pending.onReply(receivedAt);
      return;
    }
    const decoded = decodeMessage(bytes.subarray(at + icmpHeaderBytes), this.#options.mac);
    if ('malformed' in decoded) {
      this.#options.onDropped(decoded.malformed);
      return;
    }
    const { message } = decoded;
    if (message.nonce !== pending.nonce) return;
    if (message.type === 'response') pending.onResponse(message);
    else pending.onReply(receivedAt);
  }

  #onEchoRequest(socket: EchoSocket, received: Received, at: number): void {
    const { bytes } = received;
    const destination =
      socket.family === 'ipv4' ? bytes.subarray(16, 20) : (received.destination ?? []);
    this.onRequest?.({
      family: socket.family,
      source: Uint8Array.from(received.source),
      destination: Uint8Array.from(destination),
      identifier: bytes.readUInt16BE(at + 4),
      sequence: bytes.readUInt16BE(at + 6),
      data: Uint8Array.from(bytes.subarray(at + icmpHeaderBytes)),
    });
  }

  /** ICMPv6 errors come as messages; the quoted packet says whose they are. */
  #onError(socket: EchoSocket, received: Received, at: number): void {
    const decoded = decodeIcmp(socket.family, received.bytes.subarray(at));
    if (decoded?.kind !== 'error') return;
    const { quoted, type, code, mtu } = decoded;
    const destination = formatAddress(quoted.destination);
    const error: PacketError = {
      errno: type === 2 ? 'EMSGSIZE' : 'EHOSTUNREACH',
      type,
      code,
      offender: formatAddress(received.source),
      ...(mtu === undefined ? {} : { mtu }),
    };
    if (quoted.protocol === udpProtocol && type === 2 && quoted.sourcePort !== undefined) {
      this.#options.onTooBig(quoted.sourcePort, destination, error);
      return;
    }
    if (quoted.protocol !== icmpProtocol(socket.family)) return;
    if (quoted.identifier !== this.#options.identifier || quoted.sequence === undefined) return;
    const pending = socket.pending.get(quoted.sequence);
    if (pending !== undefined && destination === pending.destination) pending.onError(error);
  }
}

function freeSequence(socket: EchoSocket): number | undefined {
  for (let tries = 0; tries < 0x10000; tries++) {
    socket.sequence = (socket.sequence + 1) & 0xffff;
    if (!socket.pending.has(socket.sequence)) return socket.sequence;
  }
  return undefined;
}

function bytesOf(address: string): Uint8Array {
  const bytes = parseAddress(address);
  if (bytes === undefined) throw new Error(`not an address: ${address}`);
  return bytes;
}

/** Seconds from our clock to the kernel's receive time; both are CLOCK_REALTIME. */
export function secondsBetween(sentAt: bigint, receivedAt: bigint): number | undefined {
  if (receivedAt === 0n) return undefined;
  // A step of the clock between the two must not show as a negative time.
  return Math.max(0, Number(receivedAt - sentAt)) / 1e9;
}
