/**
 * @module The witness: says which probes passed this node's INPUT hook, without binding the port they were sent to
 * (docs/adr/0001, docs/wire-format.md).
 */
import type { Family } from '../family.ts';
import { formatAddress, parseAddress, sameAddress } from '../packet/address.ts';
import { internetChecksum, pseudoHeaderSum } from '../packet/checksum.ts';
import { encodeEchoReply } from '../packet/icmp.ts';
import { decodeIpv4, encodeIpv4 } from '../packet/ipv4.ts';
import { encodeIpv6 } from '../packet/ipv6.ts';
import {
  decodeHeard,
  decodeMessage,
  encodeMessage,
  type Message,
  maximumHeard,
  preambleBytes,
} from '../packet/message.ts';
import { isConnectionAttempt } from '../packet/tcp.ts';
import { decodeUdp, encodeUdp, judgeUdpChecksum, udpProtocol } from '../packet/udp.ts';
import { attachFilter, connectionAttempts, nothing, probesOverUdp } from './bpf.ts';
import type { IncomingEcho } from './echo-sockets.ts';
import { EPOLLIN, IPPROTO_RAW, IPPROTO_TCP } from './libc.ts';
import type { Witnessed } from './network.ts';
import { ipProbeHeaderBytes, type LinuxNetwork } from './network-linux.ts';
import { icmpProtocol, type Received, socketAddress } from './sockets.ts';
import {
  createBuckets,
  createHeardLog,
  createReplayGuard,
  type HeardLog,
} from './witness-memory.ts';

/** Who asked something of this agent, and what. */
export interface PeerRequest {
  readonly address: string;
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

/** A watch for packets of one asker. */
interface OpenWatch {
  /** Undefined once it has been asked what it saw: its socket costs the whole host a copy of every packet. */
  fd: number | undefined;
  readonly asker: string;
  readonly established: boolean | undefined;
  readonly timer: NodeJS.Timeout;
  seen: number;
}

const watchMs = 6000;
const maximumWatches = 64;
const maximumWatchesPerAsker = 8;
/** Watches whose numbers are kept, so that a question that is asked again gets the same answer. */
const maximumRemembered = 1024;
/** More ports than any provider has: a stranger's choice of ports must not fill the memory. */
const maximumTproxiedPorts = 1024;
/** How old a look at the rules may be while the next one is under way. */
const tproxyMemoryMs = 15_000;
const receiveBuffer = 1 << 20;
const fixedTtl = 64;
/** What a message is that a peer with another key sends, or one without a key, or with one where this node has none. */
const wrongKey: ReadonlySet<string> = new Set(['bad-mac', 'unsigned', 'signed-without-key']);

/** Raw sockets that see our own probes after the INPUT hook, and answer them. */
export class Witness implements AsyncDisposable {
  readonly #network: LinuxNetwork;
  readonly #options: WitnessOptions;
  readonly #sockets = new Map<Family, number>();
  readonly #senders = new Map<Family, number>();
  readonly #watches = new Map<string, OpenWatch>();
  readonly #heard: HeardLog<Witnessed>;
  readonly #buckets = createBuckets({ sources: 4096, perSecond: 400, burst: 800 });
  readonly #replays = createReplayGuard({ sessions: 8192, window: 1024 });
  readonly #openedAt = new Map<Family, number>();
  readonly #losses = new Map<Family, { dropped: number; at: number | undefined }>();
  readonly #tproxied = new Map<number, { readonly possible: boolean; readonly at: number }>();
  readonly #looking = new Map<string, Set<Promise<boolean>>>();
  #nextWatch = 0;

  constructor(network: LinuxNetwork, options: WitnessOptions) {
    this.#network = network;
    this.#options = options;
    this.#heard = createHeardLog(options.isPeer);
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
  async heard(address: string, nonces: readonly bigint[]): Promise<readonly boolean[]> {
    // The question may have come another way and overtaken the probes.
    this.#network.reactor.drain();
    const underWay = this.#looking.get(address);
    if (underWay !== undefined) await Promise.allSettled(underWay);
    return nonces.map((nonce) => this.#heard.get(address, nonce) === 'seen');
  }

  /** Opens a watch; undefined when too many are open, or raw sockets may not be had. */
  watch(
    asker: { readonly address: string; readonly family: Family },
    what: { readonly protocol: 'tcp'; readonly port: number } | { readonly protocol: 4 | 50 },
    established: boolean | undefined,
  ): string | undefined {
    const open = [...this.#watches.values()].filter(({ fd }) => fd !== undefined);
    const mine = open.filter((watch) => watch.asker === asker.address);
    if (open.length >= maximumWatches || mine.length >= maximumWatchesPerAsker) return undefined;
    if (this.#watches.size >= maximumRemembered) return undefined;
    const protocol = what.protocol === 'tcp' ? IPPROTO_TCP : what.protocol;
    const fd = this.#network.openRaw(asker.family, protocol);
    if (what.protocol === 'tcp') {
      attachFilter(
        this.#network.libc,
        fd,
        connectionAttempts(asker.family === 'ipv4', what.port, sourceWord(asker)),
      );
    }
    const id = `${this.#nextWatch++}`;
    const timer = setTimeout(() => {
      this.#closeWatch(id);
    }, watchMs);
    const watch: OpenWatch = { fd, asker: asker.address, established, timer, seen: 0 };
    this.#watches.set(id, watch);
    this.#network.reactor.add(fd, EPOLLIN, () => {
      this.#network.receiver.receive(fd, (received) => {
        if (formatAddress(received.source) !== asker.address) return;
        const payload =
          asker.family === 'ipv4' ? decodeIpv4(received.bytes)?.payload : received.bytes;
        if (payload === undefined) return;
        // Not the filter alone: segments of other connections may come before it is attached.
        const wanted =
          what.protocol === 'tcp'
            ? isConnectionAttempt(payload, what.port)
            : this.#isIpProbe(payload);
        if (wanted) watch.seen++;
      });
    });
    return id;
  }

  /** Ends a watch of this asker and says what it has seen; undefined when there is no such watch. */
  sighting(asker: string, id: string): { seen: number; established?: boolean } | undefined {
    const watch = this.#watches.get(id);
    if (watch === undefined || watch.asker !== asker) return undefined;
    this.#network.reactor.drain();
    this.#stopWatching(watch);
    return {
      seen: watch.seen,
      ...(watch.established === undefined ? {} : { established: watch.established }),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const id of this.#watches.keys()) this.#closeWatch(id);
    this.#network.onEchoRequest = undefined;
    this.#network.heardFrom = undefined;
    this.#openedAt.clear();
    for (const fd of [...this.#sockets.values(), ...this.#senders.values()]) {
      this.#network.reactor.remove(fd);
      this.#network.closeSocket(fd);
    }
    this.#sockets.clear();
    this.#senders.clear();
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
    const reply: Reply = {
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
      this.#heard.set(source, message.nonce, observation);
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
      void this.#respond(message, source, family, (response) => {
        if (response.length <= room) this.#sendUdp(reply, response);
        else drop('response-too-long');
      }).catch(() => {
        drop('answer-failed');
      });
    }
  }

  async #answer(
    message: Message,
    reply: Reply,
    found: Witnessed,
    receivedAt: bigint,
  ): Promise<void> {
    const source = formatAddress(reply.destination);
    let observation = found;
    if (found === 'seen' && (await this.#lookForTproxy(source, message.port))) {
      observation = 'seen-tproxy-possible';
      this.#heard.set(source, message.nonce, observation);
    }
    this.#sendUdp(
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

  /** Time since the kernel received it: the prober takes it off the round trip. */
  #heldSince(receivedAt: bigint): number {
    if (receivedAt === 0n) return 0;
    return Math.max(0, Number((this.#network.libc.now() - receivedAt) / 1000n));
  }

  /** The same, remembered as under way: whoever asks what was heard waits for it. */
  async #lookForTproxy(source: string, port: number): Promise<boolean> {
    const looking = this.#mayBeTproxied(port);
    const underWay = this.#looking.get(source) ?? new Set();
    this.#looking.set(source, underWay);
    underWay.add(looking);
    try {
      return await looking;
    } finally {
      underWay.delete(looking);
      if (underWay.size === 0) this.#looking.delete(source);
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
    address: string,
    family: Family,
    send: (response: Uint8Array) => void,
  ): Promise<void> {
    // Not within the handler that received it: what the answer needs may still lie in other sockets.
    await Promise.resolve();
    const body = await this.#options.onRequest({
      address,
      family,
      session: message.session.toString(16).padStart(16, '0'),
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

  /** The exact reverse of what was seen, from a raw socket: stateful firewalls let it pass as a reply. */
  #sendUdp(reply: Reply, payload: Uint8Array): void {
    this.#sendIp(reply, udpProtocol, encodeUdp({ ...reply, payload }));
  }

  #sendIp(reply: Reply, protocol: number, payload: Uint8Array): void {
    let fd = this.#senders.get(reply.family);
    if (fd === undefined) {
      fd = this.#network.openRaw(reply.family, IPPROTO_RAW, { headerIncluded: true });
      this.#senders.set(reply.family, fd);
    }
    const { source, destination } = reply;
    const packet =
      reply.family === 'ipv4'
        ? encodeIpv4({
            source,
            destination,
            protocol,
            payload,
            identification: 0,
            dontFragment: false,
            ttl: fixedTtl,
          })
        : encodeIpv6({ source, destination, nextHeader: protocol, payload, hopLimit: fixedTtl });
    const failed = this.#network.libc.sendto(
      fd,
      packet,
      socketAddress(formatAddress(destination), 0),
    );
    if (failed !== undefined) this.#network.options.onDropped('answer-refused');
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
    void this.#respond(message, source, family, (response) => {
      if (response.length > data.length) {
        onDropped('response-too-long');
        return;
      }
      const reply = encodeEchoReply({ ...echo, data: response });
      const reverse = { source: echo.destination, destination: echo.source };
      if (family === 'ipv6') fillIcmpv6Checksum(reply, reverse);
      this.#sendIp(
        { family, ...reverse, sourcePort: 0, destinationPort: 0 },
        icmpProtocol(family),
        reply,
      );
    }).catch(() => {
      onDropped('answer-failed');
    });
  }

  #isIpProbe(payload: Uint8Array): boolean {
    const decoded = decodeMessage(payload.subarray(ipProbeHeaderBytes), this.#network.options.mac);
    if ('malformed' in decoded) {
      this.#network.options.onDropped(decoded.malformed);
      return false;
    }
    return decoded.message.type === 'probe';
  }

  #closeWatch(id: string): void {
    const watch = this.#watches.get(id);
    if (watch === undefined) return;
    clearTimeout(watch.timer);
    this.#watches.delete(id);
    this.#stopWatching(watch);
  }

  #stopWatching(watch: OpenWatch): void {
    const { fd } = watch;
    if (fd === undefined) return;
    watch.fd = undefined;
    this.#network.reactor.remove(fd);
    this.#network.closeSocket(fd);
  }
}

interface Reply {
  readonly family: Family;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly sourcePort: number;
  readonly destinationPort: number;
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

/** ICMPv6 checksum over the pseudo header (RFC 4443 section 2.3); the kernel leaves packets with an own header alone. */
function fillIcmpv6Checksum(
  icmp: Uint8Array,
  ends: { readonly source: Uint8Array; readonly destination: Uint8Array },
): void {
  const sum = pseudoHeaderSum({ ...ends, protocol: icmpProtocol('ipv6'), length: icmp.length });
  new DataView(icmp.buffer, icmp.byteOffset).setUint16(2, internetChecksum(icmp, sum));
}

function sourceWord({ address, family }: { address: string; family: Family }): number | undefined {
  const bytes = family === 'ipv4' ? parseAddress(address) : undefined;
  return bytes === undefined
    ? undefined
    : new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
}
