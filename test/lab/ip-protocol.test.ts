/** IP-in-IP, a protocol without ports: one node's probe opens the way for the other's. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Finding } from '../../agent/model.ts';
import { said, theFinding } from '../support/document.ts';
import { createLab, type Lab } from '../support/lab.ts';

// Checks run on n1 and n2; the agents of all three only answer.
let lab: Lab;
beforeAll(async () => {
  lab = await createLab({ nodes: 3, ipv6: false });
  await Promise.all(
    lab.nodes.map((node) =>
      node.agent([
        '--provider',
        'calico',
        '--only',
        'calico.module-veth',
        '--interval',
        '1',
        ...lab.peerArguments(node),
      ]),
    ),
  );
});
afterAll(async () => {
  await lab[Symbol.asyncDispose]();
});

const ipip = {
  protocol: 4,
  requirement: 'calico.ipip',
  args: ['--provider', 'calico'],
};
const esp = {
  protocol: 50,
  requirement: 'flannel.esp',
  args: ['--provider', 'flannel', '--set', 'encapsulation=ipsec'],
};

/** What a check on one node says of the way to the other. */
async function probe(
  own: string,
  peer: string,
  { requirement, args } = ipip,
): Promise<{ finding: Finding; exitCode: number }> {
  const node = lab.node(own);
  const { document, exitCode } = await node.check([
    ...args,
    '--only',
    requirement,
    '--timeout',
    '0.5',
    '--peer',
    `${lab.node(peer).address4}=${peer}`,
  ]);
  const which = { requirement, peer, direction: 'outbound' } as const;
  return { finding: theFinding(document, which), exitCode };
}

test.each([ipip, esp])('protocol $protocol passes', async (which) => {
  const { finding, exitCode } = await probe('n1', 'n3', which);
  expect(said(finding)).toBe('pass');
  expect(finding.evidence).toMatchObject({ protocol: which.protocol, witnessed: 3 });
  expect(exitCode).toBe(0);
});

test.each([ipip, esp])(
  'protocol $protocol is dropped on the way, in one direction',
  async (which) => {
    await using fault = await lab.router.chain(
      'forward',
      `iifname "e1" ip protocol ${which.protocol} counter drop`,
    );
    const there = await probe('n1', 'n3', which);
    expect(said(there.finding)).toBe('fail dropped-on-the-way');
    expect(there.finding.culprit).toEqual({ where: 'path', node: 'path' });
    expect(there.exitCode).toBe(3);
    // Three of the test, and three of the diagnosis.
    expect(await fault.packets()).toBe(6);
    await Promise.all(lab.nodes.map((node) => node.forgetFlows()));
    expect(said((await probe('n3', 'n1', which)).finding)).toBe('pass');
  },
);

test('is dropped by the own firewall', async () => {
  await using _ = await lab.node('n1').chain('output', 'ip protocol 4 drop');
  const { finding } = await probe('n1', 'n3');
  expect(said(finding)).toBe('fail dropped-by-sender-firewall');
  expect(finding.culprit).toMatchObject({
    where: 'sender-egress',
    node: 'n1',
    firewall: { hook: 'output', rule: 'ip protocol ipencap drop' },
  });
});

// Not with protocol 4: the kernel rejects nothing whose payload does not add up to zero (nf_ip_checksum).
test('is prohibited by the receiver, or on the way', async () => {
  const reject = 'ip protocol 50 reject with icmp type admin-prohibited';
  {
    await using _ = await lab.node('n3').chain('input', reject);
    const { finding } = await probe('n1', 'n3', esp);
    expect(said(finding)).toBe('fail rejected-by-receiver-firewall');
    expect(finding.culprit).toMatchObject({
      where: 'receiver-ingress',
      node: 'n3',
      firewall: { hook: 'input' },
    });
  }
  await using _ = await lab.router.chain('forward', reject);
  const { finding } = await probe('n1', 'n3', esp);
  expect(said(finding)).toBe('fail rejected-by-firewall');
  expect(finding.culprit).toEqual({ where: 'path', node: 'path' });
});

test('without a witness a refusal and silence say nothing', async () => {
  await using other = await createLab({ nodes: 2, ipv6: false });
  const [own, peer] = other.nodes;
  if (own === undefined || peer === undefined) throw new Error('two nodes');
  const check = async (): Promise<string> => {
    const { document } = await own.check(
      [
        '--provider',
        'calico',
        '--only',
        'calico.ipip',
        '--timeout',
        '0.3',
        ...other.peerArguments(own),
      ],
      { expectExit: 4 },
    );
    return said(theFinding(document, { peer: 'n2', direction: 'outbound' }));
  };
  expect(await check()).toBe('unknown refused-unwitnessed');
  await using _ = await peer.chain('input', 'ip protocol 4 drop');
  expect(await check()).toBe('unknown no-witness');
});

test('both sides drop new flows: probing one another never makes a pass', async () => {
  const nodes = [lab.node('n1'), lab.node('n2')] as const;
  await Promise.all(nodes.map((node) => node.forgetFlows()));
  const rules = ['ct state established,related counter accept', 'ip protocol 4 counter drop'];
  await using _ = await nodes[0].chain('input', rules);
  await using __ = await nodes[1].chain('input', rules);
  // Nobody has probed yet: the flow is new, and dropped.
  expect(said((await probe('n1', 'n2')).finding)).toBe('fail dropped-by-receiver-firewall');
  // From here on the flow counts as established on the node that has sent.
  for (const [own, peer] of [
    ['n2', 'n1'],
    ['n1', 'n2'],
    ['n2', 'n1'],
  ] as const) {
    const { finding, exitCode } = await probe(own, peer);
    expect(said(finding), `${own} to ${peer}`).toBe('unknown established-by-reverse');
    expect(finding.evidence['witnessed']).toBe(3);
    expect(exitCode).toBe(4);
  }
});
