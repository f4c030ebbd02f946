/** @module One round: every planned test once, the peers' own answers about the way to us, and who has an agent. */
import type { Answer, PeerTarget } from '../checks/check.ts';
import { unknown } from '../checks/check.ts';
import { hostAnswers } from '../checks/icmp-echo.ts';
import type { PeerVerdict, ProbeWish } from '../checks/peer-channel.ts';
import { isWishable } from '../checks/peer-protocol.ts';
import { withDeadline, withOwnSignal } from '../checks/time.ts';
import { isOwnTurn } from '../checks/turns.ts';
import type { Timing } from './findings.ts';
import type { AgentPresence } from './model.ts';
import type { Node } from './node.ts';
import type { PlannedTest } from './plan.ts';
import { runTest, type SharedContext } from './run-test.ts';
import { steadyNowMs } from './steady-clock.ts';

export interface RoundInput {
  readonly tests: readonly PlannedTest[];
  readonly node: Node;
  readonly shared: SharedContext;
  /** The machine as one test sees it, where that differs from the shared one. */
  readonly hostFor?: (test: PlannedTest) => SharedContext['host'];
  /** Whether protocols without ports are probed in turns with the peer: the agent does, `check` does not. */
  readonly takesTurns: boolean;
  /** How old the answers of peers may be. */
  readonly verdictSeconds: number;
  readonly signal: AbortSignal;
  /** Says more of an answer than the test itself could; may take a few seconds for it. */
  readonly explain?: (test: PlannedTest, answer: Answer, signal: AbortSignal) => Promise<Answer>;
  readonly onAnswer: (test: PlannedTest, answer: Answer, timing: Timing) => void;
  readonly onInbound: (test: PlannedTest, verdict: PeerVerdict) => void;
  readonly onPresence: (address: string, presence: AgentPresence) => void;
  readonly onCrash: (test: PlannedTest, error: unknown) => void;
}

/** So many tests at once; a few packets each. */
const testsAtOnce = 64;
/** So many where conntrack is nearly full: our own entries must not be the last straw. */
const testsAtOnceWhenFull = 4;
const nearlyFull = 0.8;

/** Runs a round. Resolves when every test has an answer, or soon after the signal aborts. */
export async function runRound(input: RoundInput): Promise<void> {
  await withOwnSignal(input.signal, async (signal) => {
    await runTests({ ...input, signal });
  });
}

async function runTests(input: RoundInput): Promise<void> {
  const { tests, node, signal } = input;
  const usage = await node.host.conntrackUsage();
  const full = usage !== undefined && usage.count > usage.limit * nearlyFull;
  const limit = createLimit(full ? testsAtOnceWhenFull : testsAtOnce);
  await Promise.all([
    ...tests.map(async (test) => {
      await limit(async () => {
        if (!signal.aborted) await testOnce(test, input);
      });
    }),
    ...byPeer(tests).map(async (group) => {
      await limit(async () => {
        if (!signal.aborted) await askPeer(group, input);
      });
    }),
  ]);
}

async function testOnce(test: PlannedTest, input: RoundInput): Promise<void> {
  const started = performance.now();
  const found = test.presumed ?? (await answerTest(test, input));
  const answer = (await input.explain?.(test, found, input.signal)) ?? found;
  if (input.signal.aborted) return;
  const { requirement, target } = test;
  if (target.scope === 'peer' && isWishable(requirement.kind))
    input.node.service.remember(target.address, wishOf(test, target), answer);
  input.onAnswer(test, answer, {
    checkedAtMs: steadyNowMs(),
    durationSeconds: Math.round(performance.now() - started) / 1000,
  });
}

async function answerTest(test: PlannedTest, input: RoundInput): Promise<Answer> {
  const { requirement, target } = test;
  const { node, shared, signal } = input;
  const peer = target.scope === 'peer' ? node.channel(target.address, target.family) : undefined;
  if (input.takesTurns && requirement.kind === 'ip-protocol' && target.scope === 'peer') {
    const address = node.underlay.find(({ family }) => family === target.family)?.address;
    if (address !== undefined && !isOwnTurn(address, target.address, Date.now()))
      return { outcome: 'skip', reason: 'other-slot' };
  }
  const own = input.hostFor === undefined ? shared : { ...shared, host: input.hostFor(test) };
  const answer = await runTest(requirement, target, own, peer, signal, (error) => {
    input.onCrash(test, error);
  });
  return peer?.keyMismatch() === true ? withMismatch(answer) : answer;
}

/** Where nobody can be asked what arrived because the keys differ, that is what there is to mend. */
function withMismatch(answer: Answer): Answer {
  const { outcome } = answer;
  if (outcome !== 'unknown') return answer;
  const blind = answer.reason === 'no-witness' || answer.reason === 'refused-unwitnessed';
  return blind ? unknown('key-mismatch', answer.evidence) : answer;
}

type PeerTest = PlannedTest & { readonly target: PeerTarget };

/** The tests of one peer address, in one family. */
interface PeerGroup {
  readonly target: PeerTarget;
  readonly tests: readonly PeerTest[];
}

function byPeer(tests: readonly PlannedTest[]): PeerGroup[] {
  const groups = new Map<string, { target: PeerTarget; tests: PeerTest[] }>();
  for (const test of tests) {
    const { target } = test;
    if (target.scope !== 'peer' || test.presumed !== undefined) continue;
    const group = groups.get(target.address) ?? { target, tests: [] };
    group.tests.push({ ...test, target });
    groups.set(target.address, group);
  }
  return [...groups.values()];
}

/** Finds out whether the peer has an agent, and asks it for what it sees of the way to us. */
async function askPeer({ target, tests }: PeerGroup, input: RoundInput): Promise<void> {
  const { node, shared, signal } = input;
  const channel = node.channel(target.address, target.family);
  const facts = await channel.facts(signal);
  if (signal.aborted) return;
  const mismatch = facts === undefined && channel.keyMismatch();
  const presence =
    facts === undefined && !mismatch ? await hostPresence(target, input) : 'reachable';
  input.onPresence(target.address, presence);
  const wanted = tests.filter(
    ({ requirement }) =>
      isWishable(requirement.kind) &&
      // The answer to a protocol without ports would only be true in the peer's own turn.
      (input.takesTurns || requirement.kind !== 'ip-protocol'),
  );
  const wishes = wanted.map((test) => wishOf(test, test.target));
  const verdicts =
    facts === undefined || wishes.length === 0
      ? undefined
      : await withDeadline(
          Math.max(10_000, shared.timeoutMs * 24),
          signal,
          async (deadline) => await channel.confirm(wishes, input.verdictSeconds, deadline),
        );
  if (signal.aborted) return;
  for (const test of wanted) {
    const verdict = verdicts?.find(({ requirement }) => requirement === test.requirement.id);
    const silent = absent(test, presence, mismatch);
    input.onInbound(test, ownBlindness(verdict ?? silent, target, input));
  }
}

/** What is known of the way from a peer whose agent gave no answer about it. */
function absent(test: PlannedTest, presence: AgentPresence, mismatch: boolean): PeerVerdict {
  const notHeard = presence === 'unreachable' ? 'peer-unreachable' : 'peer-has-not-probed';
  const reason = mismatch ? 'key-mismatch' : notHeard;
  const answer = unknown(reason, { agent: presence });
  return { requirement: test.requirement.id, answer, ageSeconds: 0 };
}

/** The peer could not tell because this node has no witness: that is ours to mend, and the reason says how. */
function ownBlindness(
  verdict: PeerVerdict,
  { family }: PeerTarget,
  { node }: RoundInput,
): PeerVerdict {
  const { answer } = verdict;
  if (answer.outcome !== 'unknown' || node.witnesses.includes(family)) return verdict;
  const blind = answer.reason === 'no-witness' || answer.reason === 'refused-unwitnessed';
  return blind ? { ...verdict, answer: unknown('missing-net-raw', answer.evidence) } : verdict;
}

async function hostPresence(target: PeerTarget, input: RoundInput): Promise<AgentPresence> {
  const context = { ...input.shared, signal: input.signal };
  return (await hostAnswers(target, context)) ? 'absent' : 'unreachable';
}

function wishOf({ requirement }: PlannedTest, target: PeerTarget): ProbeWish {
  const params: Record<string, number | string> = {};
  for (const [key, value] of Object.entries(requirement.params)) {
    if (typeof value === 'number' || typeof value === 'string') params[key] = value;
  }
  return { id: requirement.id, kind: requirement.kind, mustReach: target.mustReach, params };
}

/** Runs at most so many at once, the others in the order in which they came. */
function createLimit(atOnce: number): (work: () => Promise<void>) => Promise<void> {
  let running = 0;
  const waiting: (() => void)[] = [];
  return async (work) => {
    if (running >= atOnce)
      await new Promise<void>((resolve) => {
        waiting.push(resolve);
      });
    running++;
    try {
      await work();
    } finally {
      running--;
      waiting.shift()?.();
    }
  };
}
