/** @module One small cluster of the matrix: three nodes with two interfaces each, an overlay, an agent on every node, and hands in each. */

import { performance } from 'node:perf_hooks';
import type { Family } from '../../checks/family.ts';
import { describe } from '../support/document.ts';
import { createLab, type Lab, type LabAgent, type LabNode, type Router } from '../support/lab.ts';
import { createOverlay, type Overlay } from '../support/overlay.ts';
import { until } from '../support/wait.ts';
import { type Checked, Driver, type RawSockets } from './driver.ts';
import type { Topic } from './fault.ts';
import { type Managed, type ManagerName, manage } from './managers.ts';
import { generations, requirementId, topics } from './provider.ts';
import type { Random } from './random.ts';

/** The second interface of a node, and the router's end of it. */
export const secondInterface = 's0';

/** Longer than a watch, which ends by itself. */
const watchMs = 5000;
/** And so long at the most until what was opened is closed. */
const watchesEndMs = 15_000;

export interface Asked {
  readonly family: Family;
  readonly udpPort: number;
  readonly tcpPort: number;
  readonly topics: readonly Topic[];
}

export interface WorldOptions {
  /** Of the worlds of one run, from 0. */
  readonly number: number;
  readonly random: Random;
  /** Where the provider's file is. */
  readonly rules: string;
  readonly timeoutSeconds: number;
  /** Who owns the rules of node n2, and where its files go. */
  readonly managed?: { readonly by: ManagerName; readonly folder: string };
}

export class World implements AsyncDisposable {
  readonly lab: Lab;
  readonly overlay: Overlay;
  readonly tunnelPort: number;
  /** What owns the rules of node n2. */
  readonly managed: Managed | undefined;
  readonly #options: WorldOptions;
  readonly #drivers: ReadonlyMap<string, Driver>;
  readonly #agents: readonly LabAgent[];
  #generation = 0;
  #idle: ReadonlyMap<string, RawSockets> = new Map();

  private constructor(parts: {
    readonly lab: Lab;
    readonly overlay: Overlay;
    readonly tunnelPort: number;
    readonly options: WorldOptions;
    readonly managed: Managed | undefined;
    readonly drivers: ReadonlyMap<string, Driver>;
    readonly agents: readonly LabAgent[];
  }) {
    this.lab = parts.lab;
    this.overlay = parts.overlay;
    this.tunnelPort = parts.tunnelPort;
    this.managed = parts.managed;
    this.#options = parts.options;
    this.#drivers = parts.drivers;
    this.#agents = parts.agents;
  }

  static async create(options: WorldOptions): Promise<World> {
    const { number, random, rules } = options;
    const lab = await createLab({
      nodes: 3,
      subnets: { ipv4: `10.${100 + number}`, ipv6: `fd${(0xa0 + number).toString(16)}` },
    });
    const { managed: wanted } = options;
    const managed =
      wanted === undefined
        ? undefined
        : await manage(lab.node(managedNode), wanted.by, wanted.folder);
    await managed?.open();
    const under = (node: LabNode): readonly string[] =>
      node.name === managedNode ? underBinds(managed) : [];
    const drivers = new Map(lab.nodes.map((node) => [node.name, new Driver(node, under(node))]));
    try {
      await addSecondInterfaces(lab);
      const tunnelPort = random.pick([8472, 4789, random.integer(2000, 32_000)]);
      const overlay = await createOverlay(lab, { port: tunnelPort, vni: random.integer(1, 9999) });
      const agents = await Promise.all(
        lab.nodes.map(
          async (node) =>
            await node.agent(
              [
                '--provider',
                'matrix',
                '--rules',
                rules,
                '--only',
                'matrix.forwarding',
                '--interval',
                '3600',
                '--timeout',
                `${options.timeoutSeconds}`,
                ...lab.peerArguments(node, ['ipv4', 'ipv6']),
              ],
              { under: under(node) },
            ),
        ),
      );
      const world = new World({ lab, overlay, tunnelPort, options, drivers, agents, managed });
      await world.#warmUp();
      return world;
    } catch (error) {
      for (const driver of drivers.values()) await driver[Symbol.asyncDispose]();
      await lab[Symbol.asyncDispose]();
      throw error;
    }
  }

  get router(): Router {
    return this.lab.router;
  }

  get agents(): readonly LabAgent[] {
    return this.#agents;
  }

  /** Runs `check` on this node with the two others as its peers. */
  async check(node: LabNode, asked: Asked): Promise<Checked> {
    this.#generation = (this.#generation + 1) % generations;
    const only = asked.topics.map((topic) => requirementId(topic, this.#generation));
    return await this.#driverOf(node).check([
      '--provider',
      'matrix',
      '--rules',
      this.#options.rules,
      '--only',
      only.join(','),
      '--set',
      `udpPort=${asked.udpPort}`,
      '--set',
      `tcpPort=${asked.tcpPort}`,
      '--timeout',
      `${this.#options.timeoutSeconds}`,
      ...this.lab.peerArguments(node, [asked.family]),
    ]);
  }

  /** Types a command on a node, as a person would in a shell that sees the node's own files. */
  async type(node: string, words: readonly string[]): Promise<void> {
    const under = node === managedNode ? underBinds(this.managed) : [];
    const [command, ...args] = [...under, ...words];
    if (command !== undefined) await this.lab.node(node).exec(command, args, { timeoutMs: 60_000 });
  }

  /**
   * What raw and packet sockets there are beside those of the idle agents, a line a kind: `n1 packet 2`. A watch that the last run
   * asked for has its time to end.
   */
  async leftSockets(): Promise<readonly string[]> {
    let left: readonly string[] = [];
    try {
      await until(
        'the agents have closed what they opened',
        async () => {
          left = this.#more(await this.#rawSockets());
          return left.length === 0 ? true : undefined;
        },
        { everyMs: 500, deadlineMs: watchesEndMs },
      );
    } catch {
      return left;
    }
    return [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#drivers.values()].map((driver) => driver[Symbol.asyncDispose]()));
    await this.overlay[Symbol.asyncDispose]();
    await this.managed?.[Symbol.asyncDispose]();
    await this.lab[Symbol.asyncDispose]();
  }

  /** A check from every node in both families, after which an agent has all the sockets that it keeps. */
  async #warmUp(): Promise<void> {
    const asked = { udpPort: 4789, tcpPort: 179 };
    for (const family of ['ipv4', 'ipv6'] as const)
      for (const node of this.lab.nodes) {
        const all = { ...asked, family, topics: topicsIn(family) };
        const { document } = await this.check(node, all);
        const broken = document.findings.filter(({ outcome }) => outcome === 'fail');
        if (broken.length > 0) throw new Error(`a new lab is not well:\n${describe(document)}`);
      }
    this.#idle = await this.#settled();
  }

  /** The numbers of sockets once no watch is open any more. */
  async #settled(): Promise<ReadonlyMap<string, RawSockets>> {
    let last = '';
    let since = performance.now();
    return await until(
      'the sockets of idle agents stay what they are',
      async () => {
        const counts = await this.#rawSockets();
        const now = JSON.stringify([...counts]);
        if (now !== last) {
          last = now;
          since = performance.now();
        }
        return performance.now() - since > watchMs ? counts : undefined;
      },
      { everyMs: 500 },
    );
  }

  #more(now: ReadonlyMap<string, RawSockets>): readonly string[] {
    return [...now].flatMap(([name, counts]) =>
      (['packet', 'raw', 'raw6'] as const).flatMap((kind) => {
        const more = counts[kind] - (this.#idle.get(name)?.[kind] ?? 0);
        return more > 0 ? [`${name} ${kind} ${more}`] : [];
      }),
    );
  }

  async #rawSockets(): Promise<ReadonlyMap<string, RawSockets>> {
    const all = [...this.#drivers].map(
      async ([name, driver]) => [name, await driver.rawSockets()] as const,
    );
    return new Map(await Promise.all(all));
  }

  #driverOf({ name }: LabNode): Driver {
    const driver = this.#drivers.get(name);
    if (driver === undefined) throw new Error(`no driver on ${name}`);
    return driver;
  }
}

/** The node whose rules are owned by somebody, where they are. */
export const managedNode = 'n2';

function underBinds(managed: Managed | undefined): readonly string[] {
  const binds = managed?.binds ?? '';
  return binds === '' ? [] : ['sh', '-ec', `${binds} exec "$@"`, 'sh'];
}

/** Topics that exist in a family: the overlay of the lab, and IP-in-IP, are IPv4. */
export function topicsIn(family: Family): readonly Topic[] {
  return family === 'ipv4'
    ? topics
    : topics.filter((topic) => topic !== 'overlay' && topic !== 'ipip');
}

/** A second way between the nodes, which nothing uses until a fault does: 172.16.K.2 on `s0`. */
async function addSecondInterfaces({ nodes, router }: Lab): Promise<void> {
  await router.ip(
    nodes.flatMap(({ index, namespace }) => [
      `link add name s${index} type veth peer name ${secondInterface} netns ${namespace}`,
      `addr add 172.16.${index}.254/24 dev s${index}`,
      `addr add fd16:${index}::fe/64 dev s${index} nodad`,
      `link set s${index} up`,
    ]),
  );
  await Promise.all(
    nodes.map(async (node) => {
      await node.ip([
        `addr add 172.16.${node.index}.2/24 dev ${secondInterface}`,
        `addr add fd16:${node.index}::2/64 dev ${secondInterface} nodad`,
        `link set ${secondInterface} up`,
      ]);
    }),
  );
}
