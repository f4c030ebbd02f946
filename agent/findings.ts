/** @module What is known now: turns the answers of rounds into findings, and says when one changes. */
import type { Answer, AnswerCulprit, Evidence, PartialLoss, Reason } from '../checks/check.ts';
import type { Family } from '../checks/family.ts';
import type { PeerVerdict } from '../checks/peer-channel.ts';
import type { Requirement } from '../rules/schema.ts';
import type { Culprit, Direction, Finding, FindingTarget, Outcome } from './model.ts';
import { addressesOf, type PlannedPeer, type PlannedTest, peersOf } from './plan.ts';

/** When an answer was found, by a clock that no step moves, and how long that took. */
export interface Timing {
  readonly checkedAtMs: number;
  readonly durationSeconds: number;
}

/** One finding that appeared, moved or went: one line in the log. */
export interface Change {
  /** What it was before; absent for a new one. */
  readonly previous?: { readonly outcome: Outcome; readonly reason?: Reason };
  /** What it is now; what it was last, when it is gone. */
  readonly finding: Finding;
  readonly gone: boolean;
}

/** The words of a finding, made from its facts. */
export interface Description {
  readonly message: string;
  readonly documentation?: string;
}

export interface FindingsOptions {
  readonly ownName: string;
  readonly intervalMs: number;
  /** Failing rounds in a row that make a `fail` towards a peer: 2 in the agent, 1 in `check`. */
  readonly confirmRounds: number;
  readonly describe: (facts: Omit<Finding, 'message'>) => Description;
  /** What to show people for such a time; the same when absent. */
  readonly wallTimeOf?: (steadyMs: number) => number;
  /** Beyond it the findings that were checked longest ago are forgotten. */
  readonly maximum?: number;
}

/** What is planned at all, in this round or a later one. */
export interface Planned {
  readonly requirements: readonly Requirement[];
  readonly peers: readonly PlannedPeer[];
  readonly ownFamilies: readonly Family[];
}

/** The findings of a process, from its first round on. */
export interface FindingStore {
  /** Takes the answer to a planned test. */
  observe(test: PlannedTest, answer: Answer, timing: Timing): readonly Change[];
  /** Takes what the peer of a planned test found on its own way to this node. */
  observeInbound(test: PlannedTest, verdict: PeerVerdict, nowMs: number): readonly Change[];
  /** Turns what is older than three of its intervals into `unknown: stale`. */
  expire(nowMs: number): readonly Change[];
  /** Forgets what is no longer planned. */
  retain(planned: Planned): readonly Change[];
  /** Names the peers of which a failure waits for its second round. */
  unconfirmedPeers(): readonly string[];
  /** Takes a new interval, which decides when a result is stale. */
  setInterval(intervalMs: number): void;
  /** All findings, the one that was checked longest ago first. */
  list(): readonly Finding[];
}

/** How many rounds a partial loss is shown after the last lost probe. */
const partialLossRounds = 10;
const intervalsUntilStale = 3;
const defaultMaximum = 20_000;
const listedSourcePorts = 16;
/** A verdict that is read twice is the same one; the network in between moves its age by less than this. */
const sameVerdictMs = 500;
/** The nodes of a pair probe IP protocols in turns of 20 minutes (docs/adr/0014), so such an answer comes every second turn. */
const turnsIntervalMs = 2 * 20 * 60_000;

/** Names a finding: two answers with the same key are about the same thing. */
export function findingKey(
  finding: Pick<Finding, 'requirement' | 'level' | 'target' | 'reason'>,
): string {
  const { requirement, level, target } = finding;
  const key =
    target.scope === 'node'
      ? `${requirement} ${level}`
      : `${requirement} ${level} ${target.name} ${target.family} ${target.direction}`;
  // It stands beside the finding of its own requirement, which may be a recommended one, too.
  return finding.reason === 'partial-loss' ? `${key} partial-loss` : key;
}

/** Makes an empty store. */
export function createFindings(options: FindingsOptions): FindingStore {
  const { ownName, confirmRounds, describe, maximum = defaultMaximum } = options;
  const { wallTimeOf = (steadyMs) => steadyMs } = options;
  const shown = { describe, wallTimeOf };
  let { intervalMs } = options;
  // A Map keeps its order, and every check moves its entry to the end: the first is the oldest.
  const entries = new Map<string, Entry>();

  function put(key: string, entry: Entry): readonly Change[] {
    const previous = entries.get(key)?.finding;
    entries.delete(key);
    entries.set(key, entry);
    const { finding } = entry;
    if (previous === undefined) return [{ finding, gone: false }];
    if (sameWord(previous, finding)) return [];
    return [{ previous: wordOf(previous), finding, gone: false }];
  }

  function remove(key: string, { finding }: Entry): Change {
    entries.delete(key);
    return { previous: wordOf(finding), finding, gone: true };
  }

  function take(subject: Subject, answer: Answer, timing: Timing): readonly Change[] {
    const key = keyOf(subject);
    const known = entries.get(key);
    if (known !== undefined && isOtherTurn(answer)) {
      entries.set(key, { ...known, takesTurns: true });
      return [];
    }
    const misses = answer.outcome === 'fail' ? (known?.misses ?? 0) + 1 : 0;
    // A rule that drops is a fact, and no lost packet that might have been bad luck.
    const isFact = subject.target.scope === 'node' || subject.requirement.kind === 'host-firewall';
    const confirmed = isFact || misses >= confirmRounds;
    const said =
      answer.outcome === 'fail' && !confirmed
        ? beforeConfirmation(answer, known?.finding)
        : saidOf(answer, subject.target, ownName);
    const finding = findingOf(subject, said, known?.finding, timing, shown);
    const { checkedAtMs } = timing;
    const takesTurns = known?.takesTurns ?? isOtherTurn(answer);
    const entry = { subject, finding, checkedAtMs, misses, takesTurns };
    const changes = [...put(key, entry), ...takeLoss(subject, answer, timing)];
    for (const oldest of entries.keys()) {
      if (entries.size <= maximum) break;
      entries.delete(oldest);
    }
    return changes;
  }

  function takeLoss(subject: Subject, answer: Answer, timing: Timing): readonly Change[] {
    const key = `${keyOf(subject, 'recommended')} partial-loss`;
    const known = entries.get(key);
    const loss = lossAfter(known?.loss, answer);
    if (loss === undefined) return known === undefined ? [] : [remove(key, known)];
    const said: Said = {
      outcome: 'fail',
      reason: 'partial-loss',
      evidence: {
        sent: loss.sent,
        lost: loss.lost,
        lostSourcePorts: loss.sourcePorts.join(','),
        roundsSinceLoss: partialLossRounds - loss.roundsLeft,
      },
      culprit: null,
      remedy: null,
    };
    const previous = known?.finding;
    const finding = findingOf(subject, said, previous, timing, shown, 'recommended');
    const { checkedAtMs } = timing;
    return put(key, { subject, finding, checkedAtMs, misses: 0, takesTurns: false, loss });
  }

  return {
    observe(test, answer, timing) {
      const direction = test.target.scope === 'peer' ? test.target.direction : undefined;
      return take(subjectOf(test, direction ?? 'outbound'), answer, timing);
    },

    observeInbound(test, { answer, ageSeconds }, nowMs) {
      if (test.target.scope === 'node') return [];
      const subject = subjectOf(test, 'inbound');
      const checkedAtMs = Math.round(nowMs - ageSeconds * 1000);
      const known = entries.get(keyOf(subject));
      if (known !== undefined && checkedAtMs - known.checkedAtMs < sameVerdictMs) return [];
      if (known !== undefined && isLate(answer)) return [];
      return take(subject, answer, { checkedAtMs, durationSeconds: 0 });
    },

    expire(nowMs) {
      const changes: Change[] = [];
      for (const [key, entry] of entries) {
        const { subject, finding, checkedAtMs, takesTurns, loss } = entry;
        const ownIntervalMs = subject.everyRounds * intervalMs;
        const intervalOfEntryMs = takesTurns
          ? Math.max(turnsIntervalMs, ownIntervalMs)
          : ownIntervalMs;
        const lifetimeMs = intervalsUntilStale * intervalOfEntryMs;
        if (nowMs - checkedAtMs <= lifetimeMs || finding.reason === 'stale') continue;
        if (loss !== undefined) {
          changes.push(remove(key, entry));
          continue;
        }
        const stale = staleOf(finding, nowMs, shown);
        entries.set(key, { ...entry, finding: stale, misses: 0 });
        changes.push({ previous: wordOf(finding), finding: stale, gone: false });
      }
      return changes;
    },

    retain(planned) {
      const byKey = new Map(
        planned.requirements.map((requirement) => [
          requirementKey(requirement),
          peersByName(requirement, planned.peers, ownName),
        ]),
      );
      const changes: Change[] = [];
      for (const [key, entry] of entries) {
        const peers = byKey.get(requirementKey(entry.subject.requirement));
        if (peers === undefined || !isPlanned(entry.subject, peers, planned.ownFamilies)) {
          changes.push(remove(key, entry));
        }
      }
      return changes;
    },

    setInterval(next) {
      intervalMs = next;
    },

    unconfirmedPeers() {
      const names = new Set<string>();
      for (const { subject, misses } of entries.values()) {
        const { target } = subject;
        if (target.scope === 'node' || target.direction === 'inbound') continue;
        if (misses > 0 && misses < confirmRounds) names.add(target.name);
      }
      return [...names];
    },

    list() {
      return [...entries.values()].map(({ finding }) => finding);
    },
  };
}

/** What the findings of one test in one direction have in common. */
interface Subject {
  readonly requirement: Requirement;
  readonly target: FindingTarget;
  readonly everyRounds: number;
}

interface Entry {
  readonly subject: Subject;
  readonly finding: Finding;
  /** When the newest answer was found, also one that waits for confirmation. */
  readonly checkedAtMs: number;
  /** Failing rounds in a row. */
  readonly misses: number;
  /** Whether only one node of the pair tests at a time. */
  readonly takesTurns: boolean;
  readonly loss?: Loss;
}

/** What was lost since the first loss. */
interface Loss {
  readonly sent: number;
  readonly lost: number;
  readonly sourcePorts: readonly number[];
  readonly roundsLeft: number;
}

/** The part of a finding that an answer decides. */
type Said = Pick<Finding, 'outcome' | 'reason' | 'evidence' | 'culprit' | 'remedy'>;

/** How a finding is shown to people. */
type Shown = Required<Pick<FindingsOptions, 'describe' | 'wallTimeOf'>>;

function subjectOf(test: PlannedTest, direction: Direction): Subject {
  const { requirement, everyRounds } = test;
  if (test.target.scope === 'node') return { requirement, everyRounds, target: { scope: 'node' } };
  const { name, address, family } = test.target;
  return { requirement, everyRounds, target: { scope: 'peer', name, address, family, direction } };
}

function keyOf(subject: Subject, level = subject.requirement.level): string {
  return findingKey({ requirement: subject.requirement.id, level, target: subject.target });
}

function requirementKey({ id, level, scope }: Requirement): string {
  return `${id} ${level} ${scope}`;
}

function saidOf(answer: Answer, target: FindingTarget, ownName: string): Said {
  const { outcome, evidence = {} } = answer;
  if (outcome === 'pass') return { outcome, evidence, culprit: null, remedy: null };
  const culprit = outcome === 'fail' ? culpritOf(answer.culprit, target, ownName) : null;
  const remedy = outcome === 'fail' ? (answer.remedy ?? []) : [];
  return {
    outcome,
    reason: answer.reason,
    evidence,
    culprit,
    remedy:
      remedy.length === 0
        ? null
        : remedy.map(({ manager, on, commands }) => ({
            manager,
            on: on === undefined ? ownName : nodeOf(on, target, ownName),
            commands,
          })),
  };
}

/** Whether nothing was tested because it is the peer's turn: no news, and no reason to forget the old. */
function isOtherTurn(answer: Answer): boolean {
  return answer.outcome !== 'pass' && answer.reason === 'other-slot';
}

/** The peer's agent lives and owes its verdict: what it said last holds until that is stale. */
function isLate(answer: Answer): boolean {
  return (
    answer.outcome === 'unknown' &&
    answer.reason === 'peer-has-not-probed' &&
    answer.evidence?.['agent'] === 'reachable'
  );
}

/** Says what was said before, or that nothing is sure yet. */
function beforeConfirmation(
  answer: { readonly reason: Reason; readonly evidence: Evidence },
  previous: Finding | undefined,
): Said {
  if (previous !== undefined) return previous;
  const evidence = { ...answer.evidence, suspected: answer.reason };
  return { outcome: 'unknown', reason: 'unconfirmed', evidence, culprit: null, remedy: null };
}

/** Turns the sender's `this` and `peer` into names: of an inbound finding the sender is the peer. */
function culpritOf(
  culprit: AnswerCulprit | undefined,
  target: FindingTarget,
  ownName: string,
): Culprit | null {
  if (culprit === undefined) return null;
  const { where, node, firewall, candidates } = culprit;
  if (node === 'path') return { where, node: 'path' };
  return {
    where,
    node: nodeOf(node, target, ownName),
    ...(firewall === undefined ? {} : { firewall }),
    ...(candidates === undefined ? {} : { candidates }),
  };
}

function nodeOf(node: 'this' | 'peer', target: FindingTarget, ownName: string): string {
  if (target.scope === 'node') return ownName;
  const senderIsOwn = target.direction === 'outbound';
  return senderIsOwn === (node === 'this') ? ownName : target.name;
}

function findingOf(
  subject: Subject,
  said: Said,
  previous: Finding | undefined,
  timing: Timing,
  { describe, wallTimeOf }: Shown,
  level = subject.requirement.level,
): Finding {
  const { requirement, target } = subject;
  const checkedAt = new Date(wallTimeOf(timing.checkedAtMs)).toISOString();
  const facts = {
    requirement: requirement.id,
    kind: requirement.kind,
    level,
    outcome: said.outcome,
    ...(said.reason === undefined ? {} : { reason: said.reason }),
    target,
    evidence: said.evidence,
    culprit: said.culprit,
    remedy: said.remedy,
    sources: requirement.source,
    ...(requirement.anyOf === undefined ? {} : { anyOf: requirement.anyOf }),
    ...(requirement.direction === 'either' ? { eitherDirection: true } : {}),
    since: previous !== undefined && sameWord(previous, said) ? previous.since : checkedAt,
    checkedAt,
    durationSeconds: timing.durationSeconds,
  };
  return { ...facts, ...describe(facts) };
}

function staleOf(finding: Finding, nowMs: number, { describe, wallTimeOf }: Shown): Finding {
  const { outcome, reason } = finding;
  const facts = {
    ...finding,
    outcome: 'unknown',
    reason: 'stale',
    evidence: { lastOutcome: outcome, ...(reason === undefined ? {} : { lastReason: reason }) },
    culprit: null,
    remedy: null,
    since: new Date(wallTimeOf(nowMs)).toISOString(),
  } as const;
  return { ...facts, ...describe(facts) };
}

/** Adds what a round lost, or counts a round without loss; undefined once nothing is left to show. */
function lossAfter(known: Loss | undefined, answer: Answer): Loss | undefined {
  const partial: PartialLoss | undefined =
    answer.outcome === 'pass' ? answer.partialLoss : undefined;
  if (partial === undefined) {
    if (known === undefined || known.roundsLeft === 0) return undefined;
    const sent = answer.evidence?.['sent'];
    return {
      ...known,
      sent: known.sent + (typeof sent === 'number' ? sent : 0),
      roundsLeft: known.roundsLeft - 1,
    };
  }
  const sourcePorts = new Set([...(known?.sourcePorts ?? []), ...partial.lostSourcePorts]);
  return {
    sent: (known?.sent ?? 0) + partial.sent,
    lost: (known?.lost ?? 0) + partial.lost,
    sourcePorts: [...sourcePorts].slice(-listedSourcePorts),
    roundsLeft: partialLossRounds,
  };
}

function peersByName(
  requirement: Requirement,
  peers: readonly PlannedPeer[],
  ownName: string,
): ReadonlyMap<string, PlannedPeer> {
  return new Map(peersOf(requirement, peers, ownName).map((peer) => [peer.name, peer]));
}

function isPlanned(
  { requirement, target }: Subject,
  peers: ReadonlyMap<string, PlannedPeer>,
  ownFamilies: readonly Family[],
): boolean {
  if (target.scope === 'node') return requirement.scope === 'node' || peers.size === 0;
  const peer = peers.get(target.name);
  if (peer === undefined) return false;
  const { addresses } = addressesOf(peer, ownFamilies);
  return addresses.some(({ family }) => family === target.family);
}

type Word = Pick<Finding, 'outcome' | 'reason'>;

function wordOf({ outcome, reason }: Word): Word {
  return reason === undefined ? { outcome } : { outcome, reason };
}

function sameWord(one: Word, other: Word): boolean {
  return one.outcome === other.outcome && one.reason === other.reason;
}
