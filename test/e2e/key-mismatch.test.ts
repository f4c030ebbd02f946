/** @module Two nodes whose keys differ: neither can ask the other, and says why. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findingsOf } from '../support/document.ts';
import { createLab, type Lab } from '../support/lab.ts';

const slow = { deadlineMs: 60_000 };
const settings = ['--provider', 'canal', '--only', 'canal.vxlan', '--timeout', '0.5'];

let lab: Lab;
let directory: string;
const keyOf = (name: string): readonly string[] => ['--key-file', join(directory, name)];

beforeAll(async () => {
  lab = await createLab({ nodes: 2, ipv6: false });
  directory = mkdtempSync(join(tmpdir(), 'keys-'));
  for (const name of ['one', 'other']) {
    writeFileSync(join(directory, name), `the key that is called ${name}\n`, { mode: 0o600 });
  }
});
afterAll(async () => {
  await lab[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});

test.each<{ name: string; first: string | undefined; second: string | undefined; reason: string }>([
  { name: 'the same key', first: 'one', second: 'one', reason: 'none' },
  { name: 'different keys', first: 'one', second: 'other', reason: 'key-mismatch' },
  { name: 'a key on one of them only', first: 'one', second: undefined, reason: 'key-mismatch' },
])('agents with $name: $reason', async ({ first, second, reason }) => {
  const [n1, n2] = [lab.node('n1'), lab.node('n2')];
  const start = (node: typeof n1, key: string | undefined) =>
    node.agent([
      ...settings,
      '--interval',
      '1',
      ...lab.peerArguments(node),
      ...(key === undefined ? [] : keyOf(key)),
    ]);
  await using one = await start(n1, first);
  await using other = await start(n2, second);
  for (const agent of [one, other]) {
    await agent.statusWhen(
      reason,
      (document) => {
        const findings = findingsOf(document, { requirement: 'canal.vxlan' });
        return (
          findings.length === 2 &&
          findings.every((finding) => (finding.reason ?? 'none') === reason) &&
          document.peers.every((peer) => peer.agent === 'reachable')
        );
      },
      slow,
    );
  }
});

test('a check without the key of the agent says so, and with it passes', async () => {
  const [n1, n2] = [lab.node('n1'), lab.node('n2')];
  // An agent that does not know of the node that checks, and so never sends to it.
  await using _ = await n2.agent([...settings, '--interval', '3600', ...keyOf('one')]);
  const check = async (key: readonly string[]): Promise<string> => {
    const words = ['check', ...settings, ...lab.peerArguments(n1), ...key];
    const command = [join(import.meta.dirname, '../../dist/agent/main.js'), ...words];
    return (await n1.exec(process.execPath, command, { expectExit: 'any' })).stdout;
  };
  const without = await check([]);
  expect(without).toContain('key-mismatch');
  expect(without).toContain('sha256sum KEYFILE');
  expect(await check(keyOf('other'))).toContain('key-mismatch');
  expect(await check(keyOf('one'))).not.toContain('key-mismatch');
});
