import { describe, expect, test } from 'vitest';
import type { Answer, AnswerRemedy } from '../../../checks/check.ts';
import {
  arrived,
  slimmer,
  type TravellingAnswer,
  travelling,
} from '../../../checks/peer-answer.ts';
import { readVerdicts, writeBody } from '../../../checks/peer-protocol.ts';
import { isTypeable } from '../../../checks/remedy/typeable.ts';
import { placeAt } from '../../support/evidence.ts';

const remedy: AnswerRemedy = {
  manager: 'nftables',
  on: 'this',
  commands: ['nft insert rule inet fw output position 12 ip daddr 10.0.0.1 udp dport 8472 accept'],
};
const blamed = {
  outcome: 'fail',
  reason: 'dropped-by-sender-firewall',
  evidence: { port: 8472, confidence: 'proven' },
  culprit: {
    where: 'sender-egress',
    node: 'this',
    firewall: placeAt('output'),
    candidates: [placeAt('output'), placeAt('postrouting')],
  },
  remedy: [remedy],
} as const satisfies Answer;

/** What the asker reads of an answer as it came over the wire. */
function read(answer: unknown): TravellingAnswer | undefined {
  const body = writeBody({ verdicts: [{ id: 'a', ageSeconds: 0, answer }], pending: false });
  return readVerdicts(body)?.verdicts[0]?.answer;
}

describe('an answer on its way', () => {
  test.each<Answer>([
    { outcome: 'pass', evidence: { port: 1 } },
    { outcome: 'fail', reason: 'dropped', evidence: { port: 1 } },
    {
      outcome: 'fail',
      reason: 'rejected-by-firewall',
      evidence: {},
      culprit: { where: 'path', node: 'path' },
    },
    blamed,
    { outcome: 'skip', reason: 'other-slot', evidence: {} },
    { outcome: 'unknown', reason: 'no-witness', evidence: { sent: 3 } },
  ])('arrives as it was: %j', (answer) => {
    const shape = read(travelling(answer));
    expect(shape).toEqual(travelling(answer));
    expect(shape === undefined ? undefined : arrived(shape)).toEqual(answer);
  });

  test('loses its lost ports, and what is long', () => {
    const evidence = Object.fromEntries(
      Array.from({ length: 30 }, (_, n) => [`k${n}`, 'x'.repeat(190)]),
    );
    const partialLoss = { sent: 3, lost: 1, lostSourcePorts: [40_000] };
    const sent = travelling({ outcome: 'pass', evidence, partialLoss });
    expect(Object.keys(sent)).toEqual(['outcome', 'evidence']);
    expect(Object.values(sent.evidence ?? {})).toEqual(
      Array.from({ length: 24 }, () => 'x'.repeat(120)),
    );
    const firewall = { ...placeAt('input'), rule: 'x\n'.repeat(500), table: 't'.repeat(500) };
    const cut = travelling({ ...blamed, culprit: { ...blamed.culprit, firewall } });
    expect(read(cut)).toEqual(cut);
    expect(cut.culprit?.firewall?.rule?.length).toBe(240);
  });

  test('brings no control characters to the terminal of the asker', () => {
    const evidence = { error: 'a\nb\u001b[2Jc\u009bd' };
    const sent = travelling({ outcome: 'unknown', reason: 'inconclusive', evidence });
    expect(sent.evidence).toEqual({ error: 'a b [2Jc d' });
    expect(read({ outcome: 'pass', evidence })).toBeUndefined();
    const { culprit } = blamed;
    const firewall = { ...culprit.firewall, rule: 'drop\u001b[2J' };
    expect(read({ ...blamed, culprit: { ...culprit, firewall } })).toBeUndefined();
  });

  test.each(['fail', 'skip', 'unknown'] as const)('%s without a reason is no answer', (outcome) => {
    expect(arrived({ outcome })).toBeUndefined();
  });

  test.each([
    {
      what: 'a place of no firewall',
      culprit: { firewall: { ...placeAt('input'), backend: 'pf' } },
    },
    { what: 'a place with more to it', culprit: { firewall: { ...placeAt('input'), run: 'x' } } },
    {
      what: 'a rule without end',
      culprit: { firewall: { ...placeAt('input'), rule: 'x'.repeat(241) } },
    },
    {
      what: 'many candidates',
      culprit: { candidates: Array.from({ length: 4 }, () => placeAt('input')) },
    },
  ])('$what is refused', ({ culprit }) => {
    expect(read({ ...blamed, culprit: { ...blamed.culprit, ...culprit } })).toBeUndefined();
  });

  test('gets shorter step by step where there is little room, and says who is to blame to the end', () => {
    let answer = travelling(blamed);
    const lengths = [answer, ...slimmer.map((slim) => (answer = slim(answer)))].map(
      (one) => JSON.stringify(one).length,
    );
    expect(lengths).toEqual([...new Set(lengths)].sort((one, other) => other - one));
    expect(answer).toEqual({
      outcome: 'fail',
      reason: blamed.reason,
      evidence: {},
      culprit: { where: 'sender-egress', node: 'this' },
    });
  });
});

describe('what the other node proposes to type', () => {
  const remedyOf = (one: AnswerRemedy) => {
    const answer = arrived(travelling({ ...blamed, remedy: [one] }));
    return answer?.outcome === 'fail' ? answer.remedy : undefined;
  };

  test('is shown for that node', () => {
    expect(remedyOf(remedy)).toEqual([remedy]);
    const { on: _, ...own } = remedy;
    expect(remedyOf(own)).toEqual([remedy]);
  });

  test('is not shown for this one', () => {
    expect(remedyOf({ ...remedy, on: 'peer' })).toBeUndefined();
  });

  test('is nothing that a shell would read in another way', () => {
    for (const command of [
      'reboot',
      'nft insert rule inet fw input accept; reboot',
      'nft insert rule inet fw input accept $(reboot)',
      'nft insert rule inet fw input accept `reboot`',
      'nft insert rule inet fw input accept | sh',
      'nft insert rule inet fw input accept && reboot',
      'nft insert rule inet fw input accept > /etc/passwd',
      'nft -f /tmp/x',
      'nft delete table inet fw',
      'iptables-restore /tmp/x',
      'ip netns exec x sh',
      'ip link set eth0 down',
      'sysctl -p /tmp/x',
      "sed -i '/^# End required lines/a x' /etc/passwd",
      "sed -i '1e reboot' /etc/ufw/before.rules",
    ]) {
      expect(isTypeable(command), command).toBe(false);
      expect(remedyOf({ ...remedy, commands: [command] }), command).toBeUndefined();
    }
  });

  test('has the forms of all remedies that this program makes', () => {
    for (const command of [
      'nft insert rule inet filter input position 12 ip saddr 10.0.0.2 udp dport 8472 accept',
      'nft add rule ip filter INPUT ip saddr 10.0.0.2 tcp sport 179 ct state established accept',
      'iptables -I INPUT 3 -s 10.0.0.2 -p udp --dport 8472 -j ACCEPT',
      'ip6tables-legacy -t raw -I PREROUTING 1 -s fd00::2 -p icmpv6 --icmpv6-type 128 -j ACCEPT',
      'ufw allow proto udp from 10.0.0.2 to any port 8472',
      "sed -i '/^# End required lines/a -A ufw-before-input -s 10.0.0.2 -p icmp --icmp-type 8 -j ACCEPT' /etc/ufw/before.rules",
      'ufw reload',
      'firewall-cmd --permanent --zone=public --add-port=8472/udp',
      `firewall-cmd --zone=public --add-rich-rule='rule priority="-1" family="ipv4" source address="10.0.0.2" port port="8472" protocol="udp" accept'`,
      'sysctl -w net.ipv4.conf.eth0.rp_filter=2',
      'sysctl -w net/ipv4/conf/eth0.100/rp_filter=2',
      'ip neigh del 10.0.0.2 dev eth0',
    ])
      expect(isTypeable(command), command).toBe(true);
  });
});
