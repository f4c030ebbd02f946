import { describe, expect, test } from 'vitest';
import type {
  ReceiverEvidence,
  RulesVerdict,
  Sight,
  StationReport,
} from '../../../checks/diagnosis/evidence.ts';
import type { FirewallPlace } from '../../../checks/firewall-verdict.ts';
import { readObserved, writeObserved } from '../../../checks/peer-observed.ts';
import { damaged, seeded } from './packet/support.ts';

const limit = 1000;
const sight: Sight = {
  probes: 3,
  answers: 0,
  fragments: 2,
  errors: [{ type: 3, code: 3, from: '192.0.2.1' }],
  otherHost: 1,
  badChecksums: 0,
  interfaces: ['eth0'],
};
const nothing: Sight = {
  probes: 0,
  answers: 0,
  fragments: 0,
  errors: [],
  otherHost: 0,
  badChecksums: 0,
  interfaces: [],
};
const stations: StationReport = {
  out: nothing,
  nic: sight,
  pastIngress: sight,
  counters: { udpNoPorts: 3, reversePathFilter: 0, neighbourTableFull: 1 },
  lost: 0,
};
const place: FirewallPlace = {
  backend: 'nf_tables',
  family: 'inet',
  table: 'filter',
  chain: 'input',
  hook: 'input',
  handle: 12,
  rule: 'udp dport 8472 drop',
};
const drop: RulesVerdict = {
  verdict: 'drop',
  place,
  candidates: [],
  undetermined: [],
  programs: [],
  counted: 3,
  remedies: [
    {
      manager: 'nftables',
      commands: ['nft insert rule inet filter input position 12 udp dport 8472 accept'],
    },
  ],
};
const accept: RulesVerdict = {
  verdict: 'accept',
  candidates: [],
  undetermined: [],
  programs: [],
  remedies: [],
};
const evidence: ReceiverEvidence = {
  witnessed: 0,
  stations,
  rules: { probe: drop, answer: accept },
  owner: 'kernel',
  ownsDestination: true,
  interfaceToSender: 'eth0',
  reversePathFilter: 2,
};

const roundTrip = (given: ReceiverEvidence): ReceiverEvidence | undefined =>
  readObserved(writeObserved(given, limit));

describe('what is said arrives', () => {
  test.each<readonly [string, ReceiverEvidence]>([
    ['everything', evidence],
    ['without rules and stations', { owner: 'nobody', ownsDestination: false }],
    ['of echo', { ...evidence, echoIgnored: true }],
    [
      'a policy, and programs that no rule knows',
      {
        ...evidence,
        rules: {
          probe: {
            ...accept,
            verdict: 'undetermined',
            undetermined: ['the route is not known'],
            programs: ['XDP xdp_drop on eth0'],
            candidates: [{ ...place, policy: 'drop' }],
          },
          answer: { ...accept, verdict: 'redirected', rewrittenTo: '10.0.0.9 port 9999' },
        },
      },
    ],
  ])('%s', (_name, given) => {
    expect(roundTrip(given)).toEqual(given);
  });
});

describe('what is too long is cut, and still read', () => {
  const longRule = `${'ip saddr 10.0.0.1 '.repeat(60)}drop`;
  const longPlace: FirewallPlace = { ...place, rule: longRule };
  const long: ReceiverEvidence = {
    ...evidence,
    rules: {
      probe: {
        ...drop,
        place: longPlace,
        candidates: [longPlace, longPlace, longPlace],
        undetermined: [longRule],
      },
      answer: { ...drop, place: longPlace, candidates: [longPlace] },
    },
  };

  test('the cure goes last', () => {
    expect(writeObserved(long, limit).length).toBeLessThanOrEqual(limit);
    const found = roundTrip(long)?.rules;
    expect(found?.probe).toMatchObject({ verdict: 'drop', counted: 3, remedies: drop.remedies });
    expect(found?.probe.place?.handle).toBe(12);
    expect(found?.probe.place?.rule).toMatch(/^ip saddr 10.*\.\.\.$/);
    expect(found?.answer.verdict).toBe('drop');
  });

  test('names as long as nobody gives them', () => {
    const name = 'n'.repeat(250);
    const silly = { ...longPlace, table: name, chain: name };
    const rules = { ...drop, place: silly, rewrittenTo: name, candidates: [silly] };
    for (const remedies of [
      drop.remedies,
      [{ manager: 'nftables' as const, commands: Array.from({ length: 9 }, () => name) }],
    ]) {
      const given = { ...evidence, rules: { probe: { ...rules, remedies }, answer: rules } };
      const body = writeObserved(given, limit);
      expect(body.length).toBeLessThanOrEqual(limit);
      expect(readObserved(body)?.stations).toEqual(stations);
    }
  });

  test('a remedy of more commands than are read, or of longer ones, does not travel; the rest does', () => {
    const [cure] = drop.remedies;
    const many = { manager: 'nftables' as const, commands: Array.from({ length: 9 }, () => 'nft') };
    const wide = { manager: 'nftables' as const, commands: ['n'.repeat(301)] };
    if (cure === undefined) throw new Error('no cure');
    const given = {
      ...evidence,
      rules: { probe: { ...drop, remedies: [many, wide, cure] }, answer: accept },
    };
    expect(roundTrip(given)?.rules?.probe.remedies).toEqual([cure]);
  });

  test('control characters do not travel', () => {
    const given = {
      ...evidence,
      rules: { probe: { ...drop, place: { ...place, rule: 'a\u001b[2Jb' } }, answer: accept },
    };
    expect(roundTrip(given)?.rules?.probe.place?.rule).toBe('a [2Jb');
  });
});

describe('what a peer sends is hostile', () => {
  const bytes = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
  const shape = JSON.parse(new TextDecoder().decode(writeObserved(evidence, limit))) as Record<
    string,
    unknown
  >;

  test.each<readonly [string, unknown]>([
    ['another shape', { seen: 2 }],
    ['a field that nobody knows', { ...shape, x: 1 }],
    ['a number below zero', { ...shape, w: -1 }],
    ['an interface with a line end', { ...shape, i: 'eth0\n' }],
    ['an owner of no kind', { ...shape, o: 'me' }],
    ['a mode that is none', { ...shape, f: 3 }],
    ['no object', [shape]],
  ])('%s', (_name, value) => {
    expect(readObserved(bytes(value))).toBeUndefined();
  });

  test('a remedy that reads like anything but ours is left out, and the rest is read', () => {
    const rules = (command: string) => ({
      ...shape,
      r: { p: { v: 'drop', m: [{ m: 'nftables', c: [command] }] }, a: { v: 'accept' } },
    });
    expect(readObserved(bytes(rules('nft flush ruleset')))?.rules?.probe.remedies).toEqual([]);
    const good = 'nft insert rule inet filter input position 12 udp dport 8472 accept';
    expect(readObserved(bytes(rules(good)))?.rules?.probe.remedies).toHaveLength(1);
  });

  test('counters that a newer version has are not taken for others', () => {
    const newer = structuredClone(shape) as { s: { c: (number | null)[] } };
    newer.s.c.push(99, 98);
    expect(readObserved(bytes(newer))?.stations?.counters).toEqual(stations.counters);
  });

  test('nothing that is damaged throws', () => {
    const random = seeded(3);
    const body = writeObserved(evidence, limit);
    for (let round = 0; round < 500; round++) readObserved(damaged(random, body));
  });
});
