import { describe, expect, test } from 'vitest';
import { addressesOf, type PlannedPeer, type PlannedTest, planRound } from '../../../agent/plan.ts';
import {
  firewallRequirement,
  manyPeers,
  nodeRequirement,
  udpRequirement,
} from '../../support/findings.ts';

const peer = (
  name: string,
  addresses: PlannedPeer['addresses'],
  roles?: string[],
): PlannedPeer => ({
  name,
  addresses,
  ...(roles === undefined ? {} : { roles }),
});

const base = {
  requirements: [udpRequirement()],
  ownName: 'worker-1',
  ownFamilies: ['ipv4', 'ipv6'],
  round: 0,
} as const;

/** A line a test: requirement, target, presumed answer. */
function lines(tests: readonly PlannedTest[]): string[] {
  return tests.map(({ requirement, target, presumed }) => {
    const where =
      target.scope === 'node'
        ? 'node'
        : `${target.name} ${target.address} ${target.mustReach ? 'must' : 'must not'}`;
    const answer =
      presumed === undefined || presumed.outcome === 'pass'
        ? ''
        : ` ${presumed.outcome}: ${presumed.reason}`;
    return `${requirement.id} ${where}${answer}`;
  });
}

function namesOf(tests: readonly PlannedTest[]): string[] {
  return tests.flatMap(({ target }) => (target.scope === 'peer' ? [target.name] : []));
}

describe('planRound', () => {
  test.each([
    {
      name: 'a requirement on the node is one test',
      input: { requirements: [nodeRequirement()], peers: manyPeers(3) },
      want: ['canal.ip-forward node'],
    },
    {
      name: 'a requirement on peers is a test of each family that both ends have',
      input: {
        peers: [
          peer('worker-2', { ipv4: '10.0.0.2', ipv6: 'fd00::2' }),
          peer('worker-3', { ipv6: 'fd00::3' }),
        ],
      },
      want: [
        'canal.vxlan worker-2 10.0.0.2 must',
        'canal.vxlan worker-2 fd00::2 must',
        'canal.vxlan worker-3 fd00::3 must',
      ],
    },
    {
      name: 'a family that this node lacks is not tested',
      input: {
        ownFamilies: ['ipv4'] as const,
        peers: [peer('worker-2', { ipv4: '10.0.0.2', ipv6: 'fd00::2' })],
      },
      want: ['canal.vxlan worker-2 10.0.0.2 must'],
    },
    {
      name: 'a peer without a common family is unknown, never left out in silence',
      input: { ownFamilies: ['ipv4'] as const, peers: [peer('worker-2', { ipv6: 'fd00::2' })] },
      want: ['canal.vxlan worker-2 fd00::2 must unknown: no-address'],
    },
    {
      name: 'a host-local requirement must not be reached',
      input: {
        requirements: [udpRequirement({ scope: 'host-local', level: 'recommended' })],
        peers: [peer('worker-2', { ipv4: '10.0.0.2' })],
      },
      want: ['canal.vxlan worker-2 10.0.0.2 must not'],
    },
    {
      name: 'without peers the requirement is skipped, and says why',
      input: { requirements: [nodeRequirement(), udpRequirement()], peers: [] },
      want: ['canal.ip-forward node', 'canal.vxlan node skip: no-peers'],
    },
    {
      name: 'the own node among the peers is no peer',
      input: { peers: [peer('worker-1', { ipv4: '10.0.0.1' })] },
      want: ['canal.vxlan node skip: no-peers'],
    },
    {
      name: 'a role picks the peers that have it',
      input: {
        requirements: [udpRequirement({ peerRole: 'typha' })],
        peers: [
          peer('worker-2', { ipv4: '10.0.0.2' }, ['etcd']),
          peer('worker-3', { ipv4: '10.0.0.3' }, ['etcd', 'typha']),
          peer('worker-4', { ipv4: '10.0.0.4' }),
        ],
      },
      want: ['canal.vxlan worker-3 10.0.0.3 must'],
    },
    {
      name: 'a role that no peer has does not apply',
      input: {
        requirements: [udpRequirement({ peerRole: 'typha' })],
        peers: [peer('worker-2', { ipv4: '10.0.0.2' })],
      },
      want: ['canal.vxlan node skip: not-applicable'],
    },
    {
      name: 'a role without any peer is a matter of no peers',
      input: { requirements: [udpRequirement({ peerRole: 'typha' })], peers: [] },
      want: ['canal.vxlan node skip: no-peers'],
    },
  ])('$name', ({ input, want }) => {
    expect(lines(planRound({ ...base, ...input }))).toEqual(want);
  });

  test('each requirement gets the same peers', () => {
    const requirements = [udpRequirement(), udpRequirement({ id: 'canal.other' })];
    const tests = planRound({ ...base, ownName: 'own', requirements, peers: manyPeers(100) });
    const of = (id: string) => namesOf(tests.filter(({ requirement }) => requirement.id === id));
    expect(of('canal.vxlan')).toHaveLength(32);
    expect(of('canal.other')).toEqual(of('canal.vxlan'));
  });

  test('keeps the level of a host-local requirement as written', () => {
    const requirements = [udpRequirement({ scope: 'host-local', level: 'recommended' })];
    const [planned] = planRound({ ...base, requirements, peers: manyPeers(2) });
    expect(planned?.requirement.level).toBe('recommended');
  });

  test('up to 32 peers everybody tests everybody, every round', () => {
    const tests = planRound({ ...base, ownName: 'own', peers: manyPeers(32) });
    expect(new Set(namesOf(tests)).size).toBe(32);
    expect(tests.every(({ everyRounds }) => everyRounds === 1)).toBe(true);
  });
});

describe('the ring', () => {
  const names = (count: number) => manyPeers(count).map(({ name }) => name);
  const neighboursOf = (ownName: string, peers: readonly PlannedPeer[]) =>
    planRound({ ...base, ownName, peers })
      .filter(({ everyRounds }) => everyRounds === 1)
      .flatMap(({ target }) => (target.scope === 'peer' ? [target.name] : []));

  test.each([34, 100, 1000])(
    'of %i peers a round tests 16 neighbours and at most 16 others',
    (count) => {
      const peers = manyPeers(count);
      for (const ownName of ['own', 'worker-7']) {
        expect(neighboursOf(ownName, peers)).toHaveLength(16);
        const tested = namesOf(planRound({ ...base, ownName, peers }));
        expect(tested.length).toBeLessThanOrEqual(32);
        expect(new Set(tested).size).toBe(tested.length);
        expect(tested).not.toContain(ownName);
      }
    },
  );

  test('both ends of an edge agree on it, so every node is somebody’s neighbour', () => {
    const peers = manyPeers(100);
    const edges = new Map(names(100).map((name) => [name, neighboursOf(name, peers)]));
    for (const [name, neighbours] of edges) {
      for (const neighbour of neighbours) expect(edges.get(neighbour)).toContain(name);
    }
  });

  test('a node that goes moves at most one edge of a node that stays', () => {
    const peers = manyPeers(200);
    const left = peers.filter(({ name }) => name !== 'worker-77');
    let moved = 0;
    for (const { name } of left) {
      const before = neighboursOf(name, peers);
      const gone = before.filter((neighbour) => !neighboursOf(name, left).includes(neighbour));
      expect(gone.length).toBeLessThanOrEqual(1);
      moved += gone.length;
    }
    expect(moved).toBe(16);
  });

  test('the order in which peers are listed does not matter', () => {
    const peers = manyPeers(60);
    const reversed = [...peers].reverse();
    expect(neighboursOf('worker-3', reversed)).toEqual(neighboursOf('worker-3', peers));
  });

  test('names that differ in the last digit are not neighbours by their names', () => {
    const own = neighboursOf('worker-500', manyPeers(1000));
    const near = own.filter((name) => Math.abs(Number(name.slice(7)) - 500) <= 16);
    expect(near.length).toBeLessThan(5);
  });

  test('two nodes of one hash still have an order', () => {
    // Found by search: these names have equal FNV-1a hashes of 32 bits.
    const twins: PlannedPeer[] = ['costarring', 'liquid'].map((name, index) =>
      peer(name, { ipv4: `10.9.0.${index + 1}` }),
    );
    const peers = [...manyPeers(40), ...twins];
    expect(neighboursOf('own', peers)).toEqual(neighboursOf('own', [...peers].reverse()));
    expect(neighboursOf('liquid', peers)).toContain('costarring');
    expect(neighboursOf('costarring', peers)).toContain('liquid');
  });

  test.each([
    { count: 33, rounds: 2 },
    { count: 100, rounds: 6 },
    { count: 1000, rounds: 62 },
  ])('the sweep meets each of $count peers within $rounds rounds', ({ count, rounds }) => {
    const peers = manyPeers(count);
    const seen = new Set<string>();
    for (let round = 0; round < rounds; round += 1) {
      const tests = planRound({ ...base, ownName: 'own', peers, round });
      for (const name of namesOf(tests)) seen.add(name);
      for (const { everyRounds } of tests) expect([1, rounds]).toContain(everyRounds);
    }
    expect(seen.size).toBe(count);
  });

  test('the sweep begins elsewhere on every node', () => {
    const peers = manyPeers(1000);
    const swept = ['worker-1', 'worker-2', 'worker-3'].map((ownName) =>
      planRound({ ...base, ownName, peers })
        .filter(({ everyRounds }) => everyRounds > 1)
        .map(({ target }) => (target.scope === 'peer' ? target.name : ''))
        .join(),
    );
    expect(new Set(swept).size).toBe(3);
  });

  test('a recheck comes on top, once, and few at a time', () => {
    const peers = manyPeers(200);
    const plain = namesOf(planRound({ ...base, ownName: 'own', peers }));
    const absent = peers.map(({ name }) => name).filter((name) => !plain.includes(name));
    const [known] = plain;
    const recheck = [known ?? '', absent[0] ?? '', 'nobody'];
    const tested = namesOf(planRound({ ...base, ownName: 'own', peers, recheck }));
    expect(tested).toEqual([...plain, absent[0]]);
    const many = namesOf(planRound({ ...base, ownName: 'own', peers, recheck: absent }));
    expect(many).toHaveLength(plain.length + 16);
  });

  test('a role’s own peers make the ring', () => {
    const peers = manyPeers(100).map((one, index) =>
      index < 3 ? { ...one, roles: ['etcd'] } : one,
    );
    const requirements = [udpRequirement({ peerRole: 'etcd' })];
    expect(namesOf(planRound({ ...base, ownName: 'own', requirements, peers }))).toEqual([
      'worker-1',
      'worker-2',
      'worker-3',
    ]);
  });
});

describe('addressesOf', () => {
  const ipv4 = { family: 'ipv4', address: '10.0.0.2' };
  const ipv6 = { family: 'ipv6', address: 'fd00::2' };
  test.each([
    { own: ['ipv4', 'ipv6'] as const, want: { addresses: [ipv4, ipv6], common: true } },
    { own: ['ipv6'] as const, want: { addresses: [ipv6], common: true } },
    { own: [] as const, want: { addresses: [ipv4, ipv6], common: false } },
  ])('of a peer with both, for a node with $own', ({ own, want }) => {
    const dual = peer('worker-2', { ipv4: '10.0.0.2', ipv6: 'fd00::2' });
    expect(addressesOf(dual, own)).toEqual(want);
  });
});

describe('what the own firewall is asked', () => {
  const directions = (tests: readonly PlannedTest[]) =>
    tests.map(({ target }) =>
      target.scope === 'peer' ? `${target.name} ${target.direction ?? 'outbound'}` : 'node',
    );
  const peers = [peer('worker-2', { ipv4: '10.0.0.2' }, ['typha'])];

  test('is asked for both directions of every peer', () => {
    const planned = planRound({ ...base, requirements: [firewallRequirement()], peers });
    expect(directions(planned)).toEqual(['worker-2 outbound', 'worker-2 inbound']);
  });

  test('a port of a role is asked for inbound only where this node has the role', () => {
    const requirements = [firewallRequirement({ peerRole: 'typha' })];
    expect(directions(planRound({ ...base, requirements, peers }))).toEqual(['worker-2 outbound']);
    const own = peer('worker-1', { ipv4: '10.0.0.1' }, ['typha']);
    expect(directions(planRound({ ...base, requirements, peers: [own, ...peers] }))).toEqual([
      'worker-2 outbound',
      'worker-2 inbound',
    ]);
  });

  test('a probe is planned for its own direction alone', () => {
    expect(directions(planRound({ ...base, peers }))).toEqual(['worker-2 outbound']);
  });
});
