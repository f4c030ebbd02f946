/** @module Requirements, answers and findings for tests, with everything that does not matter filled in. */

import type { Diagnoses } from '../../agent/diagnosis.ts';
import type {
  Culprit,
  Direction,
  Finding,
  FindingTarget,
  Outcome,
  StatusDocument,
} from '../../agent/model.ts';
import type { PlannedPeer, PlannedTest } from '../../agent/plan.ts';
import type { Evidence, Reason } from '../../checks/check.ts';
import type { Family } from '../../checks/family.ts';
import type { Level, Requirement } from '../../rules/schema.ts';

/** A requirement on a peer's UDP port 8472. */
export function udpRequirement(
  change: Partial<Omit<Requirement<'udp-port'>, 'kind' | 'params'>> = {},
): Requirement<'udp-port'> {
  return {
    id: 'canal.vxlan',
    kind: 'udp-port',
    level: 'required',
    scope: 'peer',
    direction: 'both',
    params: { port: 8472, payload: 'vxlan' },
    purpose: 'pods of different nodes reach one another',
    source: ['https://example.org/canal'],
    disputed: [],
    origins: {},
    ...change,
  };
}

/** A requirement on this node's sysctl. */
export function nodeRequirement(
  change: Partial<Omit<Requirement<'sysctl'>, 'kind' | 'params'>> = {},
): Requirement<'sysctl'> {
  return {
    id: 'canal.ip-forward',
    kind: 'sysctl',
    level: 'required',
    scope: 'node',
    direction: 'both',
    params: { key: 'net/ipv4/ip_forward', values: ['1'], absent: 'fail' },
    purpose: 'the node forwards the packets of pods',
    source: ['https://example.org/canal'],
    disputed: [],
    origins: {},
    ...change,
  };
}

/** What a requirement on a peer's UDP port 8472 asks of this node's firewall. */
export function firewallRequirement(
  change: Partial<Omit<Requirement<'host-firewall'>, 'kind' | 'params'>> = {},
): Requirement<'host-firewall'> {
  return {
    ...udpRequirement(),
    id: 'canal.vxlan.firewall',
    kind: 'host-firewall',
    params: { protocol: 'udp', port: 8472 },
    ...change,
  };
}

/** `count` peers with an IPv4 address each: worker-1, worker-2, … */
export function manyPeers(count: number): PlannedPeer[] {
  return Array.from({ length: count }, (_, index) => ({
    name: `worker-${index + 1}`,
    addresses: { ipv4: `10.${(index + 1) >> 16}.${((index + 1) >> 8) & 255}.${(index + 1) & 255}` },
  }));
}

/** A test of one peer, as a round plans it. */
export function peerTest(
  change: {
    readonly requirement?: Requirement;
    readonly peer?: string;
    readonly family?: Family;
    readonly everyRounds?: number;
  } = {},
): PlannedTest {
  return {
    requirement: change.requirement ?? udpRequirement(),
    everyRounds: change.everyRounds ?? 1,
    target: {
      scope: 'peer',
      name: change.peer ?? 'worker-2',
      address: '10.0.0.2',
      family: change.family ?? 'ipv4',
      mustReach: true,
    },
  };
}

/** A test of this node, as a round plans it. */
export function nodeTest(requirement: Requirement = nodeRequirement()): PlannedTest {
  return { requirement, target: { scope: 'node' }, everyRounds: 1 };
}

export interface FindingChange {
  readonly requirement?: string;
  readonly kind?: Finding['kind'];
  readonly level?: Level;
  readonly outcome?: Outcome;
  readonly reason?: Reason;
  readonly peer?: string;
  readonly family?: Family;
  readonly direction?: Direction;
  readonly culprit?: Culprit;
  readonly anyOf?: string;
  readonly eitherDirection?: boolean;
  readonly evidence?: Evidence;
  readonly message?: string;
  readonly since?: string;
}

/** A finding about this node, or about a peer when one is named. */
export function someFinding(change: FindingChange = {}): Finding {
  const { peer, family = 'ipv4', direction = 'outbound', culprit = null, ...rest } = change;
  const target: FindingTarget =
    peer === undefined
      ? { scope: 'node' }
      : { scope: 'peer', name: peer, address: '10.0.0.2', family, direction };
  return {
    requirement: 'canal.vxlan',
    kind: 'udp-port',
    level: 'required',
    outcome: 'pass',
    message: 'a sentence',
    evidence: {},
    remedy: null,
    sources: [],
    since: '2026-11-23T12:00:00.000Z',
    checkedAt: '2026-11-23T12:00:30.000Z',
    durationSeconds: 0.2,
    ...rest,
    culprit,
    target,
  };
}

/** A status document of a node that is ready and has one peer. */
export function someDocument(change: Partial<StatusDocument> = {}): StatusDocument {
  return {
    schema: 'cni-preflight/status/v1',
    agent: { version: '0.1.0' },
    node: {
      name: 'worker-1',
      addresses: ['10.0.0.1'],
      kernel: '6.18.5',
      os: 'Debian GNU/Linux 13',
      architecture: 'x86_64',
    },
    provider: { name: 'canal', options: { encapsulation: 'vxlan' }, source: 'flag' },
    readiness: 'ready',
    reasons: [],
    since: '2026-11-23T12:00:00.000Z',
    summary: { pass: 1, fail: 0, warn: 0, info: 0, unknown: 0, skip: 0 },
    peers: [{ name: 'worker-2', address: '10.0.0.2', agent: 'reachable' }],
    findings: [someFinding({ peer: 'worker-2' })],
    startedAt: '2026-11-23T12:00:00.000Z',
    durationSeconds: 0.8,
    ...change,
  };
}

/** Explains nothing: what the tests found stands. */
export const noDiagnoses: Diagnoses = { explain: async (_test, answer) => answer };
