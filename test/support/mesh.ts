/** @module Agents on all nodes of a lab, and what each of them says of every path between two of them. */
import type { Culprit, Readiness, StatusDocument } from '../../agent/model.ts';
import { describe, findingsOf, said } from './document.ts';
import type { Lab, LabAgent, LabNode } from './lab.ts';
import { until } from './wait.ts';

export type Family = 'ipv4' | 'ipv6';

/** A path that does not pass, and what both of its ends are expected to say of it. */
export interface BrokenPath {
  readonly sender: string;
  readonly receiver: string;
  readonly family: Family;
  /** Outcome and reason, as `said` writes them. */
  readonly said: string;
  /** Both ends say the same, once the sender's diagnosis has come to the receiver. */
  readonly culprit: Culprit | null;
}

/** Quick rounds, for a test must see two of them fail before it sees a `fail`. */
export function quick(intervalSeconds: number): readonly string[] {
  return ['--interval', `${intervalSeconds}`, '--timeout', '0.5'];
}

/** Starts an agent on every node (or on these), each with all other nodes of the lab as its peers. More arguments may differ by node. */
export async function startAgents(
  lab: Lab,
  args: readonly string[] | ((node: LabNode) => readonly string[]),
  options: {
    readonly families?: readonly Family[];
    readonly on?: readonly LabNode[];
    readonly intervalSeconds?: number;
  } = {},
): Promise<Agents> {
  const { families = ['ipv4'], on = lab.nodes, intervalSeconds = 1 } = options;
  const started = await Promise.allSettled(
    on.map((node) =>
      node.agent([
        ...(typeof args === 'function' ? args(node) : args),
        ...quick(intervalSeconds),
        ...lab.peerArguments(node, families),
      ]),
    ),
  );
  const agents = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const failed = started.find((one) => one.status === 'rejected');
  if (failed !== undefined) {
    await Promise.all(agents.map((agent) => agent[Symbol.asyncDispose]()));
    throw failed.reason;
  }
  return new Agents(agents, families);
}

/** Agents that test one another. */
export class Agents implements AsyncDisposable {
  readonly all: readonly LabAgent[];
  readonly families: readonly Family[];

  constructor(all: readonly LabAgent[], families: readonly Family[]) {
    this.all = all;
    this.families = families;
  }

  on(node: string): LabAgent {
    const found = this.all.find((agent) => agent.node.name === node);
    if (found === undefined) throw new Error(`no agent on ${node}`);
    return found;
  }

  /**
   * Waits until the agents, all of them and in both directions, say that these paths are broken in this way and that every
   * other path passes; and, where it is given, that each is of this readiness, which it judges when its round ends. Returns
   * their documents by node.
   */
  async agreeThat(
    requirement: string,
    broken: readonly BrokenPath[],
    readiness?: ReadonlyMap<string, Readiness>,
  ): Promise<ReadonlyMap<string, StatusDocument>> {
    const wanted = new Map(
      this.all.map(({ node: { name } }) => [name, this.#expectedOf(name, broken)]),
    );
    const documents = new Map<string, StatusDocument>();
    await until(
      `all agents say of ${requirement}: ${broken.length === 0 ? 'everything passes' : JSON.stringify(broken)}${readiness === undefined ? '' : `, and are ${[...readiness.values()].join(', ')}`}`,
      async () => {
        for (const agent of this.all) {
          const { name } = agent.node;
          const document = await agent.status();
          documents.set(name, document);
          const peers = new Set(this.all.map(({ node }) => node.name));
          const seen = viewOf(document, requirement, peers);
          if (JSON.stringify(seen) !== JSON.stringify(wanted.get(name))) return undefined;
          if (document.readiness !== (readiness?.get(name) ?? document.readiness)) return undefined;
        }
        return true;
      },
      {
        everyMs: 300,
        deadlineMs: 45_000,
        describe: () =>
          [...documents].map(([name, document]) => `${name}: ${describe(document)}`).join('\n'),
      },
    );
    return documents;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.all.map((agent) => agent[Symbol.asyncDispose]()));
  }

  #expectedOf(own: string, broken: readonly BrokenPath[]): readonly string[] {
    const peers = this.all.map(({ node }) => node.name).filter((name) => name !== own);
    return peers
      .flatMap((peer) =>
        this.families.flatMap((family) =>
          (['outbound', 'inbound'] as const).map((direction) => {
            const [sender, receiver] = direction === 'outbound' ? [own, peer] : [peer, own];
            const fault = broken.find(
              (path) =>
                path.sender === sender && path.receiver === receiver && path.family === family,
            );
            return line(peer, family, direction, fault?.said ?? 'pass', fault?.culprit ?? null);
          }),
        ),
      )
      .sort();
  }
}

/** What a document says of one requirement towards these peers: a line a path. A busy machine may lose single probes. */
function viewOf(
  document: StatusDocument,
  requirement: string,
  peers: ReadonlySet<string>,
): readonly string[] {
  return findingsOf(document, { requirement })
    .filter(({ reason }) => reason !== 'partial-loss')
    .flatMap((finding) => {
      const { target, culprit } = finding;
      if (target.scope === 'node') return [`node ${said(finding)}`];
      if (!peers.has(target.name)) return [];
      return [line(target.name, target.family, target.direction, said(finding), culprit)];
    })
    .sort();
}

function line(
  peer: string,
  family: string,
  direction: string,
  word: string,
  culprit: Culprit | null,
): string {
  const blame = culprit === null ? '' : `, because of ${culprit.where} of ${culprit.node}`;
  return `${peer} ${family} ${direction}: ${word}${blame}`;
}
