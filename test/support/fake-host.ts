/** @module A machine made of data. What a test did not provide for fails the test when it is asked for. */
import type { Context } from '../../checks/check.ts';
import type { DriverFacts } from '../../checks/host/ethtool.ts';
import type { FirewallReading } from '../../checks/host/firewall.ts';
import {
  type Host,
  HostError,
  type InterfaceAddress,
  type Link,
  type ListedRoute,
  type OsFacts,
  type PolicyRule,
  type PortOwner,
  type Route,
} from '../../checks/host/host.ts';
import type { TrafficFilter } from '../../checks/host/packet-programs.ts';
import { fakeNetwork } from './fake-network.ts';

/** A file's text, or what the machine says instead. */
export type FakeFile = string | { readonly error: string };

export interface FakeMachine {
  /** Files by path; their directories exist too. When given, any other path is absent. */
  readonly files?: Readonly<Record<string, FakeFile>>;
  /** Directories that exist though empty, or that may not be read. */
  readonly directories?: Readonly<Record<string, { readonly error: string } | 'empty'>>;
  readonly links?: readonly Link[] | { readonly error: string };
  readonly addresses?: readonly InterfaceAddress[];
  readonly routes?: readonly ListedRoute[] | { readonly error: string };
  readonly rules?: readonly PolicyRule[] | { readonly error: string };
  /** By destination, or by `DESTINATION from SOURCE`; `none` where the kernel has none. */
  readonly ways?: Readonly<Record<string, Route | 'none'>>;
  /** What becomes of packets that come in, by index of the interface; absent: they are dropped for another reason. */
  readonly incoming?: Readonly<Record<number, 'taken' | 'refused'>>;
  readonly drivers?: Readonly<Record<string, DriverFacts>>;
  readonly conntrack?: { readonly count: number; readonly limit: number };
  readonly firewall?: FirewallReading;
  readonly filters?: readonly TrafficFilter[];
  readonly os?: Partial<OsFacts>;
  readonly owners?: readonly PortOwner[];
  readonly http?: Readonly<Record<string, { status: number; body: string } | { error: string }>>;
  readonly linkKinds?: Readonly<Record<string, boolean | 'refused'>>;
}

const facts: OsFacts = {
  kernel: '6.1.0-18-amd64',
  os: 'Debian GNU/Linux 12 (bookworm)',
  id: 'debian',
  idLike: '',
  versionId: '12',
  architecture: 'x86_64',
  hostname: 'node-1',
};

function refuse(what: string): never {
  throw new Error(`the test did not expect ${what}`);
}

/** Builds a host that answers from the data given, and throws on every question that it was not prepared for. */
export function fakeHost(machine: FakeMachine = {}): Host {
  const files = (what: string): Readonly<Record<string, FakeFile>> => machine.files ?? refuse(what);
  const checked = <T>(value: T | { readonly error: string }, path: string): T => {
    if (typeof value === 'object' && value !== null && 'error' in value) {
      throw new HostError(value.error, path);
    }
    return value;
  };
  return {
    capabilities: { netAdmin: false, netRaw: false },
    network: fakeNetwork(),
    async readText(path) {
      const file = files(`readText ${path}`)[path];
      return file === undefined ? undefined : checked(file, path);
    },
    async readTail(path, bytes) {
      const file = files(`readTail ${path}`)[path];
      const text = file === undefined ? undefined : checked(file, path);
      return typeof text === 'string' ? text.slice(-bytes) : undefined;
    },
    trafficFilters: async () => machine.filters ?? refuse('trafficFilters'),
    async listDirectory(path) {
      const directory = machine.directories?.[path];
      if (directory !== undefined) checked(directory, path);
      const inside = Object.keys(files(`listDirectory ${path}`))
        .filter((file) => file.startsWith(`${path}/`))
        .map((file) => file.slice(path.length + 1).split('/')[0] ?? '');
      if (inside.length === 0) return directory === undefined ? undefined : [];
      return [...new Set(inside)];
    },
    async exists(path) {
      const known = files(`exists ${path}`);
      const file = known[path];
      if (file !== undefined) {
        checked(file, path);
        return true;
      }
      return Object.keys(known).some((name) => name.startsWith(`${path}/`));
    },
    osFacts: async () => ({ ...facts, ...(machine.os ?? refuse('osFacts')) }),
    links: async () => checked(machine.links ?? refuse('links'), 'links'),
    addresses: async () => machine.addresses ?? refuse('addresses'),
    async route(address, from) {
      const question = from === undefined ? address : `${address} from ${from}`;
      const way = machine.ways?.[question] ?? refuse(`route ${question}`);
      return way === 'none' ? undefined : way;
    },
    routes: async () => checked(machine.routes ?? refuse('routes'), 'routes'),
    rules: async () => checked(machine.rules ?? refuse('rules'), 'rules'),
    neighbour: async (address) => refuse(`neighbour ${address}`),
    incoming: async ({ index }) =>
      machine.incoming === undefined ? refuse('incoming') : machine.incoming[index],
    driver: async (name) =>
      machine.drivers === undefined ? refuse(`driver of ${name}`) : machine.drivers[name],
    tunnelNeighbours: async (index) => refuse(`tunnelNeighbours ${index}`),
    forwardingDatabase: async (index) => refuse(`forwardingDatabase ${index}`),
    async portOwners(transport, port) {
      const owners = machine.owners ?? refuse(`portOwners ${transport}/${port}`);
      return owners.filter((owner) => owner.transport === transport && owner.port === port);
    },
    conntrackEstablishes: async () => refuse('conntrackEstablishes'),
    conntrackUsage: async () => machine.conntrack ?? refuse('conntrackUsage'),
    tproxyPossible: async () => refuse('tproxyPossible'),
    ruleCounter: async () => refuse('ruleCounter'),
    firewall: async () => machine.firewall ?? refuse('firewall'),
    async tryLink(kind) {
      const known = machine.linkKinds?.[kind] ?? refuse(`tryLink ${kind}`);
      return known === 'refused' ? undefined : known;
    },
    httpGet: async (url) => machine.http?.[url] ?? refuse(`GET ${url}`),
  };
}

/** A context for a check on this node; only the host has to be given. */
export function fakeContext(
  given: Partial<Omit<Context, 'host'>> & { readonly host: Omit<Host, 'network'> },
): Context {
  const { host, ...rest } = given;
  return {
    host: { ...host, network: fakeNetwork() },
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
