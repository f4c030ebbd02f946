/** @module A packet at one hook: what hangs there, in every order that is possible. */
import type { Hook } from '../model.ts';
import type { CompiledChain, Program } from './compile.ts';
import { change, type Device, joinStates, type Machine } from './machine.ts';
import { type Item, type ProtocolFamily, type Stage, stagesOf } from './order.ts';
import { type BaseResult, type Notes, runBase } from './run.ts';
import { type PacketState, stateBits } from './state.ts';
import { no, type Ternary, yes } from './ternary.ts';
import { lookUp } from './tracking.ts';
import type { Packet, Possibility, Step } from './types.ts';

export type FindStages = (
  family: ProtocolFamily,
  hook: Hook,
  device: string | undefined,
) => readonly Stage[];

/** Everything that is noted on the way. */
export interface Journey extends Notes {
  readonly program: Program;
  readonly packet: Packet;
  readonly machine: Machine;
  readonly stages: FindStages;
  /** Every base chain that was met. */
  readonly results: BaseResult[];
  /** Verdicts that end the way. */
  readonly ended: Possibility[];
  /** Whether the packet comes this far for sure. */
  met: boolean;
}

/** Where a packet is. */
export interface Place {
  readonly family: ProtocolFamily;
  readonly input: Device;
  readonly output: Device;
  /** At ingress and egress: the device, if its name is known. */
  readonly name: string | undefined;
  /** The hook is one that the packet may not come by. */
  readonly doubtful: boolean;
}

/** All places are made here: objects of one shape are what is fast to read. */
export function placeOf(
  family: ProtocolFamily,
  input: Device,
  output: Device,
  {
    name,
    doubtful = false,
  }: { readonly name?: string | undefined; readonly doubtful?: boolean } = {},
): Place {
  return { family, input, output, name, doubtful };
}

/** Of chains at one priority this many are tried in all orders: 120 of them. */
const largestGroup = 5;

/** Lets the packet through one hook. Undefined: it does not come out. */
export function passHook(
  journey: Journey,
  hook: Hook,
  state: PacketState,
  place: Place,
): PacketState | undefined {
  const { machine } = journey;
  machine.hook = hook;
  machine.input = place.input;
  machine.output = place.output;
  machine.state = state;
  // A chain of some device is met only if that one is meant.
  const byDevice = hook === 'ingress' || hook === 'egress';
  const certain = !place.doubtful && (!byDevice || place.name !== undefined);
  for (const stage of journey.stages(place.family, hook, place.name)) {
    const next = passStage(journey, stage, certain);
    if (next === undefined) return undefined;
    machine.state = next;
  }
  return machine.state;
}

function passStage(
  journey: Journey,
  { items, ordered }: Stage,
  certain: boolean,
): PacketState | undefined {
  if (ordered || !orderMatters(journey, items)) return passInOrder(journey, items, certain);
  return passInAnyOrder(journey, items, certain);
}

/** Lets the packet through one thing after the other, and notes what they did. */
function passInOrder(
  journey: Journey,
  items: readonly Item[],
  certain: boolean,
): PacketState | undefined {
  const { machine } = journey;
  for (const item of items) {
    const next = passItem(journey, item, certain);
    if (next === undefined) return undefined;
    machine.state = next;
  }
  return machine.state;
}

function passItem(journey: Journey, item: Item, certain: boolean): PacketState | undefined {
  const { machine, packet } = journey;
  switch (item.kind) {
    case 'conntrack':
      change(machine, { conntrack: lookUp(packet, machine.state) });
      return machine.state;
    case 'nat':
      return passNat(journey, item.chains);
    case 'chain':
      return passChain(journey, item.compiled, certain);
  }
}

/** `certain`: whether the chain is met if the packet comes this far. */
function passChain(
  journey: Journey,
  compiled: CompiledChain,
  certain: boolean,
): PacketState | undefined {
  const { machine } = journey;
  const before = machine.state;
  const { family } = compiled.chain;
  machine.protocolFamily = family === 'netdev' || family === 'bridge' ? family : before.family;
  const result = runBase(machine, compiled, journey.met && certain, journey);
  journey.results.push(result);
  for (const possibility of result.possible) {
    if (possibility.verdict === 'accept') continue;
    journey.ended.push(possibility);
    journey.met = false;
  }
  return certain ? result.accepted : joinStates(machine, before, result.accepted);
}

/** A run that leaves no trace: whether one of them stops the packet, or changes what the others see. */
function orderMatters(journey: Journey, items: readonly Item[]): boolean {
  const { machine } = journey;
  const { state } = machine;
  const rewrites = machine.rewrites.length;
  let stopping = 0;
  let changing = 0;
  for (const item of items) {
    const trial: Journey = { ...journey, path: [], unknowns: [], results: [], ended: [] };
    machine.state = state;
    const end = passItem(trial, item, true);
    if (trial.ended.length > 0) stopping += 1;
    if (end !== undefined && end.version !== state.version) changing += 1;
  }
  machine.state = state;
  machine.rewrites.length = rewrites;
  return changing + stopping > 0;
}

/** Tries every order; the packet that goes on is what all of them have in common. */
function passInAnyOrder(
  journey: Journey,
  items: readonly Item[],
  certain: boolean,
): PacketState | undefined {
  const { machine, met } = journey;
  const start = machine.state;
  let joined: PacketState | undefined;
  let stillMet = true;
  const outcomes: Pick<Journey, 'results' | 'path'>[] = [];
  for (const [index, order] of ordersOf(items).entries()) {
    machine.state = start;
    const rewrites = machine.rewrites.length;
    const attempt: Journey = index === 0 ? journey : { ...journey, path: [], results: [], met };
    const [results, steps] = [attempt.results.length, attempt.path.length];
    joined = joinStates(machine, joined, passInOrder(attempt, order, certain));
    stillMet &&= attempt.met;
    outcomes.push({ results: attempt.results.slice(results), path: attempt.path.slice(steps) });
    if (index > 0) machine.rewrites.length = rewrites;
  }
  mergeOutcomes(journey, outcomes);
  journey.met = stillMet;
  return joined;
}

/** What a chain or rule does in one order and not in all of them, it may do. */
function mergeOutcomes(
  journey: Journey,
  outcomes: readonly Pick<Journey, 'results' | 'path'>[],
): void {
  const [first] = outcomes;
  if (first === undefined) return;
  journey.results.length -= first.results.length;
  journey.path.length -= first.path.length;
  const results = new Map<CompiledChain, { readonly result: BaseResult; readonly count: number }>();
  for (const result of outcomes.flatMap((one) => one.results)) {
    const known = results.get(result.base);
    const merged = known === undefined ? result : mergeResults(known.result, result);
    results.set(result.base, { result: merged, count: (known?.count ?? 0) + 1 });
  }
  for (const { result, count } of results.values()) {
    journey.results.push({ ...result, met: result.met && count === outcomes.length });
  }
  journey.path.push(...mergePaths(outcomes.map(({ path }) => path)));
}

function mergeResults(a: BaseResult, b: BaseResult): BaseResult {
  const more = b.possible.filter((one) => !a.possible.some((other) => isSame(one, other)));
  return { ...a, met: a.met && b.met, possible: [...a.possible, ...more] };
}

function mergePaths(paths: readonly (readonly Step[])[]): readonly Step[] {
  const steps = new Map<string, { readonly step: Step; count: number; certain: boolean }>();
  for (const [number, path] of paths.entries()) {
    const seen = new Set<string>();
    for (const step of path) {
      const { rule, baseChain } = step;
      // A rule that is met twice in one order stays so.
      const place = `${baseChain.family} ${baseChain.table} ${baseChain.name} ${rule.chain} ${rule.index}`;
      let key = place;
      while (seen.has(key)) key += ' again';
      seen.add(key);
      const known = steps.get(key);
      if (known === undefined) {
        steps.set(key, { step, count: 1, certain: number === 0 && step.matched === 'yes' });
      } else {
        known.count += 1;
        known.certain &&= step.matched === 'yes';
      }
    }
  }
  return [...steps.values()].map(({ step, count, certain }) =>
    certain && count === paths.length ? step : { ...step, matched: 'maybe' },
  );
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
function passNat(journey: Journey, chains: readonly CompiledChain[]): PacketState | undefined {
  const { machine } = journey;
  const before = machine.state;
  const { conntrack } = before;
  const destination = machine.hook === 'prerouting' || machine.hook === 'output';
  const begins = stateBits.new | stateBits.related;
  if (conntrack.entry === no || conntrack.template) return before;
  if ((conntrack.states & begins) === 0) return before;
  // Over loopback it has been through output and postrouting, where all was chosen.
  if (machine.input.type === loopbackType && !machine.local) return before;
  const certain = conntrack.entry === yes && conntrack.states === stateBits.new;
  const chosen = (): Ternary =>
    destination ? machine.state.destinationChosen : machine.state.sourceChosen;
  for (const compiled of chains) {
    if (chosen() === yes) break;
    const next = passChain(journey, compiled, certain && chosen() === no);
    if (next === undefined) return undefined;
    machine.state = next;
  }
  const { status, ...rest } = machine.state.conntrack;
  change(machine, { conntrack: { ...rest, status: status | (destination ? 256 : 128) } });
  return certain ? machine.state : joinStates(machine, before, machine.state);
}

export function stagesFor(program: Program): FindStages {
  const known = { ip: new Map(), ip6: new Map(), bridge: new Map() } satisfies Record<
    ProtocolFamily,
    StagesOfHooks
  >;
  let count = 0;
  return (family, hook, device) => {
    const hooks: StagesOfHooks = known[family];
    let devices = hooks.get(hook);
    if (devices === undefined) {
      devices = new Map();
      hooks.set(hook, devices);
    }
    const remembered = devices.get(device);
    if (remembered !== undefined) return remembered;
    const stages = stagesOf(program, family, hook, device);
    // Names of devices come with the questions: a bounded number is kept.
    count += 1;
    if (count < 1000) devices.set(device, stages);
    return stages;
  };
}

type StagesOfHooks = Map<Hook, Map<string | undefined, readonly Stage[]>>;
