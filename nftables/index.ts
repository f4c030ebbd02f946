/** @module Reads every packet filter rule of this network namespace, and tells what it needs of them. */
import {
  type Chain,
  decodeChain,
  decodeGeneration,
  decodeRule,
  decodeTable,
  type Rule,
  type Ruleset,
  type Table,
} from './decode.ts';
import { readLegacy } from './legacy.ts';
import { KernelError, NftablesSocket } from './netlink.ts';
import { isPresent } from './present.ts';
import { judgeTproxy, type ProxyQuestion } from './tproxy.ts';

export type {
  Backend,
  BaseChain,
  Chain,
  Expression,
  Family,
  Rule,
  Ruleset,
  Table,
  Verdict,
} from './decode.ts';
export { holdsTproxy, judgeTproxy, type ProxyQuestion } from './tproxy.ts';

// enum nf_tables_msg_types
const NFT_MSG_GETTABLE = 1;
const NFT_MSG_GETCHAIN = 4;
const NFT_MSG_GETRULE = 7;
const NFT_MSG_GETGEN = 16;

const maximumAttempts = 5;
const nothing: Ruleset = { tables: [], chains: [], rules: [] };

/** Where the node's own file system is: only modules.builtin is read there. */
export interface ReadOptions {
  readonly root?: string;
}

/**
 * Reads the rules of nf_tables and of legacy iptables. Changes nothing: no module is loaded and no table
 * created by asking. `unreadable` without CAP_NET_ADMIN, where it cannot be told whether nf_tables is there,
 * and when the rules never stood still.
 */
export async function readRuleset(options: ReadOptions = {}): Promise<Ruleset | 'unreadable'> {
  try {
    const rules = await readRules(options);
    if (rules === 'unreadable') return rules;
    const legacy = await readLegacy();
    return {
      tables: [...rules.tables, ...legacy.tables],
      chains: [...rules.chains, ...legacy.chains],
      rules: [...rules.rules, ...legacy.rules],
    };
  } catch (cause) {
    if (isRefusal(cause)) return 'unreadable';
    throw cause;
  }
}

/** Reads the rules of nf_tables alone: those of nft, and of iptables where that is iptables-nft. */
export async function readRules(options: ReadOptions = {}): Promise<Ruleset | 'unreadable'> {
  const root = options.root ?? '/';
  for (const module of ['nfnetlink', 'nf_tables']) {
    const present = await isPresent(module, root);
    if (present === 'no') return nothing;
    if (present === 'unclear') return 'unreadable';
  }
  try {
    using socket = new NftablesSocket();
    for (let attempt = 0; attempt < maximumAttempts; attempt++) {
      const ruleset = await readOnce(socket);
      if (ruleset !== undefined) return ruleset;
    }
    return 'unreadable';
  } catch (cause) {
    // A kernel without modules that was built without netlink for netfilter, or without nf_tables.
    if (cause instanceof KernelError && isAbsence(cause.code)) return nothing;
    if (isRefusal(cause)) return 'unreadable';
    throw cause;
  }
}

/** Tells whether some rule might hand a new packet from another node to a transparent proxy. */
export async function findTproxy(
  question: ProxyQuestion,
  options: ReadOptions = {},
): Promise<'none' | 'possible' | 'unreadable'> {
  const ruleset = await readRuleset(options);
  return ruleset === 'unreadable' ? ruleset : judgeTproxy(ruleset, question);
}

/** One attempt; undefined when the generation moved meanwhile. */
async function readOnce(socket: NftablesSocket): Promise<Ruleset | undefined> {
  const before = generation(socket);
  const tables: Table[] = [];
  const chains: Chain[] = [];
  const rules: Rule[] = [];
  const collect = async <T>(
    message: number,
    decode: (payload: Uint8Array) => T | undefined,
    into: T[],
  ): Promise<boolean> =>
    await socket.dump(message, ({ payload }) => {
      const object = decode(payload);
      if (object !== undefined) into.push(object);
    });
  const isConsistent =
    (await collect(NFT_MSG_GETTABLE, decodeTable, tables)) &&
    (await collect(NFT_MSG_GETCHAIN, decodeChain, chains)) &&
    (await collect(NFT_MSG_GETRULE, decodeRule, rules));
  return isConsistent && generation(socket) === before ? { tables, chains, rules } : undefined;
}

function generation(socket: NftablesSocket): number | undefined {
  const message = socket.ask(NFT_MSG_GETGEN);
  return message === undefined ? undefined : decodeGeneration(message.payload);
}

function isAbsence(code: string): boolean {
  return code === 'EPROTONOSUPPORT' || code === 'EOPNOTSUPP' || code === 'EINVAL';
}

/** What may not be read is unreadable; so is what the kernel cannot give. A bug is neither. */
function isRefusal(cause: unknown): boolean {
  if (cause instanceof KernelError) return true;
  return cause instanceof Error && 'code' in cause && typeof cause.code === 'string';
}
