/** What the program says of its own firewall from the rules alone, before any packet is sent, and again when they change. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Finding, StatusDocument } from '../../agent/model.ts';
import { said, describe as show, theFinding } from '../support/document.ts';
import { createLab, type Lab, type LabNode } from '../support/lab.ts';

const requirement = 'flannel.vxlan.firewall';
const selection = ['--provider', 'flannel', '--only', requirement, '--timeout', '0.5'];

let lab: Lab;
let n1: LabNode;
let peers: readonly string[];
beforeAll(async () => {
  lab = await createLab({ nodes: 2 });
  n1 = lab.node('n1');
  peers = lab.peerArguments(n1, ['ipv4', 'ipv6']);
});
afterAll(async () => {
  await lab[Symbol.asyncDispose]();
});

function of(
  document: StatusDocument,
  direction: 'inbound' | 'outbound',
  family: 'ipv4' | 'ipv6' = 'ipv4',
): Finding {
  return theFinding(document, { requirement, peer: 'n2', family, direction });
}

async function expectSaid(
  want: Readonly<Record<'inbound' | 'outbound', string>>,
  expectExit: number,
): Promise<StatusDocument> {
  const { document } = await n1.check([...selection, ...peers], { expectExit });
  for (const direction of ['inbound', 'outbound'] as const)
    expect(said(of(document, direction)), show(document)).toBe(want[direction]);
  return document;
}

/** The handle that nft shows of the rule with this text. */
async function handleOf(text: string): Promise<number> {
  const { stdout } = await n1.exec('nft', ['-a', 'list', 'ruleset']);
  const line = stdout.split('\n').find((one) => one.includes(text) && one.includes('# handle'));
  return Number(/# handle (\d+)/.exec(line ?? '')?.[1]);
}

test('without a rule everything passes', async () => {
  await expectSaid({ inbound: 'pass', outbound: 'pass' }, 0);
});

describe('a rule of nft', () => {
  test('that drops what comes in is named, with its handle', async () => {
    await using _ = await n1.chain('input', [
      'ct state established accept',
      `ip saddr ${lab.node('n2').address4} udp dport 8472 drop`,
    ]);
    const want = { inbound: 'fail dropped-by-receiver-firewall', outbound: 'pass' };
    const document = await expectSaid(want, 3);
    const { culprit, evidence } = of(document, 'inbound');
    expect(culprit).toEqual({
      where: 'receiver-ingress',
      node: 'n1',
      firewall: {
        backend: 'nf_tables',
        family: 'inet',
        table: expect.stringMatching(/^fault_/),
        chain: 'c',
        hook: 'input',
        handle: await handleOf('udp dport 8472 drop'),
        rule: `ip saddr ${lab.node('n2').address4} udp dport 8472 drop`,
      },
    });
    expect(evidence).toMatchObject({ verdict: 'drop', interface: 'e0' });
    expect(document.readiness).toBe('not-ready');
    // The same address family alone.
    expect(said(of(document, 'inbound', 'ipv6'))).toBe('pass');
  });

  test('each direction has a fault of its own', async () => {
    await using _in = await n1.chain('input', 'udp dport 8472 reject');
    await using _out = await n1.chain('postrouting', 'udp dport 8472 drop');
    const document = await expectSaid(
      {
        inbound: 'fail rejected-by-receiver-firewall',
        outbound: 'fail dropped-by-sender-firewall',
      },
      3,
    );
    expect(of(document, 'outbound').culprit).toMatchObject({
      where: 'sender-egress',
      node: 'n1',
      firewall: { hook: 'postrouting', rule: 'udp dport 8472 drop' },
    });
    expect(of(document, 'inbound').culprit).toMatchObject({
      where: 'receiver-ingress',
      node: 'n1',
      firewall: { hook: 'input', rule: 'udp dport 8472 reject' },
    });
  });

  test('a policy has no handle', async () => {
    await using _ = await n1.chain('input', 'udp dport 53 accept', { policy: 'drop' });
    const document = await expectSaid(
      { inbound: 'fail dropped-by-receiver-firewall', outbound: 'pass' },
      3,
    );
    const { firewall } = of(document, 'inbound').culprit ?? {};
    expect(firewall).toMatchObject({ chain: 'c', policy: 'drop' });
    expect(firewall).not.toHaveProperty('handle');
  });

  test('another port is nobody’s business', async () => {
    await using _ = await n1.chain('input', 'udp dport 8473 drop');
    await expectSaid({ inbound: 'pass', outbound: 'pass' }, 0);
  });

  test('a redirect sends it elsewhere', async () => {
    await using _ = await n1.chain('prerouting', 'udp dport 8472 redirect to :9999', {
      type: 'nat',
      priority: -100,
    });
    const document = await expectSaid({ inbound: 'fail rewritten', outbound: 'pass' }, 3);
    expect(of(document, 'inbound').evidence['rewrittenTo']).toContain('9999');
  });

  test('a limit does not tell, and that does not count', async () => {
    await using _ = await n1.chain('input', [
      'udp dport 8472 limit rate 3/minute accept',
      'udp dport 8472 drop',
    ]);
    const document = await expectSaid(
      { inbound: 'unknown firewall-undetermined', outbound: 'pass' },
      0,
    );
    expect(of(document, 'inbound').evidence['undetermined']).toContain('limit');
  });
});

describe.each(['iptables-nft', 'iptables-legacy'] as const)('a rule of %s', (backend) => {
  const command = (action: '-A' | '-D'): Promise<unknown> =>
    n1.exec(backend, [action, 'INPUT', '-p', 'udp', '--dport', '8472', '-j', 'DROP']);

  test('is named as iptables shows it', async () => {
    await command('-A');
    try {
      const document = await expectSaid(
        { inbound: 'fail dropped-by-receiver-firewall', outbound: 'pass' },
        3,
      );
      expect(of(document, 'inbound').culprit?.firewall).toMatchObject({
        backend,
        family: 'ip',
        table: 'filter',
        chain: 'INPUT',
        hook: 'input',
        number: 1,
      });
      expect(said(of(document, 'inbound', 'ipv6'))).toBe('pass');
    } finally {
      await command('-D');
    }
  });
});

test('a filter of tc is not modelled: the rules let it pass, so nothing is said', async () => {
  await n1.exec('sh', [
    '-ec',
    'tc qdisc add dev e0 clsact; tc filter add dev e0 ingress protocol all u32 match u32 0 0',
  ]);
  try {
    const document = await expectSaid(
      { inbound: 'unknown firewall-undetermined', outbound: 'pass' },
      0,
    );
    expect(of(document, 'inbound').evidence['notModelled']).toBe('tc ingress u32 on e0');
    await using _ = await n1.chain('input', 'udp dport 8472 drop');
    await expectSaid({ inbound: 'fail dropped-by-receiver-firewall', outbound: 'pass' }, 3);
  } finally {
    await n1.exec('tc', ['qdisc', 'del', 'dev', 'e0', 'clsact']);
  }
});

describe('an agent', () => {
  test('says it anew when a rule comes and when it goes, and counts', async () => {
    await using agent = await n1.agent([...selection, '--interval', '3600', ...peers]);
    const isSaid = (word: string) => (document: StatusDocument) =>
      document.findings.some(
        (finding) =>
          finding.target.scope === 'peer' &&
          finding.target.family === 'ipv4' &&
          finding.target.direction === 'inbound' &&
          said(finding) === word,
      );
    await agent.statusWhen('a pass', isSaid('pass'));
    // The next round comes in an hour: what is said from here on comes from the change itself.
    {
      await using _ = await n1.chain('input', 'udp dport 8472 drop');
      const document = await agent.statusWhen(
        'the drop',
        isSaid('fail dropped-by-receiver-firewall'),
      );
      expect(document.readiness).toBe('not-ready');
      const { body } = await agent.get('/metrics');
      expect(body).toContain(
        'cni_preflight_firewall_verdict{requirement="flannel.vxlan",direction="inbound",verdict="drop"} 1',
      );
      expect(body).toMatch(/^cni_preflight_firewall_ruleset_changes_total [1-9]/m);
    }
    const document = await agent.statusWhen('a pass again', isSaid('pass'));
    expect(document.readiness).toBe('ready');
  });

  test('without CAP_NET_ADMIN it is unknown, and says so', async () => {
    await using agent = await n1.agent([...selection, '--interval', '3600', ...peers], {
      under: ['setpriv', '--bounding-set', '-net_admin', '--inh-caps', '-net_admin'],
    });
    const document = await agent.statusWhen('findings', ({ findings }) => findings.length > 0);
    for (const direction of ['inbound', 'outbound'] as const)
      expect(said(of(document, direction))).toBe('unknown missing-net-admin');
  });
});
