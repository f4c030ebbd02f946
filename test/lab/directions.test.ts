/** Who drops the overlay's packets, and in which direction: before there is an overlay, and while one owns the port. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Readiness } from '../../agent/model.ts';
import { theFinding } from '../support/document.ts';
import { createLab, type Fault, type Lab } from '../support/lab.ts';
import { type Agents, type BrokenPath, type Family, startAgents } from '../support/mesh.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await createLab({ nodes: 3 });
});
afterAll(async () => {
  await lab[Symbol.asyncDispose]();
});

interface Scenario {
  readonly name: string;
  readonly fault: (nfproto: string) => Promise<Fault>;
  /** Sender, receiver, and what both say. */
  readonly broken: readonly (readonly [string, string, string, BrokenPath['culprit']])[];
  /** Of n1, n2 and n3. */
  readonly readiness: readonly Readiness[];
}

function readinessOf(words: readonly Readiness[]): ReadonlyMap<string, Readiness> {
  return new Map(words.map((word, index) => [`n${index + 1}`, word]));
}

const n2Input = { where: 'receiver-ingress', node: 'n2' } as const;
const between = { where: 'path', node: 'path' } as const;

const scenarios: readonly Scenario[] = [
  {
    name: 'n2 drops it in INPUT',
    fault: (family) => lab.node('n2').chain('input', `${family} udp dport 8472 counter drop`),
    broken: [
      ['n1', 'n2', 'fail dropped-by-receiver-firewall', n2Input],
      ['n3', 'n2', 'fail dropped-by-receiver-firewall', n2Input],
    ],
    readiness: ['ready', 'not-ready', 'ready'],
  },
  {
    name: 'n2 drops it in OUTPUT',
    fault: (family) => lab.node('n2').chain('output', `${family} udp dport 8472 counter drop`),
    broken: [
      ['n2', 'n1', 'fail dropped-by-sender-firewall', { where: 'sender-egress', node: 'n2' }],
      ['n2', 'n3', 'fail dropped-by-sender-firewall', { where: 'sender-egress', node: 'n2' }],
    ],
    readiness: ['ready', 'not-ready', 'ready'],
  },
  {
    name: 'the router drops it from n1 to n2 only',
    fault: (family) =>
      lab.router.chain(
        'forward',
        `iifname "e1" oifname "e2" ${family} udp dport 8472 counter drop`,
      ),
    broken: [['n1', 'n2', 'fail dropped-on-the-way', between]],
    readiness: ['ready', 'ready', 'ready'],
  },
  {
    name: 'the router drops it from n2 to n1 only',
    fault: (family) =>
      lab.router.chain(
        'forward',
        `iifname "e2" oifname "e1" ${family} udp dport 8472 counter drop`,
      ),
    broken: [['n2', 'n1', 'fail dropped-on-the-way', between]],
    readiness: ['ready', 'ready', 'ready'],
  },
];

/** The five: nothing wrong, and each fault, after which everything passes again. */
function testDirections(given: {
  readonly agents: () => Agents;
  readonly requirement: string;
  readonly family: Family;
}): void {
  const { agents, requirement, family } = given;

  test(`${family}: nothing is wrong`, async () => {
    await agents().agreeThat(requirement, [], readinessOf(['ready', 'ready', 'ready']));
  });

  test.each(scenarios)(`${family}: $name`, async (scenario) => {
    {
      await using fault = await scenario.fault(`meta nfproto ${family}`);
      const broken = scenario.broken.map(([sender, receiver, said, culprit]) => ({
        sender,
        receiver,
        family,
        said,
        culprit,
      }));
      await agents().agreeThat(requirement, broken, readinessOf(scenario.readiness));
      expect(await fault.packets()).toBeGreaterThanOrEqual(3);
    }
    await agents().agreeThat(requirement, []);
  });
}

describe('before there is an overlay', () => {
  let agents: Agents;
  beforeAll(async () => {
    agents = await startAgents(lab, ['--provider', 'flannel', '--only', 'flannel.vxlan'], {
      families: ['ipv4', 'ipv6'],
    });
  });
  afterAll(async () => {
    await agents[Symbol.asyncDispose]();
  });

  for (const family of ['ipv4', 'ipv6'] as const) {
    testDirections({ agents: () => agents, requirement: 'flannel.vxlan', family });
  }

  test('a check says the same with its exit code', async () => {
    const n1 = lab.node('n1');
    const check = (expectExit: number) =>
      n1.check(['--provider', 'flannel', '--only', 'flannel.vxlan', ...lab.peerArguments(n1)], {
        expectExit,
      });
    expect((await check(0)).document.readiness).toBe('ready');
    await using _ = await lab.node('n2').chain('input', 'udp dport 8472 drop');
    const { document } = await check(3);
    const outbound = theFinding(document, { peer: 'n2', direction: 'outbound' });
    expect(outbound).toMatchObject({
      outcome: 'fail',
      reason: 'dropped-by-receiver-firewall',
      evidence: { transport: 'udp', port: 8472, sent: 3, witnessed: 0 },
    });
    // The other peer proves that it is not this node.
    expect(document.readiness).toBe('ready');
  });
});

const devices = [
  {
    provider: 'flannel',
    device: 'flannel.1',
    make: (address: string) =>
      `link add flannel.1 type vxlan id 1 local ${address} dev e0 dstport 8472 nolearning`,
  },
  {
    provider: 'cilium',
    device: 'cilium_vxlan',
    make: () => 'link add cilium_vxlan type vxlan external dstport 8472',
  },
] as const;

describe.each(devices)('while a live $device owns the port', ({ provider, device, make }) => {
  const requirement = `${provider}.vxlan`;
  let agents: Agents;
  beforeAll(async () => {
    await Promise.all(
      lab.nodes.map((node) => node.ip([make(node.address4), `link set ${device} up`])),
    );
    // The live device says what runs, and with which port.
    agents = await startAgents(lab, ['--provider', 'auto', '--only', requirement]);
  });
  afterAll(async () => {
    await agents[Symbol.asyncDispose]();
    await Promise.all(lab.nodes.map((node) => node.ip([`link del ${device}`])));
  });

  test('the device is what the kernel has on the port, and the agents know it', async () => {
    const n1 = lab.node('n1');
    const { stdout } = await n1.exec('ss', ['-lun', 'sport = 8472']);
    expect(stdout).toContain(':8472');
    const { provider: known } = await agents
      .on('n1')
      .statusWhen('a provider', (document) => document.provider !== null);
    expect(known).toMatchObject({
      name: provider,
      source: 'detected',
      options: { tunnelPort: 8472 },
    });
  });

  testDirections({ agents: () => agents, requirement, family: 'ipv4' });

  test('and no counter of the device has moved', async () => {
    for (const node of lab.nodes) {
      const { stdout } = await node.exec('ip', ['-s', '-j', 'link', 'show', device]);
      const [{ stats64 }] = JSON.parse(stdout) as [{ stats64: { rx: Record<string, number> } }];
      expect(stats64.rx, node.name).toMatchObject({ packets: 0, errors: 0, dropped: 0 });
    }
  });
});
