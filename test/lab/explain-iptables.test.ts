/** `explain` where iptables made the rules, by itself or for ufw. */
import { beforeEach, describe, expect, test } from 'vitest';
import { enterFirewallHost, explainHere } from '../support/firewall-host.ts';
import { shell } from '../support/own-network.ts';

beforeEach(() => {
  enterFirewallHost();
});

type Words = readonly [what: string, ...flags: readonly string[]];

function askedOf([what, ...flags]: Words): Parameters<typeof explainHere>[0] {
  const valueOf = (flag: string): string | undefined => flags[flags.indexOf(flag) + 1];
  return {
    what,
    ...(flags.includes('--from') ? { from: valueOf('--from') ?? '' } : {}),
    ...(flags.includes('--to') ? { to: valueOf('--to') ?? '' } : {}),
  };
}

async function explain(...words: Words): ReturnType<typeof explainHere> {
  return await explainHere(askedOf(words));
}

async function documentOf(...words: Words) {
  const { out } = await explainHere(askedOf(words), 'json');
  return JSON.parse(out) as {
    readonly packet: Readonly<Record<string, unknown>>;
    readonly verdict: string;
    readonly decidedBy: Readonly<Record<string, unknown>> | null;
    readonly path: readonly Readonly<Record<string, unknown>>[];
    readonly arrives: string;
    readonly rewrites: readonly string[];
  };
}

describe('a host with ufw', () => {
  // The chains of /usr/share/ufw/iptables, with one rule of the user, as `ufw enable` and `ufw allow 22/tcp` leave them.
  beforeEach(() => {
    shell(`iptables-nft-restore <<'RULES'
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:ufw-before-logging-input - [0:0]
:ufw-before-input - [0:0]
:ufw-after-input - [0:0]
:ufw-after-logging-input - [0:0]
:ufw-reject-input - [0:0]
:ufw-track-input - [0:0]
:ufw-user-input - [0:0]
:ufw-not-local - [0:0]
:ufw-skip-to-policy-input - [0:0]
-A INPUT -j ufw-before-logging-input
-A INPUT -j ufw-before-input
-A INPUT -j ufw-after-input
-A INPUT -j ufw-after-logging-input
-A INPUT -j ufw-reject-input
-A INPUT -j ufw-track-input
-A ufw-before-input -i lo -j ACCEPT
-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-input -m conntrack --ctstate INVALID -j DROP
-A ufw-before-input -p icmp --icmp-type echo-request -j ACCEPT
-A ufw-before-input -j ufw-not-local
-A ufw-before-input -d 239.255.255.250/32 -p udp --dport 1900 -j ACCEPT
-A ufw-before-input -j ufw-user-input
-A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN
-A ufw-not-local -m addrtype --dst-type MULTICAST -j RETURN
-A ufw-not-local -m addrtype --dst-type BROADCAST -j RETURN
-A ufw-not-local -j DROP
-A ufw-after-input -p udp --dport 137 -j ufw-skip-to-policy-input
-A ufw-after-logging-input -m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix "[UFW BLOCK] "
-A ufw-skip-to-policy-input -j DROP
-A ufw-user-input -p tcp --dport 22 -j ACCEPT
-A ufw-user-input -s 10.99.3.0/24 -p udp --dport 8472 -j DROP
COMMIT
RULES`);
  });

  test('the default decides, as its user knows it, with the rules that were met', async () => {
    const { code, out } = await explain('udp/8472', '--from', '10.99.2.2');
    expect(out).toContain('DROP: udp/8472 from 10.99.2.2');
    expect(code).toBe(3);
    expect(out).toContain('decided by   ip filter INPUT, policy drop (iptables-nft, hook input)');
    expect(out).toContain('ufw: the default, deny (incoming)');
    for (const met of [
      'ip filter INPUT, ',
      'ip filter ufw-before-input, ',
      'ip filter ufw-not-local, ',
    ])
      expect(out).toContain(met);
  });

  test('a rule of the user', async () => {
    const denied = await explain('udp/8472', '--from', '10.99.3.2');
    expect(denied.code).toBe(3);
    expect(denied.out).toContain('deny in from 10.99.3.0/24 to any port 8472 proto udp');
    const allowed = await explain('tcp/22', '--from', '10.99.2.2');
    expect(allowed.code).toBe(0);
    expect(allowed.out).toContain('allow in from any to any port 22 proto tcp');
  });

  test('ping is let pass by a rule of ufw’s own', async () => {
    const { code, out } = await explain('icmp', '--from', '10.99.2.2');
    expect(code).toBe(0);
    expect(out).toContain('ufw: a rule of its own, in /etc/ufw/before.rules');
  });
});

test('legacy iptables', async () => {
  shell('iptables-legacy -A INPUT -p tcp --dport 179 -j REJECT');
  const { verdict, decidedBy } = await documentOf('tcp/179', '--from', '10.99.2.2');
  expect(verdict).toBe('reject');
  expect(decidedBy).toMatchObject({ backend: 'iptables-legacy', chain: 'INPUT', number: 1 });
  expect(decidedBy).not.toHaveProperty('handle');
});
