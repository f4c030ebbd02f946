/**
 * @module The witness: says which probes passed this node's INPUT hook, without binding the port they were sent to
 * (docs/adr/0001, docs/wire-format.md).
 */
import type { Family } from '../family.ts';
import { formatAddress, sameAddress } from '../packet/address.ts';
import { decodeIpv4 } from '../packet/ipv4.ts';
import {
  decodeHeard,
  decodeMessage,
  encodeMessage,
  type Message,
  maximumHeard,
  preambleBytes,
} from '../packet/message.ts';
import { decodeUdp, judgeUdpChecksum, udpProtocol } from '../packet/udp.ts';
import { type Answers, createAnswers, type Reverse } from './answers.ts';
import { attachFilter, nothing, probesOverUdp } from './bpf.ts';
import type { IncomingEcho } from './echo-sockets.ts';
import { EPOLLIN } from './libc.ts';
import type { Witnessed } from './network.ts';
import type { LinuxNetwork } from './network-linux.ts';
import type { Received } from './sockets.ts';
import { createWatches, type Watches } from './watches.ts';
import {
  createBuckets,
  createHeardLog,
  createLog,
  createReplayGuard,
  type HeardLog,
} from './witness-memory.ts';

/** Who asked something of this agent, and what. */
export interface PeerRequest {
  readonly address: string;
  /** The own address that it was sent to. */
  readonly destination: string;
  readonly family: Family;
  /** Session of the asker, 16 hexadecimal digits. */
  readonly session: string;
  readonly body: Uint8Array;
}

export interface WitnessOptions {
  /** Answers a request with a body, or with nothing at all to stay silent. */
  readonly onRequest: (request: PeerRequest) => Promise<Uint8Array | undefined>;
  /** Whether an address is one of a peer: of strangers less is remembered. */
  readonly isPeer: (address: string) => boolean;
  /** Told of an address that sends what is signed with another key, or signed or unsigned where it must not be. */
  readonly onWrongKey?: (address: string) => void;
  /** Whether a rule might hand a datagram for this port to a transparent proxy; undefined when it could not look. */
  readonly tproxyPossible: (port: number) => Promise<boolean | undefined>;
}

/** More ports than any provider has: a stranger's choice of ports must not fill the memory. */
const maximumTproxiedPorts = 1024;
/** How old a look at the rules may be while the next one is under way. */
const tproxyMemoryMs = 15_000;
const receiveBuffer = 1 << 20;
/** What a message is that a peer with another key sends, or one without a key, or with one where this node has none. */
const wrongKey: ReadonlySet<string> = new Set(['bad-mac', 'unsigned', 'signed-without-key']);

/** Raw sockets that see our own probes after the INPUT hook, and answer them. */
export class Witness implements AsyncDisposable {
  readonly #network: LinuxNetwork;
  readonly #options: WitnessOptions;
  readonly #sockets = new Map<Family, number>();
  readonly #answers: Answers;
  readonly #watches: Watches;
  readonly #heard: HeardLog<Witnessed>;
  /** Probes from other addresses than a peer's own, by the session of the agent: those that came through the overlay. */
  readonly #elsewhere = createLog<Witnessed>({ sources: 4096, perSource: 64, entries: 16_384 });
  readonly #buckets = createBuckets({ sources: 4096, perSecond: 400, burst: 800 });
  readonly #replays = createReplayGuard({ sessions: 8192, window: 1024 });
  readonly #openedAt = new Map<Family, number>();
  readonly #losses = new Map<Family, { dropped: number; at: number | undefined }>();
  readonly #tproxied = new Map<number, { readonly possible: boolean; readonly at: number }>();
  readonly #looking = new Map<string, Set<Promise<boolean>>>();

  constructor(network: LinuxNetwork, options: WitnessOptions) {
    this.#network = network;
    this.#options = options;
    this.#heard = createHeardLog(options.isPeer);
    this.#watches = createWatches(network);
    this.#answers = createAnswers(network);
  }

  /** Opens what may be opened; returns the families that have a witness. HostError `missing-net-raw` when none may. */
  open(): readonly Family[] {
    // The first probe need not wait for the first look at the rules.
    this.#options.tproxyPossible(0).catch(() => undefined);
    for (const family of ['ipv4', 'ipv6'] as const) {
      const fd = this.#openUdp(family);
      if (fd === undefined) continue;
      this.#sockets.set(family, fd);
      this.#openedAt.set(family, performance.now());
      this.#losses.set(family, { dropped: this.#network.libc.messagesDropped(fd), at: undefined });
    }
    this.#network.heardFrom = (address) => this.#heard.latest(address, maximumHeard);
    this.#network.onEchoRequest = (echo) => {
      this.#onEchoRequest(echo);
    };
    return [...this.#sockets.keys()];
  }

  has(family: Family): boolean {
    return this.#sockets.has(family);
  }

  /** How long the witness of a family has been open; 0 when it is not. */
  openSeconds(family: Family): number {
    const openedAt = this.#openedAt.get(family);
    return openedAt === undefined ? 0 : (performance.now() - openedAt) / 1000;
  }

  /**
   * How long ago, at most, the witness of a family had no room for what came (a flood, a process that stood still); undefined when it
   * always had. What it did not hear until then may have been there.
   */
  overloadedSeconds(family: Family): number | undefined {
    this.#noteLosses(family);
    const at = this.#losses.get(family)?.at;
    return at === undefined ? undefined : (performance.now() - at) / 1000;
  }

  /** Whether each of these probes from an address was seen as it was sent. */
  async heard(
    address: string,
    nonces: readonly bigint[],
    session = '',
  ): Promise<readonly boolean[]> {
    // The question may have come another way and overtaken the probes.
    this.#network.reactor.drain();
    for (const key of [address, session]) {
      const underWay = this.#looking.get(key);
      if (underWay !== undefined) await Promise.allSettled(underWay);
    }
    return nonces.map(
      (nonce) =>
        (this.#heard.get(address, nonce) ?? this.#elsewhere.get(session, nonce)) === 'seen',
    );
  }

  /** Opens a watch; undefined when too many are open, or raw sockets may not be had. */
  watch(...given: Parameters<Watches['open']>): string | undefined {
    return this.#watches.open(...given);
  }

  /** Ends a watch of this asker and says what it has seen; undefined when there is no such watch. */
  sighting(asker: string, id: string): ReturnType<Watches['sighting']> {
    return this.#watches.sighting(asker, id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watches.close();
    this.#network.onEchoRequest = undefined;
    this.#network.heardFrom = undefined;
    this.#openedAt.clear();
    for (const fd of this.#sockets.values()) {
      this.#network.reactor.remove(fd);
      this.#network.closeSocket(fd);
    }
    this.#sockets.clear();
    this.#answers.close();
    await Promise.resolve();
  }

  #openUdp(family: Family): number | undefined {
    let fd: number;
    try {
      fd = this.#network.openRaw(family, udpProtocol, {
        packetInfo: family === 'ipv6',
        receiveBufferBytes: receiveBuffer,
        timestamps: true,
      });
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'EAFNOSUPPORT')
        return undefined;
      throw error;
    }
    attachFilter(this.#network.libc, fd, nothing);
    this.#network.receiver.receive(fd, () => {});
    attachFilter(this.#network.libc, fd, probesOverUdp(family === 'ipv4'));
    this.#network.reactor.add(fd, EPOLLIN, () => {
      this.#noteLosses(family);
      this.#network.receiver.receive(fd, (received) => {
        this.#onDatagram(family, received);
      });
    });
    return fd;
  }

  /** Over IPv6 the kernel counts bad checksums among the drops: that too is nothing the witness has seen. */
  #noteLosses(family: Family): void {
    const fd = this.#sockets.get(family);
    const known = this.#losses.get(family);
    if (fd === undefined || known === undefined) return;
    const dropped = this.#network.libc.messagesDropped(fd);
    if (dropped !== known.dropped) this.#losses.set(family, { dropped, at: performance.now() });
  }

  #onDatagram(family: Family, received: Received): void {
    const drop = (reason: string): void => {
      this.#network.options.onDropped(reason);
    };
    if (received.truncated) {
      drop('too-long');
      return;
    }
    const packet = locateDatagram(family, received);
    const udp = packet === undefined ? undefined : decodeUdp(packet.datagram);
    if (packet === undefined || udp === undefined) {
      drop('length');
      return;
    }
    const decoded = decodeMessage(udp.payload.subarray(preambleBytes), this.#network.options.mac);
    const source = formatAddress(packet.source);
    if ('malformed' in decoded) {
      drop(decoded.malformed);
      if (wrongKey.has(decoded.malformed)) this.#options.onWrongKey?.(source);
      return;
    }
    const { message } = decoded;
    if (message.session === this.#network.options.session) return;
    if (!this.#replays.accept(source, message.session, message.nonce)) {
      drop('replayed');
      return;
    }
    const reply: Reverse = {
      family,
      source: Uint8Array.from(packet.destination),
      destination: Uint8Array.from(packet.source),
      sourcePort: udp.destinationPort,
      destinationPort: udp.sourcePort,
    };
    let observation: Witnessed = 'seen';
    if (message.type === 'probe') {
      const reported = decodeHeard(message.body);
      if (reported !== undefined) this.#network.takeReport(source, reported);
      observation = observe(message, packet, udp.destinationPort, family);
      // At once, and also where there is no token for an answer: what was heard was not lost.
      this.#remember(source, message, observation);
    }
    if (!this.#buckets.take(source)) {
      drop('rate-limited');
      return;
    }
    if (message.type === 'probe') {
      void this.#answer(message, reply, observation, received.receivedAt).catch(() => {
        drop('answer-failed');
      });
    } else if (message.type === 'request') {
      const room = udp.payload.length;
      const destination = formatAddress(packet.destination);
      void this.#respond(message, { address: source, destination, family }, (response) => {
        if (response.length <= room) this.#answers.udp(reply, response);
        else drop('response-too-long');
      }).catch(() => {
        drop('answer-failed');
      });
    }
  }

  async #answer(
    message: Message,
    reply: Reverse,
    found: Witnessed,
    receivedAt: bigint,
  ): Promise<void> {
    const source = formatAddress(reply.destination);
    let observation = found;
    if (found === 'seen' && (await this.#lookForTproxy(source, message))) {
      observation = 'seen-tproxy-possible';
      this.#remember(source, message, observation);
    }
    this.#answers.udp(
      reply,
      encodeMessage(
        {
          type: 'answer',
          observation,
          heldMicroseconds: this.#heldSince(receivedAt),
          session: this.#network.options.session,
          nonce: message.nonce,
          address: reply.source,
          port: reply.sourcePort,
          body: new Uint8Array(),
        },
        this.#network.options.mac,
      ),
    );
  }

  #remember(source: string, { session, nonce }: Message, observation: Witnessed): void {
    this.#heard.set(source, nonce, observation);
    if (!this.#options.isPeer(source))
      this.#elsewhere.set(sessionText(session), nonce, observation);
  }

  /** Time since the kernel received it: the prober takes it off the round trip. */
  #heldSince(receivedAt: bigint): number {
    if (receivedAt === 0n) return 0;
    return Math.max(0, Number((this.#network.libc.now() - receivedAt) / 1000n));
  }

  /** The same, remembered as under way: whoever asks what was heard waits for it. */
  async #lookForTproxy(source: string, { port, session }: Message): Promise<boolean> {
    const looking = this.#mayBeTproxied(port);
    const keys = [source, sessionText(session)];
    for (const key of keys)
      this.#looking.set(key, (this.#looking.get(key) ?? new Set()).add(looking));
    try {
      return await looking;
    } finally {
      for (const key of keys) {
        const underWay = this.#looking.get(key);
        underWay?.delete(looking);
        if (underWay?.size === 0) this.#looking.delete(key);
      }
    }
  }

  /** What was found a moment ago is told at once and looked at anew meanwhile: a large ruleset takes seconds. */
  async #mayBeTproxied(port: number): Promise<boolean> {
    const looking = this.#options.tproxyPossible(port).then((possible) => {
      if (this.#tproxied.size >= maximumTproxiedPorts) this.#tproxied.clear();
      this.#tproxied.set(port, { possible: possible === true, at: performance.now() });
      return possible === true;
    });
    const known = this.#tproxied.get(port);
    if (known === undefined || performance.now() - known.at > tproxyMemoryMs) return await looking;
    looking.catch(() => {
      this.#network.options.onDropped('answer-failed');
    });
    return known.possible;
  }

  async #respond(
    message: Message,
    ends: Pick<PeerRequest, 'address' | 'destination' | 'family'>,
    send: (response: Uint8Array) => void,
  ): Promise<void> {
    // Not within the handler that received it: what the answer needs may still lie in other sockets.
    await Promise.resolve();
    const body = await this.#options.onRequest({
      ...ends,
      session: sessionText(message.session),
      body: message.body,
    });
    if (body === undefined) return;
    send(
      encodeMessage(
        {
          type: 'response',
          session: this.#network.options.session,
          nonce: message.nonce,
          address: message.address,
          port: message.port,
          body,
        },
        this.#network.options.mac,
      ),
    );
  }

  /** A request inside an echo request; the kernel sends its own reply, ours is a second one. */
  #onEchoRequest(echo: IncomingEcho): void {
    const { family, data } = echo;
    const { onDropped, mac, session } = this.#network.options;
    const decoded = decodeMessage(data, mac);
    const source = formatAddress(echo.source);
    if ('malformed' in decoded) {
      onDropped(decoded.malformed);
      if (wrongKey.has(decoded.malformed)) this.#options.onWrongKey?.(source);
      return;
    }
    const { message } = decoded;
    if (message.type !== 'request' || message.session === session) return;
    if (!this.#replays.accept(source, message.session, message.nonce)) {
      onDropped('replayed');
      return;
    }
    if (!this.#buckets.take(source)) {
      onDropped('rate-limited');
      return;
    }
    const destination = formatAddress(echo.destination);
    void this.#respond(message, { address: source, destination, family }, (response) => {
      if (response.length > data.length) {
        onDropped('response-too-long');
        return;
      }
      this.#answers.echo(echo, response);
    }).catch(() => {
      onDropped('answer-failed');
    });
  }
}

/** 16 hexadecimal digits. */
function sessionText(session: bigint): string {
  return session.toString(16).padStart(16, '0');
}

function locateDatagram(
  family: Family,
  received: Received,
): { source: Uint8Array; destination: Uint8Array; datagram: Uint8Array } | undefined {
  if (family === 'ipv6') {
    if (received.destination === undefined) return undefined;
    return {
      source: received.source,
      destination: received.destination,
      datagram: received.bytes,
    };
  }
  const packet = decodeIpv4(received.bytes);
  if (packet === undefined) return undefined;
  return { source: packet.source, destination: packet.destination, datagram: packet.payload };
}

/** What a probe looks like on arrival: as it was sent, or not. */
function observe(
  message: Message,
  packet: { source: Uint8Array; destination: Uint8Array; datagram: Uint8Array },
  port: number,
  family: Family,
): Witnessed {
  const checksum = judgeUdpChecksum(packet);
  if (checksum === 'bad' || (checksum === 'none' && family === 'ipv6')) return 'seen-bad-checksum';
  return sameAddress(message.address, packet.destination) && message.port === port
    ? 'seen'
    : 'seen-rewritten';
}
