/** Rules of Kubernetes in both backends of iptables, written by both programs, and told from what the kernel holds. */
import { beforeEach, describe, expect, test } from 'vitest';
import { firewallBackends } from '../../checks/firewall-backends.ts';
import { createMachine } from '../../checks/host/machine.ts';
import { loadCatalogue } from '../../rules/load.ts';
import { fakeContext } from '../support/fake-host.ts';
import { enterNewNetwork, shell } from '../support/own-network.ts';

const { ruleOwners } = await loadCatalogue();
const ask = async () =>
  await firewallBackends.run(
    {},
    { scope: 'node' },
    // A machine of its own each time: it remembers what it has read.
    fakeContext({ host: createMachine(), ruleOwners }),
  );

const services = (iptables: string): string => `${iptables} -t nat -N KUBE-SERVICES
  ${iptables} -t nat -A KUBE-SERVICES -d 10.96.0.1/32 -p tcp --dport 443 -j RETURN
  ${iptables} -t nat -A PREROUTING -j KUBE-SERVICES`;
const calico = (iptables: string): string => `${iptables} -N cali-FORWARD
  ${iptables} -A cali-FORWARD -j ACCEPT; ${iptables} -A FORWARD -j cali-FORWARD`;
/** What the kubelet makes by the host's iptables, whatever kube-proxy uses. */
const kubelet = (iptables: string): string => `${iptables} -t mangle -N KUBE-KUBELET-CANARY
  ${iptables} -t mangle -N KUBE-IPTABLES-HINT; ${iptables} -N KUBE-FIREWALL
  ${iptables} -A KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -j DROP; ${iptables} -A INPUT -j KUBE-FIREWALL`;

beforeEach(() => {
  enterNewNetwork();
});

describe('the backends of iptables', () => {
  test.each([
    { name: 'no rules', commands: 'true', backends: 'none' },
    {
      name: 'all in nf_tables',
      commands: `${services('iptables-nft')}\n${calico('iptables-nft')}`,
      backends: 'iptables-nft',
    },
    {
      name: 'all in legacy, but for what the kubelet makes',
      commands: `${services('iptables-legacy')}\n${calico('iptables-legacy')}\n${kubelet('iptables-nft')}`,
      backends: 'iptables-legacy',
    },
    {
      name: 'rules of the host in the other one',
      commands: `${services('iptables-nft')}\niptables-legacy -A INPUT -s 198.51.100.7 -j DROP`,
      backends: 'iptables-nft',
    },
    {
      name: 'chains that were flushed and left behind',
      commands: `${services('iptables-legacy')}\n${services('iptables-nft')}
        iptables-legacy -t nat -F`,
      backends: 'iptables-nft',
    },
    {
      name: 'kube-proxy with rules of nf_tables itself, Calico with legacy iptables',
      commands: `nft add table ip kube-proxy; nft add chain ip kube-proxy services
        nft add rule ip kube-proxy services ip daddr 10.96.0.1 accept
        ${calico('iptables-legacy')}`,
      backends: 'iptables-legacy',
    },
  ])('are one: $name', async ({ commands, backends }) => {
    shell(commands);
    expect(await ask()).toEqual({ outcome: 'pass', evidence: { backends } });
  });

  test.each([
    {
      name: 'kube-proxy, whose old rules are still in legacy',
      commands: `${services('iptables-legacy')}\n${services('iptables-nft')}\n${calico('iptables-nft')}`,
      evidence: { where: 'both', family: 'ip', legacy: 'kube-proxy', nft: 'kube-proxy' },
    },
    {
      name: 'kube-proxy in one, Calico in the other',
      commands: `${services('iptables-nft')}\n${calico('iptables-legacy')}`,
      evidence: {
        where: 'each',
        legacy: 'calico',
        legacyFirst: 'filter cali-FORWARD',
        nft: 'kube-proxy',
        nftFirst: 'nat KUBE-SERVICES',
      },
    },
    {
      name: 'Calico in one, kube-proxy in the other',
      commands: `${services('iptables-legacy')}\n${calico('iptables-nft')}`,
      evidence: { where: 'each', legacy: 'kube-proxy', nft: 'calico' },
    },
    {
      name: 'of IPv6',
      commands: `${services('iptables-nft')}\n${calico('ip6tables-nft')}\n${calico('ip6tables-legacy')}`,
      evidence: { where: 'both', family: 'ip6', legacy: 'calico' },
    },
  ])('are two: $name', async ({ commands, evidence }) => {
    shell(commands);
    expect(await ask()).toMatchObject({
      outcome: 'fail',
      reason: 'iptables-backends-mixed',
      evidence,
      culprit: { where: 'node', node: 'this' },
    });
  });

  test('the cure of the manual cures', async () => {
    shell(`${services('iptables-legacy')}\n${services('iptables-nft')}`);
    expect(await ask()).toMatchObject({ outcome: 'fail' });
    shell(
      'for t in filter nat mangle; do iptables-legacy -t $t -F; iptables-legacy -t $t -X; done',
    );
    expect(await ask()).toMatchObject({ outcome: 'pass' });
  });
});
