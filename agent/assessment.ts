/** @module One provider, judged on this node: rounds go in, findings and the status document come out. */

import type { Context } from '../checks/check.ts';
import type { Family } from '../checks/family.ts';
import type { Host } from '../checks/host/host.ts';
import type { Network } from '../checks/host/network.ts';
import type { ResolvedProvider } from '../rules/resolve.ts';
import type { Catalogue, Kind } from '../rules/schema.ts';
import type { Configuration } from './config.ts';
import { peerBudget } from './conntrack-budget.ts';
import type { Diagnoses } from './diagnosis.ts';
import { type Change, createFindings, type FindingStore, findingKey } from './findings.ts';
import { blameFirewall } from './firewall-blame.ts';
import { describeFinding } from './messages.ts';
import type {
  AgentPresence,
  Finding,
  FindingTarget,
  PeerStatus,
  Readiness,
  StatusDocument,
} from './model.ts';
import type { Node } from './node.ts';
import type { Peer } from './peer-list.ts';
import { fullMeshLimit, type PlannedTest, planRound } from './plan.ts';
import type { ChosenProvider } from './provider-selection.ts';
import { readinessOf } from './readiness.ts';
import { runRound } from './round.ts';
import { runTest, type SharedContext } from './run-test.ts';
import { steadyNowMs, wallTimeOf } from './steady-clock.ts';
import { summarise } from './summary.ts';
import { packageVersion } from './version.ts';

export interface AssessmentOptions {
  readonly node: Node;
  readonly nodeName: string;
  readonly catalogue: Catalogue;
  /** Undefined while no provider is known. */
  readonly chosen: ChosenProvider | undefined;
  readonly values: Pick<Configuration, 'timeoutSeconds' | 'tryModules' | 'discover'>;
  readonly intervalMs: number;
  /** Failing rounds in a row that make a `fail` towards a peer. */
  readonly confirmRounds: number;
  readonly takesTurns: boolean;
  /** Whether a round tests all peers, however many there are. */
  readonly everyPeer: boolean;
  /** How old the answers of peers may be; the agent is content with those of the peer's last round. */
  readonly verdictSeconds: () => number;
  /** Finds out who is to blame for a path that fails. */
  readonly diagnoses: Diagnoses;
  /** What was noticed to vanish from the firewall's rules; absent in a check, which looks once. */
  readonly wipes?: Context['wipes'];
  /** Wraps the sockets, so that probes can be counted by the kind of requirement that sends them. */
  readonly networkFor?: (kind: Kind) => Network;
}

export interface RoundHooks {
  readonly onChanges?: (changes: readonly Change[]) => void;
  readonly onProgress?: (done: number, of: number) => void;
  readonly onAnswer?: (test: PlannedTest, finding: Parameters<FindingStore['observe']>[1]) => void;
  readonly onCrash?: (test: PlannedTest, error: unknown) => void;
}

/** One provider's rounds and findings. */
export interface Assessment {
  readonly chosen: ChosenProvider | undefined;
  /** Takes another provider, or the same with other options; findings that still apply stay. */
  choose(chosen: ChosenProvider | undefined): void;
  /** Takes another configuration. */
  reconfigure(
    catalogue: Catalogue,
    values: Pick<Configuration, 'timeoutSeconds' | 'tryModules' | 'discover'>,
    intervalMs: number,
  ): void;
  /** What checks are given, for tests outside of a round. */
  shared(): SharedContext;
  round(peers: readonly Peer[], signal: AbortSignal, hooks?: RoundHooks): Promise<void>;
  /** Asks the firewall's rules anew, after they changed, about everything that was asked of them before. Sends nothing. */
  reviewFirewall(signal: AbortSignal, hooks?: RoundHooks): Promise<void>;
  /** Turns old results into `stale`; for whoever reads between rounds. */
  expire(): readonly Change[];
  findings(): readonly Finding[];
  peers(): readonly PeerStatus[];
  readiness(): { readonly readiness: Readiness; readonly reasons: readonly string[] };
}

export function createAssessment(options: AssessmentOptions): Assessment {
  const { node, nodeName } = options;
  let { chosen, catalogue, values, intervalMs } = options;
  let configurations = configurationsOf(catalogue);
  const store = createFindings({
    ownName: nodeName,
    intervalMs: options.intervalMs,
    confirmRounds: options.confirmRounds,
    describe: describeFinding,
    wallTimeOf,
  });
  const presence = new Map<string, AgentPresence>();
  const hosts = new Map<Kind, Host>();
  /** Tests by rules alone, which are asked again as soon as the rules change. */
  const firewallTests = new Map<string, PlannedTest>();
  let known: readonly Peer[] = [];
  let roundStartedMs: number | undefined;
  let lastRoundMs = 0;
  let rounds = 0;

  function shared(): SharedContext {
    return {
      host: node.host,
      timeoutMs: values.timeoutSeconds * 1000,
      facts: chosen?.facts ?? nothingKnown,
      options: chosen?.resolved.options ?? {},
      distribution: chosen?.resolved.distribution ?? '',
      interfaces: chosen?.resolved.interfaces ?? [],
      underlay: node.underlay,
      ownAddresses: known
        .filter(({ name }) => name === nodeName)
        .flatMap(({ addresses }) => Object.values(addresses)),
      tryModules: values.tryModules,
      features: catalogue.features,
      knownConfigurations: configurations,
      ruleOwners: catalogue.ruleOwners,
      ...(options.wipes === undefined ? {} : { wipes: options.wipes }),
    };
  }

  /**
   * Forgets what is older than three intervals. A round that takes longer than the interval, because a silent peer
   * costs timeouts, makes the interval as long as itself: what it has not come to yet is not stale.
   */
  function expire(): readonly Change[] {
    const runningMs = roundStartedMs === undefined ? 0 : performance.now() - roundStartedMs;
    const roundMs = Math.min(longestRoundMs, Math.max(lastRoundMs, runningMs));
    store.setInterval(Math.max(intervalMs, roundMs));
    return store.expire(steadyNowMs());
  }

  /** A check tests every peer, for it has no second round. */
  async function peerLimit(): Promise<number> {
    if (options.everyPeer) return Number.POSITIVE_INFINITY;
    const requirements = chosen?.requirements ?? [];
    const budget = peerBudget(await node.host.conntrackUsage(), requirements, intervalMs / 1000);
    return Math.min(fullMeshLimit, budget ?? fullMeshLimit);
  }

  function keepFirewallTests(tests: readonly PlannedTest[]): void {
    for (const test of tests) {
      const { requirement, target } = test;
      if (!byRules.has(requirement.kind)) continue;
      const { id, level } = requirement;
      const key = findingKey({ requirement: id, level, target: targetOf(target) });
      firewallTests.set(key, test);
    }
  }

  function hostFor(kind: Kind): Host {
    const { networkFor } = options;
    if (networkFor === undefined) return node.host;
    const host = hosts.get(kind) ?? { ...node.host, network: networkFor(kind) };
    hosts.set(kind, host);
    return host;
  }

  return {
    get chosen() {
      return chosen;
    },
    choose(next) {
      chosen = next;
    },
    reconfigure(nextCatalogue, nextValues, nextIntervalMs) {
      catalogue = nextCatalogue;
      values = nextValues;
      configurations = configurationsOf(nextCatalogue);
      intervalMs = nextIntervalMs;
      store.setInterval(intervalMs);
    },
    shared,
    async round(peers, signal, hooks = {}) {
      known = peers;
      roundStartedMs = performance.now();
      const ownFamilies = testedFamilies(
        node.underlay.map(({ family }) => family),
        chosen?.resolved,
        values.discover === 'dns',
      );
      const planned = { requirements: chosen?.requirements ?? [], peers, ownFamilies };
      // Not `hooks.onChanges?.(…)`: without a hook the store would not be told either.
      const report = (changes: readonly Change[]): void => hooks.onChanges?.(changes);
      report(store.retain(planned));
      for (const address of presence.keys()) if (!node.isPeer(address)) presence.delete(address);
      const tests = planRound({
        ...planned,
        peerLimit: await peerLimit(),
        ownName: nodeName,
        round: rounds++,
        recheck: store.unconfirmedPeers(),
      });
      keepFirewallTests(tests);
      // Why a path fails is looked up in what the rules were at the start of the round.
      await node.host.firewall();
      let done = 0;
      await runRound({
        tests,
        node,
        shared: shared(),
        hostFor: ({ requirement }) => hostFor(requirement.kind),
        takesTurns: options.takesTurns,
        verdictSeconds: options.verdictSeconds(),
        signal,
        explain: options.diagnoses.explain,
        onAnswer: (test, answer, timing) => {
          hooks.onProgress?.(++done, tests.length);
          hooks.onAnswer?.(test, answer);
          report(store.observe(test, answer, timing));
        },
        onInbound: (test, verdict) => {
          const answer = blameFirewall(verdict.answer, test, 'inbound', node.firewallView());
          report(store.observeInbound(test, { ...verdict, answer }, steadyNowMs()));
        },
        onPresence: (address, state) => {
          presence.set(address, state);
        },
        onCrash: (test, error) => hooks.onCrash?.(test, error),
      });
      lastRoundMs = performance.now() - roundStartedMs;
      roundStartedMs = undefined;
      report(expire());
    },
    async reviewFirewall(signal, hooks = {}) {
      const asked = new Set(store.list().map(findingKey));
      for (const [key, test] of firewallTests) {
        // A round that runs has not come to it yet, and will ask the rules as they are then.
        if (!asked.has(key)) {
          if (roundStartedMs === undefined) firewallTests.delete(key);
        } else if (signal.aborted) return;
        else {
          const started = performance.now();
          const answer = await runTest(
            test.requirement,
            test.target,
            shared(),
            undefined,
            signal,
            (error) => hooks.onCrash?.(test, error),
          );
          if (signal.aborted) return;
          const timing = {
            checkedAtMs: steadyNowMs(),
            durationSeconds: Math.round(performance.now() - started) / 1000,
          };
          const changes = store.observe(test, answer, timing);
          hooks.onChanges?.(changes);
        }
      }
    },
    expire,
    findings: () => store.list(),
    peers: () =>
      known.flatMap(({ name, addresses }) =>
        Object.values(addresses).map((address) => ({
          name,
          address,
          agent: presence.get(address) ?? 'unknown',
        })),
      ),
    readiness: () => readinessOf(store.list(), nodeName),
  };
}

/** Kinds that are answered by the firewall's rules alone. */
const byRules: ReadonlySet<Kind> = new Set<Kind>([
  'host-firewall',
  'firewall-wipe',
  'host-forward',
  'pod-source',
]);

function targetOf(target: PlannedTest['target']): FindingTarget {
  if (target.scope === 'node') return target;
  const { name, address, family, direction = 'outbound' } = target;
  return { scope: 'peer', name, address, family, direction };
}

/** A round that hangs must not keep its findings fresh for ever. */
const longestRoundMs = 60_000;

const nothingKnown = { provider: '', encapsulation: '', vni: 0, port: 0, mtu: 0 } as const;

/**
 * Families in which paths are tested: those of this node, and of them only the provider's where somebody said which
 * (`--set ipFamily=…`, or its devices) or where a resolver, and no person, listed the addresses. An operator who lists
 * IPv6 addresses wants them tested.
 */
export function testedFamilies(
  own: readonly Family[],
  resolved: Pick<ResolvedProvider, 'options' | 'origins'> | undefined,
  listedByResolver: boolean,
): readonly Family[] {
  const families = [...new Set(own)];
  const wanted = resolved?.options['ipFamily'];
  const presumed = resolved?.origins['ipFamily']?.startsWith('default') ?? true;
  if ((wanted !== 'ipv4' && wanted !== 'ipv6') || (presumed && !listedByResolver)) return families;
  return families.includes(wanted) ? [wanted] : families;
}

/** Names of CNI configuration files, by provider: what is found of another provider is in the way. */
export function configurationsOf(catalogue: Catalogue): ReadonlyMap<string, readonly string[]> {
  const names = new Map<string, readonly string[]>();
  for (const { provider, requirements } of catalogue.providers.values()) {
    const own = requirements.flatMap(({ kind, params }) => {
      const files = kind === 'cni-files' ? params['own'] : undefined;
      return Array.isArray(files) ? files.filter((name) => typeof name === 'string') : [];
    });
    names.set(provider, own);
  }
  return names;
}

/** Every port number that the catalogue may ask for, whatever the options: none of them is ever a source port. */
export function cataloguePorts(catalogue: Catalogue): ReadonlySet<number> {
  const ports = new Set<number>();
  const add = (value: unknown): void => {
    if (typeof value === 'number' && value >= 1 && value <= 65535) ports.add(value);
  };
  for (const { options, requirements } of catalogue.providers.values()) {
    for (const option of Object.values(options)) {
      if (option.type !== 'port') continue;
      // The port beside an option's (`plus: 1`, Weave's data port) as well.
      for (const value of [
        option.default,
        ...Object.values(option.defaultByDistribution ?? {}),
        ...(option.defaultWhen ?? []).map((one) => one.value),
        ...(option.values ?? []),
      ]) {
        add(value);
        if (typeof value === 'number') add(value + 1);
      }
    }
    for (const { params } of requirements) add(params['port']);
  }
  return ports;
}

/** The status document of a node (a contract: docs/status.schema.json). */
export function statusDocument(given: {
  readonly node: Node;
  readonly nodeName: string;
  readonly assessment: Assessment | undefined;
  readonly readiness: Readiness;
  readonly reasons: readonly string[];
  readonly since: string;
  readonly startedAt: string;
  readonly durationSeconds: number;
}): StatusDocument {
  const { node, assessment } = given;
  const findings = [...(assessment?.findings() ?? [])].sort(byRequirement);
  return {
    schema: 'cni-preflight/status/v1',
    agent: { version: packageVersion() },
    node: {
      name: given.nodeName,
      addresses: node.underlay.map(({ address }) => address),
      kernel: node.os.kernel,
      os: node.os.os,
      architecture: node.os.architecture,
    },
    provider: providerOf(assessment?.chosen),
    readiness: given.readiness,
    reasons: given.reasons,
    since: given.since,
    summary: summarise(findings),
    peers: assessment?.peers() ?? [],
    findings,
    startedAt: given.startedAt,
    durationSeconds: given.durationSeconds,
  };
}

function providerOf(chosen: ChosenProvider | undefined): StatusDocument['provider'] {
  if (chosen === undefined) return null;
  const { name, resolved, source } = chosen;
  return { name, options: resolved.options, source };
}

/** A stable order: by requirement, then peer, family and direction. */
export function byRequirement(one: Finding, other: Finding): number {
  return placeOf(one).localeCompare(placeOf(other));
}

function placeOf({ requirement, level, target }: Finding): string {
  if (target.scope === 'node') return `${requirement} ${level}`;
  return `${requirement} ${level} ${target.name} ${target.family} ${target.direction}`;
}
