/** @module The probing end: sends one packet and tells what became of it. */
import type { Payload } from '../../rules/schema.ts';
import type { Flow } from '../diagnosis/evidence.ts';
import type { Family } from '../family.ts';
import { formatAddress, parseAddress } from '../packet/address.ts';
import { icmpHeaderBytes } from '../packet/icmp.ts';
import { encodeIpv4, ipv4HeaderBytes } from '../packet/ipv4.ts';
import { ipv6HeaderBytes } from '../packet/ipv6.ts';
import {
  decodeMessage,
  encodeHeard,
  encodeMessage,
  type Mac,
  type Message,
  type MessageType,
  messageBytes,
  preambleBytes,
} from '../packet/message.ts';
import { encodeDatagram, encodeIpProbe } from '../packet/probe.ts';
import { encodeUdp, udpHeaderBytes, udpProtocol } from '../packet/udp.ts';
import { EchoSockets, type IncomingEcho, secondsBetween } from './echo-sockets.ts';
import { HostError } from './host.ts';
import {
  EPOLLERR,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  IPPROTO_RAW,
  type Libc,
  nameOfErrno,
  openLibc,
  SOCK_DGRAM,
  SOCK_RAW,
  SOCK_STREAM,
} from './libc.ts';
import type {
  EchoObservation,
  Network,
  Observation,
  PacketError,
  Path,
  Tap,
  TcpObservation,
  UdpObservation,
} from './network.ts';
import { Reactor } from './reactor.ts';
import { createReports } from './reports.ts';
import {
  openPacketSocket,
  openSocket,
  Receiver,
  type SocketOptions,
  socketAddress,
} from './sockets.ts';
import type { SourcePorts } from './source-ports.ts';
import { openTap } from './tap.ts';
import { Waiters } from './waiting.ts';

export interface NetworkOptions {
  /** Random per start; stands in every message. */
  readonly session: bigint;
  readonly mac?: Mac;
  readonly sourcePorts: SourcePorts;
  /** Told of every datagram that was thrown away, and why. */
  readonly onDropped: (reason: string) => void;
}

const SOL_SOCKET = 1;
const SO_ERROR = 4;
const fixedTtl = 64;
/** Data of an echo request of ping(8). */
const echoDataBytes = 56;
const leastEchoDataBytes = 16;
/** After these an answer can no longer come: net, host or communication prohibited (RFC 1812 5.2.7.1, RFC 4443 3.1). */
const prohibitedIpv4 = new Set([9, 10, 13]);
const prohibitedIpv6 = new Set([1, 5, 6]);
/** How long an ICMP error of our own stack may take after it refused a packet. */
const ownErrorMs = 30;

/** What a request over a datagram came back with. */
export interface Exchange extends UdpObservation {
  readonly response?: Uint8Array;
}

/** Sends probes on Linux, through raw and ordinary sockets of this network namespace. */
export class LinuxNetwork implements Network, AsyncDisposable {
  readonly libc: Libc;
  readonly reactor: Reactor;
  readonly receiver: Receiver;
  readonly options: NetworkOptions;
  /** What the own witness has heard lately of a peer: every probe to it carries that. */
  heardFrom: ((address: string) => readonly bigint[]) | undefined;
  readonly #reports = createReports();
  readonly #waiters: Waiters;
  readonly #echoes: EchoSockets;
  /** IPv6 UDP probes under way, by source port: a Packet Too Big reaches only the raw ICMPv6 socket. */
  readonly #tooBig = new Map<number, (destination: string, error: PacketError) => void>();
  #headerSocket: number | undefined;
  #nonce: bigint;
  readonly #open = new Set<number>();
  #closed = false;

  constructor(options: NetworkOptions) {
    this.options = options;
    this.libc = openLibc();
    this.reactor = new Reactor(this.libc);
    this.receiver = new Receiver(this.libc);
    this.#nonce = (options.session >> 16n) & 0xffffffffffffn;
    this.#waiters = new Waiters(this.reactor);
    this.#echoes = new EchoSockets({
      libc: this.libc,
      reactor: this.reactor,
      receiver: this.receiver,
      waiters: this.#waiters,
      mac: options.mac,
      identifier: Number(options.session & 0xffffn),
      onDropped: options.onDropped,
      onTooBig: (sourcePort, destination, error) => {
        this.#tooBig.get(sourcePort)?.(destination, error);
      },
      open: (family, type, protocol, socketOptions) =>
        this.#track(openSocket(this.libc, family, type, protocol, socketOptions)),
    });
  }

  /** Opens the echo sockets now, so that missing rights show at once. Returns the families that work. */
  openEcho(): readonly Family[] {
    return (['ipv4', 'ipv6'] as const).filter((family) => this.#echoes.open(family));
  }

  /** Hands over echo requests that carry a request of ours. */
  set onEchoRequest(handler: ((echo: IncomingEcho) => void) | undefined) {
    this.#echoes.onRequest = handler;
  }

  async udp(
    path: Path,
    probe: { port: number; payload: Payload; totalBytes?: number; dontFragment?: boolean },
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<UdpObservation> {
    return await this.exchange(path, { ...probe, type: 'probe' }, timeoutMs, signal);
  }

  /** Sends a probe or a request from a fresh port and waits for the answer or the response. */
  async exchange(
    path: Path,
    probe: {
      readonly port: number;
      readonly payload: Payload;
      readonly type: Extract<MessageType, 'probe' | 'request'>;
      readonly body?: Uint8Array;
      readonly totalBytes?: number;
      readonly dontFragment?: boolean;
    },
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<Exchange> {
    const nonce = this.#nextNonce();
    const destination = addressBytes(path.destination);
    const { fd, sourcePort } = this.#openUdp(path, probe.dontFragment === true);
    const errors: PacketError[] = [];
    let rttSeconds: number | undefined;
    let answer: Message | undefined;
    let sendError: string | undefined;
    let stalled = false;
    let sentAt = 0n;
    try {
      const payload = this.#datagram(path.family, probe, {
        type: probe.type,
        session: this.options.session,
        nonce,
        address: destination,
        port: probe.port,
        body: probe.body ?? encodeHeard(this.heardFrom?.(path.destination) ?? []),
      });
      this.#reports.sent(nonce, path.destination, probe.port);
      sendError = this.libc.connect(fd, socketAddress(path.destination, probe.port));
      if (sendError === undefined) {
        const waiting = this.#waiters.wait(timeoutMs, signal);
        this.reactor.add(fd, EPOLLIN, (events) => {
          this.receiver.receive(fd, (received) => {
            const decoded = decodeMessage(received.bytes, this.options.mac);
            if ('malformed' in decoded) {
              this.options.onDropped(decoded.malformed);
              return;
            }
            const wanted = probe.type === 'probe' ? 'answer' : 'response';
            if (decoded.message.type !== wanted || decoded.message.nonce !== nonce) {
              this.options.onDropped('unexpected');
              return;
            }
            answer = decoded.message;
            rttSeconds = withoutHeld(secondsBetween(sentAt, received.receivedAt), answer);
            waiting.end();
          });
          if ((events & EPOLLERR) !== 0) {
            this.receiver.receiveErrors(fd, ({ error }) => {
              if (error === undefined) return;
              errors.push(error);
              if (isProhibited(path.family, error) || isOwnError(path, error)) waiting.end();
            });
          }
        });
        if (path.family === 'ipv6') {
          this.#tooBig.set(sourcePort, (quoted, error) => {
            if (quoted !== path.destination) return;
            errors.push(error);
            waiting.end();
          });
        }
        sentAt = this.libc.now();
        sendError =
          probe.dontFragment === true && path.family === 'ipv4'
            ? this.#sendWithHeader(fd, path, sourcePort, probe.port, payload)
            : this.libc.send(fd, payload);
        if (sendError !== undefined) waiting.endWithin(ownErrorMs);
        stalled = await waiting.over;
      }
    } finally {
      this.#tooBig.delete(sourcePort);
      this.reactor.remove(fd);
      this.#close(fd);
    }
    return {
      sourcePort,
      nonce,
      errors,
      stalled: stalled && answer === undefined,
      ...(sendError === undefined ? {} : { sendError }),
      ...(rttSeconds === undefined ? {} : { rttSeconds }),
      ...(answer === undefined ? {} : this.#readAnswer(answer)),
    };
  }

  wasReported(destination: string, port: number): boolean {
    return this.#reports.has(destination, port);
  }

  /** Takes what a peer says that it heard of us. */
  takeReport(address: string, nonces: readonly bigint[]): void {
    this.#reports.heard(address, nonces);
  }

  async echo(
    path: Path,
    probe: { totalBytes?: number; dontFragment?: boolean },
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<EchoObservation> {
    const headers = headerBytes(path.family) + icmpHeaderBytes;
    const totalBytes = probe.totalBytes ?? headers + echoDataBytes;
    const data = Buffer.alloc(Math.max(leastEchoDataBytes, totalBytes - headers));
    const how = { dontFragment: probe.dontFragment === true };
    const outcome = await this.#echoes.exchange(path, data, how, timeoutMs, signal);
    return { sourcePort: 0, ...outcome };
  }

  /** Carries a request inside an echo request: the kernel answers, and the agent sends a second reply. */
  async requestOverEcho(
    path: Path,
    body: Uint8Array,
    totalBytes: number,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<Exchange> {
    const nonce = this.#nextNonce();
    const message = encodeMessage(
      {
        type: 'request',
        session: this.options.session,
        nonce,
        address: addressBytes(path.destination),
        port: 0,
        body,
      },
      this.options.mac,
    );
    const data = Buffer.alloc(Math.max(totalBytes, message.length));
    data.set(message);
    const how = { dontFragment: false, nonce };
    const { response, ...outcome } = await this.#echoes.exchange(
      path,
      data,
      how,
      timeoutMs,
      signal,
    );
    return {
      ...outcome,
      sourcePort: 0,
      nonce,
      ...(response === undefined ? {} : this.#readAnswer(response)),
    };
  }

  async tcp(
    path: Path,
    port: number,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<TcpObservation> {
    const { fd, sourcePort } = this.#openBound(path, SOCK_STREAM);
    const errors: PacketError[] = [];
    let errno: string | undefined;
    let ended = false;
    let stalled = false;
    try {
      const refused = this.libc.connect(fd, socketAddress(path.destination, port));
      if (refused !== undefined && refused !== 'EINPROGRESS') {
        errno = refused;
        ended = true;
        this.receiver.receiveErrors(fd, ({ error }) => {
          if (error !== undefined) errors.push(error);
        });
      } else {
        const waiting = this.#waiters.wait(timeoutMs, signal);
        this.reactor.add(fd, EPOLLOUT, (events) => {
          if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) === 0) return;
          if (ended) return;
          const number = this.libc.getsockoptInt(fd, SOL_SOCKET, SO_ERROR);
          if (number !== 0) errno = nameOfErrno(number);
          this.receiver.receiveErrors(fd, ({ error }) => {
            if (error !== undefined) errors.push(error);
          });
          // An ICMP error that comes while connect() still holds the socket is queued and sets no SO_ERROR
          // (tcp_v4_err in net/ipv4/tcp_ipv4.c): without EPOLLOUT nothing is connected.
          if (errno === undefined && (events & EPOLLOUT) === 0) {
            errno = errors.at(-1)?.errno;
            if (errno === undefined) return;
          }
          ended = true;
          waiting.end();
        });
        stalled = await waiting.over;
      }
    } finally {
      this.reactor.remove(fd);
      this.#close(fd);
    }
    const result = resultOfConnect(ended, errno);
    return {
      sourcePort,
      errors,
      result,
      stalled: stalled && !ended,
      ...(errno === undefined ? {} : { errno }),
    };
  }

  async ipProtocol(
    path: Path,
    protocol: 4 | 50,
    waitMs: number,
    signal: AbortSignal,
  ): Promise<Observation & { readonly nonce: bigint }> {
    const nonce = this.#nextNonce();
    const errors: PacketError[] = [];
    let sendError: string | undefined;
    let stalled = false;
    const fd = this.#openRaw(path.family, protocol, { receiveErrors: path.family === 'ipv4' });
    try {
      // Connected, so that it hears the errors of this destination alone; the kernel's own ones go to nobody else.
      sendError = this.libc.connect(fd, socketAddress(path.destination, 0));
      if (sendError === undefined) {
        const waiting = this.#waiters.wait(waitMs, signal);
        this.reactor.add(fd, EPOLLIN, (events) => {
          this.receiver.receive(fd, () => {});
          if ((events & EPOLLERR) !== 0) {
            this.receiver.receiveErrors(fd, ({ error }) => {
              if (error === undefined) return;
              errors.push(error);
              waiting.end();
            });
          }
        });
        sendError = this.libc.send(
          fd,
          encodeIpProbe(
            encodeMessage(
              {
                type: 'probe',
                session: this.options.session,
                nonce,
                address: addressBytes(path.destination),
                port: 0,
                body: new Uint8Array(),
              },
              this.options.mac,
            ),
          ),
        );
        if (sendError !== undefined) waiting.endWithin(ownErrorMs);
        stalled = await waiting.over;
      }
    } finally {
      this.reactor.remove(fd);
      this.#close(fd);
    }
    return {
      sourcePort: 0,
      nonce,
      errors,
      stalled,
      ...(sendError === undefined ? {} : { sendError }),
    };
  }

  tap(flow: Flow, options: { readonly pastInput: boolean } = { pastInput: false }): Tap {
    return openTap(this, flow, options);
  }

  /** A raw socket that reads and writes IP packets of one protocol; HostError `missing-net-raw` where it may not be had. */
  openRaw(family: Family, protocol: number, options: SocketOptions = {}): number {
    return this.#openRaw(family, protocol, options);
  }

  /** A packet socket that hears nothing yet; HostError `missing-net-raw` where it may not be had. */
  openPacket(receiveBufferBytes: number): number {
    return this.#allowed(() => openPacketSocket(this.libc, receiveBufferBytes));
  }

  closeSocket(fd: number): void {
    this.#close(fd);
  }

  /** Closes a packet socket without letting everything else wait for it. */
  async closePacket(fd: number): Promise<void> {
    if (this.#open.delete(fd)) await this.libc.closeElsewhere(fd);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.reactor[Symbol.asyncDispose]();
    for (const fd of this.#open) this.libc.close(fd);
    this.#open.clear();
    this.receiver.free();
  }

  #nextNonce(): bigint {
    this.#nonce = (this.#nonce + 1n) & 0xffffffffffffffffn;
    return this.#nonce;
  }

  #readAnswer(message: Message): Partial<Exchange> {
    const rewritten =
      message.observation === 'seen-rewritten'
        ? { rewrittenTo: `${formatAddress(message.address)} port ${message.port}` }
        : {};
    return {
      session: message.session.toString(16).padStart(16, '0'),
      ...(message.observation === undefined ? {} : { witnessed: message.observation }),
      ...rewritten,
      ...(message.type === 'response' ? { response: message.body } : {}),
    };
  }

  #datagram(
    family: Family,
    { payload, totalBytes }: { readonly payload: Payload; readonly totalBytes?: number },
    message: Message,
  ): Uint8Array {
    const { mac } = this.options;
    const least = preambleBytes + messageBytes(message, mac);
    const payloadBytes = Math.max(least, (totalBytes ?? 0) - headerBytes(family) - udpHeaderBytes);
    return encodeDatagram(message, {
      payload,
      payloadBytes,
      ...(mac === undefined ? {} : { mac }),
    });
  }

  /** DF by hand: no socket option sets it without also believing ICMP errors into the route cache. */
  #sendWithHeader(
    fd: number,
    path: Path,
    sourcePort: number,
    destinationPort: number,
    payload: Uint8Array,
  ): string | undefined {
    const source = this.#sourceOf(fd, path);
    const destination = addressBytes(path.destination);
    this.#headerSocket ??= this.#openRaw('ipv4', IPPROTO_RAW, { headerIncluded: true });
    const datagram = encodeUdp({ source, destination, sourcePort, destinationPort, payload });
    const packet = encodeIpv4({
      source,
      destination,
      protocol: udpProtocol,
      payload: datagram,
      identification: 0,
      dontFragment: true,
      ttl: fixedTtl,
    });
    return this.libc.sendto(this.#headerSocket, packet, socketAddress(path.destination, 0));
  }

  #sourceOf(fd: number, path: Path): Uint8Array {
    if (path.source !== undefined) return addressBytes(path.source);
    return addressBytes(this.libc.localAddress(fd));
  }

  #openUdp(path: Path, dontFragment: boolean): { fd: number; sourcePort: number } {
    return this.#openBound(path, SOCK_DGRAM, dontFragment);
  }

  /**
   * A socket on a fresh source port, chosen here and not by the kernel (see source-ports.ts). It is bound to the own
   * address of the path, never to a port that the catalogue knows.
   */
  #openBound(path: Path, type: number, dontFragment = false): { fd: number; sourcePort: number } {
    const fd = this.#track(
      openSocket(this.libc, path.family, type, 0, {
        receiveErrors: true,
        timestamps: type === SOCK_DGRAM,
        dontFragment,
      }),
    );
    const any = path.family === 'ipv4' ? '0.0.0.0' : '::';
    for (let tries = 0; tries < 64; tries++) {
      const sourcePort = this.options.sourcePorts.next();
      const failed = this.libc.bind(fd, socketAddress(path.source ?? any, sourcePort));
      if (failed === undefined) return { fd, sourcePort };
      if (failed !== 'EADDRINUSE') {
        this.#close(fd);
        throw new HostError(
          failed,
          `the source address ${path.source ?? any} cannot be used: ${failed}`,
        );
      }
    }
    this.#close(fd);
    throw new HostError('EADDRINUSE', 'no free source port in 64 tries');
  }

  #openRaw(family: Family, protocol: number, options: SocketOptions): number {
    return this.#allowed(() => openSocket(this.libc, family, SOCK_RAW, protocol, options));
  }

  #allowed(open: () => number): number {
    try {
      return this.#track(open());
    } catch (error) {
      if (error instanceof HostError && (error.code === 'EPERM' || error.code === 'EACCES'))
        throw new HostError('missing-net-raw', 'raw sockets need CAP_NET_RAW', { cause: error });
      throw error;
    }
  }

  #track(fd: number): number {
    this.#open.add(fd);
    return fd;
  }

  #close(fd: number): void {
    if (this.#open.delete(fd)) this.libc.close(fd);
  }
}

function headerBytes(family: Family): number {
  return family === 'ipv4' ? ipv4HeaderBytes : ipv6HeaderBytes;
}

/** The round trip without the time that the far process took to answer. */
function withoutHeld(seconds: number | undefined, answer: Message): number | undefined {
  if (seconds === undefined) return undefined;
  return Math.max(0, seconds - (answer.heldMicroseconds ?? 0) / 1e6);
}

function resultOfConnect(ended: boolean, errno: string | undefined): TcpObservation['result'] {
  if (!ended) return 'timed-out';
  if (errno === undefined) return 'connected';
  if (errno === 'ECONNREFUSED') return 'refused';
  return errno === 'ETIMEDOUT' ? 'timed-out' : 'error';
}

function isProhibited(family: Family, { type, code }: PacketError): boolean {
  if (code === undefined) return false;
  return family === 'ipv4'
    ? type === 3 && prohibitedIpv4.has(code)
    : type === 1 && prohibitedIpv6.has(code);
}

function isOwnError(path: Path, { offender }: PacketError): boolean {
  return offender !== undefined && offender === path.source;
}

function addressBytes(address: string): Uint8Array {
  const bytes = parseAddress(address);
  if (bytes === undefined) throw new Error(`not an address: ${address}`);
  return bytes;
}
