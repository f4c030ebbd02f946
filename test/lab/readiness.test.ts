/** One bad node does not taint a cluster; a restart moves nobody; a node without peers has nothing to say of paths. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { StatusDocument } from '../../agent/model.ts';
import { findingsOf, said, theFinding } from '../support/document.ts';
import { createLab, type Lab } from '../support/lab.ts';
import { type Agents, quick, startAgents } from '../support/mesh.ts';

const requirement = 'canal.vxlan';
// Not the shortest: a result of a node that the machine lets wait is stale after three intervals.
const intervalSeconds = 4;
const selection = ['--provider', 'canal', '--only', requirement];

let lab: Lab;
let agents: Agents;
beforeAll(async () => {
  lab = await createLab({ nodes: 4, ipv6: false });
  agents = await startAgents(lab, selection, { intervalSeconds });
});
afterAll(async () => {
  await agents[Symbol.asyncDispose]();
  await lab[Symbol.asyncDispose]();
});

const readinessOf = (documents: ReadonlyMap<string, StatusDocument>): Record<string, string> =>
  Object.fromEntries([...documents].map(([name, { readiness }]) => [name, readiness]));

test('all four are ready', async () => {
  const documents = await agents.agreeThat(requirement, []);
  expect(readinessOf(documents)).toEqual({ n1: 'ready', n2: 'ready', n3: 'ready', n4: 'ready' });
  for (const agent of agents.all)
    expect((await agent.get('/readyz')).status, agent.node.name).toBe(200);
});

test('one drops 8472: it alone is not ready, and the others show the failing pair', async () => {
  {
    await using _ = await lab.node('n2').chain('input', 'udp dport 8472 drop');
    const broken = ['n1', 'n3', 'n4'].map((sender) => ({
      sender,
      receiver: 'n2',
      family: 'ipv4' as const,
      said: 'fail dropped-by-receiver-firewall',
      culprit: { where: 'receiver-ingress' as const, node: 'n2' },
    }));
    const documents = await agents.agreeThat(requirement, broken);
    expect(readinessOf(documents)).toEqual({
      n1: 'ready',
      n2: 'not-ready',
      n3: 'ready',
      n4: 'ready',
    });
    expect(documents.get('n2')?.reasons).toEqual([
      expect.stringContaining(
        'canal.vxlan, inbound, fails with 3 of 3 peers: dropped-by-receiver-firewall',
      ),
    ]);
    expect(documents.get('n1')?.summary).toMatchObject({ fail: 1 });
    const readyz = await Promise.all(
      agents.all.map(async (agent) => (await agent.get('/readyz')).status),
    );
    expect(readyz).toEqual([200, 503, 200, 200]);
    const metrics = await agents.on('n1').get('/metrics');
    expect(metrics.body).toMatch(
      /cni_preflight_peer_failed\{(?=[^}]*requirement="canal\.vxlan")(?=[^}]*peer="n2")(?=[^}]*direction="outbound")(?=[^}]*reason="dropped-by-receiver-firewall")[^}]*\} 1/,
    );
  }
  const documents = await agents.agreeThat(requirement, []);
  expect(new Set(Object.values(readinessOf(documents)))).toEqual(new Set(['ready']));
});

test('the router drops everything of one direction between two nodes: both stay ready', async () => {
  await using _ = await lab.router.chain(
    'forward',
    'iifname "e3" oifname "e4" udp dport 8472 drop',
  );
  const documents = await agents.agreeThat(requirement, [
    {
      sender: 'n3',
      receiver: 'n4',
      family: 'ipv4',
      said: 'fail dropped-on-the-way',
      culprit: { where: 'path', node: 'path' },
    },
  ]);
  expect(new Set(Object.values(readinessOf(documents)))).toEqual(new Set(['ready']));
});

test('an agent restarts: nobody’s readiness moves', async () => {
  await agents.agreeThat(requirement, []);
  const watched = agents.all.filter((agent) => agent.node.name !== 'n4');
  const since = new Map<string, string>();
  for (const agent of watched) since.set(agent.node.name, (await agent.status()).since);
  const seen = new Set<string>();
  const sampling = new AbortController();
  const samples = (async () => {
    let count = 0;
    while (!sampling.signal.aborted) {
      for (const agent of watched) {
        const { readiness, findings } = await agent.status();
        seen.add(`${agent.node.name} ${readiness}`);
        for (const finding of findings)
          if (finding.outcome === 'fail' && finding.reason !== 'partial-loss')
            seen.add(`a fail: ${JSON.stringify(finding)}`);
        count++;
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    return count;
  })();
  samples.catch(() => undefined);

  const stopped = await agents.on('n4').stop();
  expect(stopped).toMatchObject({ exitCode: 0, signal: null });
  for (const agent of watched) {
    await agent.statusWhen('n4 without an agent', ({ peers }) =>
      peers.some((peer) => peer.name === 'n4' && peer.agent === 'absent'),
    );
  }
  // Two rounds and more without it.
  await new Promise((resolve) => setTimeout(resolve, 1.5 * intervalSeconds * 1000));
  const n4 = lab.node('n4');
  const again = await n4.agent([...selection, ...quick(intervalSeconds), ...lab.peerArguments(n4)]);
  const back = await again.statusWhen('itself ready', ({ readiness }) => readiness === 'ready');
  expect(back.summary).toMatchObject({ fail: 0 });
  await agents
    .on('n1')
    .statusWhen('n4 back', (document) =>
      findingsOf(document, { requirement, peer: 'n4' }).every(({ outcome }) => outcome === 'pass'),
    );
  sampling.abort();
  expect(await samples).toBeGreaterThan(20);
  expect([...seen].sort()).toEqual(['n1 ready', 'n2 ready', 'n3 ready']);
  for (const agent of watched)
    expect((await agent.status()).since, agent.node.name).toBe(since.get(agent.node.name));
});

test('without peers no path is tested, and that is said', async () => {
  const { document, exitCode } = await lab.node('n1').check(selection);
  expect(said(theFinding(document, { requirement }))).toBe('skip no-peers');
  expect(exitCode).toBe(0);
  expect(document.readiness).toBe('ready');
  const { stdout } = await lab.node('n1').program(['check', ...selection]);
  expect(stdout).toMatch(/no path was tested/);
});
