/** @module What was noted on the way -> the answer. */
import type { BaseResult } from './run.ts';
import { destinationOf, type PacketState } from './state.ts';
import { maybe, no, type Ternary, yes } from './ternary.ts';
import { isSame, type Journey } from './traverse.ts';
import type { Answer, Decider, Possibility } from './types.ts';

export function answerOf(
  journey: Journey,
  start: PacketState,
  arrived: PacketState | undefined,
): Answer {
  const possible = distinct(journey.ended);
  const accepts = arrived === undefined ? [] : acceptors(journey.results);
  possible.push(...accepts);
  const verdicts = new Set(possible.map(({ verdict }) => verdict));
  const [first] = possible;
  const verdict = verdicts.size === 1 && first !== undefined ? first.verdict : 'undetermined';
  return {
    verdict,
    ...(verdict === 'reject' && first?.reject !== undefined ? { reject: first.reject } : {}),
    decidedBy: first?.decidedBy ?? { kind: 'none' },
    candidates:
      verdict === 'undetermined' ? [] : possible.slice(1).map(({ decidedBy }) => decidedBy),
    possible,
    path: journey.path,
    chains: journey.results.map(({ base, met, possible: ways }) => ({
      chain: base.chain,
      met: met ? 'yes' : 'maybe',
      possible: ways,
    })),
    unknowns: journey.unknowns,
    rewrites: journey.machine.rewrites,
    arrives: arrived === undefined ? 'as-asked' : arrivalOf(journey, start, arrived),
  };
}

function distinct(possibilities: readonly Possibility[]): Possibility[] {
  const result: Possibility[] = [];
  for (const one of possibilities) {
    if (!result.some((other) => isSame(one, other))) result.push(one);
  }
  return result;
}

const none: Possibility = { verdict: 'accept', decidedBy: { kind: 'none' } };

/**
 * Of the last hook that has chains of type filter (or, without any, of the last hook): the last chain in which a rule accepts, else the policy
 * of the last one. The first is the one to name. Where the packet may not come to a chain, the one before it may be the last.
 */
function acceptors(results: readonly BaseResult[]): Possibility[] {
  const filters = results.filter(({ base }) => base.chain.base?.type === 'filter');
  const considered = filters.length > 0 ? filters : results;
  const hook = considered.at(-1)?.base.chain.base?.hook;
  const last = considered.filter(({ base }) => base.chain.base?.hook === hook);
  const found: Possibility[] = [];
  for (const { possible, met } of last.toReversed()) {
    const accepts = possible.filter(({ verdict }) => verdict === 'accept');
    if (!accepts.some(isByRule)) continue;
    found.push(...accepts);
    if (met) return distinct(found);
  }
  for (const { possible, met } of considered.toReversed()) {
    found.push(...possible.filter(({ verdict }) => verdict === 'accept'));
    if (met) break;
  }
  return found.length > 0 ? distinct(found) : [none];
}

function isByRule({ decidedBy }: { readonly decidedBy: Decider }): boolean {
  return decidedBy.kind === 'rule';
}

function arrivalOf(journey: Journey, start: PacketState, end: PacketState): Answer['arrives'] {
  const moved = movedOf(journey, start, end);
  if (moved === yes) return 'elsewhere';
  return moved === maybe || end.intercepted !== no ? 'maybe-elsewhere' : 'as-asked';
}

/** Another port, or the address of another host. */
function movedOf({ machine, packet }: Journey, start: PacketState, end: PacketState): Ternary {
  if (end.redirected === no) return no;
  const port = differs(
    { value: start.bytes, known: start.known, at: start.transportOffset + 2 },
    { value: end.bytes, known: end.known, at: end.transportOffset + 2 },
    2,
  );
  const [asked, found] = [destinationOf(start), destinationOf(end)];
  const length = asked.value.length;
  const address = differs({ ...asked, at: 0 }, { ...found, at: 0 }, length);
  const away =
    packet.direction === 'in'
      ? awayFrom(
          address,
          machine.host.isLocal(end.family, found.value, found.known),
          machine.rewrites,
        )
      : address;
  const moved = port > away ? port : away;
  return end.redirected === maybe && moved === yes ? maybe : moved;
}

/** Another address of this host is no other host. */
function awayFrom(
  address: Ternary,
  local: Ternary,
  rewrites: readonly { readonly kind: string }[],
): Ternary {
  if (address === no || local === yes) return no;
  if (rewrites.every(({ kind }) => kind === 'redirect')) return no;
  return local === no ? address : maybe;
}

interface Place {
  readonly value: Uint8Array;
  readonly known: Uint8Array;
  readonly at: number;
}

/** `no` where nothing was written. */
function differs(a: Place, b: Place, length: number): Ternary {
  let result: Ternary = no;
  for (let index = 0; index < length; index++) {
    const [x = 0, y = 0] = [a.value[a.at + index], b.value[b.at + index]];
    const [xKnown = 0, yKnown = 0] = [a.known[a.at + index], b.known[b.at + index]];
    if (((x ^ y) & xKnown & yKnown) !== 0) return yes;
    if (xKnown !== yKnown || ((x ^ y) & yKnown) !== 0) result = maybe;
  }
  return result;
}
