/** @module Every metric there is (docs/metrics.md): nothing else creates one. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { FirewallVerdict } from '../checks/firewall-verdict.ts';
import { pathRequirementOf } from '../rules/firewall.ts';
import type { Kind, Level } from '../rules/schema.ts';
import type { Direction, Finding, Outcome, Readiness, StatusDocument } from './model.ts';

/** Kinds of requirement that send probes. */
export type ProbeKind = Extract<
  Kind,
  | 'icmp-echo'
  | 'udp-port'
  | 'tcp-port'
  | 'ip-protocol'
  | 'vxlan-path'
  | 'path-mtu'
  | 'overlay-path'
  | 'latency'
  | 'peer-agreement'
>;

/** What the agent measures of itself and of the network. */
export interface Metrics {
  probeSent(kind: ProbeKind): void;
  probeLost(kind: ProbeKind): void;
  probeInconclusive(kind: ProbeKind): void;
  rtt(kind: ProbeKind, seconds: number): void;
  datagramDropped(reason: string, count?: number): void;
  pathMtu(bytes: number): void;
  rulesetChanged(): void;
  roundFinished(seconds: number, finishedAtMs: number): void;
  /** Takes over what the findings say now. */
  update(document: StatusDocument): void;
  render(): Promise<{ readonly contentType: string; readonly body: string }>;
}

interface Definition {
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly labels: readonly string[];
  readonly buckets?: readonly number[];
}

const definitions = {
  cni_preflight_build_info: {
    type: 'gauge',
    help: 'Version of the agent and of Node.js that runs it; always 1.',
    labels: ['version', 'node_version'],
  },
  cni_preflight_node_readiness: {
    type: 'gauge',
    help: 'Whether this node is fit for its provider: 1 for the state that it is in, 0 for the others.',
    labels: ['state'],
  },
  cni_preflight_requirement_outcome: {
    type: 'gauge',
    help: 'What came out of a requirement, over all peers the worst: 1 for that outcome, 0 for the others.',
    labels: ['requirement', 'level', 'outcome'],
  },
  cni_preflight_findings: {
    type: 'gauge',
    help: 'Number of findings.',
    labels: ['level', 'outcome'],
  },
  cni_preflight_peers: {
    type: 'gauge',
    help: 'Number of peers, by what is known of their agent.',
    labels: ['state'],
  },
  cni_preflight_peer_failed: {
    type: 'gauge',
    help: 'A requirement that fails between this node and a peer, both address families as one; the 20 worst, always 1.',
    labels: ['requirement', 'peer', 'direction', 'reason'],
  },
  cni_preflight_peer_failed_omitted: {
    type: 'gauge',
    help: 'Number of failures between this node and its peers beyond the 20 that are listed.',
    labels: [],
  },
  cni_preflight_probes_sent_total: {
    type: 'counter',
    help: 'Probes sent.',
    labels: ['kind'],
  },
  cni_preflight_probes_lost_total: {
    type: 'counter',
    help: 'Probes that a far end which was known to listen did not see.',
    labels: ['kind'],
  },
  cni_preflight_probes_inconclusive_total: {
    type: 'counter',
    help: 'Probes that prove nothing, because this process stalled or nobody could witness them.',
    labels: ['kind'],
  },
  cni_preflight_probe_rtt_seconds: {
    type: 'histogram',
    help: 'Round trip time of probes, by the clock of the kernel.',
    labels: ['kind'],
    buckets: [0.00005, 0.0001, 0.00025, 0.001, 0.005, 0.025, 0.1, 0.5],
  },
  cni_preflight_path_mtu_bytes: {
    type: 'gauge',
    help: 'Smallest path MTU towards any peer that the latest round found.',
    labels: [],
  },
  cni_preflight_firewall_verdict: {
    type: 'gauge',
    help: "What the rules of this node's firewall do with new packets of a requirement, over all peers the worst; always 1.",
    labels: ['requirement', 'direction', 'verdict'],
  },
  cni_preflight_firewall_ruleset_changes_total: {
    type: 'counter',
    help: "Changes of this node's firewall rules that were seen.",
    labels: [],
  },
  cni_preflight_round_duration_seconds: {
    type: 'histogram',
    help: 'Time that a round of all planned tests took.',
    labels: [],
    buckets: [0.1, 0.5, 1, 5, 10, 30, 60],
  },
  cni_preflight_last_round_timestamp_seconds: {
    type: 'gauge',
    help: 'When the latest round ended, in seconds since the epoch; absent before the first.',
    labels: [],
  },
  cni_preflight_kernel_info: {
    type: 'gauge',
    help: 'Release of the kernel of this node; always 1.',
    labels: ['release'],
  },
  cni_preflight_provider_info: {
    type: 'gauge',
    help: 'Provider that this node is tested for, and its encapsulation; always 1, absent while none is known.',
    labels: ['provider', 'encapsulation'],
  },
  cni_preflight_datagrams_dropped_total: {
    type: 'counter',
    help: 'Datagrams of other agents, or of strangers, that were dropped: malformed, replayed, unsigned, too many.',
    labels: ['reason'],
  },
} as const satisfies Readonly<Record<string, Definition>>;
type MetricName = keyof typeof definitions;

/** Of the default metrics of prom-client those that stay: the others cost more series than they are worth. */
const keptDefaults = [
  'process_cpu_user_seconds_total',
  'process_cpu_system_seconds_total',
  'process_cpu_seconds_total',
  'process_start_time_seconds',
  'process_resident_memory_bytes',
  'process_virtual_memory_bytes',
  'process_heap_bytes',
  'process_open_fds',
  'process_max_fds',
  'nodejs_eventloop_lag_seconds',
  'nodejs_eventloop_lag_p99_seconds',
  'nodejs_eventloop_lag_max_seconds',
  'nodejs_heap_size_total_bytes',
  'nodejs_heap_size_used_bytes',
  'nodejs_external_memory_bytes',
  'nodejs_version_info',
] as const;

const readinesses: readonly Readiness[] = ['ready', 'not-ready', 'unknown'];
const levels: readonly Level[] = ['required', 'recommended', 'info'];
/** The worst first. */
const outcomes: readonly Outcome[] = ['fail', 'unknown', 'pass', 'skip'];
const peerStates = ['reachable', 'absent', 'unreachable', 'unknown'] as const;

/**
 * How the 500 series are shared out: 240 for 60 requirements, 126 for the nine kinds of probe, 40 for the firewall's verdicts, 20 for
 * failing peers, 16 for reasons of dropped datagrams, 35 for the rest, 16 of the process. A unit test fills them all.
 * By their defaults Cilium has 60 requirements and the others fewer; with every option on it has 95. What the firewall says of a
 * requirement is no outcome of its own there.
 */
const listedRequirements = 60;
const listedVerdicts = 40;
const listedPeers = 20;
const listedReasons = 16;

/** Makes the metrics of one agent, in a registry of their own. */
export function createMetrics(about: { readonly version: string }): Metrics {
  const registry = new Registry();
  // 100 ms: the lag matters from there on, and a finer timer would wake an idle agent more often than its probes do.
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 100 });
  const kept = new Set<string>(keptDefaults);
  for (const { name } of registry.getMetricsAsArray()) {
    if (!kept.has(name)) registry.removeSingleMetric(name);
  }
  const registers = [registry];
  // What changes once a round at most is written out once a round, not for every scrape.
  const settled = new Registry();
  let settledText: Promise<string> | undefined;

  function gauge(name: MetricName, into: Registry = settled): Gauge {
    const { help, labels } = definitions[name];
    const made = new Gauge({ name, help, labelNames: [...labels], registers: [into] });
    // Without labels it would start as a 0 that nobody measured.
    if (labels.length === 0) made.remove();
    return made;
  }
  function counter(name: MetricName): (label: string) => Counter.Internal {
    const { help, labels } = definitions[name];
    const made = new Counter({ name, help, labelNames: [...labels], registers });
    return remembering((label) => made.labels(label));
  }

  gauge('cni_preflight_build_info').set(
    { version: about.version, node_version: process.versions.node },
    1,
  );
  const readiness = gauge('cni_preflight_node_readiness');
  for (const state of readinesses) readiness.set({ state }, state === 'unknown' ? 1 : 0);
  const requirementOutcome = gauge('cni_preflight_requirement_outcome');
  const findingCount = gauge('cni_preflight_findings');
  const peerCount = gauge('cni_preflight_peers');
  const peerFailed = gauge('cni_preflight_peer_failed');
  const peerFailedOmitted = gauge('cni_preflight_peer_failed_omitted');
  const firewallVerdict = gauge('cni_preflight_firewall_verdict');
  const changesName = 'cni_preflight_firewall_ruleset_changes_total';
  const rulesetChanges = new Counter({
    name: changesName,
    help: definitions[changesName].help,
    registers,
  });
  const sent = counter('cni_preflight_probes_sent_total');
  const lost = counter('cni_preflight_probes_lost_total');
  const inconclusive = counter('cni_preflight_probes_inconclusive_total');
  const rttDefinition = definitions.cni_preflight_probe_rtt_seconds;
  const rttHistogram = new Histogram({
    name: 'cni_preflight_probe_rtt_seconds',
    help: rttDefinition.help,
    labelNames: [...rttDefinition.labels],
    buckets: [...rttDefinition.buckets],
    registers,
  });
  const rtt = remembering((kind) => rttHistogram.labels(kind));
  const pathMtu = gauge('cni_preflight_path_mtu_bytes', registry);
  const roundDefinition = definitions.cni_preflight_round_duration_seconds;
  const roundDuration = new Histogram({
    name: 'cni_preflight_round_duration_seconds',
    help: roundDefinition.help,
    buckets: [...roundDefinition.buckets],
    registers,
  });
  const lastRound = gauge('cni_preflight_last_round_timestamp_seconds', registry);
  const kernelInfo = gauge('cni_preflight_kernel_info');
  const providerInfo = gauge('cni_preflight_provider_info');
  const datagramsDropped = counter('cni_preflight_datagrams_dropped_total');
  const dropReasons = new Set<string>();

  let shownMtu: number | undefined;
  let mtuOfRound: number | undefined;

  return {
    probeSent(kind) {
      sent(kind).inc();
    },
    probeLost(kind) {
      lost(kind).inc();
    },
    probeInconclusive(kind) {
      inconclusive(kind).inc();
    },
    rtt(kind, seconds) {
      rtt(kind).observe(seconds);
    },
    datagramDropped(reason, count = 1) {
      if (dropReasons.size < listedReasons - 1) dropReasons.add(reason);
      datagramsDropped(dropReasons.has(reason) ? reason : 'other').inc(count);
    },
    rulesetChanged() {
      rulesetChanges.inc();
    },
    pathMtu(bytes) {
      mtuOfRound = Math.min(bytes, mtuOfRound ?? bytes);
      // A smaller one is news at once; whether the smallest has grown is known when the round is over.
      if (shownMtu !== undefined && shownMtu <= bytes) return;
      shownMtu = bytes;
      pathMtu.set(bytes);
    },
    roundFinished(seconds, finishedAtMs) {
      roundDuration.observe(seconds);
      lastRound.set(finishedAtMs / 1000);
      if (mtuOfRound === undefined) return;
      shownMtu = mtuOfRound;
      pathMtu.set(mtuOfRound);
      mtuOfRound = undefined;
    },
    update(document) {
      for (const state of readinesses) {
        readiness.set({ state }, state === document.readiness ? 1 : 0);
      }
      for (const state of peerStates) {
        peerCount.set({ state }, document.peers.filter(({ agent }) => agent === state).length);
      }
      kernelInfo.reset();
      kernelInfo.set({ release: document.node.kernel }, 1);
      providerInfo.reset();
      if (document.provider !== null) {
        const { name, options } = document.provider;
        const encapsulation = String(options['encapsulation'] ?? '');
        providerInfo.set({ provider: name, encapsulation }, 1);
      }

      for (const [key, count] of countFindings(document.findings)) {
        const [level, outcome] = key.split(' ');
        findingCount.set({ level, outcome }, count);
      }
      requirementOutcome.reset();
      for (const { requirement, level, outcome: worst } of worstOutcomes(document.findings)) {
        for (const outcome of outcomes) {
          requirementOutcome.set({ requirement, level, outcome }, outcome === worst ? 1 : 0);
        }
      }
      const pairs = failingPairs(document.findings);
      peerFailed.reset();
      for (const { requirement, peer, direction, reason } of pairs.slice(0, listedPeers)) {
        peerFailed.set({ requirement, peer, direction, reason }, 1);
      }
      peerFailedOmitted.set(Math.max(0, pairs.length - listedPeers));
      firewallVerdict.reset();
      for (const verdict of worstVerdicts(document.findings).slice(0, listedVerdicts))
        firewallVerdict.set({ ...verdict }, 1);
      settledText = undefined;
    },
    async render() {
      settledText ??= settled.metrics();
      const [slow, quick] = await Promise.all([settledText, registry.metrics()]);
      return { contentType: registry.contentType, body: `${slow}\n${quick}` };
    },
  };
}

/** Writes `docs/metrics.md`. */
export function generateMetricsDoc(): string {
  const rows = Object.entries(definitions).map(([name, { type, help, labels }]) => {
    const names = labels.map((label) => `\`${label}\``).join(', ');
    return `| \`${name}\` | ${type} | ${names} | ${help} |`;
  });
  return `# Metrics

Generated from \`agent/metrics.ts\`; \`npx vitest run --project unit test/unit/agent/metrics.test.ts -u\` writes it anew.

\`GET /metrics\` on port 10472 serves them in the Prometheus text format. There are at most 500 series on any node, however many
peers it has. Names and labels are a contract: a change of one stands in CHANGELOG.md under [CHANGE].

| name | type | labels | meaning |
|---|---|---|---|
${rows.join('\n')}

## Labels

- \`state\` of the readiness: ${listOf(readinesses)}; of a peer: ${listOf(peerStates)}.
- \`level\`: ${listOf(levels)}. \`outcome\`: ${listOf([...outcomes])}.
- \`requirement\`: the id in the catalogue; \`cni-preflight providers NAME\` lists them. At most ${listedRequirements} are shown, what fails before what passes.
- \`direction\`: \`outbound\` is from this node to the peer, \`inbound\` the other way.
- \`reason\` of a failing peer: an entry of [troubleshooting](troubleshooting.md). A partial loss is one too, of level \`recommended\`.
- \`verdict\` of the firewall: ${listOf(verdicts)}; \`redirected\` is let pass, but to another address or port. At most ${listedVerdicts} are shown, the worst first.
- \`kind\`: the kind of requirement that the probe was sent for.
- \`reason\` of a dropped datagram: what was wrong with it; at most ${listedReasons}, the others count as \`other\`.

## Of the process

The usual ones, as prom-client names them: ${listOf(keptDefaults)}.

## Queries

A node that is not fit: \`cni_preflight_node_readiness{state="not-ready"} == 1\`

A required port that is blocked somewhere: \`max by (requirement) (cni_preflight_requirement_outcome{level="required",outcome="fail"}) == 1\`

An agent that hangs: \`time() - cni_preflight_last_round_timestamp_seconds > 300\`

Share of probes lost: \`rate(cni_preflight_probes_lost_total[5m]) / rate(cni_preflight_probes_sent_total[5m])\`
`;
}

function listOf(words: readonly string[]): string {
  return words.map((word) => `\`${word}\``).join(', ');
}

/** Makes the child of a metric once a label: a look-up by labels for each probe would cost more than the probe's arithmetic. */
function remembering<T>(make: (label: string) => T): (label: string) => T {
  const made = new Map<string, T>();
  return (label) => {
    const known = made.get(label);
    if (known !== undefined) return known;
    const fresh = make(label);
    made.set(label, fresh);
    return fresh;
  };
}

function countFindings(findings: readonly Finding[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const level of levels) {
    for (const outcome of outcomes) counts.set(`${level} ${outcome}`, 0);
  }
  for (const { level, outcome } of findings) {
    const key = `${level} ${outcome}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}

type RequirementOutcome = Pick<Finding, 'requirement' | 'level' | 'outcome'>;

function worstOutcomes(findings: readonly Finding[]): readonly RequirementOutcome[] {
  const worst = new Map<string, RequirementOutcome>();
  for (const { requirement, level, outcome, kind } of findings) {
    if (kind === 'host-firewall') continue;
    const key = `${requirement} ${level}`;
    const known = worst.get(key);
    if (known === undefined || outcomes.indexOf(outcome) < outcomes.indexOf(known.outcome)) {
      worst.set(key, { requirement, level, outcome });
    }
  }
  const all = [...worst.values()];
  if (all.length <= listedRequirements) return all;
  return all
    .sort(
      (one, other) =>
        outcomes.indexOf(one.outcome) - outcomes.indexOf(other.outcome) ||
        levels.indexOf(one.level) - levels.indexOf(other.level) ||
        compare(one.requirement, other.requirement),
    )
    .slice(0, listedRequirements);
}

/** The worst first. */
const verdicts: readonly FirewallVerdict[] = [
  'drop',
  'reject',
  'redirected',
  'undetermined',
  'accept',
];

interface VerdictLabels {
  readonly requirement: string;
  readonly direction: Direction;
  readonly verdict: FirewallVerdict;
}

/** What the rules say of each requirement in each direction, by the id of the requirement itself. */
function worstVerdicts(findings: readonly Finding[]): readonly VerdictLabels[] {
  const worst = new Map<string, VerdictLabels>();
  for (const { kind, requirement: id, target, evidence, outcome } of findings) {
    if (kind !== 'host-firewall' || target.scope === 'node' || outcome === 'skip') continue;
    const { direction } = target;
    const verdict = verdicts.find((one) => one === evidence['verdict']) ?? 'undetermined';
    const requirement = pathRequirementOf(id);
    const key = `${requirement} ${direction}`;
    const known = worst.get(key);
    if (known === undefined || verdicts.indexOf(verdict) < verdicts.indexOf(known.verdict))
      worst.set(key, { requirement, direction, verdict });
  }
  return [...worst.values()].sort(
    (one, other) => verdicts.indexOf(one.verdict) - verdicts.indexOf(other.verdict),
  );
}

interface FailingPair {
  readonly requirement: string;
  readonly peer: string;
  readonly direction: Direction;
  readonly reason: string;
  readonly level: Level;
  readonly since: string;
}

/** Lists what fails between this node and its peers: required before recommended, then what has failed the longest. */
function failingPairs(findings: readonly Finding[]): readonly FailingPair[] {
  const pairs: FailingPair[] = [];
  for (const { requirement, outcome, target, reason, level, since } of findings) {
    if (outcome !== 'fail' || target.scope === 'node') continue;
    const { name: peer, direction } = target;
    pairs.push({ requirement, peer, direction, reason: reason ?? '', level, since });
  }
  pairs.sort(
    (one, other) =>
      levels.indexOf(one.level) - levels.indexOf(other.level) ||
      compare(one.since, other.since) ||
      compare(one.requirement, other.requirement) ||
      compare(one.peer, other.peer) ||
      compare(one.direction, other.direction),
  );
  const first = new Map<string, FailingPair>();
  for (const pair of pairs) {
    const key = `${pair.requirement} ${pair.peer} ${pair.direction}`;
    if (!first.has(key)) first.set(key, pair);
  }
  return [...first.values()];
}

function compare(one: string, other: string): number {
  if (one === other) return 0;
  return one < other ? -1 : 1;
}
