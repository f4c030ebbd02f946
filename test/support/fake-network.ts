/** @module A network and a peer's agent made of a script. What the script does not provide for fails the test. */
import type { Context, PeerTarget } from '../../checks/check.ts';
import type { Host, InterfaceAddress, Link, Route } from '../../checks/host/host.ts';
import type {
  EchoObservation,
  Network,
  Observation,
  PacketError,
  TapReport,
  TcpObservation,
  UdpObservation,
} from '../../checks/host/network.ts';
import type { PeerChannel, PeerFacts } from '../../checks/peer-channel.ts';

/** Addresses of the peer and of this node in tests (RFC 5737, RFC 3849). */
export const peerAddress = { ipv4: '192.0.2.2', ipv6: '2001:db8::2' } as const;
export const ownAddress = { ipv4: '192.0.2.1', ipv6: '2001:db8::1' } as const;
export const routerAddress = { ipv4: '192.0.2.254', ipv6: '2001:db8::fe' } as const;

type Sent<M extends 'udp' | 'echo' | 'tcp' | 'ipProtocol'> = Parameters<Network[M]>;
type IpObservation = Observation & { readonly nonce: bigint };

/** What the network does with the n-th (from 0) packet of one method; what is left out of an observation is silence. */
export interface NetworkScript {
  readonly udp?: (n: number, ...sent: Sent<'udp'>) => Partial<UdpObservation>;
  readonly echo?: (n: number, ...sent: Sent<'echo'>) => Partial<EchoObservation>;
  readonly tcp?: (n: number, ...sent: Sent<'tcp'>) => Partial<TcpObservation>;
  readonly ipProtocol?: (n: number, ...sent: Sent<'ipProtocol'>) => Partial<IpObservation>;
  /** What the taps of a flow have seen when they are closed. */
  readonly tap?: (...given: Parameters<Network['tap']>) => TapReport;
  /** `ADDRESS PORT` of what the peer's own probes reported. */
  readonly reported?: readonly string[];
}

/** The network of a script, with a count of what was sent. */
export interface FakeNetwork extends Network {
  readonly sent: Readonly<Record<'udp' | 'echo' | 'tcp' | 'ipProtocol', number>>;
}

function refuse(what: string): never {
  throw new Error(`the test did not expect ${what}`);
}

/** Builds a network. Source ports count up from 40000 and nonces from 1, in the order of sending. */
export function fakeNetwork(script: NetworkScript = {}): FakeNetwork {
  const sent = { udp: 0, echo: 0, tcp: 0, ipProtocol: 0 };
  const silence = (n: number): Observation => ({
    sourcePort: 40_000 + n,
    errors: [],
    stalled: false,
  });
  return {
    sent,
    async udp(...given) {
      const n = sent.udp++;
      const said = (script.udp ?? refuse('a UDP probe'))(n, ...given);
      return { ...silence(n), nonce: BigInt(n + 1), ...said };
    },
    async echo(...given) {
      const n = sent.echo++;
      const said = (script.echo ?? refuse('an echo request'))(n, ...given);
      return { ...silence(n), replied: false, ...said };
    },
    async tcp(...given) {
      const n = sent.tcp++;
      const said = (script.tcp ?? refuse('a TCP connect'))(n, ...given);
      return { ...silence(n), result: 'timed-out', ...said };
    },
    async ipProtocol(...given) {
      const n = sent.ipProtocol++;
      const said = (script.ipProtocol ?? refuse('a packet of another protocol'))(n, ...given);
      return { ...silence(n), nonce: BigInt(n + 1), ...said };
    },
    tap(...given) {
      const report = (script.tap ?? refuse('a tap'))(...given);
      return { stop: async () => report };
    },
    wasReported: (destination, port) => (script.reported ?? []).includes(`${destination} ${port}`),
  };
}

/** One observation after the other; the last one again and again. */
export function inTurn<T>(...observations: readonly [T, ...T[]]): (n: number) => T {
  return (n) => observations[n] ?? observations[observations.length - 1] ?? observations[0];
}

/** What the peer's agent answers; `silent` is an agent that is not there. A method left out must not be asked. */
export type PeerScript = {
  readonly [M in
    | 'facts'
    | 'factsAt'
    | 'heard'
    | 'watch'
    | 'sighting'
    | 'observe'
    | 'observed'
    | 'confirm']?: PeerChannel[M] | Awaited<ReturnType<PeerChannel[M]>> | 'silent';
} & { readonly keyMismatch?: boolean };

/** Builds the way to a peer's agent. */
export function fakePeer(script: PeerScript = {}): PeerChannel {
  // biome-ignore format: one line a method
  return {
    address: peerAddress.ipv4,
    family: 'ipv4',
    keyMismatch: () => script.keyMismatch ?? false,
    facts: async (...given) => await play(script.facts, 'the question for facts', given),
    factsAt: async (...given) => await play(script.factsAt, 'the question for facts at another address', given),
    heard: async (...given) => await play(script.heard, 'the question for what was heard', given),
    watch: async (...given) => await play(script.watch, 'the opening of a watch', given),
    sighting: async (...given) => await play(script.sighting, 'the question for a sighting', given),
    observe: async (...given) => await play(script.observe, 'the opening of a look-out', given),
    observed: async (...given) => await play(script.observed, 'the question for a look-out', given),
    confirm: async (...given) => await play(script.confirm, 'the wish for a probe', given),
  };
}

async function play<A extends readonly unknown[], T>(
  part: ((...given: A) => Promise<T | undefined>) | T | 'silent' | undefined,
  what: string,
  given: A,
): Promise<T | undefined> {
  if (part === undefined) return refuse(what);
  if (part === 'silent') return undefined;
  return typeof part === 'function'
    ? await (part as (...given: A) => Promise<T | undefined>)(...given)
    : part;
}

/** An agent that has neither witness nor anything else to say. */
export const noAgent: PeerChannel = fakePeer({
  facts: 'silent',
  factsAt: 'silent',
  heard: 'silent',
  watch: 'silent',
  sighting: 'silent',
  observe: 'silent',
  observed: 'silent',
  confirm: 'silent',
});

/** The peer that every test probes. */
export function someTarget(change: Partial<PeerTarget> = {}): PeerTarget {
  const family = change.family ?? 'ipv4';
  return {
    scope: 'peer',
    name: 'worker-2',
    address: peerAddress[family],
    family,
    mustReach: true,
    ...change,
  };
}

/** What a peer's agent says of itself, with everything that does not matter filled in. */
export function someFacts(change: Partial<PeerFacts> = {}): PeerFacts {
  return {
    session: '00000000000000aa',
    node: 'worker-2',
    version: '0.1.0',
    witness: true,
    provider: 'canal',
    encapsulation: 'vxlan',
    vni: 1,
    port: 8472,
    mtu: 1450,
    overlay: {},
    answers: [],
    tunnels: {},
    down: [],
    podSubnets: [],
    ...change,
  };
}

/** A context for a check towards a peer: the network, the agent there, and the routes and links of this node. */
export function peerContext(
  given: Partial<Omit<Context, 'host' | 'peer'>> & {
    readonly network?: Network;
    readonly peer?: PeerChannel;
    readonly route?: Route | 'none';
    readonly links?: readonly Link[];
    readonly addresses?: readonly InterfaceAddress[];
  } = {},
): Context {
  const { network, peer, route, links, addresses, ...rest } = given;
  const host: Host = {
    capabilities: { netRaw: true, netAdmin: true },
    network: network ?? fakeNetwork(),
    readText: async (path) => refuse(`readText ${path}`),
    listDirectory: async (path) => refuse(`listDirectory ${path}`),
    exists: async (path) => refuse(`exists ${path}`),
    osFacts: async () => refuse('osFacts'),
    links: async () => links ?? refuse('links'),
    addresses: async () => addresses ?? refuse('addresses'),
    route: async (address) => {
      const known = route ?? refuse(`route ${address}`);
      return known === 'none' ? undefined : known;
    },
    routes: async () => refuse('routes'),
    rules: async () => refuse('rules'),
    neighbour: async (address) => refuse(`neighbour ${address}`),
    incoming: async () => refuse('incoming'),
    driver: async () => refuse('driver'),
    tunnelNeighbours: async (index) => refuse(`tunnelNeighbours ${index}`),
    forwardingDatabase: async (index) => refuse(`forwardingDatabase ${index}`),
    readTail: async (path) => refuse(`readTail ${path}`),
    trafficFilters: async () => refuse('trafficFilters'),
    portOwners: async () => refuse('portOwners'),
    conntrackEstablishes: async () => refuse('conntrackEstablishes'),
    conntrackUsage: async () => refuse('conntrackUsage'),
    tproxyPossible: async () => refuse('tproxyPossible'),
    ruleCounter: async () => refuse('ruleCounter'),
    firewall: async () => refuse('firewall'),
    tryLink: async () => refuse('tryLink'),
    httpGet: async () => refuse('httpGet'),
  };
  return {
    host,
    ...(peer === undefined ? {} : { peer }),
    signal: new AbortController().signal,
    timeoutMs: 1000,
    facts: { provider: 'canal', encapsulation: 'vxlan', vni: 1, port: 8472, mtu: 1450 },
    options: {},
    distribution: 'upstream',
    interfaces: [],
    underlay: [],
    ownAddresses: [],
    tryModules: false,
    features: new Map(),
    knownConfigurations: new Map(),
    ruleOwners: { owners: new Map(), removers: new Map() },
    ...rest,
  };
}

/** The address of this node that talks to the peer. */
export const ownAddresses: readonly InterfaceAddress[] = (['ipv4', 'ipv6'] as const).map(
  (family) => ({
    index: 2,
    interface: 'eth0',
    address: ownAddress[family],
    prefixLength: family === 'ipv4' ? 24 : 64,
    family,
    scope: 'global',
  }),
);

/** An ICMP or ICMPv6 error as the kernel hands it over. */
export function icmpError(type: number, code: number, offender: string): PacketError {
  return { errno: 'EHOSTUNREACH', type, code, offender };
}
