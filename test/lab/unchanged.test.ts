/** The program changes nothing of the host, and takes no port that a CNI will want. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cataloguePorts } from '../../agent/assessment.ts';
import { loadCatalogue } from '../../rules/load.ts';
import {
  builtProgram,
  createLab,
  HTTP_PORT,
  type Lab,
  type LabAgent,
  type LabNode,
} from '../support/lab.ts';
import { Agents } from '../support/mesh.ts';
import { until } from '../support/wait.ts';

// One node runs each provider, so that the ports of all are asked for somewhere.
const providers = ['flannel', 'calico', 'cilium'] as const;

let lab: Lab;
let n1: LabNode;
let others: readonly LabNode[];
beforeAll(async () => {
  lab = await createLab({ nodes: 3 });
  [n1, ...others] = lab.nodes as [LabNode, ...LabNode[]];
});
afterAll(async () => {
  await lab[Symbol.asyncDispose]();
});

const quick = ['--interval', '1', '--timeout', '0.3'];

function startAgentOn(
  node: LabNode,
  provider: string,
  under?: readonly string[],
): Promise<LabAgent> {
  const peers = lab.peerArguments(node, ['ipv4', 'ipv6']);
  const args = ['--provider', provider, ...quick, ...peers];
  return node.agent(args, under === undefined ? {} : { under });
}

/** Resolves once the agent has ended so many rounds since the call. */
async function rounds(agent: LabAgent, count: number): Promise<void> {
  const ended = async (): Promise<number> => {
    const { body } = await agent.get('/metrics');
    return Number(/^cni_preflight_round_duration_seconds_count (\d+)/m.exec(body)?.[1] ?? 0);
  };
  const first = await ended();
  await until(
    `${count} rounds have ended`,
    async () => ((await ended()) >= first + count ? true : undefined),
    { deadlineMs: 90_000, everyMs: 250 },
  );
}

// With a silent router: icmp-and-mtu.test.ts.
describe.each([
  ['1500', 1500],
  ['1400, told by the router', 1400],
] as const)('a path MTU of %s', (_name, bytes) => {
  beforeAll(async () => {
    for (const node of lab.nodes) await lab.router.pathMtu(node, bytes);
  });
  afterAll(async () => {
    for (const node of lab.nodes) await lab.router.pathMtu(node, 1500);
  });

  test('check --provider all leaves this host and its peers as they were', async () => {
    await using _ = new Agents(
      await Promise.all(others.map((node) => startAgentOn(node, 'flannel'))),
      [],
    );
    const before = await Promise.all(
      lab.nodes.map((node) => node.snapshotHost(lab.nodes.filter((one) => one !== node))),
    );
    const { document, exitCode } = await n1.check(
      ['--provider', 'all', '--timeout', '0.3', ...lab.peerArguments(n1, ['ipv4', 'ipv6'])],
      { timeoutMs: 110_000 },
    );
    const after = await Promise.all(
      lab.nodes.map((node) => node.snapshotHost(lab.nodes.filter((one) => one !== node))),
    );
    expect(after).toEqual(before);
    // It did look: at every provider, and at the paths.
    expect(document.providers?.map(({ name }) => name).sort()).toEqual([
      'calico',
      'canal',
      'cilium',
      'flannel',
      'weave',
    ]);
    expect(
      document.findings.filter(({ target }) => target.scope === 'peer').length,
    ).toBeGreaterThan(50);
    expect([0, 3, 4]).toContain(exitCode);
  });

  test('ten rounds of the agents, too, and their end', async () => {
    const snapshot = () =>
      Promise.all(
        lab.nodes.map((node) => node.snapshotHost(lab.nodes.filter((one) => one !== node))),
      );
    const before = await snapshot();
    const agents = await Promise.all(
      lab.nodes.map((node, index) => startAgentOn(node, providers[index] ?? 'flannel')),
    );
    await using _ = new Agents(agents, []);
    await Promise.all(agents.map((agent) => rounds(agent, 10)));
    expect(await snapshot()).toEqual(before);
    for (const agent of agents) expect(await agent.stop()).toMatchObject({ exitCode: 0 });
    expect(await snapshot()).toEqual(before);
  });
});

describe('what a CNI does while the agent runs', () => {
  let agents: readonly LabAgent[];
  beforeAll(async () => {
    agents = await Promise.all(
      lab.nodes.map((node, index) => startAgentOn(node, providers[index] ?? 'flannel')),
    );
  });
  afterAll(async () => {
    for (const agent of agents) await agent.stop();
  });

  test.each([
    ['flannel', 'flannel.1', 'vxlan id 1 local ADDRESS dev e0 dstport 8472 nolearning'],
    ['calico', 'vxlan.calico', 'vxlan id 4096 local ADDRESS dev e0 dstport 4789 nolearning'],
    ['cilium', 'cilium_vxlan', 'vxlan external dstport 8472'],
  ] as const)('%s: %s comes up', async (provider, device, type) => {
    const index = providers.indexOf(provider);
    const node = lab.nodes[index];
    const agent = agents[index];
    if (node === undefined || agent === undefined) throw new Error('a node of each');
    // Again and again, to meet every moment of a round.
    for (let time = 0; time < 8; time++) {
      await node.ip([
        `link add ${device} type ${type.replace('ADDRESS', node.address4)}`,
        `link set ${device} up`,
      ]);
      const { stdout } = await node.exec('ip', ['-j', 'link', 'show', device]);
      expect((JSON.parse(stdout) as [{ flags: string[] }])[0].flags).toContain('UP');
      await new Promise((resolve) => setTimeout(resolve, 130));
      await node.ip([`link del ${device}`]);
    }
    expect(agent.running).toBe(true);
  });

  test('every port of the catalogue can be bound, UDP and TCP, all the time', async () => {
    const ports = [...cataloguePorts(await loadCatalogue({}))];
    expect(ports).toEqual(
      expect.arrayContaining([8472, 4789, 179, 51820, 51821, 6783, 6784, 4240, 9099]),
    );
    // The agent's own port is not one of them.
    expect(ports).not.toContain(HTTP_PORT);
    for (const node of lab.nodes) {
      const { stdout } = await node.exec(process.execPath, [
        '-e',
        bindThemAll,
        JSON.stringify(ports),
      ]);
      const { attempts, refused } = JSON.parse(stdout) as { attempts: number; refused: string[] };
      expect(refused, node.name).toEqual([]);
      expect(attempts).toBeGreaterThan(ports.length * 4);
    }
  });

  test('the own port is really bound, so that this test can tell', async () => {
    const { stdout } = await n1.exec(process.execPath, [
      '-e',
      bindThemAll,
      JSON.stringify([HTTP_PORT]),
    ]);
    const { refused } = JSON.parse(stdout) as { refused: string[] };
    expect([...new Set(refused)]).toEqual([`tcp ${HTTP_PORT} EADDRINUSE`]);
  });
});

describe('strace of every bind', () => {
  let directory: string;
  let ports: ReadonlySet<number>;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'lab-strace-'));
    ports = cataloguePorts(await loadCatalogue({}));
  });
  afterAll(async () => {
    await rm(directory, { recursive: true });
  });

  test('of a full check', async () => {
    const trace = join(directory, 'check');
    await using _ = await startAgentOn(lab.node('n2'), 'flannel');
    await n1.exec(
      'strace',
      [
        '-f',
        '-qq',
        '-e',
        'trace=bind',
        '-o',
        trace,
        process.execPath,
        builtProgram(),
        'check',
        '--provider',
        'all',
        '--timeout',
        '0.3',
        '--format',
        'json',
        ...lab.peerArguments(n1, ['ipv4', 'ipv6']),
      ],
      { expectExit: [0, 3, 4], timeoutMs: 110_000 },
    );
    const bound = inetBinds(await readFile(trace, 'utf8'));
    expect(bound.length).toBeGreaterThan(50);
    expect(bound.filter((port) => ports.has(port) || port === 0)).toEqual([]);
  });

  test('of rounds of an agent', async () => {
    const trace = join(directory, 'agent');
    await using _ = await startAgentOn(lab.node('n2'), 'calico');
    const agent = await startAgentOn(n1, 'calico', [
      'strace',
      // The agent keeps the process that was started, so that signals reach it.
      '-D',
      '-f',
      '-qq',
      '-e',
      'trace=bind',
      '-o',
      trace,
    ]);
    await rounds(agent, 4);
    expect(await agent.stop()).toMatchObject({ exitCode: 0 });
    const bound = inetBinds(await readFile(trace, 'utf8'));
    // One listener for each address of the node.
    expect(bound.filter((port) => port === HTTP_PORT).length).toBe(2);
    expect(bound.length).toBeGreaterThan(20);
    expect(bound.filter((port) => ports.has(port) || port === 0)).toEqual([]);
  });
});

/** The ports of all bind() calls on IPv4 and IPv6 sockets; throws on a line of another shape. */
function inetBinds(trace: string): readonly number[] {
  return trace
    .split('\n')
    .filter((line) => line.includes('bind(') && !/sa_family=AF_(NETLINK|UNIX)/.test(line))
    .map((line) => {
      const port = /sin6?_port=htons\((\d+)\)/.exec(line)?.[1];
      if (port === undefined) throw new Error(`not understood: ${line}`);
      return Number(port);
    });
}

/** Binds every port on all addresses, UDP and TCP, for two seconds; prints what was refused. */
const bindThemAll = `
const ports = JSON.parse(process.argv[1]);
const { createSocket } = require('node:dgram');
const { createServer } = require('node:net');
const refused = [];
let attempts = 0;
const udp = (type, port) => new Promise((done) => {
  attempts++;
  const socket = createSocket({ type, ipv6Only: type === 'udp6' });
  socket.once('error', ({ code }) => { refused.push(type + ' ' + port + ' ' + code); socket.close(done); });
  socket.bind(port, () => socket.close(done));
});
const tcp = (port) => new Promise((done) => {
  attempts++;
  const server = createServer();
  server.once('error', ({ code }) => { refused.push('tcp ' + port + ' ' + code); done(); });
  server.listen({ port, host: '0.0.0.0' }, () => server.close(done));
});
(async () => {
  const end = Date.now() + 2000;
  do {
    for (const port of ports) await Promise.all([udp('udp4', port), udp('udp6', port), tcp(port)]);
  } while (Date.now() < end);
  console.log(JSON.stringify({ attempts, refused }));
})();
`;
