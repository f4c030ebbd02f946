/** @module One run of the matrix: make the fault, ask, compare, type the remedy, ask again, and clean up. */
import type { Finding } from '../../agent/model.ts';
import type { LabNode } from '../support/lab.ts';
import type { Cell } from './cells.ts';
import { applyRemedy } from './cure.ts';
import type { Scene, Topic, Truth } from './fault.ts';
import { agentPort } from './firewall.ts';
import { type Random, randomOf } from './random.ts';
import { falseAlarms, primaryFinding, type Score, scoreOf, sideEffects } from './score.ts';
import { topicsIn, type World } from './world.ts';

export interface Result {
  readonly words: string;
  readonly fault: string;
  readonly protocol: string;
  readonly family: string;
  readonly score: Score;
  /** From the start of the check to its document. */
  readonly seconds: number;
  /** Failures of what is not broken. */
  readonly falseAlarms: readonly string[];
  readonly cure: Cure;
  /** What the sender said of it. */
  readonly finding?: Pick<
    Finding,
    'outcome' | 'reason' | 'evidence' | 'culprit' | 'remedy' | 'message'
  >;
}

export type Cure =
  | { readonly cured: 'none' }
  | {
      readonly cured: 'yes' | 'no';
      readonly typed: readonly string[];
      readonly why?: string;
      readonly sideEffects: readonly string[];
    };

/** Runs a cell in a world, which is afterwards as it was before. */
export async function runCell(world: World, cell: Cell): Promise<Result> {
  const random = randomOf(cell.words);
  const steps: (() => Promise<unknown>)[] = [];
  const scene = sceneOf(world, cell, random, (step) => {
    steps.unshift(step);
  });
  try {
    const truth = await cell.fault.inject(scene);
    await forgetFlows(scene);
    return await ask(scene, cell, truth);
  } finally {
    for (const step of steps) await step();
  }
}

function sceneOf(
  world: World,
  { protocol, direction, family, roles }: Cell,
  random: Random,
  undo: Scene['undo'],
): Scene {
  const { nodes } = world.lab;
  const [low, high, other] = random.pick(orders);
  const at = (index: number): LabNode => {
    const node = nodes[index];
    if (node === undefined) throw new Error('three nodes');
    return node;
  };
  const [from, to] =
    roles === undefined
      ? direction === 'forth'
        ? [at(low), at(high)]
        : [at(high), at(low)]
      : [world.lab.node(roles[0]), world.lab.node(roles[1])];
  const third = nodes.find((node) => node !== from && node !== to) ?? at(other);
  const udpPort = random.integer(1000, 32_000);
  const tcpPort = random.integer(1000, 32_000);
  const ports = {
    udp: udpPort,
    tcp: tcpPort,
    vxlan: world.tunnelPort,
    icmp: undefined,
    ipip: undefined,
  };
  return {
    world,
    sender: from,
    receiver: to,
    other: third,
    family,
    protocol,
    random,
    undo,
    udpPort,
    tcpPort,
    port: ports[protocol],
    spared: [agentPort, discardPort, udpPort, tcpPort, world.tunnelPort],
  };
}

/** Asked where a host answers nothing else (RFC 863). */
const discardPort = 9;

const orders = [
  [0, 1, 2],
  [0, 2, 1],
  [1, 2, 0],
] as const;

async function ask(scene: Scene, cell: Cell, truth: Truth): Promise<Result> {
  const { world, sender, receiver, family } = scene;
  const topic: Topic = truth.topic ?? cell.protocol;
  const asked = {
    family,
    udpPort: scene.udpPort,
    tcpPort: scene.tcpPort,
    topics: topicsIn(family).filter(
      // The sizes are slow, and seldom what is wrong.
      (one) => (one !== 'mtu' && one !== 'size') || one === topic,
    ),
  };
  const { document, seconds } = await world.check(sender, asked);
  const cast = { sender, receiver };
  const finding = primaryFinding(document, topic, cast);
  const score = scoreOf(finding, truth, cast);
  const alarms = falseAlarms(document, truth, cell.protocol, cast);
  let cure: Cure = { cured: 'none' };
  if (finding !== undefined && finding.remedy !== null && finding.outcome === 'fail') {
    let typed: readonly string[] = [];
    let why = '';
    try {
      typed = await applyRemedy(world, finding);
    } catch (error) {
      why = error instanceof Error ? error.message : String(error);
    }
    await forgetFlows(scene);
    const after = await world.check(sender, asked);
    const then = primaryFinding(after.document, topic, cast);
    if (then?.outcome !== 'pass') why += ` ${then?.outcome} ${then?.reason}`;
    const broad = truth.outcome === 'fail' && truth.spread.topics === 'all';
    cure = {
      cured: then?.outcome === 'pass' && why === '' ? 'yes' : 'no',
      typed:
        typed.length > 0
          ? typed
          : finding.remedy.flatMap(({ on, commands }) => commands.map((one) => `${on}: ${one}`)),
      ...(why === '' ? {} : { why }),
      sideEffects: sideEffects(document, after.document, {
        finding,
        protocol: cell.protocol,
        broad,
      }),
    };
  }
  return {
    words: cell.words,
    fault: cell.fault.name,
    protocol: cell.protocol,
    family,
    score,
    seconds,
    falseAlarms: alarms,
    cure,
    ...(finding === undefined ? {} : { finding }),
  };
}

async function forgetFlows({ sender, receiver, world }: Scene): Promise<void> {
  await Promise.all(
    [sender, receiver, world.router].map(async (place) => {
      await place.forgetFlows();
    }),
  );
}
