/** Who is to blame for a path between two agents: each place where packets can vanish, and a pair that is well. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Finding, StatusDocument } from '../../agent/model.ts';
import { said, theFinding } from '../support/document.ts';
import { createLab, type Lab, type LabNode } from '../support/lab.ts';

const vxlan = 'calico.vxlan';
const bgp = 'calico.bgp';
const icmp = 'calico.icmp';

let lab: Lab;
let n1: LabNode;
let n2: LabNode;
const open: AsyncDisposable[] = [];
const selection = (...requirements: readonly string[]): readonly string[] => [
  '--provider',
  'calico',
  '--set',
  'encapsulation=vxlan',
  '--timeout',
  '0.5',
  ...requirements.flatMap((requirement) => ['--only', requirement]),
];
beforeAll(async () => {
  lab = await createLab({ nodes: 2 });
  [n1, n2] = [lab.node('n1'), lab.node('n2')];
  // It answers; its own rounds are the business of other tests.
  const quiet = [
    ...selection(vxlan),
    '--interval',
    '3600',
    ...lab.peerArguments(n2, ['ipv4', 'ipv6']),
  ];
  open.push(await n2.agent(quiet), await n2.listen(179, '::'));
});
afterAll(async () => {
  for (const one of open) await one[Symbol.asyncDispose]();
  await lab[Symbol.asyncDispose]();
});

/** What n1 finds, once, of n2. */
async function check(
  requirements: readonly string[],
  family: 'ipv4' | 'ipv6' = 'ipv4',
): Promise<StatusDocument> {
  const address = family === 'ipv4' ? n2.address4 : `[${n2.address6}]`;
  const { document } = await n1.check([...selection(...requirements), '--peer', `${address}=n2`]);
  return document;
}

const towardsN2 = (document: StatusDocument, requirement: string): Finding =>
  theFinding(document, { requirement, peer: 'n2', direction: 'outbound' });

interface Scenario {
  readonly name: string;
  readonly requirement: string;
  readonly family?: 'ipv6';
  readonly fault: () => Promise<AsyncDisposable>;
  /** Of the finding. */
  readonly wanted: Partial<Omit<Finding, 'remedy' | 'culprit'>> & { readonly culprit: object };
  /** On which node the remedy is typed; absent where nothing can be typed. */
  readonly cureOn?: 'n1' | 'n2';
}

const scenarios: readonly Scenario[] = [
  {
    name: "UDP: n2's INPUT drops it",
    requirement: vxlan,
    fault: () => n2.chain('input', 'udp dport 4789 counter drop'),
    wanted: {
      reason: 'dropped-by-receiver-firewall',
      culprit: {
        where: 'receiver-ingress',
        node: 'n2',
        firewall: { hook: 'input', rule: 'udp dport 4789 counter drop' },
      },
      evidence: { left: 3, arrived: 3, pastIngress: 3, witnessed: 0 },
    },
    cureOn: 'n2',
  },
  {
    name: "UDP over IPv6: n2's netdev ingress drops it",
    requirement: vxlan,
    family: 'ipv6',
    fault: () => n2.chain('ingress', 'udp dport 4789 drop', { family: 'netdev', device: 'e0' }),
    wanted: {
      reason: 'dropped-by-receiver-ingress',
      culprit: {
        where: 'receiver-ingress',
        node: 'n2',
        firewall: { family: 'netdev', hook: 'ingress' },
      },
      evidence: { left: 3, arrived: 3, pastIngress: 0, witnessed: 0 },
    },
    cureOn: 'n2',
  },
  {
    name: 'UDP: the router drops it, in this direction alone',
    requirement: vxlan,
    fault: () => lab.router.chain('forward', 'iifname "e1" udp dport 4789 drop'),
    wanted: {
      reason: 'dropped-on-the-way',
      culprit: { where: 'path', node: 'path' },
      evidence: { left: 3, arrived: 0, pastIngress: 0, witnessed: 0 },
    },
  },
  {
    name: 'UDP: it comes in by another interface than the way back, and rp_filter is strict',
    requirement: vxlan,
    fault: async () => await comeInByAnotherInterface(),
    wanted: {
      reason: 'dropped-by-reverse-path-filter',
      culprit: { where: 'receiver-ingress', node: 'n2' },
      evidence: { left: 3, arrived: 3, pastIngress: 3, witnessed: 0, arrivedOn: 'x0' },
    },
    cureOn: 'n2',
  },
  {
    name: "TCP: n1's OUTPUT drops it without a word",
    requirement: bgp,
    fault: () => n1.chain('output', 'tcp dport 179 drop'),
    wanted: {
      reason: 'dropped-by-sender-firewall',
      culprit: { where: 'sender-egress', node: 'n1', firewall: { hook: 'output' } },
      evidence: { left: 0, arrived: 0 },
    },
    cureOn: 'n1',
  },
  {
    name: "TCP: n2's OUTPUT drops the answer",
    requirement: bgp,
    fault: () => n2.chain('output', 'tcp sport 179 drop'),
    wanted: {
      reason: 'answer-dropped-by-receiver-firewall',
      culprit: { where: 'node', node: 'n2', firewall: { hook: 'output' } },
      evidence: { left: 3, arrived: 3, pastIngress: 3, witnessed: 3, answerLeft: 0, answered: 0 },
    },
    cureOn: 'n2',
  },
  {
    name: 'TCP: the router drops the answer',
    requirement: bgp,
    fault: () => lab.router.chain('forward', 'iifname "e2" tcp sport 179 drop'),
    wanted: {
      reason: 'answer-dropped-on-the-way',
      culprit: { where: 'path', node: 'path' },
      evidence: { witnessed: 3, answerArrived: 0, answered: 0 },
    },
  },
  {
    name: "TCP: n1's own INPUT drops the answer",
    requirement: bgp,
    fault: () => n1.chain('input', 'tcp sport 179 drop'),
    wanted: {
      reason: 'answer-dropped-by-sender-firewall',
      culprit: { where: 'node', node: 'n1', firewall: { hook: 'input' } },
      evidence: { witnessed: 3, answered: 0 },
    },
    cureOn: 'n1',
  },
  {
    name: 'ICMP: n2 is set not to answer',
    requirement: icmp,
    fault: async () => await setting(n2, 'net.ipv4.icmp_echo_ignore_all', 1),
    wanted: {
      reason: 'echo-ignored',
      culprit: { where: 'node', node: 'n2' },
      evidence: { left: 3, arrived: 3, pastIngress: 3, answerLeft: 0 },
    },
    cureOn: 'n2',
  },
];

test('nobody, where all is well', async () => {
  for (const family of ['ipv4', 'ipv6'] as const) {
    const document = await check([vxlan, bgp, icmp], family);
    for (const requirement of [vxlan, bgp, icmp])
      expect(said(towardsN2(document, requirement)), requirement).toBe('pass');
  }
});

describe('who is to blame, and what cures it', () => {
  test.each(scenarios)('$name', async ({ requirement, family, fault, wanted, cureOn }) => {
    await using _ = await fault();
    const finding = towardsN2(await check([requirement], family), requirement);
    expect(finding).toMatchObject({ outcome: 'fail', ...wanted });
    expect(finding.evidence).toMatchObject({ confidence: 'proven' });
    if (cureOn === undefined) {
      expect(finding.remedy).toBeNull();
      return;
    }
    for (const { on, commands } of finding.remedy ?? []) {
      expect(on).toBe(cureOn);
      for (const command of commands) await lab.node(on).exec('sh', ['-c', command]);
    }
    const cured = towardsN2(await check([requirement], family), requirement);
    expect(said(cured), JSON.stringify(finding.remedy)).toBe('pass');
  });
});

async function setting(node: LabNode, key: string, value: number): Promise<AsyncDisposable> {
  await node.exec('sysctl', ['-qw', `${key}=${value}`]);
  return {
    [Symbol.asyncDispose]: async () => {
      await node.exec('sysctl', ['-qw', `${key}=0`]);
    },
  };
}

/** A second link between the two, which takes this port's packets to n2, and nothing that comes back. */
async function comeInByAnotherInterface(): Promise<AsyncDisposable> {
  await n1.ip([
    `link add x0 type veth peer name x0 netns ${n2.namespace}`,
    'addr add 192.168.77.1/24 dev x0',
    'link set x0 up',
  ]);
  await n2.ip(['addr add 192.168.77.2/24 dev x0', 'link set x0 up']);
  await n2.exec('sysctl', ['-qw', 'net.ipv4.conf.x0.rp_filter=1']);
  // Else it would ask for n2's link-layer address in the name of e0, and the filter would take that, too.
  await n1.exec('sysctl', ['-qw', 'net.ipv4.conf.x0.arp_announce=2']);
  await n1.ip([
    `route add ${n2.address4} via 192.168.77.2 dev x0 src ${n1.address4} table 77`,
    `rule add to ${n2.address4} ipproto udp dport 4789 lookup 77`,
  ]);
  return {
    [Symbol.asyncDispose]: async () => {
      await n1.ip([`rule del to ${n2.address4} ipproto udp dport 4789 lookup 77`, 'link del x0']);
    },
  };
}
