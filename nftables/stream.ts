/** @module Reads rule by rule, for rulesets of any size. */
import { RuleStore } from './decode/rule-store.ts';
import { KernelError } from './errors.ts';
import { readLegacy } from './legacy.ts';
import type { Rule } from './model.ts';
import { isControl, isInterrupted, NetfilterSocket } from './netlink.ts';
import {
  askGeneration,
  hasNftables,
  isAbsence,
  known,
  type ReadOptions,
  readChains,
  rulesOf,
} from './read.ts';

/** Rules that share what they are kept in: enough to find equal expressions, few enough to forget. */
const rulesOfStore = 4096;

/**
 * Hands over every rule, those of nf_tables first; only a piece of the ruleset is in memory. What was handed over cannot be taken back: where
 * the ruleset changed meanwhile, it ends with KernelError EAGAIN.
 */
export async function* streamRules(options: ReadOptions = {}): AsyncGenerator<Rule, undefined> {
  if (await hasNftables(options)) {
    try {
      for await (const batch of streamNftables()) yield* batch;
    } catch (cause) {
      if (!isAbsence(cause)) throw cause;
    }
  }
  yield* (await readLegacy(options.root ?? '/')).rules;
}

/** In batches as they come, because each turn of an asynchronous generator costs. */
async function* streamNftables(): AsyncGenerator<readonly Rule[], undefined> {
  using socket = new NetfilterSocket();
  const before = askGeneration(socket);
  let store = new RuleStore();
  let count = 0;
  const chains = await readChains(socket);
  if (chains === undefined) throw changed();
  try {
    for (const chain of chains) {
      let index = 0;
      for (const piece of socket.pieces(rulesOf(chain))) {
        if (piece.some(isInterrupted)) throw changed();
        const batch: Rule[] = [];
        for (const message of piece) {
          if (!isControl(message)) batch.push(known(store.add(message.payload, ++index)));
        }
        count += batch.length;
        if (count > rulesOfStore) {
          store = new RuleStore();
          count = 0;
        }
        yield batch;
        await socket.rest();
      }
    }
  } catch (cause) {
    // A chain is gone.
    if (cause instanceof KernelError && cause.code === 'ENOENT') throw changed();
    throw cause;
  }
  if (askGeneration(socket) !== before) throw changed();
}

function changed(): KernelError {
  return new KernelError('EAGAIN', 'nf_tables changed while it was read');
}
