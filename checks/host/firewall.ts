/** @module The firewall of this host as the kernel runs it now, with what its rules can ask of the host. Reading changes nothing. */
import { readFile } from 'node:fs/promises';
import {
  type Answer,
  compile,
  evaluate,
  KernelError,
  type Packet,
  type Ruleset,
  readGeneration,
  readRuleset,
} from 'node-nftables';
import { type FirewallQuestion, type Judgement, judge, packetOf } from '../firewall-verdict.ts';
import { type ManagerFacts, unknownManagers } from '../remedy/managers.ts';
import type { DevicePair } from '../remedy/opening.ts';
import { type Remedy, remediesFor } from '../remedy/remedy.ts';
import { createFiles } from './files.ts';
import { readManagers } from './firewall-managers.ts';
import { HostError } from './host.ts';
import { type PacketProgram, programsOnPath, readPacketPrograms } from './packet-programs.ts';
import { readRoute } from './rtnetlink.ts';
import { readSurroundings, type Surroundings } from './surroundings.ts';

/** The way to an address: through which interface, and from which of this host's addresses. */
export interface Way {
  readonly interface: string;
  readonly source?: string;
}

/** One consistent picture of the firewall; it does not change, a later reading gives another. */
export interface FirewallView {
  readonly ruleset: Ruleset;
  readonly surroundings: Surroundings;
  evaluate(packet: Packet): Answer;
  /** What is on the packet's way that the evaluation does not know. */
  programsFor(packet: Packet): readonly PacketProgram[];
  way(address: string): Way | undefined;
  /** Asks about a path between this node and another; the same question is answered once. */
  judge(question: FirewallQuestion): Judgement;
  /** What to type on this node so that a packet passes that does not; empty where nothing would do, or enough was said already. */
  remediesFor(packet: Packet, devices?: DevicePair): readonly Remedy[];
}

export type FirewallReading =
  | { readonly readable: true; readonly view: FirewallView }
  | {
      readonly readable: false;
      readonly reason: 'missing-net-admin' | 'permission-denied' | 'firewall-undetermined';
      readonly why: string;
    };

/** Reads the firewall, and remembers it while nothing changes. */
export interface Firewall {
  read(): Promise<FirewallReading>;
  /** The latest picture, without looking again; undefined while there is none. */
  readonly latest: FirewallView | undefined;
}

/** Legacy iptables and ipset tell no changes: they are read again after so long. */
const pollMs = 29_000;
/** Interfaces, addresses and routes are looked at again after so long. */
const surroundingsMs = 5000;
/** Judgements that are kept of one picture. */
const keptJudgements = 20_000;
/** Remedies that are looked for in one picture, for all peers of one port: each needs an evaluation of its own. */
const mostRemedies = 32;

export interface FirewallOptions {
  /** Where the node's own file system is. */
  readonly root?: string;
  readonly netAdmin: boolean;
}

interface Reading {
  readonly signature: string;
  readonly ruleset: Ruleset;
  readonly readAtMs: number;
  readonly isPolled: boolean;
}

/** The host around the rules, as it was looked at last. */
interface Around {
  readonly surroundings: Surroundings;
  readonly programs: readonly PacketProgram[];
  readonly text: string;
  readonly readAtMs: number;
}

export function createFirewall({ root, netAdmin }: FirewallOptions): Firewall {
  const options = root === undefined ? {} : { root };
  let rules: Reading | undefined;
  let around: Around | undefined;
  let view: FirewallView | undefined;
  let managers = unknownManagers;
  const files = createFiles(root ?? '/');
  let running: Promise<FirewallReading> | undefined;

  async function readRules(): Promise<Reading> {
    const legacy = await legacyNames();
    const signature = `${await readGeneration(options)} ${legacy}`;
    const now = performance.now();
    if (rules?.signature === signature) {
      if (!rules.isPolled || now - rules.readAtMs < pollMs) return rules;
    }
    const ruleset = await readRuleset(options);
    const isPolled = legacy !== '' || ruleset.ipsets.length > 0;
    return { signature: `${ruleset.generation} ${legacy}`, ruleset, readAtMs: now, isPolled };
  }

  function lookAround(): Around {
    const now = performance.now();
    if (around !== undefined && now - around.readAtMs < surroundingsMs) return around;
    const surroundings = readSurroundings();
    const programs = readPacketPrograms(surroundings.interfaces);
    const text = JSON.stringify([surroundings, programs]);
    around =
      text === around?.text
        ? { ...around, readAtMs: now }
        : { surroundings, programs, text, readAtMs: now };
    return around;
  }

  async function readOnce(): Promise<FirewallReading> {
    if (!netAdmin)
      return {
        readable: false,
        reason: 'missing-net-admin',
        why: 'reading the firewall needs CAP_NET_ADMIN',
      };
    try {
      const fresh = await readRules();
      managers = await readManagers(files);
      const { surroundings, programs } = lookAround();
      if (fresh.ruleset !== rules?.ruleset || surroundings !== view?.surroundings)
        view = createView(fresh.ruleset, surroundings, { programs, managers: () => managers });
      rules = fresh;
      if (view === undefined) throw new Error('a reading without a view');
      return { readable: true, view };
    } catch (cause) {
      view = undefined;
      return unreadable(cause);
    }
  }

  return {
    get latest() {
      return view;
    },
    async read() {
      running ??= readOnce().finally(() => {
        running = undefined;
      });
      return await running;
    },
  };
}

/** A picture made of what was read. */
export function createView(
  ruleset: Ruleset,
  surroundings: Surroundings,
  given: {
    readonly programs: readonly PacketProgram[];
    readonly way?: (address: string) => Way | undefined;
    readonly managers?: () => ManagerFacts;
  },
): FirewallView {
  const compiled = compile(ruleset, surroundings);
  const { programs } = given;
  const findWay = given.way ?? ((address: string) => readWay(address, surroundings));
  const ways = new Map<string, Way | undefined>();
  const judgements = new Map<string, Judgement>();
  const remedies = createRemedies(ruleset, surroundings, given.managers ?? (() => unknownManagers));
  const view: FirewallView = {
    ruleset,
    surroundings,
    evaluate: (packet) => compiled.evaluate(packet),
    programsFor: (packet) => programsOnPath(programs, surroundings.interfaces, packet),
    way(address) {
      if (!ways.has(address)) ways.set(address, findWay(address));
      return ways.get(address);
    },
    judge(question) {
      const key = Object.values(question).join(' ');
      const known = judgements.get(key);
      if (known !== undefined) return known;
      const packet = packetOf(question, view.way(question.peer));
      const judgement = judge(packet, view.evaluate(packet), view.programsFor(packet), ruleset);
      if (judgements.size >= keptJudgements) judgements.clear();
      judgements.set(key, judgement);
      return judgement;
    },
    remediesFor: (packet, devices) => remedies(packet, () => compiled.evaluate(packet), devices),
  };
  return view;
}

/** Looks for remedies, for a few peers of each port: thousands that one rule drops are told by the first. */
function createRemedies(
  ruleset: Ruleset,
  environment: Surroundings,
  managers: () => ManagerFacts,
): (packet: Packet, answer: () => Answer, devices?: DevicePair) => readonly Remedy[] {
  const known = new Map<string, readonly Remedy[]>();
  const counts = new Map<string, number>();
  return (packet, answer, devices) => {
    const key = JSON.stringify([packet, devices]);
    const found = known.get(key);
    if (found !== undefined) return found;
    const { direction, protocol, destinationPort, family } = packet;
    const kind = [direction, protocol, destinationPort, family].join(' ');
    const count = counts.get(kind) ?? 0;
    if (count >= mostRemedies || counts.size >= keptJudgements) return [];
    counts.set(kind, count + 1);
    const question = { ruleset, environment, packet, answer: answer(), managers: managers() };
    const result = remediesFor({
      ...question,
      ...(devices === undefined ? {} : { devices }),
      evaluate,
    });
    known.set(key, result);
    return result;
  };
}

function readWay(address: string, { links }: Surroundings): Way | undefined {
  const route = readRoute(address, links);
  if (route === undefined || route.interface === '') return undefined;
  const { interface: name, source } = route;
  return source === undefined ? { interface: name } : { interface: name, source };
}

/** Names of the legacy tables that exist; empty where there are none. Only uid 0 of the namespace may read them. */
async function legacyNames(): Promise<string> {
  const lists = ['/proc/net/ip_tables_names', '/proc/net/ip6_tables_names'].map(async (path) => {
    try {
      return (await readFile(path, 'utf8')).trim();
    } catch (cause) {
      if (isCoded(cause) && cause.code === 'ENOENT') return '';
      throw cause;
    }
  });
  return (await Promise.all(lists)).join(' ').trim();
}

function unreadable(cause: unknown): Extract<FirewallReading, { readable: false }> {
  if (!isCoded(cause)) throw cause;
  const why = cause.message;
  if (cause.code === 'EPERM' && cause instanceof KernelError)
    return { readable: false, reason: 'missing-net-admin', why };
  if (cause.code === 'EPERM' || cause.code === 'EACCES')
    return { readable: false, reason: 'permission-denied', why };
  if (cause instanceof KernelError || cause instanceof HostError)
    return { readable: false, reason: 'firewall-undetermined', why };
  throw cause;
}

function isCoded(cause: unknown): cause is Error & { readonly code: string } {
  return cause instanceof Error && 'code' in cause && typeof cause.code === 'string';
}
