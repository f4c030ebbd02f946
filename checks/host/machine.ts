/** @module The real machine behind `Host`, all but its sockets. */
import { holdsTproxy, judgeTproxy, type Ruleset, readRuleset } from 'node-nftables';
import { readCapabilities } from './capabilities.ts';
import { readConntrackEstablishes, readConntrackUsage } from './conntrack.ts';
import { tryLink } from './exec.ts';
import { createFiles } from './files.ts';
import type { Host } from './host.ts';
import { httpGet } from './http-get.ts';
import { readOsFacts } from './os.ts';
import { readPortOwners } from './owners.ts';
import { readAddresses, readLinks, readRoute } from './rtnetlink.ts';

/** How long one reading of the rulesets serves: a round asks for every port of the provider. */
const rulesetMemoryMs = 10_000;

/**
 * Opens the machine. `root` is `/`, or where a container has the node's file system mounted; links, routes,
 * sockets and rules are those of the own network namespace in any case.
 */
export function createMachine(options: { readonly root?: string } = {}): Omit<Host, 'network'> {
  const root = options.root ?? '/';
  const files = createFiles(root);
  const rulesets = createRulesetMemory(root);
  return {
    capabilities: readCapabilities(),
    ...files,
    osFacts: () => readOsFacts(files),
    // `async` turns a throw of these synchronous readers into a rejection, as the interface promises.
    links: async () => readLinks(),
    addresses: async () => readAddresses(readLinks()),
    route: async (address) => readRoute(address, readLinks()),
    portOwners: async (transport, port) =>
      await readPortOwners(files, root, { transport, port }, readLinks()),
    conntrackEstablishes: (flow) => readConntrackEstablishes(files, flow),
    conntrackUsage: () => readConntrackUsage(files),
    async tproxyPossible(transport, port) {
      const ruleset = await rulesets();
      if (ruleset === undefined) return undefined;
      if (ruleset === 'without-tproxy') return false;
      return judgeTproxy(ruleset, { transport, port }) === 'possible';
    },
    tryLink,
    httpGet,
  };
}

type Remembered = Ruleset | 'without-tproxy' | undefined;

/** Reads the rulesets at most once in a while, and keeps them only if they hold what is looked for. */
function createRulesetMemory(root: string): () => Promise<Remembered> {
  let reading: { readonly at: number; readonly ruleset: Promise<Remembered> } | undefined;
  return async () => {
    if (reading === undefined || performance.now() - reading.at >= rulesetMemoryMs) {
      reading = { at: performance.now(), ruleset: readRelevant(root) };
    }
    return await reading.ruleset;
  };
}

async function readRelevant(root: string): Promise<Remembered> {
  const ruleset = await readRuleset({ root });
  if (ruleset === 'unreadable') return undefined;
  return holdsTproxy(ruleset) ? ruleset : 'without-tproxy';
}
