/** @module `cni-preflight agent`: rounds for ever, findings kept, everything served; ends without a trace. */
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { createMemoryRelease } from '../checks/host/memory.ts';
import { openCatalogue } from '../rules/catalogue.ts';
import type { Catalogue } from '../rules/schema.ts';
import { type Assessment, cataloguePorts, createAssessment, statusDocument } from './assessment.ts';
import type { AgentRun } from './commands.ts';
import type { ListenAddress, LoadedConfiguration } from './config.ts';
import { defaultPort } from './config.ts';
import { countAnswer, countedNetwork, isProbing } from './counted-network.ts';
import { createDiagnoses } from './diagnosis.ts';
import { createDiscovery, type Discovery } from './discovery.ts';
import { createFirewallGuard } from './firewall-guard.ts';
import { createFirewallReview } from './firewall-review.ts';
import { createLogger, logChanges } from './log.ts';
import { createMeshCache, createStatusClient } from './mesh.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import type { Readiness, StatusDocument } from './model.ts';
import { type Node, noProvider, openNode } from './node.ts';
import { createPeerApi, httpCarrier } from './peer-http.ts';
import { chooseDetected, chooseProvider, detectHere } from './provider-selection.ts';
import { describeProviders } from './providers-command.ts';
import { renderReport } from './report.ts';
import { createScheduler } from './scheduler.ts';
import { createServer, listen } from './server.ts';
import { steadyNowMs, wallTimeOf } from './steady-clock.ts';
import { packageVersion } from './version.ts';
import { watchFile } from './watch-file.ts';
import { createWipeAlarm } from './wipe-alarm.ts';
import { runWish } from './wishes.ts';

/** A round that has not moved for so many intervals is stuck. */
const stuckIntervals = 3;
const leastStuckMs = 60_000;
/** Between rounds so far apart it pays to give memory back that the next one will want again. */
const restfulSeconds = 5;

/** What the agent works with now; a reload replaces it as a whole. */
interface Setup {
  readonly loaded: LoadedConfiguration;
  readonly catalogue: Catalogue;
  readonly discovery: Discovery;
}

/** Runs until the signal aborts. Resolves to the exit code. */
export async function runAgent(loaded: LoadedConfiguration, run: AgentRun): Promise<number> {
  const log = createLogger({
    level: loaded.values.logLevel,
    node: loaded.values.nodeName,
    version: packageVersion(),
  });
  for (const note of loaded.notes) log.info({ note }, 'configuration');
  const agent = await createAgent(loaded, run, log);
  try {
    await agent.open();
    log.info({ listen: agent.addresses(), witnesses: agent.node.witnesses }, 'started');
    agent.start();
    await ended(run.signal);
    log.info({ reason: messageOf(run.signal.reason) }, 'ending');
    return 0;
  } finally {
    await agent[Symbol.asyncDispose]();
  }
}

/** The agent with everything that it owns. */
interface Agent extends AsyncDisposable {
  readonly node: Node;
  /** Opens the HTTP ports. */
  open(): Promise<void>;
  addresses(): readonly string[];
  start(): void;
}

async function createAgent(
  loaded: LoadedConfiguration,
  run: AgentRun,
  log: Logger,
): Promise<Agent> {
  const { nodeName } = loaded.values;
  const startedAt = new Date();
  const metrics = createMetrics({ version: packageVersion() });
  let setup: Setup;
  let assessment: Assessment | undefined;
  let last: { readiness: Readiness; reasons: readonly string[]; since: string } = {
    readiness: 'unknown',
    reasons: ['no round has ended yet'],
    since: startedAt.toISOString(),
  };
  let lastRoundSeconds = 0;
  const releaseMemory = createMemoryRelease();

  const catalogue = await loadCatalogueOf(loaded);
  refuseUnknownWords(catalogue, loaded);
  const node = await openNode({
    name: nodeName,
    key: loaded.key,
    timeoutMs: loaded.values.timeoutSeconds * 1000,
    cataloguePorts: cataloguePorts(catalogue),
    onDropped: (reason) => {
      metrics.datagramDropped(reason);
    },
    carriers: (mac) => [httpCarrier(mac)],
    probe: async (wish, asker) =>
      await runWish(wish, asker, {
        node,
        shared: assessmentOf(setup).shared(),
        takesTurns: true,
        signal: run.signal,
        diagnoses,
        onCrash: (error) => {
          log.error({ err: error, requirement: wish.id, peer: asker.address }, 'check crashed');
        },
      }),
  });
  const diagnoses = createDiagnoses({ node, now: () => performance.now() });
  setup = setupOf(loaded, catalogue);
  const alarm = createWipeAlarm({
    owners: () => setup.catalogue.ruleOwners,
    now: () => wallTimeOf(steadyNowMs()),
  });

  function setupOf(next: LoadedConfiguration, rules: Catalogue): Setup {
    return {
      loaded: next,
      catalogue: rules,
      discovery: createDiscovery(next.values, {
        ownAddresses: async () => (await node.host.addresses()).map(({ address }) => address),
        onProblem: (name, error) => {
          log.warn({ name, reason: messageOf(error) }, 'peers not resolved');
        },
      }),
    };
  }

  /** The assessment of the provider that is chosen, also before the first round has chosen one. */
  function assessmentOf(of: Setup): Assessment {
    assessment ??= createAssessment({
      node,
      nodeName,
      catalogue: of.catalogue,
      chosen: undefined,
      values: of.loaded.values,
      intervalMs: of.loaded.values.intervalSeconds * 1000,
      confirmRounds: 2,
      takesTurns: true,
      everyPeer: false,
      verdictSeconds: () => verdictSecondsOf(setup.loaded),
      diagnoses,
      wipes: () => alarm.open(),
      networkFor: (kind) =>
        isProbing(kind) ? countedNetwork(node.host.network, kind, metrics) : node.host.network,
    });
    return assessment;
  }

  async function round(signal: AbortSignal): Promise<void> {
    const started = performance.now();
    const of = setup;
    const current = assessmentOf(of);
    const peers = await of.discovery.find();
    await node.setPeers(peers);
    const detected = await detectHere(of.catalogue, node.host);
    const { provider } = of.loaded.values;
    const name = provider === 'auto' ? chooseDetected(detected) : provider;
    if (name === undefined) {
      current.choose(undefined);
      // Peers ask what runs here: no more what did.
      await node.setProvider(noProvider);
    } else {
      const links = await node.host.links();
      const chosen = chooseProvider(of.catalogue, name, of.loaded, detected, links);
      current.choose(chosen);
      await node.setProvider(chosen);
    }
    // Also without a provider: what was found for one that has gone goes with it.
    await current.round(peers, signal, {
      onChanges: (changes) => {
        logChanges(log, changes);
      },
      onAnswer: ({ requirement: { kind } }, answer) => {
        if (isProbing(kind)) countAnswer(answer, kind, metrics);
      },
      onCrash: ({ requirement }, error) => {
        log.error({ err: error, requirement: requirement.id }, 'check crashed');
      },
    });
    if (signal.aborted) return;
    settle();
    lastRoundSeconds = (performance.now() - started) / 1000;
    metrics.roundFinished(lastRoundSeconds, Date.now());
    measure(current, metrics);
    metrics.update(document());
    if (of.loaded.values.intervalSeconds >= restfulSeconds) releaseMemory();
  }

  const firewall = createFirewallGuard({
    node,
    log,
    alarm,
    onChange: () => {
      metrics.rulesetChanged();
    },
    review: createFirewallReview({
      assessment: () => assessment,
      hooks: {
        onChanges: (changes) => {
          logChanges(log, changes);
        },
        onCrash: ({ requirement }, error) => {
          log.error({ err: error, requirement: requirement.id }, 'check crashed');
        },
      },
      hasRoundEnded: () => lastRoundSeconds > 0,
      judge: () => {
        settle();
        metrics.update(document());
      },
    }),
  });

  /** Judges the node anew; a change is one line in the log. */
  function settle(): void {
    const { readiness, reasons } =
      assessment?.chosen === undefined
        ? { readiness: 'unknown' as const, reasons: ['no-provider-detected'] }
        : assessment.readiness();
    if (readiness !== last.readiness) {
      log.info({ readiness, previous: last.readiness, reasons }, 'readiness changed');
      last = { readiness, reasons, since: new Date().toISOString() };
    } else last = { ...last, reasons };
  }

  function document(): StatusDocument {
    const changes = assessment?.expire() ?? [];
    if (changes.length > 0) {
      logChanges(log, changes);
      settle();
    }
    return statusDocument({
      node,
      nodeName,
      assessment,
      ...last,
      startedAt: startedAt.toISOString(),
      durationSeconds: Math.round(lastRoundSeconds * 1000) / 1000,
    });
  }

  const scheduler = createScheduler({
    intervalMs: loaded.values.intervalSeconds * 1000,
    run: round,
    now: () => performance.now(),
    random: Math.random,
    onError: (error) => {
      log.error({ err: error }, 'round failed');
    },
  });

  async function reload(why: string): Promise<void> {
    try {
      const next = run.reload();
      const rules = await loadCatalogueOf(next);
      refuseUnknownWords(rules, next);
      for (const setting of needRestart(setup.loaded, next))
        log.warn({ setting }, 'this setting takes effect when the agent is started again');
      setup = setupOf(next, rules);
      assessmentOf(setup).reconfigure(rules, next.values, next.values.intervalSeconds * 1000);
      scheduler.setInterval(next.values.intervalSeconds * 1000);
      log.info({ why }, 'configuration reloaded');
      void scheduler.runNow();
    } catch (error) {
      log.error(
        { why, problems: messageOf(error).split('\n') },
        'configuration refused, the old one stays',
      );
    }
  }

  const servers: FastifyInstance[] = [];
  const bound: string[] = [];
  const mesh = createMeshCache({
    document,
    fetchPeerStatus: createStatusClient(defaultPort),
    now: () => performance.now(),
    signal: run.signal,
  });
  const serve = (): FastifyInstance =>
    createServer({
      version: packageVersion(),
      document,
      renderText: (of, shown) => renderReport(of, { format: 'text', color: false, shown }),
      metrics,
      health: () => ({
        idleMs: scheduler.idleMs(),
        limitMs: Math.max(
          leastStuckMs,
          setup.loaded.values.intervalSeconds * 1000 * stuckIntervals,
        ),
      }),
      providers: () => JSON.parse(describeProviders(setup.catalogue, 'json')) as unknown,
      mesh,
      runNow: async () => {
        await scheduler.runNow();
      },
      peerApi: createPeerApi({ service: node.service, mac: node.mac, isPeer: node.isPeer }),
    });

  const onHangup = (): void => {
    void reload('SIGHUP');
  };
  const watches = loaded.files.map((path) =>
    watchFile({
      path,
      onChange: () => {
        void reload(`${path} changed`);
      },
    }),
  );

  return {
    node,
    async open() {
      await node.setPeers(await setup.discovery.find());
      const wanted = loaded.values.listen;
      for (const { address, port } of wanted.length > 0 ? wanted : defaultListen(node)) {
        const server = serve();
        servers.push(server);
        bound.push(await listen(server, { address, port }));
      }
    },
    addresses: () => bound,
    start() {
      process.on('SIGHUP', onHangup);
      firewall.start();
      scheduler.start();
    },
    async [Symbol.asyncDispose]() {
      process.off('SIGHUP', onHangup);
      for (const watch of watches) watch.close();
      await firewall[Symbol.asyncDispose]();
      await Promise.all([scheduler.stop(), ...servers.map(async (server) => await server.close())]);
      await node[Symbol.asyncDispose]();
    },
  };
}

async function loadCatalogueOf({ values }: LoadedConfiguration): Promise<Catalogue> {
  return await openCatalogue(values.rules === undefined ? {} : { directories: [values.rules] });
}

/** Throws for a provider, an option or a requirement that is not in the catalogue: every single round would. */
function refuseUnknownWords(catalogue: Catalogue, loaded: LoadedConfiguration): void {
  const { provider } = loaded.values;
  if (provider !== 'auto') chooseProvider(catalogue, provider, loaded, [], []);
}

/** Settings that sockets were opened with. */
function needRestart(old: LoadedConfiguration, next: LoadedConfiguration): string[] {
  const changed: string[] = [];
  if (JSON.stringify(old.values.listen) !== JSON.stringify(next.values.listen))
    changed.push('listen');
  if (Buffer.compare(old.key ?? Buffer.alloc(0), next.key ?? Buffer.alloc(0)) !== 0)
    changed.push('keyFile');
  if (old.values.nodeName !== next.values.nodeName) changed.push('nodeName');
  if (old.values.timeoutSeconds !== next.values.timeoutSeconds) changed.push('timeout');
  return changed;
}

/** Every underlay address once; loopback where the node has none. */
function defaultListen(node: Node): readonly ListenAddress[] {
  const addresses = [...new Set(node.underlay.map(({ address }) => address))];
  return (addresses.length > 0 ? addresses : ['127.0.0.1']).map((address) => ({
    address,
    port: defaultPort,
  }));
}

/** An answer of the peer's last round serves until its next one is surely there. */
function verdictSecondsOf({ values }: LoadedConfiguration): number {
  return Math.min(3600, values.intervalSeconds * 1.5 + 2);
}

/** The smallest path MTU of the findings. */
function measure(assessment: Assessment, metrics: Metrics): void {
  const sizes = assessment
    .findings()
    .flatMap(({ evidence }) =>
      typeof evidence['pathMtuBytes'] === 'number' ? [evidence['pathMtuBytes']] : [],
    );
  if (sizes.length > 0) metrics.pathMtu(Math.min(...sizes));
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function ended(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
