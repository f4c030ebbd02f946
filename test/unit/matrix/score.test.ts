import { describe, expect, test } from 'vitest';
import type { Culprit, Finding } from '../../../agent/model.ts';
import { wordsOf } from '../../matrix/cure.ts';
import type { TrueRule, Truth } from '../../matrix/fault.ts';
import { randomOf } from '../../matrix/random.ts';
import { type Cast, falseAlarms, scoreOf, sideEffects } from '../../matrix/score.ts';
import { type FindingChange, someDocument, someFinding } from '../../support/findings.ts';

// Only the names of the nodes matter here.
const cast = { sender: { name: 'n1' }, receiver: { name: 'n2' } } as Cast;
const rule: TrueRule = {
  backend: 'nf_tables',
  family: 'inet',
  table: 'fw',
  chain: 'in',
  handle: 7,
};
const dropped: Truth = {
  outcome: 'fail',
  node: 'receiver',
  where: ['receiver-ingress'],
  reasons: ['dropped-by-receiver-firewall'],
  rule,
  spread: { paths: 'into-receiver', topics: ['udp'] },
};
const culprit: Culprit = {
  where: 'receiver-ingress',
  node: 'n2',
  firewall: { ...rule, hook: 'input', rule: 'udp dport 8472 drop' },
};

function about(change: FindingChange): Finding {
  return someFinding({ requirement: 'matrix.udp-3', peer: 'n2', ...change });
}

describe('a grade', () => {
  const fail = { outcome: 'fail', reason: 'dropped-by-receiver-firewall' } as const;
  const cases: readonly { name: string; said: FindingChange; truth: Truth; want: object }[] = [
    {
      name: 'all of it',
      said: { ...fail, culprit },
      truth: dropped,
      want: { grade: 'right', rule: 'right' },
    },
    {
      name: 'another rule',
      said: { ...fail, culprit: { ...culprit, firewall: { ...rule, handle: 8, hook: 'input' } } },
      truth: dropped,
      want: { grade: 'wrong', rule: 'wrong' },
    },
    {
      name: 'no rule',
      said: { ...fail, culprit: { where: 'receiver-ingress', node: 'n2' } },
      truth: dropped,
      want: { grade: 'ambiguous', rule: 'missing' },
    },
    {
      name: 'one of several rules',
      said: {
        ...fail,
        culprit: {
          ...culprit,
          firewall: { ...rule, handle: 8, hook: 'input' },
          candidates: [{ ...rule, hook: 'input' }],
        },
      },
      truth: dropped,
      want: { grade: 'ambiguous', rule: 'missing' },
    },
    {
      name: 'the other node',
      said: { ...fail, culprit: { ...culprit, node: 'n1' } },
      truth: dropped,
      want: { grade: 'wrong' },
    },
    {
      name: 'another place',
      said: { ...fail, culprit: { where: 'path', node: 'path' } },
      truth: dropped,
      want: { grade: 'wrong' },
    },
    {
      name: 'nobody',
      said: { outcome: 'fail', reason: 'dropped' },
      truth: dropped,
      want: { grade: 'ambiguous' },
    },
    {
      name: 'nobody, where that is right',
      said: { outcome: 'fail', reason: 'dropped' },
      truth: { ...dropped, ambiguous: true },
      want: { grade: 'right' },
    },
    {
      name: 'that it cannot be told',
      said: { outcome: 'unknown', reason: 'no-witness' },
      truth: dropped,
      want: { grade: 'ambiguous' },
    },
    { name: 'that it works', said: { outcome: 'pass' }, truth: dropped, want: { grade: 'wrong' } },
    {
      name: 'words that say nothing of the cause',
      said: { ...fail, reason: 'dropped', culprit },
      truth: dropped,
      want: { grade: 'ambiguous' },
    },
    {
      name: 'another cause',
      said: { ...fail, reason: 'bad-checksum', culprit },
      truth: dropped,
      want: { grade: 'wrong' },
    },
    {
      name: 'that it works, and it does',
      said: { outcome: 'pass' },
      truth: { outcome: 'pass' },
      want: { grade: 'right' },
    },
    {
      name: 'that it fails, and it works',
      said: { ...fail, culprit },
      truth: { outcome: 'pass' },
      want: { grade: 'wrong' },
    },
  ];
  test.each(cases)('$name', ({ said, truth, want }) => {
    expect(scoreOf(about(said), truth, cast)).toMatchObject(want);
  });
});

test('a failure is a false alarm where the fault does not reach', () => {
  const findings = [
    about({ outcome: 'fail', reason: 'dropped' }),
    about({ outcome: 'fail', reason: 'dropped', direction: 'inbound' }),
    about({ outcome: 'fail', reason: 'dropped', peer: 'n3' }),
    about({ outcome: 'fail', reason: 'dropped', requirement: 'matrix.tcp-3' }),
  ];
  const alarms = falseAlarms(someDocument({ findings }), dropped, 'udp', cast);
  expect(alarms.map((alarm) => alarm.split(':')[0])).toEqual([
    'udp inbound n2',
    'udp outbound n3',
    'tcp outbound n2',
  ]);
});

test('a cure changes nothing but what it is for, and what is made of that', () => {
  const cured = about({ requirement: 'matrix.vxlan-1', outcome: 'fail', reason: 'dropped' });
  const before = someDocument({
    findings: [
      cured,
      about({ requirement: 'matrix.overlay-1', outcome: 'fail', reason: 'dropped' }),
      about({ requirement: 'matrix.udp-1', outcome: 'fail', reason: 'dropped' }),
      about({ requirement: 'matrix.tcp-1' }),
    ],
  });
  const after = someDocument({
    findings: [
      about({ requirement: 'matrix.vxlan-2' }),
      about({ requirement: 'matrix.overlay-2' }),
      about({ requirement: 'matrix.udp-2' }),
      about({ requirement: 'matrix.tcp-2', outcome: 'fail', reason: 'dropped' }),
    ],
  });
  const meant = { finding: cured, protocol: 'vxlan', broad: false } as const;
  expect(sideEffects(before, after, meant)).toEqual([
    'udp outbound n2: fail became pass',
    'tcp outbound n2: pass became fail dropped',
  ]);
  expect(sideEffects(before, after, { ...meant, broad: true })).toEqual([
    'tcp outbound n2: pass became fail dropped',
  ]);
});

test.each([
  [
    'nft insert rule inet fw in position 7 accept',
    ['nft', 'insert', 'rule', 'inet', 'fw', 'in', 'position', '7', 'accept'],
  ],
  [
    `firewall-cmd --add-rich-rule='rule family="ipv4" accept'`,
    ['firewall-cmd', '--add-rich-rule=rule family="ipv4" accept'],
  ],
  [String.raw`a "b \" c" d\ e ''`, ['a', 'b " c', 'd e', '']],
])('a command line is read as a shell reads it: %s', (line, want) => {
  expect(wordsOf(line)).toEqual(want);
});

test('chance is the same for the same words', () => {
  const draw = (words: string): readonly number[] => {
    const random = randomOf(words);
    return Array.from({ length: 20 }, () => random.integer(1, 1000));
  };
  expect(draw('seed 1')).toEqual(draw('seed 1'));
  expect(draw('seed 1')).not.toEqual(draw('seed 2'));
});
