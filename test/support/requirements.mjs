/**
 * Runs single requirements of the built program where it is started: a line of JSON in, its answer out.
 * `{ id, requirement, set, target, ownAddresses }` names a requirement of the catalogue by its id; `params` replaces what it has.
 */
import { createInterface } from 'node:readline';
import { createMachine } from '../../dist/checks/host/machine.js';
import { checks } from '../../dist/checks/index.js';
import { openCatalogue } from '../../dist/rules/catalogue.js';
import { resolveProvider } from '../../dist/rules/resolve.js';

const catalogue = await openCatalogue();
const host = createMachine();

async function run({ requirement: id, set = {}, underlay = [], ...given }) {
  const [provider] = id.split('.');
  const resolved = resolveProvider(catalogue, { provider, set });
  const requirement = resolved.requirements.find((one) => one.id === id);
  if (requirement === undefined)
    throw new Error(`no requirement ${id} with ${JSON.stringify(set)}`);
  const addresses = await host.addresses();
  return await checks[requirement.kind].run(
    given.params ?? requirement.params,
    given.target ?? { scope: 'node' },
    {
      host,
      signal: new AbortController().signal,
      timeoutMs: 1000,
      facts: { provider, encapsulation: 'vxlan', vni: 1, port: 8472, mtu: 1450 },
      options: resolved.options,
      interfaces: resolved.interfaces,
      underlay: addresses.filter((one) => underlay.includes(one.interface)),
      ownAddresses: given.ownAddresses ?? [],
      tryModules: false,
      features: catalogue.features,
      knownConfigurations: new Map(),
    },
  );
}

for await (const line of createInterface({ input: process.stdin })) {
  const { id, ...question } = JSON.parse(line);
  const answer = await run(question).catch((error) => ({ error: String(error.stack ?? error) }));
  process.stdout.write(`${JSON.stringify({ id, answer })}\n`);
}
