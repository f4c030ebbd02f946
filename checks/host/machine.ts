/** @module The real machine behind `Host`, all but its sockets. */
import { createTproxyFinder } from 'node-nftables';
import { readCapabilities } from './capabilities.ts';
import { readConntrackEstablishes, readConntrackUsage } from './conntrack.ts';
import { readDriver } from './ethtool.ts';
import { tryLink } from './exec.ts';
import { createFiles } from './files.ts';
import { createFirewall, type FirewallView } from './firewall.ts';
import type { Host } from './host.ts';
import { httpGet } from './http-get.ts';
import { readInputRoute } from './input-route.ts';
import { readNeighbour } from './neighbour.ts';
import { readOsFacts } from './os.ts';
import { readPortOwners } from './owners.ts';
import { readTrafficFilters } from './packet-programs.ts';
import { readRoutes, readRules } from './routing.ts';
import { readAddresses, readLinks, readRoute } from './rtnetlink.ts';
import { readRuleCounter } from './rule-counter.ts';
import { readForwardingDatabase, readTunnelNeighbours } from './tunnel-tables.ts';

/** The machine, and the firewall as it was read last. */
export interface Machine extends Omit<Host, 'network'> {
  firewallView(): FirewallView | undefined;
}

/**
 * Opens the machine. `root` is `/`, or where a container has the node's file system mounted; links, routes,
 * sockets and rules are those of the own network namespace in any case.
 */
export function createMachine(options: { readonly root?: string } = {}): Machine {
  const root = options.root ?? '/';
  const files = createFiles(root);
  const findTproxy = createTproxyFinder({ root });
  const capabilities = readCapabilities();
  const firewall = createFirewall({ root, netAdmin: capabilities.netAdmin });
  return {
    capabilities,
    ...files,
    osFacts: () => readOsFacts(files),
    // `async` turns a throw of these synchronous readers into a rejection, as the interface promises.
    links: async () => readLinks(),
    addresses: async () => readAddresses(readLinks()),
    route: async (address, from) => readRoute(address, readLinks(), from),
    routes: async () => readRoutes(),
    rules: async () => readRules(),
    async neighbour(address, from) {
      const route = readRoute(address, readLinks(), from);
      return route === undefined ? undefined : readNeighbour(address, route);
    },
    incoming: async (packet) => readInputRoute(packet),
    trafficFilters: async () => readTrafficFilters(readLinks()),
    driver: async (name) => readDriver(name),
    tunnelNeighbours: lately(async (index) => readTunnelNeighbours(index)),
    forwardingDatabase: lately(async (index) => readForwardingDatabase(index)),
    portOwners: async (transport, port) =>
      await readPortOwners(files, root, { transport, port }, readLinks()),
    conntrackEstablishes: (flow) => readConntrackEstablishes(files, flow),
    conntrackUsage: () => readConntrackUsage(files),
    async tproxyPossible(transport, port) {
      const found = await findTproxy({ transport, port });
      return found === 'unreadable' ? undefined : found === 'possible';
    },
    ruleCounter: async (place) => await readRuleCounter(place, root),
    firewall: () => firewall.read(),
    firewallView: () => firewall.latest,
    tryLink,
    httpGet,
  };
}

/** How old an answer may be: the tests of one round ask the same of every peer. */
const latelyMs = 500;
/** A node has few tunnel devices. */
const mostKept = 16;

/** Asks once for all who ask within half a second. */
function lately<T>(ask: (index: number) => Promise<T>): (index: number) => Promise<T> {
  const known = new Map<number, { readonly answer: Promise<T>; readonly atMs: number }>();
  return async (index) => {
    const now = performance.now();
    const last = known.get(index);
    if (last !== undefined && now - last.atMs < latelyMs) return await last.answer;
    if (known.size >= mostKept) known.clear();
    const answer = ask(index);
    known.set(index, { answer, atMs: now });
    return await answer;
  };
}
