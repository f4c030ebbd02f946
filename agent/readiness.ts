/** @module Whether this node is fit, out of its findings. Pure. */
import type { Reason } from '../checks/check.ts';
import type { Finding, Outcome, Readiness } from './model.ts';

/** The word for the node, and why it is not `ready`: worst first, empty when it is. */
export interface NodeReadiness {
  readonly readiness: Readiness;
  readonly reasons: readonly string[];
}

/**
 * Judges this node. One bad node must not taint a cluster: what fails between two nodes counts here only if this node
 * is to blame, or if nobody is known to be and most peers agree.
 */
export function readinessOf(findings: readonly Finding[], nodeName: string): NodeReadiness {
  if (findings.length === 0) return { readiness: 'unknown', reasons: ['nothing was checked yet'] };

  const verdicts: Verdict[] = [];
  const paths = new Map<string, Item[]>();
  for (const item of itemsOf(findings, nodeName)) {
    if (item.peer === undefined) {
      verdicts.push(...judgeNode(item));
      continue;
    }
    const key = `${item.name}, ${item.direction},`;
    const path = paths.get(key);
    if (path === undefined) paths.set(key, [item]);
    else path.push(item);
  }
  for (const [path, items] of paths) verdicts.push(...judgePath(path, items));

  const failed = verdicts.filter(({ outcome }) => outcome === 'fail');
  const open = verdicts.filter(({ outcome }) => outcome === 'unknown');
  const reasons = [...failed, ...open].map(({ sentence }) => sentence);
  if (failed.length > 0) return { readiness: 'not-ready', reasons };
  return open.length > 0 ? { readiness: 'unknown', reasons } : { readiness: 'ready', reasons };
}

/** Something that keeps the node from being ready. */
interface Verdict {
  readonly outcome: 'fail' | 'unknown';
  readonly sentence: string;
}

/** One thing that must hold: a finding, or several of which one is enough. */
interface Item {
  /** The requirement, or the group that it belongs to. */
  readonly name: string;
  readonly outcome: Outcome;
  readonly reason: Reason | undefined;
  readonly blamed: Blamed;
  readonly peer: string | undefined;
  readonly family: string | undefined;
  readonly direction: string | undefined;
}

type Blamed = 'this' | 'other' | 'nobody';

/** Merges alternatives (`anyOf`, either direction) and leaves out what is not required. */
function itemsOf(findings: readonly Finding[], nodeName: string): Item[] {
  const groups: Finding[][] = [];
  const alternatives = new Map<string, Finding[]>();
  for (const finding of findings) {
    if (finding.anyOf === undefined && finding.eitherDirection !== true) {
      groups.push([finding]);
      continue;
    }
    const key = Object.values(identityOf(finding)).join('\n');
    const group = alternatives.get(key);
    if (group === undefined) alternatives.set(key, [finding]);
    else group.push(finding);
  }
  groups.push(...alternatives.values());

  const items: Item[] = [];
  for (const group of groups) {
    if (!group.some(({ level }) => level === 'required')) continue;
    if (group.every(isUntoldByRules)) continue;
    const deciding = decidingOf(group);
    if (deciding === undefined) continue;
    const { outcome, reason } = deciding;
    items.push({ ...identityOf(deciding), outcome, reason, blamed: blamedOf(group, nodeName) });
  }
  return items;
}

/**
 * What the rules do not tell, probes do: the requirement of the path itself speaks for that, and for rules that went. Without this a
 * node whose firewall may not be read, or that has eBPF programs, could never be ready.
 */
export function isUntoldByRules({ kind, outcome }: Pick<Finding, 'kind' | 'outcome'>): boolean {
  return outcome === 'unknown' && toldByRules.has(kind);
}

const toldByRules: ReadonlySet<Finding['kind']> = new Set<Finding['kind']>([
  'host-firewall',
  'firewall-wipe',
  'host-forward',
]);

type Identity = Pick<Item, 'name' | 'peer' | 'family' | 'direction'>;

function identityOf({ requirement, anyOf, eitherDirection, target }: Finding): Identity {
  const name = anyOf ?? requirement;
  if (target.scope === 'node') {
    return { name, peer: undefined, family: undefined, direction: undefined };
  }
  const direction = eitherDirection === true ? 'in either direction' : target.direction;
  return { name, peer: target.name, family: target.family, direction };
}

/** The member that speaks for a group: a pass is enough, a fail needs all; undefined when all are skipped. */
function decidingOf(group: readonly Finding[]): Finding | undefined {
  for (const outcome of ['pass', 'unknown', 'fail'] as const) {
    const found = group.find((member) => member.outcome === outcome);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** A culprit on the path is no node: whether it tells of this node's place in the network, the number of peers says. */
function blamedOf(group: readonly Finding[], nodeName: string): Blamed {
  const nodes = group.flatMap(({ culprit }) => (culprit === null ? [] : [culprit.node]));
  if (nodes.includes(nodeName)) return 'this';
  return nodes.some((node) => node !== 'path') ? 'other' : 'nobody';
}

function judgeNode({ name, outcome, reason }: Item): Verdict[] {
  if (outcome === 'fail') return [{ outcome, sentence: `${name} fails: ${reason}` }];
  if (outcome === 'unknown') return [{ outcome, sentence: `${name} is unknown: ${reason}` }];
  return [];
}

/** Judges one requirement in one direction over all peers. */
function judgePath(path: string, items: readonly Item[]): Verdict[] {
  const peers = countOf(items);

  const own = items.filter(({ outcome, blamed }) => outcome === 'fail' && blamed === 'this');
  if (own.length > 0) return [failedVerdict(path, own, peers)];

  const tested = items.filter(
    ({ outcome, blamed }) => outcome === 'pass' || (outcome === 'fail' && blamed === 'nobody'),
  );
  const failing = tested.filter(({ outcome }) => outcome === 'fail');
  const enough = peers === 1 ? 1 : 2;
  if (countOf(failing) >= enough && countOf(failing) * 2 > countOf(tested)) {
    return [failedVerdict(path, failing, countOf(tested))];
  }

  const open = items.filter((item) => item.outcome === 'unknown' && !isLeftOut(item, items));
  const count = countOf(open);
  if (count === 0) return [];
  const sentence = `${path} is unknown with ${count} of ${peers} ${nounOf(peers)}: ${reasonsOf(open)}`;
  return [{ outcome: 'unknown', sentence }];
}

function failedVerdict(path: string, failing: readonly Item[], of: number): Verdict {
  const sentence = `${path} fails with ${countOf(failing)} of ${of} ${nounOf(of)}: ${reasonsOf(failing)}`;
  return { outcome: 'fail', sentence };
}

/** Counts peers, not families: a peer that fails over either family fails once. */
function countOf(items: readonly Item[]): number {
  return new Set(items.map(({ peer }) => peer)).size;
}

function nounOf(count: number): string {
  return count === 1 ? 'peer' : 'peers';
}

function reasonsOf(items: readonly Item[]): string {
  return [...new Set(items.map(({ reason }) => reason))].join(', ');
}

/**
 * Reasons of an `unknown` that lie with this very process: what it could not do towards one peer it has not done
 * properly towards the others, so no other peer makes up for it.
 */
const ownReasons: ReadonlySet<Reason> = new Set([
  'missing-net-raw',
  'missing-net-admin',
  'permission-denied',
  'check-crashed',
]);

/** Whether a peer that could not be tested is made up for by another one that passes, over the same family if any other has it. */
function isLeftOut(item: Item, items: readonly Item[]): boolean {
  if (item.reason !== undefined && ownReasons.has(item.reason)) return false;
  const others = items.filter(({ peer }) => peer !== item.peer);
  const sameFamily = others.filter(({ family }) => family === item.family);
  return (sameFamily.length > 0 ? sameFamily : others).some(({ outcome }) => outcome === 'pass');
}
