/**
 * Reads every packet filter rule of this network namespace, says what they do with a packet, writes them as text.
 *
 * @module node-nftables
 */
export type {
  Change,
  ElementsChange,
  GenerationChange,
  Lost,
  ObjectChange,
  RuleChange,
} from './decode/changes.ts';
export { KernelError } from './errors.ts';
export { compile, type Evaluator, evaluate } from './evaluate/index.ts';
export type * from './evaluate/types.ts';
export {
  createTproxyFinder,
  type FinderOptions,
  findTproxy,
  type ProxyAnswer,
} from './find-tproxy.ts';
export {
  format,
  formatChainHeader,
  formatIptables,
  formatRule,
  formatRuleset,
  formatSet,
} from './format/index.ts';
export { type GenerationReader, openGeneration, readGeneration } from './generation.ts';
export { readIpSets } from './ipset.ts';
export type * from './model.ts';
export { ctKeys, metaKeys, rtKeys } from './model.ts';
export { type ReadOptions, readNftables, readRuleset } from './read.ts';
export { readRule } from './read-rule.ts';
export { streamRules } from './stream.ts';
export { holdsTproxy, judgeTproxy, type ProxyQuestion, type ProxyRules } from './tproxy.ts';
export { RulesetWatch, type WatchOptions, watchRuleset } from './watch.ts';
export { decodeMatch, decodeTarget } from './xt/index.ts';
export type * from './xt/types.ts';
