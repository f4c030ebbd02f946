/** Rules of kube-proxy and flannel in a node's firewall, a running agent, and those who take such rules away. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Finding, StatusDocument } from '../../agent/model.ts';
import { said } from '../support/document.ts';
import { createLab, type Lab, type LabAgent, type LabNode } from '../support/lab.ts';

const requirement = 'canal.firewall-wipe';
// The next round comes in an hour: what is said from the second answer on comes from a change itself.
const selection = ['--provider', 'canal', '--only', requirement, '--interval', '3600'];

/** What kube-proxy (in iptables mode) and flannel leave in a node, in short. */
const natRules = `table ip nat {
  chain KUBE-SERVICES { ip daddr 10.43.0.10 udp dport 53 counter jump KUBE-SVC-DNS; }
  chain KUBE-SVC-DNS { ip protocol udp counter dnat to 10.42.0.7:53; }
  chain KUBE-POSTROUTING { meta mark & 0x4000 != 0x4000 return; counter masquerade; }
  chain FLANNEL-POSTRTG { ip saddr 10.42.0.0/16 ip daddr != 224.0.0.0/4 counter masquerade; }
  chain PREROUTING { type nat hook prerouting priority dstnat; jump KUBE-SERVICES; }
  chain POSTROUTING { type nat hook postrouting priority srcnat; jump KUBE-POSTROUTING; jump FLANNEL-POSTRTG; }
}
`;
const filterRules = `table ip filter {
  chain KUBE-FORWARD { meta mark & 0x4000 == 0x4000 counter accept; ct state established counter accept; }
  chain FLANNEL-FWD { ip saddr 10.42.0.0/16 counter accept; }
  chain FORWARD { type filter hook forward priority filter; jump KUBE-FORWARD; jump FLANNEL-FWD; }
}
`;
const strangers =
  'table inet mine { chain input { type filter hook input priority 0; tcp dport 22 accept; }; }';

describe('an agent beside rules of kube-proxy and flannel', () => {
  let lab: Lab;
  let node: LabNode;
  beforeAll(async () => {
    lab = await createLab({ nodes: 1, ipv6: false });
    node = lab.node('n1');
  });
  afterAll(async () => {
    await lab[Symbol.asyncDispose]();
  });
  beforeEach(async () => {
    await node.nft(`flush ruleset\n${natRules}${filterRules}${strangers}`);
  });

  const wipeOf = ({ findings }: StatusDocument): Finding | undefined =>
    findings.find((finding) => finding.requirement === requirement);
  async function findingWhen(agent: LabAgent, word: string): Promise<Finding> {
    const status = await agent.statusWhen(word, (document) => {
      const finding = wipeOf(document);
      return finding !== undefined && said(finding) === word;
    });
    const finding = wipeOf(status);
    if (finding === undefined) throw new Error('no finding');
    return finding;
  }
  /** What is said once the rules have been looked at after a change that the test has made. */
  async function findingAfter(agent: LabAgent, change: () => Promise<void>): Promise<Finding> {
    const before = wipeOf(await agent.status())?.checkedAt ?? '';
    await change();
    const status = await agent.statusWhen('a look at the changed rules', (document) => {
      const { checkedAt = '' } = wipeOf(document) ?? {};
      return checkedAt > before;
    });
    const finding = wipeOf(status);
    if (finding === undefined) throw new Error('no finding');
    return finding;
  }

  test('nft flush ruleset: whose rules went, and which process did it; a pass when they are back', async () => {
    await using agent = await node.agent(selection);
    await findingWhen(agent, 'pass');
    expect((await agent.get('/readyz')).status).toBe(200);

    await node.nft('flush ruleset');
    const finding = await findingWhen(agent, 'fail firewall-rules-wiped');
    expect(finding).toMatchObject({
      kind: 'firewall-wipe',
      level: 'required',
      evidence: {
        owners: 'kube-proxy, flannel',
        lost: '4 rules of nf_tables ip nat; 1 rule of nf_tables ip nat; 2 rules of nf_tables ip filter; 1 rule of nf_tables ip filter',
        process: 'nft',
        pid: expect.any(Number) as number,
        noticedAt: expect.stringMatching(/^20\d\d-/) as string,
      },
      culprit: { where: 'node', node: 'n1' },
      documentation: 'docs/troubleshooting.md#firewall-rules-wiped',
    });
    expect(finding.message).toContain('nft (pid ');
    expect(finding.message).toContain('no `flush ruleset` in /etc/nftables.conf');
    expect(finding.remedy?.map(({ manager, on }) => `${manager} on ${on}`)).toEqual([
      'kube-proxy on n1',
      'flannel on n1',
    ]);
    const { status, body } = await agent.get('/readyz');
    expect(status).toBe(503);
    expect(body).toContain(`${requirement} fails: firewall-rules-wiped`);
    expect((await agent.get('/metrics')).body).toContain(
      `cni_preflight_requirement_outcome{requirement="${requirement}",level="required",outcome="fail"} 1`,
    );

    // One of the two owners is back, then the other.
    await node.nft(filterRules);
    await agent.statusWhen('less is missing', (document) => {
      const { outcome, evidence = {} } = wipeOf(document) ?? {};
      return outcome === 'fail' && !String(evidence['lost']).includes('filter');
    });
    await node.nft(natRules);
    await findingWhen(agent, 'pass');
    expect((await agent.get('/readyz')).status).toBe(200);
  });

  test('iptables -F: the chains are there, and nothing leads to them', async () => {
    await using agent = await node.agent(selection);
    await findingWhen(agent, 'pass');
    await node.exec('iptables-nft', ['-F', 'FORWARD']);
    const { evidence } = await findingWhen(agent, 'fail firewall-rules-wiped');
    expect(evidence).toMatchObject({
      owners: 'kube-proxy, flannel',
      lost: 'the way from FORWARD into its chains of nf_tables ip filter',
      process: 'iptables-nft',
    });
    expect(evidence['advice']).toContain('--noflush');
    await node.exec('iptables-nft', ['-A', 'FORWARD', '-j', 'KUBE-FORWARD']);
    await node.exec('iptables-nft', ['-A', 'FORWARD', '-j', 'FLANNEL-FWD']);
    await findingWhen(agent, 'pass');
  });

  test('no finding: an owner that replaces all of its rules at once, somebody who removes other rules or a few of many, an owner that clears its chain', async () => {
    await using agent = await node.agent(selection);
    await findingWhen(agent, 'pass');
    for (const change of [
      `delete table ip nat\ndelete table ip filter\n${natRules}${filterRules}`,
      'delete table inet mine',
      'flush chain ip nat KUBE-SVC-DNS',
      // As flanneld does when it starts, by its tool.
      'flush chain ip nat FLANNEL-POSTRTG',
    ]) {
      const finding = await findingAfter(agent, async () => {
        await node.nft(change);
      });
      expect(said(finding), change).toBe('pass');
    }
    expect(agent.logs).not.toContain('wiped');
  });

  test('a check, which looks once, cannot tell', async () => {
    const { document } = await node.check(['--provider', 'canal', '--only', requirement]);
    const finding = wipeOf(document);
    expect(finding === undefined ? undefined : said(finding)).toBe('skip no-history');
  });

  test('without CAP_NET_ADMIN it is unknown, and the node is not blamed', async () => {
    const only = [...selection, '--only', 'canal.agreement-mtu'];
    await using agent = await node.agent(only, {
      under: ['setpriv', '--bounding-set', '-net_admin', '--inh-caps', '-net_admin'],
    });
    await findingWhen(agent, 'unknown missing-net-admin');
    expect((await agent.status()).readiness).not.toBe('not-ready');
  });
});
