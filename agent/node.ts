/** @module This node as the rest of the agent sees it: its machine, its sockets, its witness, and the way to its peers. */
import { createHmac, randomBytes } from 'node:crypto';
import type { Answer, OverlayFacts } from '../checks/check.ts';
import { openLookout } from '../checks/diagnosis/receiver.ts';
import type { Family } from '../checks/family.ts';
import type { FirewallView } from '../checks/host/firewall.ts';
import type { Host, InterfaceAddress, OsFacts } from '../checks/host/host.ts';
import { HostError } from '../checks/host/host.ts';
import { createMachine } from '../checks/host/machine.ts';
import { LinuxNetwork } from '../checks/host/network-linux.ts';
import {
  createSourcePorts,
  parsePortRange,
  parseReservedPorts,
} from '../checks/host/source-ports.ts';
import { Witness } from '../checks/host/witness.ts';
import { noOverlayDevices, noOverlayEnds, readOverlayEnds } from '../checks/overlay/ends.ts';
import type { Mac } from '../checks/packet/message.ts';
import { macBytes } from '../checks/packet/message.ts';
import type { OverlayEnds, PeerChannel, PeerFacts, ProbeWish } from '../checks/peer-channel.ts';
import { type Carrier, createPeerChannel, datagramCarriers } from '../checks/peer-client.ts';
import { createPeerService, type PeerService } from '../checks/peer-service.ts';
import { writeBody } from '../checks/peer-wire.ts';
import type { Peer } from './peer-list.ts';
import type { ChosenProvider } from './provider-selection.ts';
import { packageVersion } from './version.ts';

export interface NodeOptions {
  readonly name: string;
  readonly key: Uint8Array | undefined;
  readonly timeoutMs: number;
  /** Ports of every provider in the catalogue: never a source port of ours. */
  readonly cataloguePorts: ReadonlySet<number>;
  readonly onDropped: (reason: string) => void;
  /** Told whenever a peer asks something. */
  readonly onAsked?: () => void;
  /** Further ways to carry a request, besides datagrams. */
  readonly carriers?: (mac: Mac | undefined) => readonly Carrier[];
  /** Tests one wish of a peer towards that peer. */
  readonly probe: (
    wish: ProbeWish,
    asker: { readonly address: string; readonly family: Family },
  ) => Promise<Answer>;
}

/** What a node knows and does for its agent; closed by disposing of it. */
export interface Node extends AsyncDisposable {
  readonly host: Host;
  readonly os: OsFacts;
  /** The firewall as it was read last; undefined where it may not be read. */
  firewallView(): FirewallView | undefined;
  readonly service: PeerService;
  /** Families that have a witness; empty without CAP_NET_RAW. */
  readonly witnesses: readonly Family[];
  /** Sets whom this node talks to, and what it runs. */
  setPeers(peers: readonly Peer[]): Promise<void>;
  setProvider(
    chosen: Pick<ChosenProvider, 'facts' | 'overlayDevices' | 'requirements'>,
  ): Promise<void>;
  /** Addresses of this node on the underlay, those that talk to the peers first. */
  readonly underlay: readonly InterfaceAddress[];
  channel(address: string, family: Family): PeerChannel;
  isPeer(address: string): boolean;
  mac: Mac | undefined;
}

/** What a node runs that has no provider. */
export const noProvider = {
  facts: { provider: '', encapsulation: '', vni: 0, port: 0, mtu: 0 },
  overlayDevices: noOverlayDevices,
  requirements: [],
} as const;

/** A peer that was heard with another key is believed to have it for so long. */
const wrongKeyMemoryMs = 5 * 60_000;

/** Opens sockets and witness. Without CAP_NET_RAW it opens what an ordinary user may have. */
export async function openNode(options: NodeOptions): Promise<Node> {
  const machine = createMachine();
  const mac = options.key === undefined ? undefined : keyedMac(options.key);
  const session = randomBytes(8).readBigUInt64BE();
  const sessionText = session.toString(16).padStart(16, '0');
  const range = parsePortRange(await readable(machine, '/proc/sys/net/ipv4/ip_local_port_range'));
  const reserved = parseReservedPorts(
    await readable(machine, '/proc/sys/net/ipv4/ip_local_reserved_ports'),
  );
  const sourcePorts = createSourcePorts(range, new Set([...options.cataloguePorts, ...reserved]));
  const network = new LinuxNetwork({
    session,
    ...(mac === undefined ? {} : { mac }),
    sourcePorts,
    onDropped: options.onDropped,
  });
  const host: Host = { ...machine, network };
  // The end of the process waits for all of its threads, and one waits for packets: without this, process.exit hangs.
  const wakeToEnd = (): void => {
    void network[Symbol.asyncDispose]();
  };
  process.once('exit', wakeToEnd);
  network.openEcho();

  let peerAddresses: ReadonlySet<string> = new Set();
  let facts: OverlayFacts = noProvider.facts;
  let ends: OverlayEnds = noOverlayEnds;
  let underlay = await underlayAddresses(host, []);
  const channels = new Map<string, PeerChannel>();
  /** When a peer was last heard with another key. Anybody can forge that; it only chooses the words for what is unknown anyway. */
  const wrongKeys = new Map<string, number>();
  const carriers = [...datagramCarriers(network), ...(options.carriers?.(mac) ?? [])];

  const witness = new Witness(network, {
    onRequest: async (request) => {
      options.onAsked?.();
      const answer = await service.answer(request);
      return typeof answer === 'string' ? writeBody({ refused: answer }) : answer;
    },
    isPeer: (address) => peerAddresses.has(address),
    onWrongKey: (address) => {
      if (peerAddresses.has(address)) wrongKeys.set(address, performance.now());
    },
    tproxyPossible: async (port) => await host.tproxyPossible('udp', port),
  });
  const service = createPeerService({
    witness,
    signed: mac !== undefined,
    isPeer: (address) => peerAddresses.has(address),
    established: async (flow) => await host.conntrackEstablishes(flow),
    ownAddress: (family) => underlay.find((one) => one.family === family)?.address,
    facts: (family): PeerFacts => ({
      ...facts,
      session: sessionText,
      node: options.name.slice(0, 128),
      version: packageVersion().slice(0, 32),
      witness: witness.has(family),
      ...ends,
    }),
    lookOut: async (flow) => await openLookout(host, flow),
    probe: options.probe,
  });
  let witnesses: readonly Family[] = [];
  try {
    witnesses = witness.open();
  } catch (error) {
    if (!(error instanceof HostError)) throw error;
  }

  return {
    host,
    firewallView: () => machine.firewallView(),
    os: await host.osFacts(),
    service,
    witnesses,
    mac,
    get underlay() {
      return underlay;
    },
    isPeer: (address) => peerAddresses.has(address),
    async setPeers(peers) {
      const addresses = peers.flatMap((peer) => Object.values(peer.addresses));
      peerAddresses = new Set(addresses);
      for (const known of [channels, wrongKeys])
        for (const key of known.keys()) if (!peerAddresses.has(key)) known.delete(key);
      underlay = await underlayAddresses(host, addresses);
    },
    async setProvider({ facts: next, overlayDevices, requirements }) {
      facts = next;
      sourcePorts.exclude(portsOf(requirements));
      sourcePorts.exclude([next.port]);
      ends = await readOverlayEnds(host, overlayDevices);
    },
    channel(address, family) {
      const known = channels.get(address);
      if (known !== undefined) return known;
      const channel = createPeerChannel({
        path: { family, destination: address },
        carriers,
        timeoutMs: options.timeoutMs,
        session: sessionText,
        confirmMs: options.timeoutMs * 8 + 2000,
        heardWrongKey: () =>
          performance.now() - (wrongKeys.get(address) ?? -Infinity) < wrongKeyMemoryMs,
      });
      channels.set(address, channel);
      return channel;
    },
    async [Symbol.asyncDispose]() {
      await service.close();
      await witness[Symbol.asyncDispose]();
      await network[Symbol.asyncDispose]();
      process.off('exit', wakeToEnd);
    },
  };
}

/** Ports as this node's options have them, which may be others than the catalogue's defaults. */
function portsOf(requirements: ChosenProvider['requirements']): number[] {
  return requirements.flatMap(({ params }) => ('port' in params ? [params.port] : []));
}

/** HMAC-SHA-256, the first 16 bytes (RFC 2104 section 5). */
export function keyedMac(key: Uint8Array): Mac {
  return (bytes) => createHmac('sha256', key).update(bytes).digest().subarray(0, macBytes);
}

/** At most so many routes are asked for: a node has few ways out. */
const askedRoutes = 32;

/**
 * Addresses that talk to the nodes' network: the sources of the routes to the peers; without peers, those of the
 * interfaces that have a default route; without one, every global address.
 */
export async function underlayAddresses(
  host: Pick<Host, 'addresses' | 'route' | 'links'>,
  peers: readonly string[],
): Promise<readonly InterfaceAddress[]> {
  const loopback = new Set(
    (await host.links()).filter((link) => link.loopback).map(({ name }) => name),
  );
  const all = (await host.addresses()).filter(
    ({ scope, interface: name }) => scope === 'global' && !loopback.has(name),
  );
  // Documentation addresses (RFC 5737, RFC 3849): their route is the default route, and nothing is sent there.
  const ways = peers.length > 0 ? peers.slice(0, askedRoutes) : ['192.0.2.1', '2001:db8::1'];
  const interfaces = new Set<string>();
  const sources = new Set<string>();
  for (const way of ways) {
    const route = await host.route(way);
    if (route === undefined || route.type !== 'unicast') continue;
    interfaces.add(route.interface);
    if (route.source !== undefined) sources.add(route.source);
  }
  const chosen = all.filter(
    ({ address, interface: name }) => sources.has(address) || interfaces.has(name),
  );
  const first = chosen.filter(({ address }) => sources.has(address));
  const rest = chosen.filter(({ address }) => !sources.has(address));
  return chosen.length > 0 ? [...first, ...rest] : all;
}

async function readable(
  machine: Pick<Host, 'readText'>,
  path: string,
): Promise<string | undefined> {
  try {
    return await machine.readText(path);
  } catch (error) {
    if (error instanceof HostError) return undefined;
    throw error;
  }
}
