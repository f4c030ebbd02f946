/** @module Whether the ruleset changed, told in microseconds. */
import { NetfilterSocket } from './netlink.ts';
import { askGeneration, hasNftables, type ReadOptions } from './read.ts';

/** Keeps a socket open, to ask again and again. */
export interface GenerationReader extends Disposable {
  /**
   * The generation id: another one after every change of a table, chain, rule, set, element or object by a program. It stays when a rule
   * adds to a set, an element expires, or ipset or legacy iptables change. Undefined without nf_tables.
   */
  read(): number | undefined;
}

/** Opens a reader of the generation id. Rejects with KernelError. */
export async function openGeneration(options: ReadOptions = {}): Promise<GenerationReader> {
  if (!(await hasNftables(options))) return { read: () => undefined, [Symbol.dispose]: () => {} };
  const socket = new NetfilterSocket();
  return {
    read: () => askGeneration(socket),
    [Symbol.dispose]: () => socket[Symbol.dispose](),
  };
}

/** The generation id, asked once. */
export async function readGeneration(options: ReadOptions = {}): Promise<number | undefined> {
  using reader = await openGeneration(options);
  return reader.read();
}
