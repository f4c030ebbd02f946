import { describe, expect, test } from 'vitest';
import {
  type Change,
  createFindings,
  type FindingStore,
  findingKey,
} from '../../../agent/findings.ts';
import { type Answer, fail, pass, skip, unknown } from '../../../checks/check.ts';
import {
  firewallRequirement,
  manyPeers,
  nodeRequirement,
  nodeTest,
  peerTest,
  someFinding,
  udpRequirement,
} from '../../support/findings.ts';

const intervalMs = 30_000;
const startMs = Date.parse('2026-11-23T12:00:00.000Z');
const at = (round: number) => ({
  checkedAtMs: startMs + round * intervalMs,
  durationSeconds: 0.2,
});
const iso = (round: number) => new Date(at(round).checkedAtMs).toISOString();
const dropped = fail('dropped', { port: 8472, sent: 3, witnessed: 0 });
const seen = pass({ port: 8472, sent: 1, witnessed: 1 });
const lossy: Answer = {
  outcome: 'pass',
  evidence: { sent: 3, witnessed: 1 },
  partialLoss: { sent: 3, lost: 2, lostSourcePorts: [40_001, 40_002] },
};

function store(
  change: {
    confirmRounds?: number;
    maximum?: number;
    wallTimeOf?: (steadyMs: number) => number;
  } = {},
): FindingStore {
  return createFindings({
    ownName: 'worker-1',
    intervalMs,
    confirmRounds: 2,
    describe: ({ outcome, reason }) =>
      reason === undefined
        ? { message: outcome }
        : { message: `${outcome}: ${reason}`, documentation: `docs#${reason}` },
    ...change,
  });
}

/** What the only finding of a store says. */
function said(findings: FindingStore): string {
  return findings
    .list()
    .map(({ outcome, reason }) => (reason === undefined ? outcome : `${outcome}: ${reason}`))
    .join(', ');
}

function saidOf(changes: readonly Change[]): string[] {
  return changes.map(({ previous, finding, gone }) => {
    const word = (part: { outcome: string; reason?: string } | undefined) =>
      part === undefined
        ? 'new'
        : `${part.outcome}${part.reason === undefined ? '' : `:${part.reason}`}`;
    return `${word(previous)} -> ${gone ? 'gone' : word(finding)}`;
  });
}

describe('one finding', () => {
  test('has all that is known of it', () => {
    const findings = store({ confirmRounds: 1 });
    findings.observe(
      peerTest({ requirement: udpRequirement({ anyOf: 'group', direction: 'either' }) }),
      fail('dropped', { sent: 3 }, { where: 'receiver-ingress', node: 'peer' }),
      at(0),
    );
    expect(findings.list()).toEqual([
      {
        requirement: 'canal.vxlan',
        kind: 'udp-port',
        level: 'required',
        outcome: 'fail',
        reason: 'dropped',
        message: 'fail: dropped',
        documentation: 'docs#dropped',
        target: {
          scope: 'peer',
          name: 'worker-2',
          address: '10.0.0.2',
          family: 'ipv4',
          direction: 'outbound',
        },
        evidence: { sent: 3 },
        culprit: { where: 'receiver-ingress', node: 'worker-2' },
        remedy: null,
        sources: ['https://example.org/canal'],
        anyOf: 'group',
        eitherDirection: true,
        since: iso(0),
        checkedAt: iso(0),
        durationSeconds: 0.2,
      },
    ]);
  });

  test('leaves out what does not apply to a pass about the node', () => {
    const findings = store();
    findings.observe(nodeTest(), pass({ found: '1' }), at(0));
    const [finding] = findings.list();
    expect(finding).toMatchObject({ target: { scope: 'node' }, culprit: null, message: 'pass' });
    for (const key of ['reason', 'documentation', 'anyOf', 'eitherDirection']) {
      expect(finding).not.toHaveProperty(key);
    }
  });

  test.each([
    { direction: 'outbound', node: 'this', want: 'worker-1' },
    { direction: 'outbound', node: 'peer', want: 'worker-2' },
    { direction: 'inbound', node: 'this', want: 'worker-2' },
    { direction: 'inbound', node: 'peer', want: 'worker-1' },
    { direction: 'outbound', node: 'path', want: 'path' },
    { direction: 'inbound', node: 'path', want: 'path' },
  ] as const)('$direction, "$node" of the sender is $want', ({ direction, node, want }) => {
    const findings = store({ confirmRounds: 1 });
    const answer = fail('dropped', {}, { where: 'receiver-ingress', node });
    if (direction === 'outbound') findings.observe(peerTest(), answer, at(0));
    else {
      const verdict = { requirement: 'canal.vxlan', answer, ageSeconds: 0 };
      findings.observeInbound(peerTest(), verdict, startMs);
    }
    const [finding] = findings.list();
    expect(finding?.culprit).toEqual({ where: 'receiver-ingress', node: want });
    expect(finding?.target).toMatchObject({ direction });
  });

  test('of the node has this node as its culprit', () => {
    const findings = store();
    findings.observe(
      nodeTest(),
      fail('sysctl-differs', {}, { where: 'node', node: 'this' }),
      at(0),
    );
    expect(findings.list()[0]?.culprit).toEqual({ where: 'node', node: 'worker-1' });
  });

  test('an answer without evidence has an empty one', () => {
    const findings = store();
    findings.observe(peerTest(), { outcome: 'skip', reason: 'no-peers' }, at(0));
    expect(findings.list()[0]?.evidence).toEqual({});
  });
});

describe('a failure towards a peer', () => {
  const missed = dropped;
  test.each([
    {
      name: 'needs two rounds',
      answers: [missed, missed],
      want: ['unknown: unconfirmed', 'fail: dropped'],
    },
    {
      name: 'keeps a pass for one round',
      answers: [seen, missed, missed],
      want: ['pass', 'pass', 'fail: dropped'],
    },
    {
      name: 'is forgotten when a pass follows',
      answers: [missed, seen, missed],
      want: ['unknown: unconfirmed', 'pass', 'pass'],
    },
    {
      name: 'must be in a row: an unknown in between is none',
      answers: [seen, missed, unknown('inconclusive'), missed, missed],
      want: ['pass', 'pass', 'unknown: inconclusive', 'unknown: inconclusive', 'fail: dropped'],
    },
    {
      name: 'may change its reason at once when it is confirmed',
      answers: [missed, missed, fail('no-route', {})],
      want: ['unknown: unconfirmed', 'fail: dropped', 'fail: no-route'],
    },
    {
      name: 'ends with the first pass',
      answers: [missed, missed, seen],
      want: ['unknown: unconfirmed', 'fail: dropped', 'pass'],
    },
    {
      name: 'does not delay an unknown',
      answers: [seen, unknown('no-witness')],
      want: ['pass', 'unknown: no-witness'],
    },
  ])('$name', ({ answers, want }) => {
    const findings = store();
    const got = answers.map((answer, round) => {
      findings.observe(peerTest(), answer, at(round));
      return said(findings);
    });
    expect(got).toEqual(want);
  });

  test('is final at once where one round is all there is', () => {
    const findings = store({ confirmRounds: 1 });
    findings.observe(peerTest(), dropped, at(0));
    expect(said(findings)).toBe('fail: dropped');
  });

  test('shows what is suspected while it is unconfirmed', () => {
    const findings = store();
    findings.observe(peerTest(), dropped, at(0));
    expect(findings.list()[0]?.evidence).toEqual({
      port: 8472,
      sent: 3,
      witnessed: 0,
      suspected: 'dropped',
    });
  });

  test('does not age while it is unconfirmed', () => {
    const findings = store();
    findings.observe(peerTest(), seen, at(0));
    findings.observe(peerTest(), dropped, at(3));
    expect(findings.expire(at(5).checkedAtMs)).toEqual([]);
    expect(findings.list()[0]).toMatchObject({ outcome: 'pass', since: iso(0), checkedAt: iso(3) });
  });

  test('names its peer until it is confirmed', () => {
    const findings = store();
    findings.observe(peerTest({ peer: 'worker-2' }), dropped, at(0));
    findings.observe(peerTest({ peer: 'worker-2', family: 'ipv6' }), dropped, at(0));
    findings.observe(peerTest({ peer: 'worker-3' }), seen, at(0));
    findings.observe(nodeTest(), fail('sysctl-differs', {}), at(0));
    const verdict = { requirement: 'canal.vxlan', answer: dropped, ageSeconds: 0 };
    findings.observeInbound(peerTest({ peer: 'worker-4' }), verdict, startMs);
    expect(findings.unconfirmedPeers()).toEqual(['worker-2']);
    findings.observe(peerTest({ peer: 'worker-2' }), dropped, at(1));
    findings.observe(peerTest({ peer: 'worker-2', family: 'ipv6' }), seen, at(1));
    expect(findings.unconfirmedPeers()).toEqual([]);
  });

  test('of this node needs no second round', () => {
    const findings = store();
    findings.observe(nodeTest(), fail('sysctl-differs', {}), at(0));
    expect(said(findings)).toBe('fail: sysctl-differs');
  });
});

describe('changes', () => {
  test('there is one a change, and none a round', () => {
    const findings = store();
    const got = [seen, seen, dropped, dropped, dropped, seen].map((answer, round) =>
      saidOf(findings.observe(peerTest(), answer, at(round))),
    );
    expect(got).toEqual([
      ['new -> pass'],
      [],
      [],
      ['pass -> fail:dropped'],
      [],
      ['fail:dropped -> pass'],
    ]);
  });

  test('since moves with outcome or reason only', () => {
    const findings = store();
    const since = [unknown('no-witness'), unknown('no-witness'), unknown('stale'), seen, seen].map(
      (answer, round) => {
        findings.observe(peerTest(), answer, at(round));
        return findings.list()[0]?.since;
      },
    );
    expect(since).toEqual([iso(0), iso(0), iso(2), iso(3), iso(3)]);
  });

  test('families, directions, levels and peers are findings of their own', () => {
    const findings = store();
    findings.observe(peerTest(), seen, at(0));
    findings.observe(peerTest({ family: 'ipv6' }), seen, at(0));
    findings.observe(peerTest({ peer: 'worker-3' }), seen, at(0));
    findings.observe(peerTest({ requirement: udpRequirement({ level: 'info' }) }), seen, at(0));
    const verdict = { requirement: 'canal.vxlan', answer: seen, ageSeconds: 0 };
    findings.observeInbound(peerTest(), verdict, startMs);
    expect(findings.list()).toHaveLength(5);
  });
});

describe('partial loss', () => {
  test('is a pass, and a recommended finding beside it', () => {
    const findings = store();
    expect(saidOf(findings.observe(peerTest(), lossy, at(0)))).toEqual([
      'new -> pass',
      'new -> fail:partial-loss',
    ]);
    const [path, loss] = findings.list();
    expect(path).toMatchObject({ level: 'required', outcome: 'pass' });
    expect(loss).toMatchObject({
      requirement: 'canal.vxlan',
      level: 'recommended',
      outcome: 'fail',
      reason: 'partial-loss',
      evidence: { sent: 3, lost: 2, lostSourcePorts: '40001,40002', roundsSinceLoss: 0 },
    });
  });

  test('stays for ten rounds after the last loss, and adds up', () => {
    const findings = store();
    const losses = () => findings.list().filter(({ reason }) => reason === 'partial-loss');
    findings.observe(peerTest(), lossy, at(0));
    findings.observe(peerTest(), seen, at(1));
    findings.observe(peerTest(), lossy, at(2));
    expect(losses()[0]).toMatchObject({
      since: iso(0),
      checkedAt: iso(2),
      evidence: { sent: 7, lost: 4, lostSourcePorts: '40001,40002' },
    });
    for (let round = 3; round < 13; round += 1) {
      expect(findings.observe(peerTest(), seen, at(round))).toEqual([]);
      expect(losses()).toHaveLength(1);
    }
    expect(losses()[0]?.evidence).toMatchObject({ sent: 17, lost: 4, roundsSinceLoss: 10 });
    expect(saidOf(findings.observe(peerTest(), seen, at(13)))).toEqual([
      'fail:partial-loss -> gone',
    ]);
    expect(losses()).toEqual([]);
  });

  test('does not mistake a round without a number of probes for some', () => {
    const findings = store();
    findings.observe(peerTest(), lossy, at(0));
    findings.observe(peerTest(), unknown('no-witness'), at(1));
    expect(findings.list()[1]?.evidence).toMatchObject({ sent: 3, lost: 2 });
  });

  test('lists the latest source ports, each once', () => {
    const findings = store();
    for (let round = 0; round < 20; round += 1) {
      const partialLoss = { sent: 3, lost: 2, lostSourcePorts: [50_000 + round, 50_000] };
      findings.observe(
        peerTest(),
        { outcome: 'pass', evidence: { sent: 3 }, partialLoss },
        at(round),
      );
    }
    const ports = String(findings.list()[1]?.evidence['lostSourcePorts']).split(',');
    expect(ports).toHaveLength(16);
    expect(ports.at(-1)).toBe('50019');
    expect(new Set(ports).size).toBe(16);
  });

  test('of a recommended requirement does not hide the requirement itself', () => {
    const findings = store();
    const requirement = udpRequirement({ level: 'recommended' });
    findings.observe(peerTest({ requirement }), lossy, at(0));
    expect(said(findings)).toBe('pass, fail: partial-loss');
  });

  test('goes when nobody looks any more', () => {
    const findings = store();
    findings.observe(peerTest(), lossy, at(0));
    expect(saidOf(findings.expire(at(4).checkedAtMs))).toEqual([
      'pass -> unknown:stale',
      'fail:partial-loss -> gone',
    ]);
  });
});

describe('what the peer found', () => {
  const verdict = (answer: Answer, ageSeconds: number) => ({
    requirement: 'canal.vxlan',
    answer,
    ageSeconds,
  });

  test('counts when it was found, not when it was read', () => {
    const findings = store();
    findings.observeInbound(peerTest(), verdict(seen, 12.5), startMs);
    expect(findings.list()[0]).toMatchObject({
      checkedAt: '2026-11-23T11:59:47.500Z',
      durationSeconds: 0,
    });
  });

  test('confirms nothing when the same verdict is read twice', () => {
    const findings = store();
    findings.observeInbound(peerTest(), verdict(dropped, 1), startMs);
    findings.observeInbound(peerTest(), verdict(dropped, 11.1), startMs + 10_000);
    expect(said(findings)).toBe('unknown: unconfirmed');
    findings.observeInbound(peerTest(), verdict(dropped, 1), startMs + 30_000);
    expect(said(findings)).toBe('fail: dropped');
  });

  test('holds while a living agent owes its next verdict, until it is stale', () => {
    const late = verdict(unknown('peer-has-not-probed', { agent: 'reachable' }), 0);
    const findings = store();
    findings.observeInbound(peerTest(), late, startMs);
    expect(said(findings)).toBe('unknown: peer-has-not-probed');
    findings.observeInbound(peerTest(), verdict(seen, 0), startMs + 30_000);
    findings.observeInbound(peerTest(), late, startMs + 60_000);
    expect(said(findings)).toBe('pass');
    const gone = verdict(unknown('peer-has-not-probed', { agent: 'absent' }), 0);
    findings.observeInbound(peerTest(), gone, startMs + 90_000);
    expect(said(findings)).toBe('unknown: peer-has-not-probed');
  });

  test('does not go back in time', () => {
    const findings = store();
    findings.observeInbound(peerTest(), verdict(seen, 1), startMs);
    expect(
      findings.observeInbound(peerTest(), verdict(unknown('no-witness'), 20), startMs),
    ).toEqual([]);
    expect(said(findings)).toBe('pass');
  });

  test('counts after the wall clock was set back, too', () => {
    let setBackMs = 0;
    const findings = store({ wallTimeOf: (steadyMs) => steadyMs - setBackMs });
    findings.observeInbound(peerTest(), verdict(seen, 0), startMs);
    setBackMs = 3_600_000;
    findings.observeInbound(peerTest(), verdict(dropped, 0), startMs + 30_000);
    findings.observeInbound(peerTest(), verdict(dropped, 0), startMs + 60_000);
    expect(said(findings)).toBe('fail: dropped');
    expect(findings.list()[0]).toMatchObject({ checkedAt: '2026-11-23T11:01:00.000Z' });
  });

  test('is about a peer, and never about this node', () => {
    const findings = store();
    expect(findings.observeInbound(nodeTest(), verdict(seen, 0), startMs)).toEqual([]);
    expect(findings.list()).toEqual([]);
  });
});

describe('time', () => {
  test('makes a finding stale after three of its intervals', () => {
    const findings = store();
    findings.observe(peerTest(), seen, at(0));
    findings.observe(nodeTest(), unknown('no-endpoint-given'), at(0));
    expect(findings.expire(at(3).checkedAtMs)).toEqual([]);
    const nowMs = at(3).checkedAtMs + 1;
    expect(saidOf(findings.expire(nowMs))).toEqual([
      'pass -> unknown:stale',
      'unknown:no-endpoint-given -> unknown:stale',
    ]);
    const [path, node] = findings.list();
    expect(path).toMatchObject({
      message: 'unknown: stale',
      since: new Date(nowMs).toISOString(),
      checkedAt: iso(0),
      evidence: { lastOutcome: 'pass' },
    });
    expect(node?.evidence).toEqual({ lastOutcome: 'unknown', lastReason: 'no-endpoint-given' });
    expect(findings.expire(at(9).checkedAtMs)).toEqual([]);
  });

  test('gives a peer of the sweep three of its own intervals', () => {
    const findings = store();
    findings.observe(peerTest({ everyRounds: 60 }), seen, at(0));
    expect(findings.expire(at(180).checkedAtMs)).toEqual([]);
    expect(findings.expire(at(181).checkedAtMs)).toHaveLength(1);
  });

  test('makes a failure start anew', () => {
    const findings = store();
    findings.observe(peerTest(), dropped, at(0));
    findings.observe(peerTest(), dropped, at(1));
    findings.expire(at(9).checkedAtMs);
    findings.observe(peerTest(), dropped, at(10));
    expect(said(findings)).toBe('unknown: stale');
    findings.observe(peerTest(), dropped, at(11));
    expect(said(findings)).toBe('fail: dropped');
  });

  test('the peer’s turn keeps what the own turn found, for three turns', () => {
    const findings = store();
    findings.observe(peerTest(), unknown('other-slot'), at(0));
    expect(said(findings)).toBe('unknown: other-slot');
    findings.observe(peerTest(), seen, at(40));
    expect(findings.observe(peerTest(), unknown('other-slot'), at(80))).toEqual([]);
    expect(findings.expire(at(280).checkedAtMs)).toEqual([]);
    expect(said(findings)).toBe('pass');
    expect(saidOf(findings.expire(at(281).checkedAtMs))).toEqual(['pass -> unknown:stale']);
  });

  test('the peer’s turn neither confirms nor forgets a miss', () => {
    const findings = store();
    findings.observe(peerTest(), seen, at(0));
    findings.observe(peerTest(), dropped, at(1));
    findings.observe(peerTest(), skip('other-slot'), at(2));
    expect(said(findings)).toBe('pass');
    findings.observe(peerTest(), dropped, at(41));
    expect(said(findings)).toBe('fail: dropped');
  });
});

describe('what is no longer planned', () => {
  const requirements = [udpRequirement(), nodeRequirement()];
  const [, worker2, worker3] = manyPeers(3);
  const peers = [worker2, worker3].filter((peer) => peer !== undefined);
  const ownFamilies = ['ipv4', 'ipv6'] as const;
  const skipped = { ...nodeTest(udpRequirement()), presumed: skip('no-peers') };

  function filled(): FindingStore {
    const findings = store();
    findings.observe(nodeTest(), pass({}), at(0));
    findings.observe(peerTest({ peer: 'worker-2' }), lossy, at(0));
    findings.observe(peerTest({ peer: 'worker-3' }), seen, at(0));
    const verdict = { requirement: 'canal.vxlan', answer: seen, ageSeconds: 0 };
    findings.observeInbound(peerTest({ peer: 'worker-3' }), verdict, startMs);
    return findings;
  }

  test('nothing goes while the plan is the same', () => {
    const findings = filled();
    expect(findings.retain({ requirements, peers, ownFamilies })).toEqual([]);
    expect(findings.list()).toHaveLength(5);
  });

  test.each([
    { name: 'a peer', change: { peers: peers.slice(0, 1) }, gone: 2 },
    {
      name: 'a requirement, with its partial loss',
      change: { requirements: [nodeRequirement()] },
      gone: 4,
    },
    {
      name: 'a level',
      change: { requirements: [udpRequirement({ level: 'info' }), nodeRequirement()] },
      gone: 4,
    },
    { name: 'the requirement of the node', change: { requirements: [udpRequirement()] }, gone: 1 },
    {
      name: 'a family of the peers',
      change: { peers: peers.map(({ name }) => ({ name, addresses: { ipv6: 'fd00::2' } })) },
      gone: 4,
    },
    {
      name: 'a role',
      change: { requirements: [udpRequirement({ peerRole: 'typha' }), nodeRequirement()] },
      gone: 4,
    },
  ])('goes with $name', ({ change, gone }) => {
    const findings = filled();
    const changes = findings.retain({ requirements, peers, ownFamilies, ...change });
    expect(changes).toHaveLength(gone);
    expect(changes.every((one) => one.gone)).toBe(true);
    expect(findings.list()).toHaveLength(5 - gone);
  });

  test('the skip goes when the first peer comes', () => {
    const findings = store();
    findings.observe(skipped, skip('no-peers'), at(0));
    expect(findings.retain({ requirements, peers: [], ownFamilies })).toEqual([]);
    expect(saidOf(findings.retain({ requirements, peers, ownFamilies }))).toEqual([
      'skip:no-peers -> gone',
    ]);
  });

  test('beyond the maximum what was checked longest ago is forgotten', () => {
    const findings = store({ maximum: 3 });
    for (const peer of ['worker-2', 'worker-3', 'worker-4'])
      findings.observe(peerTest({ peer }), seen, at(0));
    findings.observe(peerTest({ peer: 'worker-2' }), seen, at(1));
    findings.observe(peerTest({ peer: 'worker-5' }), seen, at(1));
    const names = findings.list().map(({ target }) => (target.scope === 'peer' ? target.name : ''));
    expect(names).toEqual(['worker-4', 'worker-2', 'worker-5']);
  });
});

describe('findingKey', () => {
  test.each([
    { finding: someFinding(), want: 'canal.vxlan required' },
    {
      finding: someFinding({ peer: 'w', direction: 'inbound' }),
      want: 'canal.vxlan required w ipv4 inbound',
    },
    {
      finding: someFinding({ peer: 'w', level: 'recommended', reason: 'partial-loss' }),
      want: 'canal.vxlan recommended w ipv4 outbound partial-loss',
    },
  ])('$want', ({ finding, want }) => {
    expect(findingKey(finding)).toBe(want);
  });
});

describe('what the own firewall’s rules say', () => {
  const test1 = peerTest({ requirement: firewallRequirement() });
  const inbound =
    test1.target.scope === 'peer'
      ? { ...test1, target: { ...test1.target, direction: 'inbound' as const } }
      : test1;
  const firewall = {
    backend: 'nf_tables',
    family: 'inet',
    table: 'filter',
    chain: 'input',
    hook: 'input',
    handle: 12,
  } as const;

  test('is a fact at once, in its own direction, with this node and its rule to blame', () => {
    const findings = store();
    const culprit = { where: 'receiver-ingress', node: 'peer', firewall } as const;
    findings.observe(test1, seen, at(0));
    findings.observe(inbound, fail('dropped-by-receiver-firewall', {}, culprit), at(0));
    expect(findings.list()).toMatchObject([
      { outcome: 'pass', target: { direction: 'outbound' } },
      {
        outcome: 'fail',
        target: { direction: 'inbound' },
        culprit: { where: 'receiver-ingress', node: 'worker-1', firewall: { handle: 12 } },
      },
    ]);
  });
});
