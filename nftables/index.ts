/** @module Reads every packet filter rule of this network namespace, and tells what it needs of them. */
export { KernelError } from './errors.ts';
export { compile, type Evaluator, evaluate } from './evaluate/index.ts';
export type * from './evaluate/types.ts';
export {
  createTproxyFinder,
  type FinderOptions,
  findTproxy,
  type ProxyAnswer,
} from './find-tproxy.ts';
export type * from './model.ts';
export { ctKeys, metaKeys, rtKeys } from './model.ts';
export { type ReadOptions, readNftables, readRuleset } from './read.ts';
export { holdsTproxy, judgeTproxy, type ProxyQuestion } from './tproxy.ts';
