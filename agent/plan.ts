/** @module What one round tests: every requirement, on this node and towards which peers. Pure. */
import { type Answer, type NodeTarget, type PeerTarget, skip, unknown } from '../checks/check.ts';
import type { Family } from '../checks/family.ts';
import type { Requirement } from '../rules/schema.ts';
import type { Peer } from './peer-list.ts';

/** A node to test the way to, with what it is there for. */
export interface PlannedPeer extends Peer {
  /** `typha`, `etcd`, `control-plane`; absent where nobody said. */
  readonly roles?: readonly string[];
}

/** One requirement against one target, in this round. */
export interface PlannedTest {
  readonly requirement: Requirement;
  readonly target: NodeTarget | PeerTarget;
  /** How many rounds pass until the same test comes again. */
  readonly everyRounds: number;
  /** The answer, where nothing can be tested. */
  readonly presumed?: Answer;
}

export interface PlanInput {
  readonly requirements: readonly Requirement[];
  readonly peers: readonly PlannedPeer[];
  readonly ownName: string;
  readonly ownFamilies: readonly Family[];
  /** Number of the round, from 0. */
  readonly round: number;
  /** Peers to test in this round whatever the ring says, such as those that failed once. */
  readonly recheck?: readonly string[];
  /** How many peers a round tests; `fullMeshLimit` unless told. */
  readonly peerLimit?: number;
}

/** Up to so many peers, every node tests every node; beyond, half as many fixed neighbours and a sweep of the others. */
export const fullMeshLimit = 32;
/** However little room there is, a round tests so many: two neighbours and two of the sweep. */
const leastPeers = 4;
/** Rechecks come on top, and are few: after a large outage the sweep finds the rest again. */
const recheckLimit = 16;

/** Lists the tests of one round, in the order of the catalogue. */
export function planRound(input: PlanInput): PlannedTest[] {
  const selections = new Map<string, readonly Selected[]>();
  const selectOnce = (requirement: Requirement): readonly Selected[] => {
    const role = requirement.peerRole ?? '';
    const known = selections.get(role);
    if (known !== undefined) return known;
    const selected = selectPeers(peersOf(requirement, input.peers, input.ownName), input);
    selections.set(role, selected);
    return selected;
  };

  const tests: PlannedTest[] = [];
  for (const requirement of input.requirements) {
    const target: NodeTarget = { scope: 'node' };
    if (requirement.scope === 'node') {
      tests.push({ requirement, target, everyRounds: 1 });
      continue;
    }
    const selected = selectOnce(requirement);
    if (selected.length === 0) {
      const others = peersOf({ scope: 'peer' }, input.peers, input.ownName);
      const presumed = skip(others.length === 0 ? 'no-peers' : 'not-applicable');
      tests.push({ requirement, target, everyRounds: 1, presumed });
      continue;
    }
    for (const { peer, everyRounds } of selected) {
      tests.push(...testsOfPeer(requirement, peer, everyRounds, input));
    }
  }
  return tests;
}

/** Lists the peers that a requirement is about, tested in this round or not. */
export function peersOf(
  requirement: Pick<Requirement, 'scope' | 'peerRole'>,
  peers: readonly PlannedPeer[],
  ownName: string,
): PlannedPeer[] {
  if (requirement.scope === 'node') return [];
  const { peerRole } = requirement;
  return peers.filter(
    ({ name, roles }) =>
      name !== ownName && (peerRole === undefined || roles?.includes(peerRole) === true),
  );
}

/** One way to a peer. */
export interface PeerAddress {
  readonly family: Family;
  readonly address: string;
}

/** Lists the addresses a peer is tested on; without a common family, those that it has, which nobody can test. */
export function addressesOf(
  peer: PlannedPeer,
  ownFamilies: readonly Family[],
): { readonly addresses: readonly PeerAddress[]; readonly common: boolean } {
  const theirs = (['ipv4', 'ipv6'] as const).flatMap((family): readonly PeerAddress[] => {
    const address = peer.addresses[family];
    return address === undefined ? [] : [{ family, address }];
  });
  const shared = theirs.filter(({ family }) => ownFamilies.includes(family));
  return shared.length > 0
    ? { addresses: shared, common: true }
    : { addresses: theirs, common: false };
}

function testsOfPeer(
  requirement: Requirement,
  peer: PlannedPeer,
  everyRounds: number,
  input: Pick<PlanInput, 'peers' | 'ownName' | 'ownFamilies'>,
): PlannedTest[] {
  const { addresses, common } = addressesOf(peer, input.ownFamilies);
  const isAnswered = tellsInbound(requirement, input);
  return addresses.flatMap(({ family, address }) => {
    const mustReach = requirement.scope !== 'host-local';
    const target: PeerTarget = { scope: 'peer', name: peer.name, address, family, mustReach };
    const targets = isAnswered ? [target, { ...target, direction: 'inbound' as const }] : [target];
    return targets.map((one) => {
      const test = { requirement, target: one, everyRounds };
      // No common family is not "does not apply": the peer is there, and the way to it cannot be looked at.
      return common ? test : { ...test, presumed: unknown('no-address') };
    });
  });
}

/**
 * Whether this node itself tells of the inbound direction: of what its rules do with packets of the peer. A port that only some
 * nodes have (Typha's) is asked for inbound on those alone.
 */
function tellsInbound(
  { kind, peerRole }: Requirement,
  { peers, ownName }: Pick<PlanInput, 'peers' | 'ownName'>,
): boolean {
  if (kind !== 'host-firewall') return false;
  if (peerRole === undefined) return true;
  return peers.some(({ name, roles }) => name === ownName && roles?.includes(peerRole) === true);
}

interface Selected {
  readonly peer: PlannedPeer;
  readonly everyRounds: number;
}

/** Picks the peers of this round: all of them, or ring neighbours, a slice of the others, and rechecks. */
function selectPeers(peers: readonly PlannedPeer[], input: PlanInput): readonly Selected[] {
  const limit = Math.max(leastPeers, input.peerLimit ?? fullMeshLimit);
  if (peers.length <= limit) return peers.map((peer) => ({ peer, everyRounds: 1 }));

  const ring = ringFrom(input.ownName, peers);
  // Half of the peers of a round are the neighbours, on either side of the ring; the other half is the sweep.
  const side = Math.floor(limit / 4);
  const swept = limit - 2 * side;
  const neighbours = [...ring.slice(0, side), ...ring.slice(-side)];
  const others = ring.slice(side, -side);
  const everyRounds = Math.ceil(others.length / swept);
  const first = (input.round % everyRounds) * swept;

  const selected = new Map<string, Selected>();
  for (const peer of neighbours) selected.set(peer.name, { peer, everyRounds: 1 });
  for (const peer of others.slice(first, first + swept)) {
    selected.set(peer.name, { peer, everyRounds });
  }
  const wanted = new Set((input.recheck ?? []).slice(0, recheckLimit));
  for (const peer of others) {
    if (wanted.has(peer.name) && !selected.has(peer.name)) {
      selected.set(peer.name, { peer, everyRounds });
    }
  }
  return [...selected.values()];
}

/**
 * Orders the peers as the ring shows them from this node on: the next in the order of their hashes first, the one
 * before this node last. A node that comes or goes moves one edge of each of its neighbours, and the two ends of
 * every edge agree on it, so that both directions of a pair are tested.
 */
function ringFrom(ownName: string, peers: readonly PlannedPeer[]): PlannedPeer[] {
  const own = { hash: hashOf(ownName), name: ownName };
  const placed = peers.map((peer) => ({ peer, hash: hashOf(peer.name), name: peer.name }));
  placed.sort(byPlace);
  const after = placed.filter((other) => byPlace(own, other) < 0);
  const before = placed.filter((other) => byPlace(own, other) >= 0);
  return [...after, ...before].map(({ peer }) => peer);
}

interface Place {
  readonly hash: number;
  readonly name: string;
}

function byPlace(one: Place, other: Place): number {
  if (one.hash !== other.hash) return one.hash - other.hash;
  return one.name < other.name ? -1 : 1;
}

/**
 * FNV-1a over UTF-16 code units (draft-eastlake-fnv, 32 bit), then the finalizer of MurmurHash3: names that differ in their last
 * digit alone would otherwise land next to one another, and a rack would only test itself.
 */
function hashOf(name: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < name.length; index += 1) {
    hash = Math.imul(hash ^ name.charCodeAt(index), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
