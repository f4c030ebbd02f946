import { describe, expect, test } from 'vitest';
import { createFindings } from '../../../agent/findings.ts';
import type { Direction, Finding, Outcome, Readiness } from '../../../agent/model.ts';
import { planRound } from '../../../agent/plan.ts';
import { readinessOf } from '../../../agent/readiness.ts';
import type { Reason } from '../../../checks/check.ts';
import { type Answer, fail, pass, unknown } from '../../../checks/check.ts';
import { type FindingChange, someFinding, udpRequirement } from '../../support/findings.ts';

const own = 'worker-1';

/** `pass`, `fail` or `unknown`, with the peer and whatever else matters. */
const passing = (change: FindingChange = {}) => someFinding({ outcome: 'pass', ...change });
const failing = (change: FindingChange = {}) =>
  someFinding({ outcome: 'fail', reason: 'dropped', ...change });
const unknowing = (change: FindingChange = {}) =>
  someFinding({ outcome: 'unknown', reason: 'no-witness', ...change });
const skipping = (change: FindingChange = {}) =>
  someFinding({ outcome: 'skip', reason: 'not-applicable', ...change });
const blame = (node: string) => ({ where: 'receiver-ingress', node }) as const;

interface Row {
  readonly name: string;
  readonly findings: readonly Finding[];
  readonly want: Readiness;
  readonly reasons?: readonly string[];
}

describe('findings of the node', () => {
  const rows: readonly Row[] = [
    { name: 'a pass is ready', findings: [passing()], want: 'ready', reasons: [] },
    {
      name: 'a fail is not ready',
      findings: [passing(), failing()],
      want: 'not-ready',
      reasons: ['canal.vxlan fails: dropped'],
    },
    {
      name: 'an unknown is unknown',
      findings: [passing(), unknowing()],
      want: 'unknown',
      reasons: ['canal.vxlan is unknown: no-witness'],
    },
    { name: 'a skip never counts', findings: [skipping()], want: 'ready' },
    {
      name: 'a failed recommended requirement never counts',
      findings: [failing({ level: 'recommended' })],
      want: 'ready',
    },
    {
      name: 'an unknown info requirement never counts',
      findings: [unknowing({ level: 'info' })],
      want: 'ready',
    },
    {
      name: 'a fail of one level is not cured by a pass of another',
      findings: [failing(), passing({ level: 'info' })],
      want: 'not-ready',
    },
    {
      name: 'nothing at all is not ready yet',
      findings: [],
      want: 'unknown',
      reasons: ['nothing was checked yet'],
    },
    {
      name: 'a fail weighs more than an unknown, and comes first',
      findings: [unknowing({ requirement: 'canal.a' }), failing({ requirement: 'canal.b' })],
      want: 'not-ready',
      reasons: ['canal.b fails: dropped', 'canal.a is unknown: no-witness'],
    },
    {
      name: 'a fail counts whoever is its culprit',
      findings: [failing({ culprit: blame('worker-2') })],
      want: 'not-ready',
    },
  ];
  test.each(rows)('$name', ({ findings, want, reasons }) => {
    const got = readinessOf(findings, own);
    expect(got.readiness).toBe(want);
    if (reasons !== undefined) expect(got.reasons).toEqual(reasons);
  });
});

describe('findings of peers', () => {
  const rows: readonly Row[] = [
    {
      name: 'a single peer that fails counts',
      findings: [failing({ peer: 'p2' })],
      want: 'not-ready',
      reasons: ['canal.vxlan, outbound, fails with 1 of 1 peer: dropped'],
    },
    { name: 'a single peer that passes', findings: [passing({ peer: 'p2' })], want: 'ready' },
    {
      name: 'a single peer without a witness',
      findings: [unknowing({ peer: 'p2' })],
      want: 'unknown',
      reasons: ['canal.vxlan, outbound, is unknown with 1 of 1 peer: no-witness'],
    },
    {
      name: 'one of two is not more than half',
      findings: [failing({ peer: 'p2' }), passing({ peer: 'p3' })],
      want: 'ready',
    },
    {
      name: 'two of two',
      findings: [failing({ peer: 'p2' }), failing({ peer: 'p3', reason: 'no-route' })],
      want: 'not-ready',
      reasons: ['canal.vxlan, outbound, fails with 2 of 2 peers: dropped, no-route'],
    },
    {
      name: 'one of three',
      findings: [failing({ peer: 'p2' }), passing({ peer: 'p3' }), passing({ peer: 'p4' })],
      want: 'ready',
    },
    {
      name: 'two of three',
      findings: [failing({ peer: 'p2' }), failing({ peer: 'p3' }), passing({ peer: 'p4' })],
      want: 'not-ready',
    },
    {
      name: 'two of four is half, and not more',
      findings: [
        failing({ peer: 'p2' }),
        failing({ peer: 'p3' }),
        passing({ peer: 'p4' }),
        passing({ peer: 'p5' }),
      ],
      want: 'ready',
    },
    {
      name: 'a peer that could not be tested is none of the tested',
      findings: [
        failing({ peer: 'p2' }),
        failing({ peer: 'p3' }),
        passing({ peer: 'p4' }),
        unknowing({ peer: 'p5' }),
      ],
      want: 'not-ready',
    },
    {
      name: 'one failing of two peers, the other not tested: nothing is proven',
      findings: [failing({ peer: 'p2' }), unknowing({ peer: 'p3' })],
      want: 'unknown',
    },
    {
      name: 'a skipped peer leaves a single one',
      findings: [failing({ peer: 'p2' }), skipping({ peer: 'p3' })],
      want: 'not-ready',
    },
    {
      name: 'directions are counted each by itself',
      findings: [
        failing({ peer: 'p2', direction: 'outbound' }),
        passing({ peer: 'p3', direction: 'outbound' }),
        passing({ peer: 'p2', direction: 'inbound' }),
        failing({ peer: 'p3', direction: 'inbound' }),
      ],
      want: 'ready',
    },
    {
      name: 'inbound alone is enough',
      findings: [
        passing({ peer: 'p2' }),
        passing({ peer: 'p3' }),
        failing({ peer: 'p2', direction: 'inbound' }),
        failing({ peer: 'p3', direction: 'inbound' }),
      ],
      want: 'not-ready',
      reasons: ['canal.vxlan, inbound, fails with 2 of 2 peers: dropped'],
    },
    {
      name: 'requirements are counted each by itself',
      findings: [
        failing({ requirement: 'canal.a', peer: 'p2' }),
        passing({ requirement: 'canal.a', peer: 'p3' }),
        passing({ requirement: 'canal.b', peer: 'p2' }),
        failing({ requirement: 'canal.b', peer: 'p3' }),
      ],
      want: 'ready',
    },
    {
      name: 'a peer of two families fails once',
      findings: [
        failing({ peer: 'p2', family: 'ipv4' }),
        failing({ peer: 'p2', family: 'ipv6' }),
        passing({ peer: 'p3' }),
        passing({ peer: 'p4' }),
      ],
      want: 'ready',
    },
    {
      name: 'one family that fails everywhere is enough',
      findings: ['p2', 'p3'].flatMap((peer) => [
        passing({ peer, family: 'ipv4' }),
        failing({ peer, family: 'ipv6' }),
      ]),
      want: 'not-ready',
    },
    {
      name: 'recommended requirements never count',
      findings: [failing({ peer: 'p2', level: 'recommended' })],
      want: 'ready',
    },
    {
      name: 'a partial loss does not count, nor hide a fail',
      findings: [
        failing({ peer: 'p2' }),
        someFinding({ peer: 'p2', outcome: 'fail', reason: 'partial-loss', level: 'recommended' }),
      ],
      want: 'not-ready',
    },
  ];
  test.each(rows)('$name', ({ findings, want, reasons }) => {
    const got = readinessOf(findings, own);
    expect(got.readiness).toBe(want);
    if (reasons !== undefined) expect(got.reasons).toEqual(reasons);
  });
});

describe('the culprit', () => {
  const rows: readonly Row[] = [
    {
      name: 'is this node: one peer of many is enough',
      findings: [
        failing({ peer: 'p2', culprit: blame(own) }),
        passing({ peer: 'p3' }),
        passing({ peer: 'p4' }),
      ],
      want: 'not-ready',
      reasons: ['canal.vxlan, outbound, fails with 1 of 3 peers: dropped'],
    },
    {
      name: 'is the only peer',
      findings: [failing({ peer: 'p2', culprit: blame('p2') })],
      want: 'ready',
    },
    {
      name: 'is another node each time: this node stays ready',
      findings: [
        failing({ peer: 'p2', culprit: blame('p2') }),
        failing({ peer: 'p3', culprit: blame('p3') }),
      ],
      want: 'ready',
    },
    {
      name: 'is known of one: that one is none of the tested',
      findings: [
        failing({ peer: 'p2', culprit: blame('p2') }),
        failing({ peer: 'p3' }),
        failing({ peer: 'p4' }),
        passing({ peer: 'p5' }),
      ],
      want: 'not-ready',
      reasons: ['canal.vxlan, outbound, fails with 2 of 3 peers: dropped'],
    },
    {
      name: 'is on the path: most peers must agree',
      findings: [
        failing({ peer: 'p2', culprit: blame('path') }),
        failing({ peer: 'p3', culprit: blame('path') }),
      ],
      want: 'not-ready',
    },
    {
      name: 'is on the path to one peer',
      findings: [failing({ peer: 'p2', culprit: blame('path') }), passing({ peer: 'p3' })],
      want: 'ready',
    },
    {
      name: 'is known of one of two: one is not two',
      findings: [failing({ peer: 'p2', culprit: blame('p2') }), failing({ peer: 'p3' })],
      want: 'ready',
    },
  ];
  test.each(rows)('$name', ({ findings, want, reasons }) => {
    const got = readinessOf(findings, own);
    expect(got.readiness).toBe(want);
    if (reasons !== undefined) expect(got.reasons).toEqual(reasons);
  });
});

describe('a peer that could not be tested', () => {
  test.each<Reason>([
    'no-witness',
    'peer-unreachable',
    'peer-has-not-probed',
    'unconfirmed',
    'stale',
    'refused-unwitnessed',
  ])('%s: is left out while another peer proves it', (reason) => {
    const findings = [unknowing({ peer: 'p2', reason }), passing({ peer: 'p3' })];
    expect(readinessOf(findings, own)).toEqual({ readiness: 'ready', reasons: [] });
    expect(readinessOf(findings.slice(0, 1), own).readiness).toBe('unknown');
  });

  test.each<Reason>(['missing-net-raw', 'missing-net-admin', 'permission-denied', 'check-crashed'])(
    '%s lies with this node, so no other peer makes up for it',
    (reason) => {
      const findings = [unknowing({ peer: 'p2', reason }), passing({ peer: 'p3' })];
      expect(readinessOf(findings, own)).toEqual({
        readiness: 'unknown',
        reasons: [`canal.vxlan, outbound, is unknown with 1 of 2 peers: ${reason}`],
      });
    },
  );

  const rows: readonly Row[] = [
    {
      name: 'is not made up for by the other direction',
      findings: [unknowing({ peer: 'p2', direction: 'inbound' }), passing({ peer: 'p3' })],
      want: 'unknown',
    },
    {
      name: 'is not made up for by another requirement',
      findings: [unknowing({ peer: 'p2' }), passing({ peer: 'p3', requirement: 'canal.other' })],
      want: 'unknown',
    },
    {
      name: 'is not made up for by itself over the other family',
      findings: [unknowing({ peer: 'p2', family: 'ipv6' }), passing({ peer: 'p2' })],
      want: 'unknown',
    },
    {
      name: 'is not made up for by a peer that fails through a fault of its own',
      findings: [unknowing({ peer: 'p2' }), failing({ peer: 'p3', culprit: blame('p3') })],
      want: 'unknown',
    },
    {
      name: 'over a family that fails to be proven anywhere, is unknown',
      findings: ['p2', 'p3'].flatMap((peer) => [
        passing({ peer }),
        unknowing({ peer, family: 'ipv6' }),
      ]),
      want: 'unknown',
    },
    {
      name: 'over a family that no other peer has, must not taint the others',
      findings: [
        passing({ peer: 'p2' }),
        unknowing({ peer: 'p2', family: 'ipv6' }),
        passing({ peer: 'p3' }),
      ],
      want: 'ready',
    },
  ];
  test.each(rows)('$name', ({ findings, want }) => {
    expect(readinessOf(findings, own).readiness).toBe(want);
  });
});

describe('alternatives', () => {
  const group = (requirement: string, change: FindingChange) =>
    someFinding({ requirement, anyOf: 'cilium.health', ...change });
  const no = { outcome: 'fail', reason: 'dropped' } as const;
  const dunno = { outcome: 'unknown', reason: 'no-witness' } as const;
  const rows: readonly Row[] = [
    {
      name: 'one that passes is enough',
      findings: [group('cilium.a', no), group('cilium.b', {})],
      want: 'ready',
    },
    {
      name: 'all that fail, fail once',
      findings: [group('cilium.a', no), group('cilium.b', no)],
      want: 'not-ready',
      reasons: ['cilium.health fails: dropped'],
    },
    {
      name: 'one that may pass leaves it open',
      findings: [group('cilium.a', no), group('cilium.b', dunno)],
      want: 'unknown',
    },
    {
      name: 'one that does not apply is no way out',
      findings: [
        group('cilium.a', no),
        group('cilium.b', { outcome: 'skip', reason: 'not-applicable' }),
      ],
      want: 'not-ready',
    },
    {
      name: 'none that applies',
      findings: [group('cilium.a', { outcome: 'skip' })],
      want: 'ready',
    },
    {
      name: 'the way out may be of a lower level',
      findings: [group('cilium.a', no), group('cilium.b', { level: 'recommended' })],
      want: 'ready',
    },
    {
      name: 'all of a lower level do not count',
      findings: [
        group('cilium.a', { ...no, level: 'info' }),
        group('cilium.b', { ...no, level: 'recommended' }),
      ],
      want: 'ready',
    },
    {
      name: 'a peer is proven by one of them, in each direction',
      findings: [
        group('cilium.a', { ...no, peer: 'p2' }),
        group('cilium.b', { peer: 'p2' }),
        group('cilium.a', { peer: 'p2', direction: 'inbound' }),
        group('cilium.b', { ...no, peer: 'p2', direction: 'inbound' }),
      ],
      want: 'ready',
    },
    {
      name: 'a pass with one peer does not help another',
      findings: [
        group('cilium.a', { ...no, peer: 'p2' }),
        group('cilium.b', { ...no, peer: 'p2' }),
        group('cilium.a', { ...no, peer: 'p3' }),
        group('cilium.b', { ...no, peer: 'p3' }),
        group('cilium.b', { peer: 'p4' }),
      ],
      want: 'not-ready',
      reasons: ['cilium.health, outbound, fails with 2 of 3 peers: dropped'],
    },
    {
      name: 'a peer that is to blame for one of them is to blame',
      findings: [
        group('cilium.a', { ...no, peer: 'p2', culprit: blame('p2') }),
        group('cilium.b', { ...no, peer: 'p2' }),
      ],
      want: 'ready',
    },
  ];
  test.each(rows)('$name', ({ findings, want, reasons }) => {
    const got = readinessOf(findings, own);
    expect(got.readiness).toBe(want);
    if (reasons !== undefined) expect(got.reasons).toEqual(reasons);
  });

  const way = (outbound: Outcome, inbound: Outcome): Finding[] =>
    [
      { outcome: outbound, direction: 'outbound' },
      { outcome: inbound, direction: 'inbound' },
    ].map(({ outcome, direction }) =>
      someFinding({
        peer: 'p2',
        eitherDirection: true,
        outcome,
        direction: direction === 'inbound' ? 'inbound' : 'outbound',
        ...(outcome === 'pass' ? {} : { reason: 'refused-unwitnessed' as const }),
      }),
    );
  test.each<{ outbound: Outcome; inbound: Outcome; want: Readiness }>([
    { outbound: 'pass', inbound: 'fail', want: 'ready' },
    { outbound: 'fail', inbound: 'pass', want: 'ready' },
    { outbound: 'fail', inbound: 'fail', want: 'not-ready' },
    { outbound: 'fail', inbound: 'unknown', want: 'unknown' },
    { outbound: 'unknown', inbound: 'pass', want: 'ready' },
  ])('either direction: $outbound outbound, $inbound inbound is $want', (row) => {
    expect(readinessOf(way(row.outbound, row.inbound), own).readiness).toBe(row.want);
  });

  test('either direction is named in the reason', () => {
    expect(readinessOf(way('fail', 'fail'), own).reasons).toEqual([
      'canal.vxlan, in either direction, fails with 1 of 1 peer: refused-unwitnessed',
    ]);
  });
});

describe('a lab of four', () => {
  const names = ['A', 'B', 'C', 'D'];
  const requirement = udpRequirement();
  const nowMs = Date.parse('2026-11-23T12:00:00.000Z');

  /** Plays rounds of all four nodes; `answer` says what a probe of the sender meets in that round. */
  function play(
    rounds: number,
    answer: (sender: string, receiver: string, round: number) => Answer,
  ): Readiness[][] {
    const stores = new Map(
      names.map((name) => [
        name,
        createFindings({
          ownName: name,
          intervalMs: 30_000,
          confirmRounds: 2,
          describe: () => ({ message: '' }),
        }),
      ]),
    );
    const peers = names.map((name) => ({
      name,
      addresses: { ipv4: `10.0.0.${name.charCodeAt(0)}` },
    }));
    const readiness: Readiness[][] = [];
    for (let round = 0; round < rounds; round += 1) {
      const atMs = nowMs + round * 30_000;
      for (const [ownName, findings] of stores) {
        for (const planned of planRound({
          requirements: [requirement],
          peers,
          ownName,
          ownFamilies: ['ipv4'],
          round,
        })) {
          if (planned.target.scope === 'node') continue;
          const { name } = planned.target;
          findings.observe(planned, answer(ownName, name, round), {
            checkedAtMs: atMs,
            durationSeconds: 0,
          });
          const inbound = answer(name, ownName, round);
          findings.observeInbound(
            planned,
            { requirement: requirement.id, answer: inbound, ageSeconds: 1 },
            atMs,
          );
        }
        findings.expire(atMs);
      }
      readiness.push(
        names.map((name) => readinessOf(stores.get(name)?.list() ?? [], name).readiness),
      );
    }
    return readiness;
  }

  const seen = pass({ witnessed: 1 });
  const dropped = fail('dropped', { witnessed: 0 });

  test('nothing is wrong: all are ready', () => {
    expect(play(1, () => seen)).toEqual([['ready', 'ready', 'ready', 'ready']]);
  });

  test('D drops what comes in: D is not ready, the others are, and none of them ever moves', () => {
    const got = play(3, (_sender, receiver) => (receiver === 'D' ? dropped : seen));
    expect(got).toEqual([
      ['ready', 'ready', 'ready', 'unknown'],
      ['ready', 'ready', 'ready', 'not-ready'],
      ['ready', 'ready', 'ready', 'not-ready'],
    ]);
  });

  test('D drops what goes out: the same', () => {
    const got = play(2, (sender) => (sender === 'D' ? dropped : seen));
    expect(got.at(-1)).toEqual(['ready', 'ready', 'ready', 'not-ready']);
  });

  test.each<Direction>(['outbound', 'inbound'])(
    'the way between A and B alone, %s of A: all stay ready',
    (direction) => {
      const [from, to] = direction === 'outbound' ? ['A', 'B'] : ['B', 'A'];
      const got = play(3, (sender, receiver) =>
        sender === from && receiver === to ? dropped : seen,
      );
      expect(got.at(-1)).toEqual(['ready', 'ready', 'ready', 'ready']);
    },
  );

  test('the agent of D restarts: nobody moves', () => {
    const got = play(4, (sender, receiver, round) => {
      const gone = round === 1 || round === 2;
      if (gone && receiver === 'D') return unknown('no-witness');
      return gone && sender === 'D' && receiver !== 'D' ? unknown('peer-has-not-probed') : seen;
    });
    for (const round of got) expect(round.slice(0, 3)).toEqual(['ready', 'ready', 'ready']);
  });

  test('D drops, and the agent of D restarts: the others do not move', () => {
    const got = play(5, (sender, receiver, round) => {
      if (round === 3 && receiver === 'D') return unknown('no-witness');
      if (round === 3 && sender === 'D') return unknown('peer-has-not-probed');
      return receiver === 'D' ? dropped : seen;
    });
    for (const round of got) expect(round.slice(0, 3)).toEqual(['ready', 'ready', 'ready']);
    expect(got.at(-1)?.at(3)).not.toBe('ready');
  });

  test('all is blocked: all are not ready', () => {
    expect(play(2, () => dropped).at(-1)).toEqual([
      'not-ready',
      'not-ready',
      'not-ready',
      'not-ready',
    ]);
  });
});

describe('what the firewall’s rules say', () => {
  const rules = {
    kind: 'host-firewall',
    requirement: 'canal.vxlan.firewall',
    peer: 'worker-2',
  } as const;

  test('does not count while they do not tell: the path itself speaks', () => {
    const untold = unknowing({ ...rules, reason: 'missing-net-admin' });
    expect(readinessOf([passing({ peer: 'worker-2' }), untold], own).readiness).toBe('ready');
    expect(readinessOf([unknowing({ peer: 'worker-2' }), untold], own)).toEqual({
      readiness: 'unknown',
      reasons: expect.not.arrayContaining([expect.stringContaining('firewall')]),
    });
  });

  test('nor does what of them was wiped, where they may not be read', () => {
    const wipe = { kind: 'firewall-wipe', requirement: 'canal.firewall-wipe' } as const;
    const path = passing({ peer: 'worker-2' });
    const word = (one: Finding): string => readinessOf([path, one], own).readiness;
    expect(word(unknowing({ ...wipe, reason: 'permission-denied' }))).toBe('ready');
    expect(word(failing({ ...wipe, reason: 'firewall-rules-wiped' }))).toBe('not-ready');
  });

  test('counts when they drop', () => {
    const drops = failing({
      ...rules,
      reason: 'dropped-by-receiver-firewall',
      culprit: blame(own),
    });
    expect(readinessOf([passing({ peer: 'worker-2' }), drops], own).readiness).toBe('not-ready');
  });
});
