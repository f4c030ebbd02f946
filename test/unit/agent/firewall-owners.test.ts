import { expect, test } from 'vitest';
import { ownerWords } from '../../../agent/firewall-owners.ts';
import type { FirewallPlace } from '../../../checks/firewall-verdict.ts';
import { someChain } from '../../support/firewall.ts';

const ufw = { chains: [someChain({ family: 'ip', name: 'ufw-user-input' })] };
const place = (change: Partial<FirewallPlace>): FirewallPlace => ({
  backend: 'iptables-nft',
  family: 'ip',
  table: 'filter',
  chain: 'INPUT',
  hook: 'input',
  ...change,
});

test.each<[Partial<FirewallPlace>, string | undefined]>([
  [{ policy: 'drop' }, 'ufw: the default, deny (incoming)'],
  [{ chain: 'OUTPUT', policy: 'accept' }, 'ufw: the default, allow (outgoing)'],
  [
    { chain: 'ufw-skip-to-policy-input', rule: '-A ufw-skip-to-policy-input -j DROP' },
    'ufw: the default, deny (incoming)',
  ],
  [
    {
      chain: 'ufw-user-input',
      rule: '-A ufw-user-input -s 10.0.0.2/32 -p udp -m udp --dport 8472 -j DROP',
    },
    'ufw: a rule of yours, as `ufw status numbered` lists it: deny in from 10.0.0.2 to any port 8472 proto udp',
  ],
  [
    { chain: 'ufw-user-input', rule: 'ip saddr 10.0.0.0/24 tcp dport 22 counter accept' },
    'ufw: a rule of yours, as `ufw status numbered` lists it: allow in from 10.0.0.0/24 to any port 22 proto tcp',
  ],
  [{ chain: 'ufw-before-input' }, 'ufw: a rule of its own, in /etc/ufw/before.rules'],
  [{ chain: 'ufw-user-limit', rule: '-j REJECT' }, 'ufw: a rule of yours with `limit`'],
  [{ chain: 'KUBE-FIREWALL' }, 'a rule of kube-proxy'],
  [{ chain: 'DOCKER-USER' }, 'a rule of Docker'],
  [{ chain: 'mine' }, undefined],
])('with ufw: %j', (change, want) => {
  expect(ownerWords(place(change), ufw)).toBe(want);
});

test('a policy without ufw is nobody’s', () => {
  expect(ownerWords(place({ policy: 'drop' }), { chains: [] })).toBeUndefined();
});

test.each([
  [
    'filter_IN_public_deny',
    'firewalld: zone public, as `firewall-cmd --list-all --zone=public` lists it',
  ],
  ['filter_IN_public', 'firewalld: the target of zone public'],
  ['filter_INPUT', 'firewalld: what no zone lets pass'],
])('firewalld: %s', (chain, want) => {
  const firewalld = place({ backend: 'nf_tables', family: 'inet', table: 'firewalld', chain });
  expect(ownerWords(firewalld, { chains: [] })).toBe(want);
});
