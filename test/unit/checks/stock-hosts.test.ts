/** Hosts as their distributions ship them give no alarm, whatever provider is to come. */
import { describe, expect, test } from 'vitest';
import type { Answer } from '../../../checks/check.ts';
import type { ListedRoute, PolicyRule } from '../../../checks/host/host.ts';
import { policyRouting } from '../../../checks/policy-routing.ts';
import { serviceManager } from '../../../checks/service-manager.ts';
import { loadCatalogue } from '../../../rules/load.ts';
import { resolveProvider } from '../../../rules/resolve.ts';
import type { Requirement } from '../../../rules/schema.ts';
import { fakeContext, fakeHost } from '../../support/fake-host.ts';
import { someView } from '../../support/firewall.ts';
import { type StockHost, stockHosts } from '../../support/stock-hosts.ts';

const catalogue = await loadCatalogue();
const node = { scope: 'node' } as const;

const usual = (priority: number, table: number): PolicyRule => ({
  family: 'ipv4',
  priority,
  action: 'lookup',
  table,
  protocol: 2,
  inverted: false,
  others: [],
});
const defaultRoute = (name: string): ListedRoute => ({
  family: 'ipv4',
  destination: '0.0.0.0/0',
  type: 'unicast',
  table: 254,
  protocol: 16,
  metric: 100,
  hops: [{ interface: name, index: 2, gateway: '10.0.0.254', onlink: false }],
});

/** Hints of level info that the host deserves, by the words of the requirement's id after the provider's name. */
const hints: Readonly<Record<keyof typeof stockHosts, readonly string[]>> = {
  'Ubuntu 24.04': ['networkd-configuration'],
  'RHEL 9': ['networkmanager-configuration'],
  'Debian 12': [],
};

function contextOf(machine: StockHost, interfaces: readonly string[]) {
  const name = machine.links.at(-1)?.name ?? '';
  const address = { index: 2, interface: name, address: '10.0.0.1', prefixLength: 24 };
  const host = fakeHost({
    ...machine,
    addresses: [{ ...address, family: 'ipv4', scope: 'global' }],
    rules: [usual(0, 255), usual(32_766, 254), usual(32_767, 253)],
    routes: [defaultRoute(name)],
  });
  const firewall = async () => ({ readable: true, view: someView({}) }) as const;
  return fakeContext({ host: { ...host, firewall }, interfaces, ruleOwners: catalogue.ruleOwners });
}

async function answerTo(
  requirement: Requirement,
  context: ReturnType<typeof contextOf>,
): Promise<Answer | undefined> {
  if (requirement.kind === 'service-manager')
    return await serviceManager.run(requirement.params, node, context);
  if (requirement.kind === 'policy-routing')
    return await policyRouting.run(requirement.params, node, context);
  return undefined;
}

const cases = Object.entries(stockHosts).flatMap(([distribution, machine]) =>
  [...catalogue.providers.keys()].map((provider) => ({ distribution, machine, provider })),
);

describe('a host as it comes', () => {
  test.each(cases)('$distribution gives $provider no alarm', async (one) => {
    const resolved = resolveProvider(catalogue, { provider: one.provider });
    const context = contextOf(one.machine, resolved.interfaces);
    const alarms: string[] = [];
    const told: string[] = [];
    let asked = 0;
    for (const requirement of resolved.requirements) {
      const answer = await answerTo(requirement, context);
      if (answer === undefined) continue;
      asked++;
      expect(answer.outcome).not.toBe('unknown');
      if (answer.outcome !== 'fail') continue;
      const id = requirement.id.slice(one.provider.length + 1);
      (requirement.level === 'info' ? told : alarms).push(id);
    }
    expect(alarms).toEqual([]);
    expect(told).toEqual(hints[one.distribution as keyof typeof hints]);
    expect(asked).toBeGreaterThan(8);
  });
});
