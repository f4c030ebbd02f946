/** @module Answers what peers ask; always and only about packets from the asker's own address. */
import type { Answer } from './check.ts';
import type { Flow } from './diagnosis/evidence.ts';
import type { Lookout } from './diagnosis/receiver.ts';
import type { Family } from './family.ts';
import { HostError } from './host/host.ts';
import type { PeerRequest, Witness } from './host/witness.ts';
import { icmpProtocol } from './packet/icmp.ts';
import { slimmer, type TravellingAnswer, travelling } from './peer-answer.ts';
import type { PeerFacts, ProbeWish } from './peer-channel.ts';
import { writeObserved } from './peer-observed.ts';
import { type Request, readRequest, writeFacts } from './peer-protocol.ts';
import { maximumBodyBytes, writeBody } from './peer-wire.ts';
import { createStationWatches } from './station-watches.ts';

type Wish = Extract<Request, { op: 'confirm' }>['requirements'][number];

export interface PeerServiceOptions {
  readonly witness: Witness;
  readonly facts: (family: Family) => PeerFacts;
  /** Whether this address may ask for more than what was heard of its own probes. */
  readonly isPeer: (address: string) => boolean;
  /** Whether requests are signed: then whoever holds the key may ask. */
  readonly signed: boolean;
  /** Whether a packet from the asker would pass a stateful firewall as ESTABLISHED; undefined when it could not look. */
  readonly established: (flow: {
    readonly protocol: number;
    readonly source: string;
    readonly destination: string;
  }) => Promise<boolean | undefined>;
  /** The own address that talks to this peer. */
  readonly ownAddress: (family: Family) => string | undefined;
  /** Looks out for the packets of a flow that comes from the asker. */
  readonly lookOut: (flow: Flow) => Promise<Lookout>;
  /** Tests one wish towards the asker. */
  readonly probe: (wish: Wish, asker: { address: string; family: Family }) => Promise<Answer>;
}

interface Kept {
  answer: Answer | undefined;
  at: number;
}

const maximumKept = 16_384;
const maximumRunning = 64;

/** `busy`: too many watches are open; `unable`: this node may not open any. */
export type Refusal = 'busy' | 'unable';

/** Answers requests, whatever carried them. */
export interface PeerService {
  /** The body of the response, a reason to refuse for now, or undefined for what is no request of a peer. */
  answer(request: PeerRequest): Promise<Uint8Array | Refusal | undefined>;
  /** Keeps an answer of the own rounds, so that the peer's question costs no packet. */
  remember(address: string, wish: ProbeWish, answer: Answer): void;
  /** Ends every look-out; none is opened any more. */
  close(): Promise<void>;
}

export function createPeerService(options: PeerServiceOptions): PeerService {
  const kept = new Map<string, Kept>();
  const lookouts = createStationWatches(options.lookOut);
  let running = 0;

  function keep(key: string, entry: Kept): void {
    kept.delete(key);
    kept.set(key, entry);
    if (kept.size > maximumKept) {
      const oldest = kept.keys().next();
      if (oldest.done !== true) kept.delete(oldest.value);
    }
  }

  function start(key: string, wish: Wish, asker: { address: string; family: Family }): void {
    if (running >= maximumRunning) return;
    const entry: Kept = { answer: undefined, at: performance.now() };
    keep(key, entry);
    running++;
    options
      .probe(wish, asker)
      .then(
        (answer) => {
          entry.answer = answer;
          entry.at = performance.now();
        },
        () => {
          kept.delete(key);
        },
      )
      .finally(() => {
        running--;
      });
  }

  function confirm(
    { requirements, maximumAgeSeconds }: Extract<Request, { op: 'confirm' }>,
    asker: { address: string; family: Family },
  ): Uint8Array {
    const verdicts: { id: string; ageSeconds: number; answer: TravellingAnswer }[] = [];
    let pending = false;
    for (const wish of requirements) {
      const key = keyOf(asker.address, wish);
      let entry = kept.get(key);
      // A test under way is never too old, however long it takes.
      const age = entry?.answer === undefined ? 0 : performance.now() - entry.at;
      if (age > maximumAgeSeconds * 1000) entry = undefined;
      if (entry === undefined) start(key, wish, asker);
      if (entry?.answer === undefined) pending = true;
      else
        verdicts.push({
          id: wish.id,
          ageSeconds: Math.round((performance.now() - entry.at) / 100) / 10,
          answer: travelling(entry.answer),
        });
    }
    let body = writeBody({ verdicts, pending });
    // What does not fit goes with less: the outcome matters more than its evidence.
    for (const slim of slimmer) {
      for (let at = verdicts.length - 1; at >= 0 && body.length > maximumBodyBytes; at--) {
        const verdict = verdicts[at];
        if (verdict !== undefined) verdict.answer = slim(verdict.answer);
        body = writeBody({ verdicts, pending });
      }
    }
    return body;
  }

  return {
    remember(address, wish, answer) {
      // What could not be determined may have been so because the asker had no witness yet; now it asks.
      if (answer.outcome === 'unknown') return;
      keep(keyOf(address, wish), { answer, at: performance.now() });
    },
    close: async () => {
      await lookouts.close();
    },
    async answer({ address, destination, family, body }) {
      const request = readRequest(body);
      if (request === undefined) return undefined;
      switch (request.op) {
        case 'facts':
          return writeFacts(options.facts(family));
        case 'heard': {
          const heard = await options.witness.heard(
            address,
            request.nonces.map((nonce) => BigInt(`0x${nonce}`)),
            request.session,
          );
          const overloadedSeconds = options.witness.overloadedSeconds(family);
          return writeBody({
            witnessSeconds: options.witness.openSeconds(family),
            ...(overloadedSeconds === undefined ? {} : { overloadedSeconds }),
            heard,
          });
        }
        case 'sighting':
          return ifDefined(options.witness.sighting(address, request.id));
        case 'watch': {
          if (!options.signed && !options.isPeer(address)) return undefined;
          const destination = options.ownAddress(family);
          const established =
            request.protocol === 'tcp' || destination === undefined
              ? undefined
              : await options.established({
                  protocol: request.protocol,
                  source: address,
                  destination,
                });
          try {
            const id = options.witness.watch({ address, family }, request, established);
            return id === undefined ? 'busy' : writeBody({ id });
          } catch (error) {
            if (error instanceof HostError) return 'unable';
            throw error;
          }
        }
        case 'observe': {
          if (!options.signed && !options.isPeer(address)) return undefined;
          const flow = flowOf(request, { family, source: address, destination });
          try {
            const isOpen = await lookouts.open(address, request.id, flow);
            return isOpen ? writeBody({ id: request.id }) : 'busy';
          } catch (error) {
            if (error instanceof HostError) return 'unable';
            throw error;
          }
        }
        case 'observed': {
          const evidence = await lookouts.observed(address, request.id);
          return evidence === undefined ? undefined : writeObserved(evidence, maximumBodyBytes);
        }
        case 'confirm':
          if (!options.signed && !options.isPeer(address)) return undefined;
          return confirm(request, { address, family });
      }
    },
  };
}

function flowOf(
  request: Extract<Request, { op: 'observe' }>,
  ends: Pick<Flow, 'family' | 'source' | 'destination'>,
): Flow {
  if (request.protocol === 'icmp') return { ...ends, protocol: icmpProtocol[ends.family] };
  const { protocol } = request;
  return 'port' in request ? { ...ends, protocol, port: request.port } : { ...ends, protocol };
}

function ifDefined(value: unknown): Uint8Array | undefined {
  return value === undefined ? undefined : writeBody(value);
}

function keyOf(address: string, { id, kind, mustReach, params }: ProbeWish): string {
  return JSON.stringify([address, id, kind, mustReach, params]);
}
