/** What other programs do to the routing of a node, done for real: the kernel says where packets for pods then go. */
import { beforeEach, describe, expect, test } from 'vitest';
import { createMachine } from '../../checks/host/machine.ts';
import { policyRouting } from '../../checks/policy-routing.ts';
import type { ParamsByKind } from '../../rules/schema.ts';
import { fakeContext } from '../support/fake-host.ts';
import { enterNewNetwork, shell } from '../support/own-network.ts';

type Question = ParamsByKind['policy-routing']['question'];

const host = createMachine();
const ask = async (question: Question, interfaces = ['cni0', 'flannel.*', 'cali*']) =>
  await policyRouting.run({ question }, { scope: 'node' }, fakeContext({ host, interfaces }));

/** A node with its network card, and a default route by it. */
const node = `ip link add eth0 type veth peer name wire; ip link set eth0 up; ip link set wire up
  ip addr add 10.9.1.1/24 dev eth0; ip addr add 2001:db8:9::1/64 dev eth0 nodad
  ip route add default via 10.9.1.254`;
/** As Flannel leaves it: a bridge for the pods of this node, a tunnel to those of others, both with routes in main. */
const flannel = `ip link add cni0 type bridge; ip link set cni0 up; ip addr add 10.244.1.1/24 dev cni0
  ip link add flannel.1 type vxlan id 1 dstport 8472 local 10.9.1.1 dev eth0 nolearning
  ip addr add 10.244.1.0/32 dev flannel.1; ip link set flannel.1 up
  ip route add 10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink`;
/** As Calico leaves it: a route for each pod, and what is left of the node's own block refused. */
const calico = `ip link add cali1234 type veth peer name pod; ip link set cali1234 up; ip link set pod up
  ip route add blackhole 10.244.1.0/26 proto bird; ip route add 10.244.1.5 dev cali1234`;
const tailscale = `ip tuntap add tailscale0 mode tun; ip link set tailscale0 up; ip addr add 100.101.1.1/32 dev tailscale0
  ip route add default dev tailscale0 table 52; ip rule add pref 5270 lookup 52`;
const cloudSetup = `ip route add default via 10.9.1.254 dev eth0 table 30400
  ip rule add from 10.9.1.1 pref 30400 lookup 30400`;

beforeEach(() => {
  enterNewNetwork();
  shell(node);
});

/** Runs what the finding says, in the namespace. */
function cure(answer: Awaited<ReturnType<typeof ask>>): void {
  const commands = answer.outcome === 'fail' ? (answer.remedy ?? []) : [];
  const typed = commands.flatMap((one) => one.commands);
  expect(typed.length).toBeGreaterThan(0);
  // There is no systemd in a namespace.
  shell(typed.filter((command) => !command.startsWith('systemctl')).join('\n'));
}

describe('the rules of every host', () => {
  test('are there', async () => {
    expect(await ask('usual-rules')).toMatchObject({ outcome: 'pass' });
  });

  test.each([
    { table: 'main', command: 'ip rule del pref 32766', family: 'ipv4' },
    { table: 'local', command: 'ip rule del pref 0', family: 'ipv4' },
    { table: 'main', command: 'ip -6 rule del pref 32766', family: 'ipv6' },
  ])('are missed: $command', async ({ table, command, family }) => {
    shell(command);
    const answer = await ask('usual-rules');
    expect(answer).toMatchObject({
      outcome: 'fail',
      reason: 'policy-rule-missing',
      evidence: { table, family },
      culprit: { where: 'node' },
    });
    cure(answer);
    expect(await ask('usual-rules')).toMatchObject({ outcome: 'pass' });
  });

  test.each([
    [
      'the one for local at another place, as Cilium has it',
      'ip rule add pref 100 lookup local; ip rule del pref 0',
    ],
    ['none for the empty table default', 'ip rule del pref 32767'],
  ])('may differ: %s', async (_name, commands) => {
    shell(commands);
    expect(await ask('usual-rules')).toMatchObject({ outcome: 'pass' });
  });
});

describe('packets to pods', () => {
  const wrong = [
    {
      name: 'from the own address, with nm-cloud-setup',
      commands: cloudSetup,
      evidence: { from: '10.9.1.1', table: 30400, found: 'eth0', priority: 30400 },
    },
    {
      name: 'all of them, with an exit node of tailscale',
      commands: tailscale,
      evidence: { table: 52, found: 'tailscale0', rule: '5270: from all lookup 52' },
    },
    {
      name: 'those without a mark, with a VPN',
      commands: `ip tuntap add vpn0 mode tun; ip link set vpn0 up
        ip route add default dev vpn0 table 51820; ip rule add not fwmark 51820 pref 99 lookup 51820`,
      evidence: { found: 'vpn0', rule: '99: not from all fwmark 0xca6c lookup 51820' },
    },
  ];
  const right = [
    { name: 'nothing else', commands: 'true' },
    {
      name: 'wg-quick, which asks main for all but default routes first',
      commands: `ip tuntap add wg0 mode tun; ip link set wg0 up; ip route add default dev wg0 table 51820
        ip rule add not fwmark 51820 table 51820; ip rule add table main suppress_prefixlength 0`,
    },
    {
      name: 'tailscale without an exit node',
      commands: `ip tuntap add tailscale0 mode tun; ip link set tailscale0 up
        ip route add 100.100.1.7 dev tailscale0 table 52; ip rule add pref 5270 lookup 52`,
    },
    {
      name: 'a second network card whose own address has a table',
      commands: `ip link add eth1 type veth peer name wire1; ip link set eth1 up; ip link set wire1 up
        ip addr add 10.8.1.1/24 dev eth1; ip route add default via 10.8.1.254 table 101
        ip rule add from 10.8.1.1 lookup 101`,
    },
    {
      name: 'rules for marked packets, as Cilium has them',
      commands: `ip rule add fwmark 0x200/0xf00 pref 9 lookup 2004
        ip route add local default dev lo table 2004`,
    },
    {
      name: 'another program’s route in main, which is no rule’s fault',
      commands: 'ip route add 10.244.2.0/28 via 10.9.1.77',
    },
  ];

  describe.each([
    { cni: 'Flannel', commands: flannel, wanted: { destination: '10.244.1.0/24', wanted: 'cni0' } },
    {
      cni: 'Calico',
      commands: calico,
      wanted: { destination: '10.244.1.5/32', wanted: 'cali1234' },
    },
  ])('of $cni', ({ commands: cni, wanted }) => {
    test.each(wrong)('go elsewhere, and the cure cures: $name', async ({ commands, evidence }) => {
      shell(`${cni}\n${commands}`);
      // A remedy is for one prefix; there may be more of them.
      for (let round = 0; round < 3; round++) {
        const answer = await ask('ways-to-pods');
        if (round === 0)
          expect(answer).toMatchObject({
            outcome: 'fail',
            reason: 'policy-route-captures',
            evidence: { ...wanted, ...evidence },
          });
        if (answer.outcome === 'pass') return;
        cure(answer);
      }
      throw new Error('not cured');
    });

    test.each(right)('go where the CNI has routed them: $name', async ({ commands }) => {
      shell(`${cni}\n${commands}`);
      expect(await ask('ways-to-pods')).toMatchObject({ outcome: 'pass' });
      expect(await ask('ways-to-come')).toMatchObject({ outcome: 'skip' });
    });
  });

  describe('before there are any', () => {
    test.each(wrong)('are foretold to go elsewhere: $name', async ({ commands, evidence }) => {
      shell(commands);
      const { from: _from, ...where } = evidence as Record<string, unknown>;
      expect(await ask('ways-to-come')).toMatchObject({
        outcome: 'fail',
        reason: 'policy-route-captures',
        evidence: { destination: 'pods', ...where },
      });
      expect(await ask('ways-to-pods')).toMatchObject({ outcome: 'skip' });
    });

    test.each(right)('have nothing in their way: $name', async ({ commands }) => {
      shell(commands);
      expect(await ask('ways-to-come')).toMatchObject({ outcome: 'pass' });
    });
  });
});
