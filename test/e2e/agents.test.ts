/** @module Three agents as they run on three nodes: what each of them serves, to people, to Prometheus and to the others. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Value from 'typebox/value';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StatusDocument } from '../../agent/model.ts';
import { theFinding } from '../support/document.ts';
import { createLab, HTTP_PORT, type Lab, type LabAgent } from '../support/lab.ts';
import { LongProcess, run } from '../support/process.ts';
import { until } from '../support/wait.ts';

const schemaOf = (name: string) =>
  JSON.parse(readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8'));
const slow = { deadlineMs: 60_000 };
const canal = ['--provider', 'canal', '--timeout', '0.4'];

let lab: Lab;
let agents: readonly LabAgent[];
let a1: LabAgent;
let a2: LabAgent;
let quiet: LabAgent;

beforeAll(async () => {
  // n4 is on the same network, but no peer of anybody.
  lab = await createLab({ nodes: 4, ipv6: false });
  const nodes = lab.nodes.slice(0, 3);
  agents = await Promise.all(
    nodes.map((own) =>
      own.agent([
        ...canal,
        // The third rests, so that rounds of it are those that somebody asked for.
        '--interval',
        own.name === 'n3' ? '3600' : '2',
        ...nodes
          .filter((node) => node !== own)
          .flatMap((node) => ['--peer', `${node.address4}=${node.name}`]),
      ]),
    ),
  );
  const [one, two, three] = agents;
  if (one === undefined || two === undefined || three === undefined) throw new Error('no agents');
  [a1, a2, quiet] = [one, two, three];
  for (const agent of [a1, a2]) {
    await agent.statusWhen('ready', ({ readiness }) => readiness === 'ready', slow);
  }
});
afterAll(() => lab[Symbol.asyncDispose]());

describe('three agents serve', () => {
  test('/status: a document that validates, also filtered', async () => {
    const document = await a1.status();
    expect([...Value.Errors(schemaOf('status.schema.json'), document)]).toEqual([]);
    expect(document).toMatchObject({ node: { name: 'n1' }, readiness: 'ready' });
    expect(document.peers.map(({ name, agent }) => `${name} ${agent}`)).toEqual([
      'n2 reachable',
      'n3 reachable',
    ]);
    for (const direction of ['outbound', 'inbound'] as const) {
      const which = { requirement: 'canal.vxlan', peer: 'n2', direction };
      expect(theFinding(document, which).outcome).toBe('pass');
    }

    const filtered = await a1.status('?peer=n2&requirement=canal.vxlan&outcome=pass');
    expect([...Value.Errors(schemaOf('status.schema.json'), filtered)]).toEqual([]);
    expect(filtered.findings).toHaveLength(2);
    expect((await a1.status('?outcome=fail')).findings).toEqual([]);
    expect(await a1.get('/status?peer=n9')).toMatchObject({
      status: 400,
      body: expect.stringContaining('peer \\"n9\\" is not known; valid: n2, n3'),
    });
  });

  test('/status as text, by query and by Accept', async () => {
    for (const answer of [
      await a1.get('/status?format=text'),
      await a1.get('/status', { accept: 'text/plain' }),
    ]) {
      expect(answer.headers['content-type']).toMatch(/^text\/plain/);
      expect(answer.body).toMatch(/^n1: .*kernel/);
      expect(answer.body).toMatch(/^ready: 0 failed, /m);
      expect(answer.body).not.toContain('\u001b');
    }
  });

  test('/metrics: what promtool accepts, in at most 500 series', async () => {
    const { body, status } = await a1.get('/metrics');
    expect(status).toBe(200);
    const { stdout, stderr } = await run('promtool', ['check', 'metrics'], { input: body });
    expect(stdout + stderr).toBe('');
    const series = body.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    expect(series.length).toBeGreaterThan(100);
    expect(series.length).toBeLessThanOrEqual(500);
    expect(series).toContain('cni_preflight_node_readiness{state="ready"} 1');
    expect(series).toContain('cni_preflight_peers{state="reachable"} 2');
    expect(valueOf(body, 'cni_preflight_probes_sent_total{kind="udp-port"}')).toBeGreaterThan(0);
  });

  test('/healthz, /providers, /openapi.json and the page', async () => {
    expect(await a1.get('/healthz')).toMatchObject({ status: 200 });
    const providers = JSON.parse((await a1.get('/providers')).body);
    expect(JSON.stringify(providers)).toContain('canal');
    const { openapi, paths } = JSON.parse((await a1.get('/openapi.json')).body);
    expect(openapi).toBe('3.1.0');
    expect(Object.keys(paths)).toEqual(
      expect.arrayContaining(['/status', '/metrics', '/mesh', '/check', '/peer/v1/facts']),
    );
    const page = await a1.get('/');
    expect(page.headers['content-type']).toMatch(/^text\/html/);
    expect(page.headers['content-security-policy']).toBeDefined();
    expect(page.body).toContain('n1');
    expect(await a1.get('/nothing')).toMatchObject({ status: 404 });
  });

  test('POST /check: one round for all who ask at once, and the document that it gave', async () => {
    const rounds = async (): Promise<number> =>
      valueOf((await quiet.get('/metrics')).body, 'cni_preflight_round_duration_seconds_count');
    await until('its first round is over', async () => (await rounds()) || undefined, slow);
    const before = await rounds();
    const asked = new Date().toISOString();
    const answers = await Promise.all(Array.from({ length: 8 }, () => quiet.post('/check')));
    // Who asked after it had begun waits for the next one.
    expect((await rounds()) - before).toBeOneOf([1, 2]);
    for (const { status, body } of answers) {
      expect(status).toBe(200);
      const document: StatusDocument = JSON.parse(body);
      const { checkedAt } = theFinding(document, { requirement: 'canal.ip-forward' });
      expect(checkedAt >= asked).toBe(true);
    }
  });

  test('/mesh: three nodes, and every pair of them in both directions', async () => {
    const mesh = await until(
      'the matrix is whole',
      async () => {
        const seen = JSON.parse((await a1.get('/mesh')).body);
        return seen.pairs.length >= 6 ? seen : undefined;
      },
      slow,
    );
    expect(mesh).toMatchObject({ schema: 'cni-preflight/mesh/v1', complete: true, omitted: 0 });
    expect(mesh.nodes.map((node: { name: string; agent: string }) => node)).toMatchObject([
      { name: 'n1', agent: 'reachable' },
      { name: 'n2', agent: 'reachable' },
      { name: 'n3', agent: 'reachable' },
    ]);
    const pairs = mesh.pairs.map(({ sender, receiver, outcome }: Record<string, string>) => [
      `${sender}-${receiver}`,
      outcome,
    ]);
    expect(pairs).toHaveLength(6);
    expect(Object.fromEntries(pairs)).toEqual({
      'n1-n2': 'pass',
      'n1-n3': 'pass',
      'n2-n1': 'pass',
      'n2-n3': 'pass',
      'n3-n1': 'pass',
      'n3-n2': 'pass',
    });
  });

  test('/peer/v1/facts to a peer, and not to a stranger', async () => {
    const url = `http://${a1.node.address4}:${HTTP_PORT}/peer/v1/facts`;
    const request = {
      method: 'POST',
      body: '{}',
      headers: { 'content-type': 'application/json' },
    };
    const answer = await lab.node('n2').http(url, request);
    expect(answer).toMatchObject({ status: 200 });
    expect(JSON.parse(answer.body)).toMatchObject({ node: 'n1', provider: 'canal', port: 8472 });
    expect(await lab.node('n4').http(url, request)).toMatchObject({
      status: 403,
      body: expect.stringContaining('NOT_A_PEER'),
    });
  });
});

test('a Prometheus scrapes all three and answers for every requirement of theirs', async () => {
  const { router } = lab;
  const directory = mkdtempSync(join(tmpdir(), 'prometheus-'));
  const config = join(directory, 'prometheus.yml');
  writeFileSync(
    config,
    JSON.stringify({
      global: { scrape_interval: '1s' },
      scrape_configs: [
        {
          job_name: 'cni-preflight',
          static_configs: [{ targets: agents.map(({ node }) => `${node.address4}:${HTTP_PORT}`) }],
        },
      ],
    }),
  );
  await using prometheus = new LongProcess('ip', [
    'netns',
    'exec',
    router.namespace,
    'prometheus',
    `--config.file=${config}`,
    `--storage.tsdb.path=${directory}/data`,
    '--web.listen-address=0.0.0.0:9090',
  ]);
  try {
    const query = async (promql: string): Promise<readonly Sample[]> => {
      const url = `http://10.99.4.254:9090/api/v1/query?query=${encodeURIComponent(promql)}`;
      return JSON.parse((await lab.node('n4').http(url)).body).data.result;
    };
    const samples = await until(
      'all three are scraped',
      async () => {
        const found = await query(
          'cni_preflight_requirement_outcome{requirement="canal.vxlan",outcome="pass"} == 1',
        );
        return found.length === 3 ? found : undefined;
      },
      { ...slow, everyMs: 500, describe: () => prometheus.logs.slice(-3000) },
    );
    expect(new Set(samples.map(({ metric }) => metric['instance']))).toEqual(
      new Set(agents.map(({ node }) => `${node.address4}:${HTTP_PORT}`)),
    );
    expect(samples[0]?.metric).toMatchObject({ level: 'required' });
    const [up] = await query('sum(up)');
    expect(up?.value[1]).toBe('3');
  } finally {
    await prometheus.stop();
    rmSync(directory, { recursive: true });
  }
});

test('a port that is dropped makes this node unready with the reason, and no other; /healthz stays', async () => {
  expect(await a2.get('/readyz')).toMatchObject({ status: 200 });
  {
    await using _ = await lab.node('n2').chain('input', 'udp dport 8472 counter drop');
    const readyz = await until(
      'n2 is not ready',
      async () => {
        const answer = await a2.get('/readyz');
        return answer.body.includes('not-ready') ? answer : undefined;
      },
      { ...slow, everyMs: 250 },
    );
    expect(readyz.status).toBe(503);
    const { reasons } = JSON.parse(readyz.body);
    expect(reasons.join('\n')).toContain('canal.vxlan');
    expect(await a2.get('/healthz')).toMatchObject({ status: 200 });

    await a1.statusWhen(
      'the failing pair, which is not the fault of n1',
      ({ summary, readiness }) => summary.fail > 0 && readiness === 'ready',
      slow,
    );
    // Metrics are of the last round that has ended.
    const series =
      /^cni_preflight_peer_failed\{requirement="canal\.vxlan",peer="n2",direction="outbound",reason="\w+[\w-]*"\} 1$/m;
    await until(
      'the failing pair is a series',
      async () => (series.test((await a1.get('/metrics')).body) ? true : undefined),
      { ...slow, everyMs: 250 },
    );
  }
  await a2.statusWhen('ready', ({ readiness }) => readiness === 'ready', slow);
});

interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

/** The value of one series in the text format. */
function valueOf(text: string, series: string): number {
  const line = text.split('\n').find((one) => one.startsWith(`${series} `));
  if (line === undefined) throw new Error(`no ${series} in\n${text}`);
  return Number(line.slice(series.length + 1));
}
