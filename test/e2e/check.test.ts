/** @module `cni-preflight check` as a user runs it: what it exits with, and the four forms of its report. */
import { readFileSync } from 'node:fs';
import Value from 'typebox/value';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import type { StatusDocument } from '../../agent/model.ts';
import { said, theFinding } from '../support/document.ts';
import { createLab, type Fault, type Lab, type LabNode } from '../support/lab.ts';
import type { Output, RunOptions } from '../support/process.ts';
import { readXml } from '../support/xml.ts';

/** As a user's validator has it. */
const schema = JSON.parse(
  readFileSync(new URL('../../docs/status.schema.json', import.meta.url), 'utf8'),
);
/** What paints: an SGR sequence (ECMA-48 section 8.3.117). Progress may move the cursor of a terminal, it does not paint. */
// oxlint-disable-next-line no-control-regex -- the escape character is what is looked for
const paint = /\u001b\[[\d;]*m/;

let lab: Lab;
let n1: LabNode;
let peer: readonly string[];
const canal = ['--provider', 'canal', '--timeout', '0.3'];

function check(args: readonly string[], options: RunOptions = {}): Promise<Output> {
  return n1.program(['check', ...canal, ...args], { expectExit: 'any', ...options });
}

beforeAll(async () => {
  lab = await createLab({ nodes: 2, ipv6: false });
  n1 = lab.node('n1');
  peer = lab.peerArguments(n1);
  const n2 = lab.node('n2');
  await n2.agent([...canal, '--interval', '1', ...lab.peerArguments(n2)]);
});
afterAll(() => lab[Symbol.asyncDispose]());

describe('the exit code', () => {
  test('is 0 when nothing required failed, and stays 0 with a warning unless --strict', async () => {
    const { exitCode, stdout } = await check(peer);
    expect(exitCode, stdout).toBe(0);
    // Room for less than an overlay of the usual size: recommended, not required.
    const n2 = lab.node('n2');
    await lab.router.pathMtu(n2, 1400);
    try {
      const warned = await check([...peer, '--only', 'path-mtu']);
      expect(warned.stdout).toMatch(/^! WARN +canal\.path-mtu /m);
      expect(warned.exitCode, warned.stdout).toBe(0);
      const strict = await check([...peer, '--only', 'path-mtu', '--strict']);
      expect(strict.exitCode, strict.stdout).toBe(3);
    } finally {
      await lab.router.pathMtu(n2, 1500);
    }
  });

  test('is 2 for a wrong call', async () => {
    expect(await check(['--peer', 'worker-2'])).toMatchObject({ exitCode: 2, stdout: '' });
  });

  test('is 3 when a required finding failed, of whatever peer', async () => {
    await using _ = await blocked();
    expect(await check(peer)).toMatchObject({ exitCode: 3 });
  });

  test('is 4 when a required finding is unknown: a host that nobody witnesses on', async () => {
    const { exitCode, document } = await n1.check([...canal, '--peer', '10.99.1.254=gateway']);
    expect(
      said(theFinding(document, { requirement: 'canal.vxlan', direction: 'outbound' })),
    ).toMatch(/^unknown (refused-unwitnessed|inconclusive)$/);
    expect(exitCode).toBe(4);
  });

  test('is 0 for --provider all when at least one can run here, and the document says which', async () => {
    const { exitCode, document } = await n1.check(['--provider', 'all']);
    expect(problemsOf(document)).toEqual([]);
    expect(document.provider).toBeNull();
    expect(document.providers?.map(({ name }) => name).sort()).toEqual([
      'calico',
      'canal',
      'cilium',
      'flannel',
      'weave',
    ]);
    expect(exitCode).toBe(
      document.providers?.some(({ readiness }) => readiness === 'ready') ? 0 : 4,
    );
  });
});

describe('the report', () => {
  test('as JSON and as YAML is the same document, and validates against the published schema', async () => {
    await using _ = await blocked();
    const json: StatusDocument = JSON.parse((await check([...peer, '--format', 'json'])).stdout);
    expect(problemsOf(json)).toEqual([]);
    expect(json).toMatchObject({
      schema: 'cni-preflight/status/v1',
      node: { name: 'n1' },
      provider: { name: 'canal', source: 'flag' },
      peers: [{ name: 'n2', address: '10.99.2.2', agent: 'reachable' }],
    });
    expect(json.summary.fail).toBeGreaterThan(0);

    const yaml: StatusDocument = parse((await check([...peer, '--format', 'yaml'])).stdout);
    expect(problemsOf(yaml)).toEqual([]);
    const outcomes = ({ findings }: StatusDocument): string[] =>
      findings.map((finding) => `${finding.requirement} ${said(finding)}`).sort();
    expect(outcomes(yaml)).toEqual(outcomes(json));
  });

  test('as JUnit is XML whose failures are the required findings that failed', async () => {
    await using _ = await blocked();
    const { stdout, exitCode } = await check([...peer, '--format', 'junit']);
    const elements = readXml(stdout);
    const of = (name: string) => elements.filter((element) => element.name === name);
    const [suite] = of('testsuite');
    expect(exitCode).toBe(3);
    expect(of('testcase')).toHaveLength(Number(suite?.attributes['tests']));
    expect(of('failure')).toHaveLength(Number(suite?.attributes['failures']));
    const failed = of('failure').map(({ parent }) => parent?.attributes['name']);
    expect(failed).toContain('canal.vxlan to n2 (ipv4)');
    expect(of('failure')[0]?.attributes['type']).toBe('dropped-by-receiver-firewall');
  });

  test('as text is worst first and has the reason and the next step below a failure', async () => {
    await using _ = await blocked();
    const { stdout, stderr } = await check(peer);
    const lines = stdout.split('\n');
    const failed = lines.findIndex((line) => line.startsWith('✗ FAIL'));
    expect(lines[failed]).toMatch(
      /canal\.vxlan +→ n2 \(10\.99\.2\.2\) +n2's firewall drops it: inet \w+ c, handle \d+ ".*drop" \(UDP port 8472\)$/,
    );
    expect(lines[failed + 1]).toMatch(/^ +why +dropped-by-receiver-firewall, required$/);
    expect(lines[failed + 2]).toMatch(
      /^ +fix +on n2: nft insert rule inet \w+ c position \d+ .* accept$/,
    );
    expect(lines[failed + 3]).toMatch(
      /^ +docs +docs\/troubleshooting\.md#dropped-by-receiver-firewall$/,
    );
    expect(lines.findIndex((line) => line.startsWith('✓ PASS'))).toBeGreaterThan(failed);
    expect(lines.at(-2)).toMatch(/: [1-9]\d* failed, \d+ warnings?, \d+ unknown, /);
    expect(stderr).toBe('');
  });

  test('has no escape codes on a pipe, nor on a terminal with NO_COLOR; else the terminal has', async () => {
    const piped = await check(['--only', 'sysctl']);
    expect(piped.stdout + piped.stderr).not.toContain('\u001b');
    // `script` gives the program a terminal.
    const onTerminal = async (environment: Readonly<Record<string, string>>): Promise<string> => {
      const command = `${process.execPath} dist/agent/main.js check --provider canal --only sysctl`;
      const args = ['-qec', command, '/dev/null'];
      return (await n1.exec('script', args, { environment, expectExit: 'any' })).stdout;
    };
    const terminal = { TERM: 'xterm' };
    expect(await onTerminal(terminal)).toMatch(paint);
    const plain = await onTerminal({ ...terminal, NO_COLOR: '1' });
    // A terminal of no size, as this one is, does not break lines after every word.
    expect(plain).toMatch(/^ready: \d+ failed, .* skipped/m);
    expect(plain).not.toMatch(paint);
  });

  test('says that no path was tested when no peers were given', async () => {
    const { stdout } = await check([]);
    expect(stdout).toContain('no path was tested (no other node is known)');
    expect(stdout).toMatch(/- SKIP +no-peers: .*canal\.vxlan/);
  });
});

/** The peer's firewall drops VXLAN while this lives. */
function blocked(): Promise<Fault> {
  return lab.node('n2').chain('input', 'udp dport 8472 counter drop');
}

function problemsOf(document: unknown): unknown[] {
  return [...Value.Errors(schema, document)];
}
