/** @module The matrix of all nodes, put together from what each of them says of itself. */
import { setMaxListeners } from 'node:events';
import { get } from 'node:http';
import type { Static } from 'typebox';
import { withDeadline } from '../checks/time.ts';
import { Type } from '../rules/type.ts';
import { fits } from '../rules/validate.ts';
import { type FailedPath, summariseMesh } from './mesh-summary.ts';
import type { AgentPresence, Outcome, PeerStatus, Readiness, StatusDocument } from './model.ts';
import { type Mesh, OutcomeSchema, ReadinessSchema } from './status-schema.ts';

/** Of a peer's document what the matrix needs. Further properties are welcome: the peer may run a newer version. */
const PeerReportSchema = Type.Object({
  readiness: ReadinessSchema,
  findings: Type.Array(
    Type.Object({
      requirement: Type.String(),
      kind: Type.Optional(Type.String()),
      evidence: Type.Optional(Type.Object({ port: Type.Optional(Type.Unknown()) })),
      level: Type.String(),
      outcome: OutcomeSchema,
      reason: Type.Optional(Type.String()),
      target: Type.Union([
        Type.Object({ scope: Type.Literal('node') }),
        Type.Object({
          scope: Type.Literal('peer'),
          name: Type.String(),
          address: Type.String(),
          direction: Type.Union([Type.Literal('outbound'), Type.Literal('inbound')]),
        }),
      ]),
    }),
  ),
});
type PathFinding = Static<typeof PeerReportSchema>['findings'][number];

/** What a node says of itself, as far as the matrix needs it. */
export interface PeerReport {
  readonly readiness: Readiness;
  readonly findings: readonly PathFinding[];
}

/** What came of asking one node. */
export type PeerAnswer =
  | { readonly agent: 'reachable'; readonly report: PeerReport }
  | { readonly agent: Exclude<AgentPresence, 'reachable'> };

export interface MeshOptions {
  /** This node's own document, with the peers to ask. */
  readonly document: () => StatusDocument;
  readonly fetchPeerStatus: (
    address: string,
    wanted: StatusWanted,
    signal: AbortSignal,
  ) => Promise<PeerAnswer>;
  /** Milliseconds on a clock that never jumps. */
  readonly now: () => number;
  /** Ends what is under way. */
  readonly signal: AbortSignal;
}

/** All findings, or only those that do not pass: a node of a large cluster has too many to send. */
export type StatusWanted = 'all' | 'trouble';

/** The matrix, at most 10 seconds old. */
export type MeshCache = () => Promise<Mesh>;

const cacheMs = 10_000;
const concurrentPeers = 32;
const peerTimeoutMs = 2_000;
const maximumBodyBytes = 2 * 1024 * 1024;
/** Beyond it the pairs that pass are left out. */
const completeNodes = 64;
const maximumPairs = 10_000;

/** Makes a cache that asks the peers when somebody asks it, and once for all who ask at the same time. */
export function createMeshCache(options: MeshOptions): MeshCache {
  // Every peer that is asked listens to it for as long as that takes; more than ten at a time is no leak.
  setMaxListeners(0, options.signal);
  let cached: { readonly mesh: Promise<Mesh>; readonly atMs: number } | undefined;
  return () => {
    const atMs = options.now();
    if (cached === undefined || atMs - cached.atMs >= cacheMs) {
      const mesh = collect(options);
      const mine = { mesh, atMs };
      cached = mine;
      mesh.catch(() => {
        if (cached === mine) cached = undefined;
      });
    }
    return cached.mesh;
  };
}

async function collect(options: MeshOptions): Promise<Mesh> {
  const own = options.document();
  const wanted: StatusWanted = own.peers.length < completeNodes ? 'all' : 'trouble';
  const answers = new Map<string, PeerAnswer>();
  const waiting = [...own.peers];
  const work = async (): Promise<void> => {
    for (let peer = waiting.pop(); peer !== undefined; peer = waiting.pop()) {
      const { name, address } = peer;
      const answer = await withDeadline(peerTimeoutMs, options.signal, (signal) =>
        options.fetchPeerStatus(address, wanted, signal),
      );
      answers.set(name, answer);
    }
  };
  await Promise.all(Array.from({ length: concurrentPeers }, work));
  return meshOf({ own, answers, wanted, collectedAtMs: Date.now() });
}

type Pair = Mesh['pairs'][number];

/** Puts the matrix together. Pure. */
export function meshOf(given: {
  readonly own: StatusDocument;
  /** By the name that this node has for the peer. */
  readonly answers: ReadonlyMap<string, PeerAnswer>;
  readonly wanted: StatusWanted;
  readonly collectedAtMs: number;
}): Mesh {
  const { own, answers, wanted } = given;
  const nodes: Mesh['nodes'] = [
    {
      name: own.node.name,
      address: own.node.addresses[0] ?? '',
      agent: 'reachable',
      readiness: own.readiness,
    },
  ];
  const names = namesByAddress(own);
  const documents: { readonly name: string; readonly findings: readonly PathFinding[] }[] = [
    { name: own.node.name, findings: own.findings },
  ];
  for (const peer of peersOnce(own.peers)) {
    const answer = answers.get(peer.name);
    if (answer?.agent === 'reachable') {
      const { readiness, findings } = answer.report;
      nodes.push({ name: peer.name, address: peer.address, agent: 'reachable', readiness });
      documents.push({ name: peer.name, findings });
    } else {
      const agent = answer?.agent ?? 'unknown';
      nodes.push({ name: peer.name, address: peer.address, agent, readiness: 'unknown' });
    }
  }

  const pairs = new Map<string, Pair>();
  const failed: FailedPath[] = [];
  // The sender's own word first; where it has none, the receiver tells what it knows.
  for (const direction of ['outbound', 'inbound'] as const) {
    const spoken = new Set(pairs.keys());
    for (const { name, findings } of documents) {
      for (const finding of findings) {
        const { target, level } = finding;
        if (target.scope === 'node' || target.direction !== direction || level !== 'required') {
          continue;
        }
        const other = names.get(target.address) ?? target.name;
        const ends =
          direction === 'outbound'
            ? { sender: name, receiver: other }
            : { sender: other, receiver: name };
        const key = JSON.stringify(ends);
        if (spoken.has(key)) continue;
        const { requirement, reason = 'unknown', outcome } = finding;
        if (outcome === 'fail')
          failed.push({ ...ends, requirement, reason, what: whatOf(finding) });
        const pair = { ...ends, ...wordOf(finding), reportedBy: name };
        const known = pairs.get(key);
        if (known === undefined || rank(pair.outcome) < rank(known.outcome)) pairs.set(key, pair);
      }
    }
  }
  const complete = wanted === 'all';
  const listed = [...pairs.values()]
    .filter(({ outcome }) => complete || outcome === 'fail' || outcome === 'unknown')
    .sort((one, other) => rank(one.outcome) - rank(other.outcome));
  return {
    schema: 'cni-preflight/mesh/v1',
    collectedAt: new Date(given.collectedAtMs).toISOString(),
    nodes,
    pairs: listed.slice(0, maximumPairs),
    summary: summariseMesh(failed, nodes.length),
    complete,
    omitted: Math.max(0, listed.length - maximumPairs),
  };
}

/** As a firewall has it: `udp/8472`. */
function whatOf({ requirement, kind, evidence }: PathFinding): string {
  const port = evidence?.port;
  const transport = kind === 'tcp-port' ? 'tcp' : kind === 'udp-port' ? 'udp' : undefined;
  return transport === undefined || typeof port !== 'number' ? requirement : `${transport}/${port}`;
}

/** Each node may have names of its own for its peers; the matrix uses those of the node that was asked. */
function namesByAddress(own: StatusDocument): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  for (const address of own.node.addresses) names.set(address, own.node.name);
  for (const { name, address } of own.peers) names.set(address, name);
  return names;
}

/** A peer of two families is listed with each of its addresses, and is one node. */
function peersOnce(peers: readonly PeerStatus[]): readonly PeerStatus[] {
  const byName = new Map<string, PeerStatus>();
  for (const peer of peers) if (!byName.has(peer.name)) byName.set(peer.name, peer);
  return [...byName.values()];
}

function wordOf({
  outcome,
  requirement,
  reason,
}: PathFinding): Pick<Pair, 'outcome' | 'requirement' | 'reason'> {
  if (outcome === 'pass') return { outcome };
  return reason === undefined ? { outcome, requirement } : { outcome, requirement, reason };
}

const worstFirst: readonly Outcome[] = ['fail', 'unknown', 'pass', 'skip'];

function rank(outcome: Outcome): number {
  return worstFirst.indexOf(outcome);
}

/** Makes the function that asks the agent at an address for its status; it resolves, whatever happens. */
export function createStatusClient(port: number): MeshOptions['fetchPeerStatus'] {
  return (address, wanted, signal) =>
    new Promise((resolve) => {
      const request = get(
        {
          host: address,
          port,
          path: wanted === 'all' ? '/status' : '/status?outcome=fail,unknown',
          headers: { accept: 'application/json' },
          agent: false,
          signal,
        },
        (response) => {
          const chunks: Buffer[] = [];
          let receivedBytes = 0;
          response.on('data', (chunk: Buffer) => {
            receivedBytes += chunk.length;
            if (receivedBytes > maximumBodyBytes) request.destroy();
            else chunks.push(chunk);
          });
          const finish = (): void => {
            const report =
              response.complete && response.statusCode === 200
                ? readReport(Buffer.concat(chunks).toString())
                : undefined;
            resolve(report === undefined ? { agent: 'unknown' } : { agent: 'reachable', report });
          };
          response.on('error', finish);
          response.on('close', finish);
        },
      );
      request.on('error', (error: NodeJS.ErrnoException) => {
        // A refusal comes from a host that is there; whoever stays silent may be anything.
        resolve({ agent: error.code === 'ECONNREFUSED' ? 'absent' : 'unreachable' });
      });
    });
}

function readReport(text: string): PeerReport | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return fits(PeerReportSchema, value) ? value : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
