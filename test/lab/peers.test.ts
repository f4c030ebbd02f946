/** Peers that are gone, have no agent, run something else, or guard their ports; and agents that share a key. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StatusDocument } from '../../agent/model.ts';
import { findingsOf, said, theFinding } from '../support/document.ts';
import { createLab, type Lab, type LabNode } from '../support/lab.ts';
import { startAgents } from '../support/mesh.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await createLab({ nodes: 3 });
});
afterAll(async () => {
  await lab[Symbol.asyncDispose]();
});

const vxlan = ['--provider', 'flannel', '--only', 'flannel.vxlan'];
const quick = ['--timeout', '0.5'];

function outbound(document: StatusDocument, peer: string): string {
  return said(
    theFinding(document, {
      requirement: 'flannel.vxlan',
      peer,
      direction: 'outbound',
      family: 'ipv4',
    }),
  );
}

function presence(document: StatusDocument, peer: string): string | undefined {
  return document.peers.find(({ name }) => name === peer)?.agent;
}

/** Checks udp/8472 from n1 towards this peer alone. */
async function checkTowards(peer: LabNode, more: readonly string[] = []) {
  return await lab
    .node('n1')
    .check([...vxlan, ...quick, ...more, '--peer', `${peer.address4}=${peer.name}`]);
}

describe('a peer without an agent', () => {
  test('refuses: nobody there, or a default reject', async () => {
    const { exitCode, document } = await checkTowards(lab.node('n2'));
    expect(outbound(document, 'n2')).toBe('unknown refused-unwitnessed');
    expect(presence(document, 'n2')).toBe('absent');
    expect(document.readiness).toBe('unknown');
    expect(exitCode).toBe(4);
  });

  test('is silent once a device owns the port, and once a rule drops it: the same', async () => {
    const n2 = lab.node('n2');
    await n2.ip(['link add v1 type vxlan id 1 dstport 8472', 'link set v1 up']);
    const owned = await checkTowards(n2);
    await n2.ip(['link del v1']);
    await using _ = await n2.chain('input', 'udp dport 8472 drop');
    const dropped = await checkTowards(n2);
    for (const { exitCode, document } of [owned, dropped]) {
      expect(outbound(document, 'n2')).toBe('unknown no-witness');
      expect(presence(document, 'n2')).toBe('absent');
      expect(exitCode).toBe(4);
    }
  });

  test('is left out while another peer proves the same', async () => {
    await using agents = await startAgents(lab, vxlan, {
      on: [lab.node('n1'), lab.node('n3')],
    });
    await agents.agreeThat('flannel.vxlan', []);
    const document = await agents
      .on('n1')
      .statusWhen(
        'n2 without a witness',
        (one) => outbound(one, 'n2') === 'unknown refused-unwitnessed' && one.readiness === 'ready',
      );
    expect(presence(document, 'n2')).toBe('absent');
  });
});

test('an agent that has left proves nothing any more', async () => {
  const n2 = lab.node('n2');
  await using agents = await startAgents(lab, vxlan, { on: [lab.node('n1'), n2] });
  await agents.agreeThat('flannel.vxlan', []);
  await agents.on('n2').stop();
  await using _ = await n2.chain('input', 'udp dport 8472 drop');
  await agents
    .on('n1')
    .statusWhen('nothing of n2', (document) => outbound(document, 'n2') === 'unknown no-witness', {
      deadlineMs: 20_000,
    });
});

describe('a peer that is gone', () => {
  test('and was never there', async () => {
    const { exitCode, document } = await lab
      .node('n1')
      .check([...vxlan, ...quick, '--peer', '10.99.2.77=ghost']);
    expect(outbound(document, 'ghost')).toBe('unknown peer-unreachable');
    expect(presence(document, 'ghost')).toBe('unreachable');
    expect(exitCode).toBe(4);
  });

  test('leaves while the agents watch, silently or with the router saying so, and comes back', async () => {
    await using agents = await startAgents(lab, vxlan);
    await agents.agreeThat('flannel.vxlan', []);
    const gone = (document: StatusDocument): boolean =>
      outbound(document, 'n3') === 'unknown peer-unreachable' &&
      presence(document, 'n3') === 'unreachable';
    {
      await using _ = await lab.router.chain('forward', ['oifname "e3" drop', 'iifname "e3" drop']);
      for (const name of ['n1', 'n2']) {
        const document = await agents
          .on(name)
          .statusWhen('n3 gone', (one) => gone(one) && one.readiness === 'ready');
        expect(outbound(document, name === 'n1' ? 'n2' : 'n1')).toBe('pass');
      }
      // For n3 the others are gone: nothing of it is known, and nothing is called blocked.
      await agents
        .on('n3')
        .statusWhen(
          'the others gone',
          (one) =>
            outbound(one, 'n1') === 'unknown peer-unreachable' &&
            outbound(one, 'n2') === 'unknown peer-unreachable' &&
            one.readiness === 'unknown',
        );
    }
    await agents.agreeThat('flannel.vxlan', []);
    await lab.router.ip(['link set e3 down']);
    await agents.on('n1').statusWhen('n3 gone', gone);
    await lab.router.ip(['link set e3 up']);
    await agents.agreeThat('flannel.vxlan', []);
  });
});

describe('agreement', () => {
  const only = [
    '--provider',
    'flannel',
    '--only',
    'flannel.agreement',
    '--only',
    'flannel.agreement-mtu',
  ];

  test.each([
    ['VNI', 'flannel.agreement', 'vni', 1, 2],
    ['port', 'flannel.agreement', 'tunnelPort', 8472, 4789],
    ['MTU', 'flannel.agreement-mtu', 'mtu', 1450, 1400],
  ] as const)('on the %s', async (_name, requirement, option, here, there) => {
    const [n1, n2] = [lab.node('n1'), lab.node('n2')];
    const value = (node: LabNode): number => (node === n1 ? here : there);
    await using agents = await startAgents(
      lab,
      (node) => [...only, '--set', `${option}=${value(node)}`],
      { on: [n1, n2] },
    );
    const field = option === 'tunnelPort' ? 'port' : option;
    for (const [own, peer] of [
      [n1, n2],
      [n2, n1],
    ] as const) {
      const which = { requirement, peer: peer.name, direction: 'outbound' } as const;
      const document = await agents
        .on(own.name)
        .statusWhen('a difference', (one) =>
          findingsOf(one, which).some((finding) => said(finding) === 'fail peer-disagrees'),
        );
      expect(theFinding(document, which).evidence).toMatchObject({
        [`${field}Here`]: value(own),
        [`${field}There`]: value(peer),
      });
    }
    // The same peer, seen by somebody who has what it has.
    const towardsN2 = [...only, '--timeout', '0.5', '--peer', `${n2.address4}=n2`];
    const same = await lab.node('n3').check([...towardsN2, '--set', `${option}=${there}`]);
    expect(said(theFinding(same.document, { requirement, peer: 'n2' }))).toBe('pass');
    expect(same.exitCode).toBe(0);
    const other = await lab.node('n3').check([...towardsN2, '--set', `${option}=${here}`]);
    expect(other.exitCode).toBe(requirement === 'flannel.agreement' ? 3 : 0);
  });
});

describe('a stateful firewall on both ends', () => {
  const stateful = (more: string): readonly string[] => [
    'ct state established,related accept',
    'tcp dport 10472 accept',
    'meta l4proto { icmp, ipv6-icmp } accept',
    more,
    'udp dport 8472 counter',
  ];

  test('is not opened by probing one another', async () => {
    const [n1, n2] = [lab.node('n1'), lab.node('n2')];
    await using first = await n1.chain('input', stateful(''), { policy: 'drop' });
    await using second = await n2.chain('input', stateful(''), { policy: 'drop' });
    await using agents = await startAgents(lab, vxlan, {
      families: ['ipv4', 'ipv6'],
      on: [n1, n2],
    });
    const broken = (['ipv4', 'ipv6'] as const).flatMap((family) =>
      [
        ['n1', 'n2'],
        ['n2', 'n1'],
      ].map(([sender = '', receiver = '']) => ({
        sender,
        receiver,
        family,
        said: 'fail dropped-by-receiver-firewall',
        culprit: { where: 'receiver-ingress' as const, node: receiver },
      })),
    );
    await agents.agreeThat('flannel.vxlan', broken);
    const met = await first.packets();
    // Both have probed and been probed; what has become established must not carry the next probes.
    const until = Date.now() + 6000;
    while (Date.now() < until) {
      for (const agent of agents.all) {
        const document = await agent.status();
        for (const finding of findingsOf(document, { requirement: 'flannel.vxlan' }))
          expect(finding.outcome, agent.node.name).not.toBe('pass');
      }
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
    expect(await first.packets()).toBeGreaterThan(met);
    expect(await second.packets()).toBeGreaterThan(0);
    // A check from a node that has never sent anything says the same.
    const fresh = await lab
      .node('n3')
      .check([...vxlan, ...quick, '--peer', `${n2.address4}=n2`], { expectExit: 3 });
    expect(outbound(fresh.document, 'n2')).toBe('fail dropped-by-receiver-firewall');
  });

  test('passes where it also accepts the port', async () => {
    const [n1, n2] = [lab.node('n1'), lab.node('n2')];
    const rules = stateful('udp dport 8472 accept');
    await using _ = await n1.chain('input', rules, { policy: 'drop' });
    await using __ = await n2.chain('input', rules, { policy: 'drop' });
    await using agents = await startAgents(lab, vxlan, { on: [n1, n2] });
    await agents.agreeThat('flannel.vxlan', []);
  });

  test('may also guard what goes out: the answer is a reply', async () => {
    const [n1, n2] = [lab.node('n1'), lab.node('n2')];
    await using _ = await n2.chain(
      'output',
      [
        'ct state established,related accept',
        'meta l4proto ipv6-icmp accept',
        'tcp dport 10472 accept',
      ],
      { policy: 'drop' },
    );
    await using __ = await n2.agent([...vxlan, ...quick, '--interval', '60']);
    const { document } = await n1.check([...vxlan, ...quick, '--peer', `${n2.address4}=n2`]);
    expect(outbound(document, 'n2')).toBe('pass');
  });
});

describe('a key', () => {
  let directory: string;
  let key: string;
  let otherKey: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'lab-key-'));
    [key, otherKey] = [join(directory, 'key'), join(directory, 'other')];
    await writeFile(key, 'a key of the nodes of this lab, 32 bytes or more\n', { mode: 0o600 });
    await writeFile(otherKey, 'another key of the nodes of this lab, also long\n', { mode: 0o600 });
  });
  afterAll(async () => {
    await rm(directory, { recursive: true });
  });

  test('that both have lets them talk; without it, or with another, there is no answer', async () => {
    const n2 = lab.node('n2');
    await using _ = await n2.agent([
      ...vxlan,
      ...quick,
      '--interval',
      '60',
      '--key-file',
      key,
      ...lab.peerArguments(n2),
    ]);
    const signed = await checkTowards(n2, ['--key-file', key]);
    expect(outbound(signed.document, 'n2')).toBe('pass');
    expect(presence(signed.document, 'n2')).toBe('reachable');
    expect(signed.exitCode).toBe(0);
    for (const more of [[], ['--key-file', otherKey]]) {
      const { document, exitCode } = await checkTowards(n2, more);
      expect(outbound(document, 'n2'), more.join()).toBe('unknown key-mismatch');
      expect(presence(document, 'n2')).toBe('reachable');
      expect(exitCode).toBe(4);
    }
  });

  test('is asked for by the one who has it, too', async () => {
    const n2 = lab.node('n2');
    await using _ = await n2.agent([...vxlan, ...quick, '--interval', '60']);
    const { document } = await checkTowards(n2, ['--key-file', key]);
    expect(outbound(document, 'n2')).toBe('unknown key-mismatch');
    expect(presence(document, 'n2')).toBe('reachable');
  });
});
