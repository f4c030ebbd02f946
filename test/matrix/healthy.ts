/**
 * @module A mesh of six nodes of which nothing is wrong, on a machine that is too busy: no agent may say that a peer, or the way to one,
 * fails.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { createLab, type LabAgent } from '../support/lab.ts';
import { startAgents } from '../support/mesh.ts';
import { LongProcess } from '../support/process.ts';
import { randomOf } from './random.ts';

export interface HealthyOptions {
  readonly minutes: number;
  readonly seed: number;
  readonly nodes: number;
  /** Processes that do nothing but compute. */
  readonly burners: number;
  readonly say: (text: string) => void;
}

export interface HealthyFigures {
  readonly matrix: 'healthy';
  readonly nodes: number;
  readonly minutes: number;
  /** Rounds that the agents ended in that time. */
  readonly rounds: number;
  /** Times that an agent was stopped, for one second and for five. */
  readonly stops: { readonly short: number; readonly long: number };
  /** What agents said of peers that was a failure; it should be nothing. */
  readonly falseFindings: number;
  /** Findings about peers that became unknown; that is allowed, and better if seldom. */
  readonly doubts: number;
}

const intervalSeconds = 5;
const longStopMs = 5000;
const shortStopMs = 1000;

/** Runs the mesh; every false finding is said as it is found. */
export async function runHealthy(options: HealthyOptions): Promise<HealthyFigures> {
  const { minutes, nodes, say } = options;
  const random = randomOf(`healthy ${options.seed}`);
  await using lab = await createLab({ nodes });
  await using agents = await startAgents(lab, ['--provider', 'flannel'], {
    families: ['ipv4', 'ipv6'],
    intervalSeconds,
  });
  await Promise.all(
    agents.all.map(async (agent) => {
      await agent.statusWhen(
        'peers',
        ({ peers, findings }) =>
          peers.length > 0 && findings.some(({ outcome }) => outcome === 'pass'),
      );
    }),
  );
  const before = await roundsOf(agents.all);
  const burners = Array.from(
    { length: options.burners },
    () => new LongProcess(process.execPath, ['-e', 'for (;;) {}']),
  );
  const stops = { short: 0, long: 0 };
  const end = Date.now() + minutes * 60_000;
  const holding = new Set<LabAgent>();
  // An agent that stands still is for its peers one that does not answer in time; afterwards it must not take its own sleep for a loss.
  const hold = async (forMs: number): Promise<void> => {
    const agent = random.pick(agents.all.filter((one) => !holding.has(one)));
    holding.add(agent);
    agent.signal('SIGSTOP');
    await pause(forMs);
    agent.signal('SIGCONT');
    holding.delete(agent);
  };
  const repeat = async (forMs: number, kind: 'short' | 'long'): Promise<void> => {
    while (Date.now() < end - forMs) {
      await pause(random.integer(1, kind === 'long' ? 20_000 : 4000));
      if (Date.now() >= end - forMs) return;
      stops[kind]++;
      await hold(forMs);
    }
  };
  try {
    await Promise.all([repeat(longStopMs, 'long'), repeat(shortStopMs, 'short')]);
    await pause(Math.max(0, end - Date.now()));
  } finally {
    for (const burner of burners) await burner.stop('SIGKILL');
  }
  const rounds = (await roundsOf(agents.all)) - before;
  let falseFindings = 0;
  let doubts = 0;
  for (const agent of agents.all)
    for (const line of changesTowardsPeers(agent.logs)) {
      if (line.outcome === 'unknown' && line.previous !== undefined) doubts++;
      if (line.outcome !== 'fail') continue;
      falseFindings++;
      say(`${agent.node.name}: ${JSON.stringify(line)}`);
    }
  return { matrix: 'healthy', nodes, minutes, rounds, stops, falseFindings, doubts };
}

interface ChangeLine {
  readonly msg: string;
  readonly outcome: string;
  readonly peer?: string;
  readonly previous?: unknown;
}

/** What an agent has logged of its peers: one line a change, so that nothing is missed between two looks. */
function changesTowardsPeers(logs: string): readonly ChangeLine[] {
  return logs.split('\n').flatMap((line) => {
    if (!line.startsWith('{')) return [];
    const entry = JSON.parse(line) as ChangeLine;
    return entry.msg === 'finding changed' && entry.peer !== undefined ? [entry] : [];
  });
}

async function roundsOf(agents: readonly LabAgent[]): Promise<number> {
  const counts = agents.map(async (agent) => {
    const { body } = await agent.get('/metrics');
    const count = /^cni_preflight_round_duration_seconds_count (\d+)/m.exec(body)?.[1];
    return Number(count ?? 0);
  });
  return (await Promise.all(counts)).reduce((sum, one) => sum + one, 0);
}
