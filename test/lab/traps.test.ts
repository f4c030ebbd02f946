/** What looks like an open port and is none, what looks like a closed one and is none, and what the own host says at once. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Finding, StatusDocument } from '../../agent/model.ts';
import type { FirewallPlace } from '../../checks/firewall-verdict.ts';
import { findingsOf, said, describe as show, theFinding } from '../support/document.ts';
import { createLab, type Lab, type LabNode } from '../support/lab.ts';
import { until } from '../support/wait.ts';

const requirement = 'flannel.vxlan';
const selection = ['--provider', 'flannel', '--only', requirement, '--timeout', '0.5'];

// Checks run on n1; the others witness.
let lab: Lab;
beforeAll(async () => {
  lab = await createLab({ nodes: 3 });
  await Promise.all(
    ['n2', 'n3'].map((name) => lab.node(name).agent([...selection, '--interval', '60'])),
  );
});
afterAll(async () => {
  await lab[Symbol.asyncDispose]();
});

async function checkFromN1(expectExit: number): Promise<StatusDocument> {
  const n1 = lab.node('n1');
  const peers = lab.peerArguments(n1, ['ipv4', 'ipv6']);
  return (await n1.check([...selection, ...peers], { expectExit })).document;
}

function towards(
  document: StatusDocument,
  peer: string,
  family: 'ipv4' | 'ipv6' = 'ipv4',
): Finding {
  return theFinding(document, { requirement, peer, family, direction: 'outbound' });
}

/** Nothing of the fault may show on the way to n3. */
function expectOthersToPass(document: StatusDocument, peers: readonly string[] = ['n3']): void {
  for (const peer of peers) {
    expect(said(towards(document, peer, 'ipv4')), show(document)).toBe('pass');
    expect(said(towards(document, peer, 'ipv6')), show(document)).toBe('pass');
  }
}

// The agents of n2 and n3 know no peers, so n1 hears nothing of the way back.
test('nothing is wrong', async () => {
  const document = await checkFromN1(4);
  expectOthersToPass(document, ['n2', 'n3']);
});

describe('seen is not open', () => {
  test.each([
    ['ipv4', 'redirect to :9999', '10.99.2.2 port 9999'],
    ['ipv6', 'redirect to :9999', 'fd99:2::2 port 9999'],
    ['ipv4', 'dnat ip to 10.99.2.2:9998', '10.99.2.2 port 9998'],
  ] as const)('%s: %s on the receiver', async (family, statement, rewrittenTo) => {
    await using _ = await lab
      .node('n2')
      .chain('prerouting', `meta nfproto ${family} udp dport 8472 ${statement}`, {
        type: 'nat',
        priority: -100,
      });
    const document = await checkFromN1(3);
    const finding = towards(document, 'n2', family);
    expect(said(finding)).toBe('fail rewritten');
    expect(finding.evidence['rewrittenTo']).toBe(rewrittenTo);
    expect(said(towards(document, 'n2', family === 'ipv4' ? 'ipv6' : 'ipv4'))).toBe('pass');
    expectOthersToPass(document);
  });

  test('DNAT on the way, to another node that answers', async () => {
    await using _ = await lab.router.chain(
      'prerouting',
      'ip daddr 10.99.2.2 udp dport 8472 dnat ip to 10.99.3.2',
      { type: 'nat', priority: -100 },
    );
    const document = await checkFromN1(3);
    const finding = towards(document, 'n2');
    expect(said(finding)).toBe('fail rewritten');
    expect(finding.evidence['rewrittenTo']).toBe('10.99.3.2 port 8472');
    expect(said(towards(document, 'n2', 'ipv6'))).toBe('pass');
    expectOthersToPass(document);
  });

  test.each([
    ['the port', 8472, 'unknown tproxy-possible'],
    ['another port', 8473, 'pass'],
  ] as const)('TPROXY on %s', async (_name, port, word) => {
    const rule = `udp dport ${port} tproxy ip to 127.0.0.1:7777 meta mark set 1 accept`;
    await using _ = await lab.node('n2').chain('prerouting', rule, { priority: -150 });
    // The witness remembers for some seconds what it found of the ruleset.
    const document = await until(`n1 says ${word}`, async () => {
      const one = await checkFromN1(4);
      return said(towards(one, 'n2')) === word ? one : undefined;
    });
    expectOthersToPass(document);
  });

  test('a bad UDP checksum', async () => {
    const [n1, n2] = [lab.node('n1'), lab.node('n2')];
    // Else the checksum is never computed between these devices, and the kernel would take the datagram.
    await n1.exec('ethtool', ['-K', 'e0', 'tx', 'off']);
    expectOthersToPass(await checkFromN1(4), ['n2', 'n3']);
    const before = await badChecksums(n2);
    {
      await using _ = await lab.router.chain('forward', [
        'oifname "e2" udp dport 8472 @th,48,16 set 0x1234 counter',
      ]);
      const document = await checkFromN1(3);
      for (const family of ['ipv4', 'ipv6'] as const)
        expect(said(towards(document, 'n2', family))).toBe('fail bad-checksum');
      expectOthersToPass(document);
    }
    expect(await badChecksums(n2)).toBeGreaterThan(before);
    await n1.exec('ethtool', ['-K', 'e0', 'tx', 'on']);
  });
});

describe('the own host says it at once', () => {
  test.each([
    ['output', 'dropped-by-sender-firewall', 'EPERM'],
    ['postrouting', 'dropped-by-sender-firewall', 'EPERM'],
  ] as const)('a drop in %s', async (hook, reason, errno) => {
    await using _ = await lab.node('n1').chain(hook, 'ip daddr 10.99.2.2 udp dport 8472 drop');
    expectSenderFault(await checkFromN1(3), reason, errno, {
      backend: 'nf_tables',
      hook,
      rule: 'ip daddr 10.99.2.2 udp dport 8472 drop',
    });
  });

  test('a reject in output', async () => {
    await using _ = await lab
      .node('n1')
      .chain('output', 'ip daddr 10.99.2.2 udp dport 8472 reject');
    expectSenderFault(await checkFromN1(3), 'rejected-by-sender-firewall', 'EPERM', {
      hook: 'output',
      rule: 'ip daddr 10.99.2.2 udp dport 8472 reject with icmp port-unreachable',
    });
  });

  test('a drop of legacy iptables', async () => {
    const n1 = lab.node('n1');
    const rule = ['OUTPUT', '-d', '10.99.2.2', '-p', 'udp', '--dport', '8472', '-j', 'DROP'];
    await n1.exec('iptables-legacy', ['-A', ...rule]);
    const document = await checkFromN1(3);
    await n1.exec('iptables-legacy', ['-D', ...rule]);
    expectSenderFault(document, 'dropped-by-sender-firewall', 'EPERM', {
      backend: 'iptables-legacy',
      table: 'filter',
      chain: 'OUTPUT',
      number: 1,
      rule: '-A OUTPUT -d 10.99.2.2/32 -p udp -m udp --dport 8472 -j DROP',
    });
  });

  test('a drop of netdev egress', async () => {
    await using _ = await lab.node('n1').chain('egress', 'ip daddr 10.99.2.2 udp dport 8472 drop', {
      family: 'netdev',
      device: 'e0',
    });
    expectSenderFault(await checkFromN1(3), 'dropped-by-sender-egress', 'ENOBUFS', {
      family: 'netdev',
      hook: 'egress',
      rule: 'ip daddr 10.99.2.2 udp dport 8472 drop',
    });
  });

  test('a drop of tc egress', async () => {
    const n1 = lab.node('n1');
    await n1.exec('tc', ['qdisc', 'add', 'dev', 'e0', 'clsact']);
    // IPv4 to 10.99.2.2, UDP to 8472: dropped; all else passes. Actions of their own may be missing in a kernel.
    const program = [
      '40 0 0 12', // the EtherType
      '21 0 6 2048',
      '32 0 0 30', // the destination
      '21 0 4 174260738',
      '40 0 0 36', // the port
      '21 0 2 8472',
      '48 0 0 23', // the protocol
      '21 1 0 17',
      '6 0 0 0', // TC_ACT_OK
      '6 0 0 2', // TC_ACT_SHOT
    ];
    await n1.exec('tc', [
      'filter',
      'add',
      'dev',
      'e0',
      'egress',
      'bpf',
      'da',
      'bytecode',
      `${program.length},${program.join(',')}`,
    ]);
    expectSenderFault(await checkFromN1(3), 'dropped-by-sender-egress', 'ENOBUFS');
    await n1.exec('tc', ['qdisc', 'del', 'dev', 'e0', 'clsact']);
  });

  test.each([
    ['blackhole', 'EINVAL'],
    ['prohibit', 'EACCES'],
    ['unreachable', 'EHOSTUNREACH'],
    ['throw', 'ENETUNREACH'],
  ] as const)('a %s route', async (type, errno) => {
    const n1 = lab.node('n1');
    await n1.ip([`route add ${type} 10.99.2.2/32`]);
    // A thrown look-up goes on in the next table, and there the default route is none.
    if (type === 'throw') await n1.ip(['route del default']);
    try {
      const document = await checkFromN1(3);
      const finding = towards(document, 'n2');
      expect(said(finding)).toBe('fail no-route');
      expect(finding.culprit).toEqual({ where: 'node', node: 'n1' });
      expect(finding.evidence['errno']).toBe(errno);
      expect(said(towards(document, 'n2', 'ipv6'))).toBe('pass');
      expect(said(towards(document, 'n3'))).toBe(type === 'throw' ? 'fail no-route' : 'pass');
    } finally {
      await n1.ip([`route del ${type} 10.99.2.2/32`]);
      if (type === 'throw') await n1.ip(['route add default via 10.99.1.254']);
    }
  });

  test('a neighbour that is not there', async () => {
    const n1 = lab.node('n1');
    const { document } = await n1.check([
      '--provider',
      'flannel',
      '--only',
      'flannel.icmp',
      '--only',
      requirement,
      '--timeout',
      '4',
      '--peer',
      '10.99.1.77=dead',
      '--peer',
      '10.99.3.2=n3',
    ]);
    const which = { requirement: 'flannel.icmp', direction: 'outbound' } as const;
    const dead = theFinding(document, { ...which, peer: 'dead' });
    expect(said(dead)).toBe('fail neighbour-unresolved');
    expect(said(theFinding(document, { ...which, peer: 'n3' }))).toBe('pass');
    // Nobody is there: the port is neither open nor closed.
    expect(said(towards(document, 'dead'))).toBe('unknown peer-unreachable');
    expect(said(towards(document, 'n3'))).toBe('pass');
  });

  test('a neighbour of the router that is not there', async () => {
    const { document } = await lab
      .node('n1')
      .check([
        '--provider',
        'flannel',
        '--only',
        'flannel.icmp',
        '--timeout',
        '4',
        '--peer',
        '10.99.2.77=dead',
      ]);
    const finding = theFinding(document, { peer: 'dead', direction: 'outbound' });
    expect(said(finding)).toBe('fail unreachable');
    expect(JSON.stringify(finding.evidence)).toContain('10.99.1.254');
  });
});

test('one of four paths is dead: some source ports lose all their packets', async () => {
  await using fabric = await createLab({ nodes: 2, ipv6: false });
  const [n1, n2] = fabric.nodes;
  if (n1 === undefined || n2 === undefined) throw new Error('two nodes');
  const { router } = fabric;
  const members = [1, 2, 3, 4];
  for (const member of members) {
    const device = `p${member}`;
    await router.ip([`link add ${device} type veth peer name ${device} netns ${n2.namespace}`]);
    await router.ip([`addr add 10.98.${member}.1/24 dev ${device}`, `link set ${device} up`]);
    await n2.ip([`addr add 10.98.${member}.2/24 dev ${device}`, `link set ${device} up`]);
    await n2.exec('sysctl', ['-qw', `net.ipv4.conf.${device}.rp_filter=0`]);
  }
  await n2.exec('sysctl', ['-qw', 'net.ipv4.conf.all.rp_filter=0']);
  // The hash takes the ports: one flow, one path.
  await router.exec('sysctl', ['-qw', 'net.ipv4.fib_multipath_hash_policy=1']);
  const hops = members.map((member) => `nexthop via 10.98.${member}.2 dev p${member}`).join(' ');
  await router.ip([`route add 10.99.2.2/32 ${hops}`]);

  await n2.agent(['--provider', 'flannel', '--only', 'flannel.module-vxlan', '--interval', '60']);
  const agent = await n1.agent([
    '--provider',
    'flannel',
    '--only',
    requirement,
    '--interval',
    '1',
    '--timeout',
    '0.5',
    ...fabric.peerArguments(n1),
  ]);
  const lossOf = (document: StatusDocument): Finding | undefined =>
    findingsOf(document, { requirement, direction: 'outbound' }).find(
      ({ reason }) => reason === 'partial-loss',
    );
  await agent.statusWhen('a pass', (document) =>
    findingsOf(document, { requirement, direction: 'outbound' }).some(
      (one) => one.outcome === 'pass',
    ),
  );
  // It loses what it carries and notes the source ports; neighbours are resolved on it as on the others.
  await n2.nft(`table netdev dead {
    set sources { type inet_service; flags dynamic; size 4096; }
    chain c {
      type filter hook ingress device "p3" priority 0;
      udp dport 8472 add @sources { udp sport }
      meta protocol ip drop
    }
  }`);
  const document = await agent.statusWhen(
    'three lost probes',
    (one) => Number(lossOf(one)?.evidence['lost'] ?? 0) >= 3,
    { deadlineMs: 90_000 },
  );
  const loss = lossOf(document);
  expect(loss).toMatchObject({ outcome: 'fail', level: 'recommended', reason: 'partial-loss' });
  // What is called lost is what that path has lost, and nothing else.
  const { stdout } = await n2.exec('nft', ['list', 'set', 'netdev', 'dead', 'sources']);
  const lostSourcePorts = String(loss?.evidence['lostSourcePorts']).split(',');
  expect(lostSourcePorts.length).toBeGreaterThanOrEqual(3);
  for (const port of lostSourcePorts) expect(stdout).toMatch(new RegExp(`\\b${port}\\b`));
  // A share is lost, the path is there.
  const passing = findingsOf(document, { requirement, direction: 'outbound' }).filter(
    ({ reason }) => reason !== 'partial-loss',
  );
  expect(passing.map(said)).toEqual(['pass']);
  expect(document.summary).toMatchObject({ fail: 0, warn: 1 });
}, 180_000);

/** Where rules did it, the very rule is named. */
function expectSenderFault(
  document: StatusDocument,
  reason: string,
  errno: string,
  firewall?: Partial<FirewallPlace>,
): void {
  const finding = towards(document, 'n2');
  expect(said(finding), show(document)).toBe(`fail ${reason}`);
  expect(finding.culprit).toEqual({
    where: 'sender-egress',
    node: 'n1',
    ...(firewall === undefined ? {} : { firewall: expect.objectContaining(firewall) }),
  });
  expect(finding.evidence).toMatchObject({ errno, witnessed: 0 });
  expect(said(towards(document, 'n2', 'ipv6'))).toBe('pass');
  expectOthersToPass(document);
}

async function badChecksums(node: LabNode): Promise<number> {
  const { stdout } = await node.exec('nstat', ['-asz', 'UdpInCsumErrors']);
  return Number(/UdpInCsumErrors\s+(\d+)/.exec(stdout)?.[1]);
}
