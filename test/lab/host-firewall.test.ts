/** What the program says of its own firewall from the rules alone, before any packet is sent, and again when they change. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Finding, Readiness, StatusDocument } from '../../agent/model.ts';
import type { Answer } from '../../checks/check.ts';
import { said, theFinding } from '../support/document.ts';
import { askFirewall, enterFirewallHost, nft } from '../support/firewall-host.ts';
import { createLab, type Lab, type LabNode } from '../support/lab.ts';
import { shell } from '../support/own-network.ts';

describe('the rules of this host', () => {
  beforeEach(() => {
    enterFirewallHost();
  });

  const chain = (hook: string, rules: string, options = 'type filter'): string =>
    `table inet t_${hook} { chain c { ${options} hook ${hook} priority 0; policy accept; ${rules}; }\n}\n`;
  const word = (answer: Answer): string =>
    answer.outcome === 'pass' ? 'pass' : `${answer.outcome} ${answer.reason}`;
  const culpritOf = (answer: Answer) => (answer.outcome === 'fail' ? answer.culprit : undefined);

  async function expectSaid(inbound: string, outbound: string): Promise<[Answer, Answer]> {
    const answers: [Answer, Answer] = [await askFirewall('inbound'), await askFirewall('outbound')];
    expect(answers.map(word), JSON.stringify(answers)).toEqual([inbound, outbound]);
    return answers;
  }

  test('without a rule everything passes', async () => {
    await expectSaid('pass', 'pass');
  });

  test('a rule that drops what comes in is named, with the handle that nft shows', async () => {
    nft(chain('input', 'ct state established accept; ip saddr 10.99.2.2 udp dport 8472 drop'));
    const [inbound] = await expectSaid('fail dropped-by-receiver-firewall', 'pass');
    const listed = shell('nft -a list table inet t_input');
    expect(culpritOf(inbound)).toEqual({
      where: 'receiver-ingress',
      node: 'peer',
      firewall: {
        backend: 'nf_tables',
        family: 'inet',
        table: 't_input',
        chain: 'c',
        hook: 'input',
        handle: Number(/8472 drop # handle (\d+)/.exec(listed)?.[1]),
        rule: 'ip saddr 10.99.2.2 udp dport 8472 drop',
      },
    });
    expect(inbound.evidence).toMatchObject({ verdict: 'drop', interface: 'e0' });
    expect(word(await askFirewall('inbound', 'ipv6'))).toBe('pass');
  });

  test('each direction has a fault of its own', async () => {
    nft(chain('input', 'udp dport 8472 reject') + chain('postrouting', 'udp dport 8472 drop'));
    const [inbound, outbound] = await expectSaid(
      'fail rejected-by-receiver-firewall',
      'fail dropped-by-sender-firewall',
    );
    expect(culpritOf(inbound)).toMatchObject({
      where: 'receiver-ingress',
      firewall: { hook: 'input', rule: 'udp dport 8472 reject' },
    });
    expect(culpritOf(outbound)).toMatchObject({
      where: 'sender-egress',
      node: 'this',
      firewall: { hook: 'postrouting', rule: 'udp dport 8472 drop' },
    });
  });

  test('a policy has no handle', async () => {
    nft(chain('input', 'udp dport 53 accept').replace('policy accept', 'policy drop'));
    const [inbound] = await expectSaid('fail dropped-by-receiver-firewall', 'pass');
    const { firewall } = culpritOf(inbound) ?? {};
    expect(firewall).toMatchObject({ chain: 'c', policy: 'drop' });
    expect(firewall).not.toHaveProperty('handle');
  });

  test('another port is nobody’s business', async () => {
    nft(chain('input', 'udp dport 8473 drop') + chain('output', 'tcp dport 8472 drop'));
    await expectSaid('pass', 'pass');
  });

  test('a redirect sends it elsewhere', async () => {
    nft(chain('prerouting', 'udp dport 8472 redirect to :9999', 'type nat'));
    const [inbound] = await expectSaid('fail rewritten', 'pass');
    expect(inbound.evidence?.['rewrittenTo']).toContain('9999');
  });

  test('a limit does not tell', async () => {
    nft(chain('input', 'udp dport 8472 limit rate 3/minute accept; udp dport 8472 drop'));
    const [inbound] = await expectSaid('unknown firewall-undetermined', 'pass');
    expect(inbound.evidence?.['undetermined']).toContain('limit');
  });

  test.each(['iptables-nft', 'iptables-legacy'] as const)('a rule of %s', async (backend) => {
    shell(`${backend} -A INPUT -s 10.99.2.2 -p udp -j DROP`);
    const [inbound] = await expectSaid('fail dropped-by-receiver-firewall', 'pass');
    expect(culpritOf(inbound)?.firewall).toMatchObject({
      backend,
      family: 'ip',
      table: 'filter',
      chain: 'INPUT',
      hook: 'input',
      number: 1,
    });
    expect(word(await askFirewall('inbound', 'ipv6'))).toBe('pass');
  });

  test('a filter of tc is not modelled: where the rules let it pass nothing is said', async () => {
    shell('tc qdisc add dev e0 clsact');
    await expectSaid('pass', 'pass');
    shell('tc filter add dev e0 ingress protocol all u32 match u32 0 0');
    const [inbound] = await expectSaid('unknown firewall-undetermined', 'pass');
    expect(inbound.evidence?.['notModelled']).toBe('tc ingress u32 on e0');
    nft(chain('input', 'udp dport 8472 drop'));
    await expectSaid('fail dropped-by-receiver-firewall', 'pass');
  });
});

const requirement = 'flannel.vxlan.firewall';
const selection = ['--provider', 'flannel', '--only', requirement, '--timeout', '0.5'];

describe('an agent', () => {
  let lab: Lab;
  let n1: LabNode;
  let peers: readonly string[];
  beforeAll(async () => {
    lab = await createLab({ nodes: 2, ipv6: false });
    n1 = lab.node('n1');
    peers = lab.peerArguments(n1);
  });
  afterAll(async () => {
    await lab[Symbol.asyncDispose]();
  });
  const of = (document: StatusDocument, direction: 'inbound' | 'outbound'): Finding =>
    theFinding(document, { requirement, peer: 'n2', family: 'ipv4', direction });

  test('says it anew when a rule comes and when it goes, and counts', async () => {
    await using agent = await n1.agent([...selection, '--interval', '3600', ...peers]);
    const isSaid = (word: string, readiness: Readiness) => (document: StatusDocument) =>
      document.readiness === readiness &&
      document.findings.some(
        (finding) =>
          finding.target.scope === 'peer' &&
          finding.target.family === 'ipv4' &&
          finding.target.direction === 'inbound' &&
          said(finding) === word,
      );
    await agent.statusWhen('a pass', isSaid('pass', 'ready'));
    // The next round comes in an hour: what is said from here on comes from the change itself.
    {
      await using _ = await n1.chain('input', 'udp dport 8472 drop');
      await agent.statusWhen('the drop', isSaid('fail dropped-by-receiver-firewall', 'not-ready'));
      const { body } = await agent.get('/metrics');
      expect(body).toContain(
        'cni_preflight_firewall_verdict{requirement="flannel.vxlan",direction="inbound",verdict="drop"} 1',
      );
      expect(body).toMatch(/^cni_preflight_firewall_ruleset_changes_total [1-9]/m);
    }
    await agent.statusWhen('a pass again', isSaid('pass', 'ready'));
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
