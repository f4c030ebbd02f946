/** @module `cni-preflight check`: every requirement once, and a witness for the others while it runs. */
import { pause } from '../checks/time.ts';
import { openCatalogue } from '../rules/catalogue.ts';
import { SelectionError } from '../rules/resolve.ts';
import type { Catalogue } from '../rules/schema.ts';
import {
  type Assessment,
  byRequirement,
  cataloguePorts,
  createAssessment,
  statusDocument,
} from './assessment.ts';
import type { CheckRun } from './commands.ts';
import type { LoadedConfiguration } from './config.ts';
import { createDiagnoses } from './diagnosis.ts';
import { createDiscovery } from './discovery.ts';
import type { ProviderVerdict, Readiness, StatusDocument } from './model.ts';
import { type Node, openNode } from './node.ts';
import { httpCarrier } from './peer-http.ts';
import type { Peer } from './peer-list.ts';
import {
  type ChosenProvider,
  chooseDetected,
  chooseProvider,
  detectHere,
  namesOf,
  nothingDetected,
} from './provider-selection.ts';
import { summarise } from './summary.ts';
import { runWish } from './wishes.ts';

/** Whoever runs a check has just changed something: older answers of peers would tell of before. */
const verdictSeconds = 5;
/** How often `--wait` looks whether the peers have appeared. */
const lookAgainMs = 500;
/** Quiet for so many probe timeouts: the peers have what they wanted. */
const quietTimeouts = 4;
/** A slow peer may take so long to begin, however short the timeout of a probe. */
const leastQuietMs = 2500;

/** Checks this node and the way to its peers once. */
export async function runCheck(
  loaded: LoadedConfiguration,
  { progress, signal }: CheckRun,
): Promise<StatusDocument> {
  const { values } = loaded;
  const startedAt = new Date();
  const started = performance.now();
  const catalogue = await openCatalogue(
    values.rules === undefined ? {} : { directories: [values.rules] },
  );
  const timeoutMs = values.timeoutSeconds * 1000;
  let lastAsked = performance.now();
  let chosen: readonly ChosenProvider[] = [];
  const assess = (node: Node, provider: ChosenProvider | undefined): Assessment =>
    createAssessment({
      node,
      nodeName: values.nodeName,
      catalogue,
      chosen: provider,
      values: { ...values, tryModules: values.tryModules && provider !== undefined },
      intervalMs: Number.MAX_SAFE_INTEGER,
      confirmRounds: 1,
      takesTurns: false,
      everyPeer: true,
      verdictSeconds: () => verdictSeconds,
      diagnoses,
    });
  await using node: Node = await openNode({
    name: values.nodeName,
    key: loaded.key,
    timeoutMs,
    cataloguePorts: cataloguePorts(catalogue),
    onDropped: () => {},
    carriers: (mac) => [httpCarrier(mac)],
    onAsked: () => {
      lastAsked = performance.now();
    },
    probe: async (wish, asker) =>
      await runWish(wish, asker, {
        node,
        shared: assess(node, chosen[0]).shared(),
        takesTurns: false,
        signal,
        diagnoses,
        onCrash: () => {},
      }),
  });
  const diagnoses = createDiagnoses({ node, now: () => performance.now() });
  const peers = await findPeers(loaded, node);
  await node.setPeers(peers);
  chosen = await choose(catalogue, loaded, node);
  for (const one of chosen.toReversed()) await node.setProvider(one);

  if (values.waitSeconds > 0 && peers.length > 0)
    await waitForPeers({ node, peers, waitSeconds: values.waitSeconds, progress, signal });
  const assessments: Assessment[] = [];
  for (const provider of chosen) {
    const assessment = assess(node, provider);
    assessments.push(assessment);
    const doing = chosen.length > 1 ? `checking for ${provider.name}` : 'checking';
    await assessment.round(peers, signal, {
      onProgress: (done, of) => {
        progress({ doing, done, of });
      },
    });
  }
  // Others who began later may still need this witness.
  const until = started + values.waitSeconds * 1000;
  while (!signal.aborted && performance.now() < until) {
    if (performance.now() - lastAsked > Math.max(leastQuietMs, timeoutMs * quietTimeouts)) break;
    progress({ doing: 'answering the probes of the peers' });
    await pause(lookAgainMs / 2, signal);
  }
  const durationSeconds = Math.round(performance.now() - started) / 1000;
  return documentOf(node, loaded, assessments, startedAt, durationSeconds);
}

/** The peers of now. A name without an answer is an error: a report without those nodes would look like good news. */
async function findPeers({ values }: LoadedConfiguration, node: Node): Promise<readonly Peer[]> {
  const problems: string[] = [];
  const discovery = createDiscovery(values, {
    ownAddresses: async () => (await node.host.addresses()).map(({ address }) => address),
    onProblem: (name, error) => {
      const why = error instanceof Error ? error.message : String(error);
      problems.push(`--discover-name: "${name}" cannot be resolved (${why})`);
    },
  });
  const peers = await discovery.find();
  if (problems.length > 0) throw new SelectionError(problems.join('\n'));
  return peers;
}

async function choose(
  catalogue: Catalogue,
  loaded: LoadedConfiguration,
  node: Node,
): Promise<readonly ChosenProvider[]> {
  const { values } = loaded;
  const detected = await detectHere(catalogue, node.host);
  const links = await node.host.links();
  const one = (name: string): ChosenProvider =>
    chooseProvider(catalogue, name, loaded, detected, links);
  if (values.provider === 'all') {
    if (Object.keys(values.set).length > 0)
      throw new SelectionError(
        '--set is for one provider: name it with --provider NAME instead of --provider all',
      );
    return namesOf(catalogue, values).map(one);
  }
  const name = values.provider === 'auto' ? chooseDetected(detected) : values.provider;
  if (name === undefined) throw nothingDetected(catalogue);
  const only = one(name);
  if (only.requirements.length === 0)
    throw new SelectionError(
      `--only and --ignore leave nothing to check for ${name} with these options; \`cni-preflight providers ${name}\` lists what there is`,
    );
  return [only];
}

/** Waits until every peer has an agent, or `--wait` is over. */
async function waitForPeers({
  node,
  peers,
  waitSeconds,
  progress,
  signal,
}: {
  readonly node: Node;
  readonly peers: readonly Peer[];
  readonly waitSeconds: number;
  readonly progress: CheckRun['progress'];
  readonly signal: AbortSignal;
}): Promise<void> {
  const until = performance.now() + waitSeconds * 1000;
  const missing = new Set(
    peers.flatMap(({ addresses }) =>
      (['ipv4', 'ipv6'] as const).flatMap((family) => {
        const address = addresses[family];
        return address === undefined ? [] : [`${family} ${address}`];
      }),
    ),
  );
  const all = missing.size;
  while (missing.size > 0 && performance.now() < until && !signal.aborted) {
    progress({ doing: 'waiting for the peers to appear', done: all - missing.size, of: all });
    await Promise.all(
      [...missing].map(async (key) => {
        const [family, address] = key.split(' ');
        if (address === undefined || (family !== 'ipv4' && family !== 'ipv6')) return;
        if ((await node.channel(address, family).facts(signal)) !== undefined) missing.delete(key);
      }),
    );
    if (missing.size > 0) await pause(lookAgainMs, signal);
  }
}

function documentOf(
  node: Node,
  { values }: LoadedConfiguration,
  assessments: readonly Assessment[],
  startedAt: Date,
  durationSeconds: number,
): StatusDocument {
  const [only] = assessments;
  const judged = assessments.map((assessment) => ({
    assessment,
    ...assessment.readiness(),
  }));
  const all = values.provider === 'all';
  const best = bestOf(judged.map(({ readiness }) => readiness));
  const document = statusDocument({
    node,
    nodeName: values.nodeName,
    assessment: only,
    readiness: all ? best : (judged[0]?.readiness ?? 'unknown'),
    reasons: all ? [] : (judged[0]?.reasons ?? []),
    since: startedAt.toISOString(),
    startedAt: startedAt.toISOString(),
    durationSeconds,
  });
  if (!all) return document;
  const findings = assessments.flatMap((assessment) => assessment.findings());
  return {
    ...document,
    provider: null,
    providers: judged.map(
      ({ assessment, readiness }): ProviderVerdict => ({
        name: assessment.chosen?.name ?? '',
        options: assessment.chosen?.resolved.options ?? {},
        readiness,
        summary: summarise(assessment.findings()),
      }),
    ),
    summary: summarise(findings),
    findings: [...findings].sort(byRequirement),
  };
}

function bestOf(words: readonly Readiness[]): Readiness {
  if (words.includes('ready')) return 'ready';
  return words.includes('unknown') ? 'unknown' : 'not-ready';
}
