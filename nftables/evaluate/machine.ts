/** @module The register machine that expressions run on: registers and a packet of which some bits are not known. */
import type { Expression, Hook, IpSet, Reject, Rule, SetElement, Verdict } from '../model.ts';
import type { Host } from './host.ts';
import { type Conntrack, join, type PacketState } from './state.ts';
import { maybe, type Ternary } from './ternary.ts';
import type { Rewrite } from './types.ts';

/** A device that the packet came in or goes out by. */
export interface Device {
  /** Whether there is one: in `input` none goes out, in `output` none came in. */
  readonly present: Ternary;
  /** Its name, where all of it is known. */
  readonly text?: string;
  /** The name in 16 bytes, padded with zeros. Absent: not known, as all below. */
  readonly name?: Uint8Array;
  /** The bits of the name that are known. Absent: all. */
  readonly nameKnown?: Uint8Array;
  readonly index?: number;
  /** ARPHRD_* */
  readonly type?: number;
  readonly group?: number;
  /** `null`: of no kind, a physical one. */
  readonly kind?: string | null;
}

/** What ends a rule: a verdict of nf_tables, or what only some expressions do. */
export type Ending = Verdict | { readonly code: 'reject'; readonly reject: Reject };

/**
 * What a step of a rule says. `no`: the rule does not match, `maybe`: it goes on or not, for the reason in `machine.why`, `yes`: it goes on.
 * `ends`: one of `machine.endings` happens; where `machine.endingCertain` is false the rule may also not match. `mayEnd`: one of them happens, or
 * the rule goes on, or does not match.
 */
export type StepResult = Ternary | 3 | 4;
export const ends = 3;
export const mayEnd = 4;
export type Step = (machine: Machine) => StepResult;

export interface Machine {
  state: PacketState;
  readonly registers: Uint8Array;
  /** The bits of `registers` that are known. */
  readonly known: Uint8Array;
  /** Of each register: what its content is, for the reason of a maybe. */
  readonly origins: string[];
  /** The family whose chain runs, by the kernel's idea (nft_pf): an inet chain sees ip or ip6. */
  protocolFamily: 'ip' | 'ip6' | 'netdev' | 'bridge';
  hook: Hook;
  input: Device;
  output: Device;
  readonly host: Host;
  /** Of the last maybe. */
  why: string;
  endings: readonly Ending[];
  endingCertain: boolean;
  /** Reported by NAT: the rule whose step runs. */
  rule: Rule | undefined;
  /** Whether the running rule matched for sure so far and was met for sure. */
  certain: boolean;
  readonly rewrites: Rewrite[];
  /** Steps that may still be taken before the evaluation gives up. */
  budget: number;
  lastVersion: number;
  /** What a socket's owner is, of a packet that this host sends. */
  readonly userId: number | undefined;
  readonly groupId: number | undefined;
  readonly local: boolean;
}

const registerBytes = 64;

/** Room behind the last register: a load of hostile length ends there, unknown. */
export function createRegisters(): Pick<Machine, 'registers' | 'known' | 'origins'> {
  return {
    registers: new Uint8Array(registerBytes),
    known: new Uint8Array(registerBytes),
    origins: Array.from({ length: 16 }, () => 'an unset register'),
  };
}

export function nextVersion(machine: Machine): number {
  machine.lastVersion += 1;
  return machine.lastVersion;
}

/** Takes a changed state; the same one if nothing changes. */
export function change(machine: Machine, changes: Partial<PacketState>): void {
  const { state } = machine;
  if (!brings(state, changes)) return;
  machine.state = { ...state, ...changes, version: nextVersion(machine) };
}

/** Whether some field gets another value. */
function brings<T extends object>(old: T, changes: Partial<T>): boolean {
  for (const key in changes) if (old[key] !== changes[key]) return true;
  return false;
}

export function changeConntrack(machine: Machine, changes: Partial<Conntrack>): void {
  const { conntrack } = machine.state;
  if (!brings(conntrack, changes)) return;
  change(machine, { conntrack: { ...conntrack, ...changes } });
}

export function joinStates(
  machine: Machine,
  a: PacketState | undefined,
  b: PacketState | undefined,
): PacketState | undefined {
  return join(a, b, () => nextVersion(machine));
}

/** Fills the registers from `register` on with the bytes from `at` on; the rest of the last one is zero, as nft_reg_store8 and its like leave it. */
export function store(
  machine: Machine,
  register: number,
  value: Uint8Array,
  known: Uint8Array | undefined,
  length: number,
  origin: string,
  at = 0,
): void {
  const start = register * 4;
  const end = Math.min(registerBytes, start + length);
  const padded = Math.min(registerBytes, start + ((length + 3) & ~3));
  for (let index = start; index < end; index++) {
    const from = at + index - start;
    machine.registers[index] = value[from] ?? 0;
    machine.known[index] = known === undefined ? 255 : (known[from] ?? 0);
  }
  for (let index = end; index < padded; index++) {
    machine.registers[index] = 0;
    machine.known[index] = 255;
  }
  for (let word = register; word < padded >> 2; word++) machine.origins[word] = origin;
}

/** Stores a 32-bit number in host order. */
export function storeWord(
  machine: Machine,
  register: number,
  value: number,
  known: number,
  origin: string,
): void {
  const start = register * 4;
  for (let index = 0; index < 4 && start + index < registerBytes; index++) {
    machine.registers[start + index] = value >>> (index * 8);
    machine.known[start + index] = known >>> (index * 8);
  }
  machine.origins[register] = origin;
}

/** Marks the content of a register as not known at all. */
export function storeUnknown(
  machine: Machine,
  register: number,
  length: number,
  origin: string,
): void {
  store(machine, register, empty, empty, length, origin);
}
const empty = new Uint8Array(0);

/** A 32-bit number in host order from a register. */
export function loadWord(
  machine: Machine,
  register: number,
): { readonly value: number; readonly known: number } {
  const start = register * 4;
  let value = 0;
  let known = 0;
  for (let index = 3; index >= 0; index--) {
    value = (value << 8) | (machine.registers[start + index] ?? 0);
    known = (known << 8) | (machine.known[start + index] ?? 0);
  }
  return { value: value >>> 0, known: known >>> 0 };
}

/** `maybe`, with its reason. */
export function because(machine: Machine, why: string): StepResult {
  machine.why = why;
  return maybe;
}

/** Ends the rule with one verdict. */
export function end(machine: Machine, ending: Ending): StepResult {
  machine.endings = [ending];
  machine.endingCertain = true;
  return ends;
}

/** Ends the rule with one of several, or, unless `certain`, with none of them. */
export function endWith(
  machine: Machine,
  endings: readonly Ending[],
  certain: boolean,
  why: string,
): StepResult {
  machine.endings = endings;
  machine.endingCertain = certain;
  machine.why = why;
  return ends;
}

/** One of some verdicts, or the rule goes on with its next expression, or does not match. */
export function mayEndWith(machine: Machine, endings: readonly Ending[], why: string): StepResult {
  machine.endings = endings;
  machine.endingCertain = false;
  machine.why = why;
  return mayEnd;
}

/** Tables and sets that the expressions of one table see. */
export interface Scope {
  /** Name of its set -> finder. */
  readonly findSet: (name: string) => SetFinder | undefined;
  readonly findObject: (type: string | undefined, name: string) => Expression | undefined;
  /** Finds a set of ip_set by its number. */
  readonly findIpSet: (index: number) => IpSet | undefined;
  readonly findIpSetNamed: (name: string) => IpSet | undefined;
  /** Whether some rule adds to it or takes from it. */
  readonly isIpSetChanged: (index: number) => boolean;
}

/** What may be found under a key of which some bits are not known. */
export interface Found {
  /** Elements that the key may be of, each other one. */
  readonly elements: readonly SetElement[];
  /** Whether one is found. */
  readonly found: Ternary;
  readonly why: string;
}

export interface SetFinder {
  readonly keyLength: number;
  find(value: Uint8Array, known: Uint8Array, at: number): Found;
}
