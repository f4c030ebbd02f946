/** @module How an agent begins, changes its mind and ends. */
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findingsOf } from '../support/document.ts';
import { createLab, type Lab, type LabAgent, type LabNode } from '../support/lab.ts';
import { until } from '../support/wait.ts';

const slow = { deadlineMs: 60_000 };
const canal = ['--provider', 'canal', '--timeout', '0.3'];

let lab: Lab;
let n1: LabNode;

beforeAll(async () => {
  lab = await createLab({ nodes: 3, ipv6: false });
  n1 = lab.node('n1');
});
afterAll(() => lab[Symbol.asyncDispose]());

describe('SIGTERM', () => {
  test('ends it within two seconds and leaves nothing behind, also in the middle of a round', async () => {
    const before = await traces(n1);
    // The peers are silent, so the first round lasts.
    await using _ = await lab.router.chain('forward', 'drop');
    await using agent = await n1.agent([...canal, '--interval', '1', ...lab.peerArguments(n1)]);
    const during = await traces(n1);
    expect(during['sockets']).toContain(':10472');
    expect(during['sockets']).toMatch(/^raw /m);
    expect(await agent.get('/readyz')).toMatchObject({ status: 503 });

    const { exitCode, signal, durationMs } = await agent.stop('SIGTERM');
    expect({ exitCode, signal }, agent.logs.slice(-4000)).toEqual({ exitCode: 0, signal: null });
    expect(durationMs).toBeLessThan(2000);
    expect(agent.stderr).toBe('');
    expect(await traces(n1)).toEqual(before);
  });

  test('ends one that has just begun to read', async () => {
    await using agent = await n1.agent(canal, { waitUntilHealthy: false });
    await until('it has begun', async () => (agent.stdout === '' ? undefined : true), slow);
    const { exitCode, durationMs } = await agent.stop('SIGTERM');
    expect(exitCode, agent.logs).toBe(0);
    expect(durationMs).toBeLessThan(2000);
  });

  test('that comes twice ends it at once', async () => {
    await using agent = await n1.agent(canal);
    // Both are there when it runs on: SIGINT asks for the same, and two equal signals may become one.
    agent.signal('SIGSTOP');
    agent.signal('SIGINT');
    agent.signal('SIGTERM');
    expect(await agent.stop('SIGCONT')).toMatchObject({ exitCode: 1, signal: null });
  });
});

describe('the configuration', () => {
  test('is read anew when the file changes as a ConfigMap does; a bad one is refused, the old one stays', async () => {
    const volume = new ConfigMap();
    try {
      volume.write('provider: canal\ninterval: 1\ntimeout: 0.3\npeers: [10.99.2.2=n2]\n');
      await using agent = await n1.agent(['--config', volume.file]);
      const first = await agent.statusWhen('n2', ({ findings }) => findings.length > 0, slow);
      expect(first.peers.map(({ name }) => name)).toEqual(['n2']);
      expect(first.provider).toMatchObject({ name: 'canal', source: 'file' });

      volume.write('provider: flannel\ninterval: 1\ntimeout: 0.3\npeers: [10.99.3.2=n3]\n');
      const next = await agent.statusWhen(
        'the new peer and provider',
        ({ peers, provider }) => peers[0]?.name === 'n3' && provider?.name === 'flannel',
        slow,
      );
      expect(next.peers).toHaveLength(1);
      const changed = await agent.statusWhen(
        'nothing of the old ones',
        (document) =>
          findingsOf(document, { peer: 'n2' }).length === 0 &&
          findingsOf(document, { peer: 'n3' }).length > 0,
        slow,
      );
      expect(
        changed.findings.filter(({ requirement }) => requirement.startsWith('canal.')),
      ).toEqual([]);
      await rounds(agent, 1);
      expect((await agent.get('/metrics')).body).not.toMatch(/requirement="canal\./);
      expect(linesOf(agent, 'configuration reloaded')).toMatchObject([
        { why: expect.stringContaining('config.yaml changed') },
      ]);

      volume.write('provider: canall\ninterval: soon\npeers: [worker-2]\n');
      const [refused] = await until(
        'the bad file is refused',
        async () => {
          const found = linesOf(agent, 'configuration refused, the old one stays');
          return found.length > 0 ? found : undefined;
        },
        slow,
      );
      expect(refused).toMatchObject({ level: 'error' });
      const problems = JSON.stringify(refused?.['problems']);
      expect(problems).toContain('interval: \\"soon\\" is not a number of seconds');
      expect(problems).toContain('\\"worker-2\\" is not an address');
      await rounds(agent, 2);
      expect(await agent.status()).toMatchObject({
        provider: { name: 'flannel' },
        peers: [{ name: 'n3' }],
      });

      agent.signal('SIGHUP');
      await until(
        'SIGHUP is heeded',
        async () =>
          linesOf(agent, 'configuration refused, the old one stays').some(
            ({ why }) => why === 'SIGHUP',
          ) || undefined,
        slow,
      );
      volume.write('provider: flannel\ninterval: 1\ntimeout: 0.3\n');
      await agent.statusWhen('no peers', ({ peers }) => peers.length === 0, slow);
      expect(await agent.stop()).toMatchObject({ exitCode: 0 });
    } finally {
      volume.remove();
    }
  });

  test('an unknown provider in a new file is a bad file, too', async () => {
    const volume = new ConfigMap();
    try {
      volume.write('provider: canal\ninterval: 1\n');
      await using agent = await n1.agent(['--config', volume.file]);
      await rounds(agent, 1);
      volume.write('provider: canall\ninterval: 1\n');
      const [refused] = await until(
        'it is refused',
        async () => {
          const found = linesOf(agent, 'configuration refused, the old one stays');
          return found.length > 0 ? found : undefined;
        },
        slow,
      );
      expect(JSON.stringify(refused)).toContain('did you mean canal?');
      await rounds(agent, 2);
      expect((await agent.status()).provider).toMatchObject({ name: 'canal' });
      expect(await agent.stop()).toMatchObject({ exitCode: 0 });
    } finally {
      volume.remove();
    }
  });
});

test('a change of a finding is one line in the log, and a round without one is none', async () => {
  await using agent = await n1.agent([...canal, '--interval', '1', '--log-level', 'debug']);
  const changes = (): readonly LogLine[] => linesOf(agent, 'finding changed');
  const ofFilter = (): readonly unknown[] =>
    changes()
      .filter(({ requirement }) => requirement === 'canal.rp-filter')
      .map(({ level, outcome, reason }) => [level, outcome, reason]);
  await rounds(agent, 2);
  const settled = changes().length;
  expect(ofFilter()).toEqual([['debug', 'pass', undefined]]);
  await rounds(agent, 3);
  expect(changes()).toHaveLength(settled);

  await n1.exec('sysctl', ['-qw', 'net.ipv4.conf.all.rp_filter=2']);
  await rounds(agent, 4);
  expect(ofFilter()).toHaveLength(2);
  await n1.exec('sysctl', ['-qw', 'net.ipv4.conf.all.rp_filter=0']);
  await rounds(agent, 4);
  expect(ofFilter()).toEqual([
    ['debug', 'pass', undefined],
    ['info', 'fail', 'sysctl-differs'],
    ['info', 'pass', undefined],
  ]);
  expect(changes()).toHaveLength(settled + 2);
  expect(await agent.stop()).toMatchObject({ exitCode: 0 });
});

test('an agent that finds no provider stays, says so, and picks one up that appears', async () => {
  const n2 = lab.node('n2');
  const peer = ['--peer', `${n2.address4}=n2`];
  await using agent = await n1.agent(['--interval', '1', '--timeout', '0.3', ...peer]);
  const facts = async (): Promise<unknown> => {
    const { body } = await n2.http(`http://${n1.address4}:10472/peer/v1/facts`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{}',
    });
    return JSON.parse(body);
  };
  await rounds(agent, 2);
  expect(await agent.status()).toMatchObject({
    provider: null,
    readiness: 'unknown',
    reasons: [expect.stringContaining('no-provider-detected')],
    findings: [],
  });
  expect(await agent.get('/readyz')).toMatchObject({ status: 503 });
  expect(await agent.get('/healthz')).toMatchObject({ status: 200 });

  await n1.ip([
    'link add flannel.1 type vxlan id 1 dev e0 local 10.99.1.2 dstport 4789 nolearning',
    'link set flannel.1 up',
  ]);
  const found = await agent.statusWhen('a provider', ({ provider }) => provider !== null, slow);
  expect(found.provider).toMatchObject({ source: 'detected' });
  // The live device's port goes before the default of the catalogue.
  expect(found.provider?.options['tunnelPort']).toBe(4789);
  await agent.statusWhen('findings', ({ findings }) => findings.length > 0, slow);
  expect(await facts()).toMatchObject({ provider: found.provider?.name, port: 4789 });

  await n1.ip(['link del flannel.1']);
  await agent.statusWhen('no provider again', ({ provider }) => provider === null, slow);
  expect((await agent.status()).findings).toEqual([]);
  expect(await facts()).toMatchObject({ provider: '', port: 0 });
  expect(await agent.stop()).toMatchObject({ exitCode: 0 });
});

type LogLine = Readonly<Record<string, unknown>>;

/** The lines of the agent's log that have this message. */
function linesOf(agent: LabAgent, message: string): readonly LogLine[] {
  return agent.stdout
    .split('\n')
    .slice(0, -1)
    .map((line): LogLine => JSON.parse(line))
    .filter(({ msg }) => msg === message);
}

/** Waits until so many more rounds have ended. */
async function rounds(agent: LabAgent, more: number): Promise<void> {
  const ended = async (): Promise<number> => {
    const { body } = await agent.get('/metrics');
    return Number(/^cni_preflight_round_duration_seconds_count (\d+)$/m.exec(body)?.[1]);
  };
  const wanted = (await ended()) + more;
  await until(`${more} more rounds`, async () => ((await ended()) >= wanted ? true : undefined), {
    ...slow,
    everyMs: 100,
    describe: () => agent.logs.slice(-3000),
  });
}

/** What a program could leave in a node. Connections that wait for their time are the kernel's. */
async function traces(node: LabNode): Promise<Readonly<Record<string, string>>> {
  const text = async (command: string, ...args: string[]): Promise<string> =>
    (await node.exec(command, args)).stdout;
  const sockets = await text('ss', '-Han', '--tcp', '--udp', '--raw', '--packet');
  return {
    sockets: sockets.replaceAll(/^.*TIME-WAIT.*\n/gm, '').replaceAll(/ +/g, ' '),
    // Names alone: a carrier comes up while somebody looks.
    links: (await text('ip', '-br', 'link')).replaceAll(/ .*$/gm, ''),
    // Other tests' labs come and go meanwhile.
    namespaces: (await text('ip', 'netns')).replaceAll(/^lab-.*\n/gm, ''),
  };
}

/** A directory as Kubernetes keeps a ConfigMap: the file is a link into `..data`, which is a link that is swapped. */
class ConfigMap {
  readonly #directory = mkdtempSync(join(tmpdir(), 'config-map-'));
  #version = 0;

  get file(): string {
    return join(this.#directory, 'config.yaml');
  }

  write(content: string): void {
    this.#version += 1;
    const version = `..version_${this.#version}`;
    mkdirSync(join(this.#directory, version));
    writeFileSync(join(this.#directory, version, 'config.yaml'), content);
    symlinkSync(version, join(this.#directory, '..data_tmp'));
    renameSync(join(this.#directory, '..data_tmp'), join(this.#directory, '..data'));
    if (this.#version === 1) symlinkSync('..data/config.yaml', this.file);
    else rmSync(join(this.#directory, `..version_${this.#version - 1}`), { recursive: true });
  }

  remove(): void {
    rmSync(this.#directory, { recursive: true });
  }
}
