/**
 * Reading alone, for who neither asks nor writes and counts memory.
 *
 * @module node-nftables/read
 */
export { KernelError } from './errors.ts';
export { type GenerationReader, openGeneration, readGeneration } from './generation.ts';
export type * from './model.ts';
export { type ReadOptions, readNftables, readRuleset } from './read.ts';
export { streamRules } from './stream.ts';
export { RulesetWatch, type WatchOptions, watchRuleset } from './watch.ts';
