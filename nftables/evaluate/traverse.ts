/** @module The way of a packet through the hooks. */
import type { Hook } from '../model.ts';
import type { CompiledChain, Program } from './compile.ts';
import { change, type Device, joinStates, type Machine } from './machine.ts';
import { type Group, type Stage, stagesOf } from './order.ts';
import { type BaseResult, type Record, runBase } from './run.ts';
import { type PacketState, stateBits } from './state.ts';
import { no, yes } from './ternary.ts';
import { lookUp } from './tracking.ts';
import type { Packet, Possibility } from './types.ts';

/** Everything that is noted on the way. */
export interface Journey extends Record {
  readonly program: Program;
  readonly packet: Packet;
  readonly machine: Machine;
  readonly stages: (hook: Hook, device: string | undefined) => readonly Stage[];
  /** Every base chain that was met, with its hook. */
  readonly results: BaseResult[];
  /** Verdicts that end the way. */
  readonly ended: Possibility[];
  /** Whether the packet comes this far for sure. */
  met: boolean;
}

/** Largest group of equal priority whose orders are all tried: 120 of them. */
const largestGroup = 5;

/** Lets the packet through one hook. Undefined: it does not come out. */
export function passHook(
  journey: Journey,
  hook: Hook,
  state: PacketState,
  devices: { readonly input: Device; readonly output: Device; readonly name?: string | undefined },
): PacketState | undefined {
  const { machine } = journey;
  machine.hook = hook;
  machine.input = devices.input;
  machine.output = devices.output;
  machine.state = state;
  for (const stage of journey.stages(hook, devices.name)) {
    const next = passStage(journey, stage, hook, devices.name);
    if (next === undefined) return undefined;
    machine.state = next;
  }
  return machine.state;
}

function passStage(
  journey: Journey,
  stage: Stage,
  hook: Hook,
  device: string | undefined,
): PacketState | undefined {
  switch (stage.kind) {
    case 'conntrack':
      return track(journey);
    case 'nat':
      return passNat(journey, stage.groups, hook);
    case 'chains': {
      // A chain of some device is met only if that one is meant.
      const certain = (hook !== 'ingress' && hook !== 'egress') || device !== undefined;
      return passGroup(journey, stage.group, certain);
    }
  }
}

function track({ machine, packet, program }: Journey): PacketState {
  const { state } = machine;
  if (program.tracks(state.family)) change(machine, { conntrack: lookUp(packet, state) });
  return machine.state;
}

const chainFamily = (machine: Machine, { chain }: CompiledChain): Machine['protocolFamily'] =>
  chain.family === 'netdev' || chain.family === 'bridge' ? chain.family : machine.state.family;

function runOne(journey: Journey, compiled: CompiledChain, met: boolean): BaseResult {
  const { machine } = journey;
  machine.protocolFamily = chainFamily(machine, compiled);
  return runBase(machine, compiled, met, journey);
}

/** Runs chains one after the other, and notes what they did. */
function runInOrder(
  journey: Journey,
  chains: readonly CompiledChain[],
  certain: boolean,
): PacketState | undefined {
  const { machine } = journey;
  for (const compiled of chains) {
    const before = machine.state;
    const result = runOne(journey, compiled, journey.met && certain);
    noteResult(journey, result);
    const next = certain ? result.accepted : joinStates(machine, before, result.accepted);
    if (
      result.accepted === undefined ||
      result.possible.some(({ verdict }) => verdict !== 'accept')
    ) {
      journey.met = false;
    }
    if (next === undefined) return undefined;
    machine.state = next;
  }
  return machine.state;
}

function noteResult(journey: Journey, result: BaseResult): void {
  journey.results.push(result);
  for (const possibility of result.possible) {
    if (possibility.verdict !== 'accept') journey.ended.push(possibility);
  }
}

function passGroup(
  journey: Journey,
  { chains, ordered }: Group,
  certain: boolean,
): PacketState | undefined {
  if (ordered || chains.length === 1) return runInOrder(journey, chains, certain);
  if (!orderMatters(journey, chains)) return runInOrder(journey, chains, certain);
  return passInAnyOrder(journey, chains, certain);
}

/** A run that leaves no trace: whether two chains stop the packet, or one changes what the others see. */
function orderMatters(journey: Journey, chains: readonly CompiledChain[]): boolean {
  const { machine } = journey;
  const { state } = machine;
  const rewrites = machine.rewrites.length;
  let stopping = 0;
  let changing = 0;
  for (const compiled of chains) {
    const trial: Journey = { ...journey, path: [], unknowns: [], results: [], ended: [] };
    machine.state = state;
    const result = runOne(trial, compiled, false);
    if (result.possible.some(({ verdict }) => verdict !== 'accept')) stopping += 1;
    if (result.accepted !== undefined && result.accepted.version !== state.version) changing += 1;
  }
  machine.state = state;
  machine.rewrites.length = rewrites;
  return changing > 0 || stopping > 1;
}

/** Tries every order; the packet that goes on is what all of them have in common. */
function passInAnyOrder(
  journey: Journey,
  chains: readonly CompiledChain[],
  certain: boolean,
): PacketState | undefined {
  const { machine } = journey;
  const start = machine.state;
  const { met } = journey;
  let joined: PacketState | undefined;
  let first = true;
  let stillMet = met;
  for (const order of ordersOf(chains)) {
    machine.state = start;
    const attempt: Journey = first ? journey : { ...journey, path: [], results: [], met };
    const rewrites = machine.rewrites.length;
    const end = runInOrder(attempt, order, certain);
    if (first) stillMet = journey.met;
    else {
      machine.rewrites.length = rewrites;
      stillMet &&= attempt.met;
      mergeResults(journey, attempt.results);
    }
    joined = joinStates(machine, joined, end);
    first = false;
  }
  journey.met = stillMet;
  return joined;
}

/** What a chain may do in another order is possible too. */
function mergeResults(journey: Journey, results: readonly BaseResult[]): void {
  for (const result of results) {
    const index = journey.results.findIndex(({ base }) => base === result.base);
    const known = journey.results[index];
    if (known === undefined) journey.results.push(result);
    else {
      const more = result.possible.filter(
        (one) => !known.possible.some((other) => isSame(one, other)),
      );
      if (more.length > 0) {
        journey.results[index] = { ...known, possible: [...known.possible, ...more] };
      }
    }
  }
}

export function isSame(a: Possibility, b: Possibility): boolean {
  const [one, other] = [a.decidedBy, b.decidedBy];
  if (a.verdict !== b.verdict || one.kind !== other.kind) return false;
  if (one.kind === 'rule' && other.kind === 'rule') {
    return one.rule === other.rule && one.baseChain === other.baseChain;
  }
  return one.kind !== 'policy' || other.kind !== 'policy' || one.chain === other.chain;
}

/** Every order of a few; of many each one first, in both directions. */
export function ordersOf<T>(items: readonly T[]): readonly (readonly T[])[] {
  if (items.length > largestGroup) {
    return items.flatMap((_, index) => {
      const turned = [...items.slice(index), ...items.slice(0, index)];
      return [turned, turned.toReversed()];
    });
  }
  if (items.length <= 1) return [items];
  return items.flatMap((item, index) =>
    ordersOf([...items.slice(0, index), ...items.slice(index + 1)]).map((rest) => [item, ...rest]),
  );
}

// ARPHRD_LOOPBACK
const loopbackType = 772;

/**
 * nf_nat_inet_fn: the first packet of a connection goes through the chains of type nat until one has chosen; others get what was chosen
 * before, and untracked ones nothing.
 */
function passNat(journey: Journey, groups: readonly Group[], hook: Hook): PacketState | undefined {
  const { machine } = journey;
  const before = machine.state;
  const { conntrack } = before;
  const destination = hook === 'prerouting' || hook === 'output';
  const begins = stateBits.new | stateBits.related;
  if (conntrack.entry === no || conntrack.template || (conntrack.states & begins) === 0)
    return before;
  // Over loopback it has been through output and postrouting, where all was chosen.
  if (machine.input.type === loopbackType && !machine.local) return before;
  const certain = conntrack.entry === yes && conntrack.states === stateBits.new;
  const chosen = (): 0 | 1 | 2 =>
    destination ? machine.state.destinationChosen : machine.state.sourceChosen;
  const { met } = journey;
  for (const { chains } of groups) {
    for (const compiled of chains) {
      if (chosen() === yes) break;
      const sure = certain && chosen() === no;
      const end = runInOrder(journey, [compiled], sure);
      if (end === undefined) return undefined;
    }
  }
  if (!certain) journey.met = met && journey.ended.length === 0;
  const done = destination ? 256 : 128;
  const after = machine.state.conntrack;
  change(machine, { conntrack: { ...after, status: after.status | done } });
  return certain ? machine.state : joinStates(machine, before, machine.state);
}

export function stagesFor(program: Program, family: 'ip' | 'ip6'): Journey['stages'] {
  const known = new Map<string, readonly Stage[]>();
  return (hook, device) => {
    const key = `${hook} ${device ?? ''}`;
    const stages = known.get(key) ?? stagesOf(program, family, hook, device);
    // Names of devices come with the questions: a bounded number is kept.
    if (known.size < 1000) known.set(key, stages);
    return stages;
  };
}
