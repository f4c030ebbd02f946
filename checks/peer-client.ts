/** @module Asks a peer's agent, by whatever still passes: UDP to our own port, ICMP echo, HTTP. */
import { randomBytes } from 'node:crypto';
import { HostError } from './host/host.ts';
import type { Path } from './host/network.ts';
import { type LinuxNetwork } from './host/network-linux.ts';
import { requestPayloadBytes } from './packet/probe.ts';
import { arrived } from './peer-answer.ts';
import type { PeerChannel, PeerVerdict, ProbeWish } from './peer-channel.ts';
import { readObserved } from './peer-observed.ts';
import {
  type Request,
  readFacts,
  readHeard,
  readObserveOpened,
  readRefused,
  readSighting,
  readVerdicts,
  readWatchOpened,
} from './peer-protocol.ts';
import { writeBody } from './peer-wire.ts';
import { pause } from './time.ts';

/** Port of the agent, UDP and TCP. Nobody binds it on UDP: the raw witness sees what is sent there. */
export const agentPort = 10472;

/** Carries a request and brings back the body of the response, undefined when none came, or that the two have different keys. */
export type Carrier = (
  path: Path,
  request: Request,
  timeoutMs: number,
  signal: AbortSignal,
) => Promise<Uint8Array | 'wrong-key' | undefined>;

/** The two carriers that need no connection: a UDP datagram, and an ICMP echo. */
export function datagramCarriers(network: LinuxNetwork): readonly Carrier[] {
  return [
    async (path, request, timeoutMs, signal) => {
      const { response } = await network.exchange(
        path,
        {
          type: 'request',
          port: agentPort,
          payload: 'zero',
          body: writeBody(request),
          totalBytes: requestPayloadBytes + (path.family === 'ipv4' ? 28 : 48),
        },
        timeoutMs,
        signal,
      );
      return response;
    },
    async (path, request, timeoutMs, signal) => {
      const { response } = await network.requestOverEcho(
        path,
        writeBody(request),
        requestPayloadBytes,
        timeoutMs,
        signal,
      );
      return response;
    },
  ];
}

/** Wishes in one request, so that request and response stay small. */
const wishesAtOnce = 3;
const pollMs = 250;

/** The way to one address of a peer. It remembers which carrier answered last and tries that one first. */
export function createPeerChannel(options: {
  readonly path: Path;
  readonly carriers: readonly Carrier[];
  readonly timeoutMs: number;
  /** Of the own agent, 16 hexadecimal digits. */
  readonly session: string;
  /** How long the peer may take to probe us. */
  readonly confirmMs: number;
  /** Whether the peer was heard lately with another key. */
  readonly heardWrongKey?: () => boolean;
}): PeerChannel {
  const { path, carriers, timeoutMs } = options;
  let preferred: Carrier | undefined;
  let wrongKey = false;

  /** A carrier that cannot have a socket is one that brings nothing. */
  async function carry(
    carrier: Carrier,
    request: Request,
    signal: AbortSignal,
    to = path,
  ): Promise<Uint8Array | undefined> {
    try {
      const body = await carrier(to, request, timeoutMs, signal);
      // Elsewhere another agent may answer: its key says nothing of the peer's.
      const isWrong = body === 'wrong-key';
      if (to === path && body !== undefined) wrongKey = isWrong;
      return isWrong ? undefined : body;
    } catch (error) {
      if (error instanceof HostError) return undefined;
      throw error;
    }
  }

  async function ask(request: Request, signal: AbortSignal): Promise<Uint8Array | undefined> {
    for (let attempt = 0; attempt < 2 && preferred !== undefined; attempt++) {
      const body = await carry(preferred, request, signal);
      if (body !== undefined || signal.aborted) return body;
    }
    const others = carriers.filter((carrier) => carrier !== preferred);
    preferred = undefined;
    const first = await firstOf(others, request, signal);
    preferred ??= first?.carrier;
    return first?.body;
  }

  /** Some carriers may be slow to fail; the first response wins. */
  async function firstOf(
    asked: readonly Carrier[],
    request: Request,
    signal: AbortSignal,
    to = path,
  ): Promise<{ readonly carrier: Carrier; readonly body: Uint8Array } | undefined> {
    return await new Promise((resolve, reject) => {
      let open = asked.length;
      if (open === 0) resolve(undefined);
      for (const carrier of asked) {
        carry(carrier, request, signal, to).then((body) => {
          open--;
          if (body !== undefined) resolve({ carrier, body });
          else if (open === 0) resolve(undefined);
        }, reject);
      }
    });
  }

  async function read<T>(
    request: Request,
    reader: (bytes: Uint8Array) => T | undefined,
    signal: AbortSignal,
  ): Promise<T | undefined> {
    const body = await ask(request, signal);
    return body === undefined ? undefined : reader(body);
  }

  async function confirmSome(
    wishes: readonly ProbeWish[],
    maximumAgeSeconds: number,
    signal: AbortSignal,
  ): Promise<readonly PeerVerdict[] | undefined> {
    const request = { op: 'confirm', requirements: [...wishes], maximumAgeSeconds } as Request;
    const until = performance.now() + options.confirmMs;
    const verdicts = new Map<string, PeerVerdict>();
    for (;;) {
      const read_ = await read(request, readVerdicts, signal);
      if (read_ === undefined) return verdicts.size === 0 ? undefined : [...verdicts.values()];
      for (const { id, answer, ageSeconds } of read_.verdicts) {
        const whole = arrived(answer);
        if (whole !== undefined) verdicts.set(id, { requirement: id, answer: whole, ageSeconds });
      }
      if (!read_.pending || performance.now() > until || signal.aborted)
        return [...verdicts.values()];
      await pause(pollMs, signal);
    }
  }

  return {
    address: path.destination,
    family: path.family,
    keyMismatch: () => wrongKey || options.heardWrongKey?.() === true,
    facts: async (signal) => await read({ op: 'facts' }, readFacts, signal),
    factsAt: async (address, signal) => {
      const to = { ...path, destination: address };
      const first = await firstOf(carriers, { op: 'facts' }, signal, to);
      return first === undefined ? undefined : readFacts(first.body);
    },
    heard: async (nonces, signal) => {
      const answer = await read(
        {
          op: 'heard',
          nonces: nonces.map((nonce) => nonce.toString(16).padStart(16, '0')),
          session: options.session,
        },
        readHeard,
        signal,
      );
      return answer?.heard.length === nonces.length ? answer : undefined;
    },
    watch: async (watch, signal) => await read({ op: 'watch', ...watch }, readWatchOpened, signal),
    sighting: async (id, signal) => await read({ op: 'sighting', id }, readSighting, signal),
    observe: async (what, signal) => {
      const id = randomBytes(8).toString('hex');
      const body = await ask({ op: 'observe', id, ...what }, signal);
      if (body === undefined) return undefined;
      return readRefused(body)?.refused ?? readObserveOpened(body);
    },
    observed: async (id, signal) => await read({ op: 'observed', id }, readObserved, signal),
    confirm: async (wishes, maximumAgeSeconds, signal) => {
      const verdicts: PeerVerdict[] = [];
      for (let at = 0; at < wishes.length; at += wishesAtOnce) {
        const some = await confirmSome(
          wishes.slice(at, at + wishesAtOnce),
          maximumAgeSeconds,
          signal,
        );
        if (some === undefined) return at === 0 ? undefined : verdicts;
        verdicts.push(...some);
      }
      return verdicts;
    },
  };
}
