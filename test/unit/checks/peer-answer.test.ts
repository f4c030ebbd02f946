import { describe, expect, test } from 'vitest';
import type { Answer, AnswerRemedy } from '../../../checks/check.ts';
import {
  arrived,
  slimmer,
  type TravellingAnswer,
  travelling,
} from '../../../checks/peer-answer.ts';
import { readVerdicts } from '../../../checks/peer-protocol.ts';
import { writeBody } from '../../../checks/peer-wire.ts';
import { believable } from '../../../checks/remedy/hearsay.ts';
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

  test.each([
    ['nftables', 'reboot'],
    ['nftables', 'nft insert rule inet fw input accept; reboot'],
    ['nftables', 'nft insert rule inet fw input $(reboot) accept'],
    ['nftables', 'nft delete table inet fw'],
    ['iptables', 'iptables -I INPUT -j ACCEPT -m conntrack --ctstate ESTABLISHED; reboot'],
    ['iptables', 'iptables -F'],
    ['sysctl', 'sysctl -p /tmp/x'],
    ['sysctl', 'sysctl -w kernel.core_pattern=x'],
    ['sysctl', 'sysctl -w net.ipv4.conf.a;reboot.rp_filter=2'],
    ['iproute2', 'ip link set eth0 down'],
    ['iproute2', 'ip neigh del 10.0.0.2 dev $(reboot)'],
    ['sh', 'nft add rule inet fw input accept'],
  ])('is nothing else than a remedy: %s, %s', (manager, command) => {
    expect(remedyOf({ ...remedy, manager, commands: [command] })).toBeUndefined();
  });

  test.each([
    [
      'nftables',
      'nft add rule ip filter INPUT ip saddr 10.0.0.2 tcp sport 179 ct state established accept',
    ],
    [
      'iptables',
      'iptables -I INPUT 1 -s 10.0.0.2 -p tcp --sport 179 -m conntrack --ctstate ESTABLISHED -j ACCEPT',
    ],
    ['sysctl', 'sysctl -w net.ipv4.conf.eth0.rp_filter=2'],
    ['sysctl', 'sysctl -w net/ipv4/conf/eth0.100/rp_filter=2'],
    ['sysctl', 'sysctl -w net.ipv4.icmp_echo_ignore_all=0'],
    ['sysctl', 'sysctl -w net.ipv6.icmp.echo_ignore_all=0'],
    ['iproute2', 'ip neigh del 10.0.0.2 dev eth0'],
  ])('of %s: %s', (manager, command) => {
    expect(believable([{ manager, commands: [command] }])).toHaveLength(1);
  });
});
