/** @module Peers that nobody listed: `--discover dns` asks the resolver, here /etc/hosts of a mount namespace. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { theFinding } from '../support/document.ts';
import { createLab } from '../support/lab.ts';
import { run } from '../support/process.ts';

const slow = { deadlineMs: 60_000 };

test('the addresses of a name are the peers, this node left out; a changed record changes them', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'hosts-'));
  const hosts = join(directory, 'hosts');
  const names = (...addresses: string[]): void => {
    // Written in place: the bind mount stays with the file that it was given.
    writeFileSync(hosts, addresses.map((address) => `${address} nodes.test\n`).join(''));
  };
  await using lab = await createLab({ nodes: 3, ipv6: false });
  names(...lab.nodes.slice(0, 2).map(({ address4 }) => address4));
  // The ring's mount namespace is private; the machine's /etc/hosts is not touched.
  await run('mount', ['--bind', hosts, '/etc/hosts']);
  try {
    const settings = ['--provider', 'canal', '--interval', '1', '--timeout', '0.4'];
    const discover = ['--discover', 'dns', '--discover-name', 'nodes.test'];
    await lab.node('n2').agent([...settings, ...discover]);
    await using agent = await lab.node('n1').agent([...settings, ...discover]);
    const found = await agent.statusWhen(
      'the way to n2',
      ({ readiness, peers }) => readiness === 'ready' && peers.length > 0,
      slow,
    );
    expect(found.peers.map(({ address }) => address)).toEqual(['10.99.2.2']);
    const which = { requirement: 'canal.vxlan', direction: 'outbound' } as const;
    expect(theFinding(found, which).outcome).toBe('pass');

    names(...lab.nodes.map(({ address4 }) => address4));
    const more = await agent.statusWhen('n3, too', ({ peers }) => peers.length === 2, slow);
    expect(more.peers.map(({ address }) => address).sort()).toEqual(['10.99.2.2', '10.99.3.2']);

    // A name that is gone for a moment is no reason to forget the peers.
    writeFileSync(hosts, '');
    const { stdout } = agent;
    await agent.statusWhen(
      'a warning',
      () => agent.stdout.slice(stdout.length).includes('peers not resolved'),
      slow,
    );
    expect((await agent.status()).peers).toHaveLength(2);
  } finally {
    await run('umount', ['/etc/hosts']);
    rmSync(directory, { recursive: true });
  }
});
