/**
 * Says what the firewall does with a packet, as the kernel would. Pure: no files, no sockets, no clock.
 *
 * @module node-nftables/evaluate
 */
import type { Ruleset } from '../model.ts';
import { answerOf } from './answer.ts';
import { compileRuleset } from './compile.ts';
import { noDevice, prepareHost } from './host.ts';
import { travel } from './journey.ts';
import { createRegisters, type Machine } from './machine.ts';
import { initialState } from './packet.ts';
import { type Journey, stagesFor } from './traverse.ts';
import type { Answer, Environment, Packet } from './types.ts';

export type * from './types.ts';

/** A ruleset made ready for questions. */
export interface Evaluator {
  /** Never throws. An answer always holds the kernel's verdict among its possible ones. */
  evaluate(packet: Packet): Answer;
}

/** Rules that one question may meet before it is given up as undetermined. */
const mostRules = 2_000_000;

/** Makes a ruleset ready. What no packet meets costs nothing: chains are compiled when the first one comes by. */
export function compile(ruleset: Ruleset, environment: Environment): Evaluator {
  const program = compileRuleset(ruleset);
  const host = prepareHost(environment);
  const stages = stagesFor(program);
  // One question is answered at a time: all use the same registers.
  const { registers, known, origins } = createRegisters();
  return {
    evaluate(packet) {
      const start = initialState(packet);
      const machine: Machine = {
        registers,
        known,
        origins,
        state: start,
        protocolFamily: packet.family,
        hook: 'prerouting',
        input: noDevice,
        output: noDevice,
        host,
        why: '',
        endings: [],
        endingCertain: true,
        rule: undefined,
        certain: true,
        rewrites: [],
        budget: mostRules,
        lastVersion: 0,
        local: packet.direction === 'out',
        userId: packet.userId,
        groupId: packet.groupId,
      };
      const journey: Journey = {
        program,
        packet,
        machine,
        stages,
        path: [],
        unknowns: [],
        results: [],
        ended: [],
        met: true,
      };
      return answerOf(journey, start, travel(journey));
    },
  };
}

const compiled = new WeakMap<Ruleset, WeakMap<Environment, Evaluator>>();

/** Answers one question. The ruleset is made ready once for all questions with the same environment object. */
export function evaluate(ruleset: Ruleset, packet: Packet, environment: Environment): Answer {
  const ofRuleset = compiled.get(ruleset) ?? new WeakMap<Environment, Evaluator>();
  compiled.set(ruleset, ofRuleset);
  const evaluator = ofRuleset.get(environment) ?? compile(ruleset, environment);
  ofRuleset.set(environment, evaluator);
  return evaluator.evaluate(packet);
}
