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
import { holdsTproxy, judgeTproxy, type ProxyQuestion } from './tproxy.ts';

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
    const legacy = await readLegacy(options.root ?? '/');
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
  const presence = await presenceOf(options);
  if (presence !== 'yes') return presence === 'no' ? nothing : 'unreadable';
  return await attempt(readOnce, nothing);
}

async function presenceOf({ root = '/' }: ReadOptions): Promise<'yes' | 'no' | 'unclear'> {
  for (const module of ['nfnetlink', 'nf_tables']) {
    const present = await isPresent(module, root);
    if (present !== 'yes') return present;
  }
  return 'yes';
}

/** Works on a socket until the ruleset stands still meanwhile; `absent` is the answer of a kernel without nf_tables. */
async function attempt<T>(
  work: (socket: NftablesSocket) => Promise<T | undefined>,
  absent: T,
): Promise<T | 'unreadable'> {
  try {
    using socket = new NftablesSocket();
    for (let count = 0; count < maximumAttempts; count++) {
      const result = await work(socket);
      if (result !== undefined) return result;
    }
    return 'unreadable';
  } catch (cause) {
    // A kernel without modules that was built without netlink for netfilter, or without nf_tables.
    if (cause instanceof KernelError && isAbsence(cause.code)) return absent;
    if (isRefusal(cause)) return 'unreadable';
    throw cause;
  }
}

/** Tells whether some rule might hand a new packet from another node to a transparent proxy. */
export async function findTproxy(
  question: ProxyQuestion,
  options: ReadOptions = {},
): Promise<ProxyAnswer> {
  return await createTproxyFinder(options)(question);
}

export type ProxyAnswer = 'none' | 'possible' | 'unreadable';

export interface FinderOptions extends ReadOptions {
  /** How long one look at the rules serves, 10 s by default: a caller asks for one port after the other. */
  readonly memoryMs?: number;
}

/**
 * Makes a `findTproxy` with a memory. Nearly every node has no such rule, and may have 100,000 others: they are
 * searched as bytes and not decoded, and not searched again while the generation stays. A look serves at least
 * ten times as long as it took, so that rules that change all the time cost a tenth of a core and no more.
 */
export function createTproxyFinder(
  options: FinderOptions = {},
): (question: ProxyQuestion) => Promise<ProxyAnswer> {
  const { memoryMs = 10_000 } = options;
  let look: Look | undefined;
  let clean: number | undefined;
  const read = async (): Promise<Ruleset | 'unreadable'> => {
    try {
      const legacy = await readLegacy(options.root ?? '/');
      if (!holdsTproxy(legacy)) {
        const found = await searchRules(options, clean);
        clean = found === 'unreadable' || found.tproxy ? undefined : found.generation;
        if (found === 'unreadable') return found;
        if (!found.tproxy) return nothing;
      }
    } catch (cause) {
      if (isRefusal(cause)) return 'unreadable';
      throw cause;
    }
    // Which mark a rule sees depends on all others, so now all are needed.
    return await readRuleset(options);
  };
  return async (question) => {
    if (look === undefined || performance.now() >= look.until()) {
      const start = performance.now();
      let end = Number.POSITIVE_INFINITY;
      const ruleset = read().finally(() => {
        end = performance.now();
      });
      look = {
        until: () => Math.max(start + memoryMs, end + 10 * (end - start)),
        ruleset,
        answers: new Map(),
      };
    }
    const { ruleset, answers } = look;
    const rules = await ruleset;
    if (rules === 'unreadable') return rules;
    // The walk through 50,000 rules takes a tenth of a second, and every probe of a port asks the same.
    const key = `${question.transport} ${question.port}`;
    const answer = answers.get(key) ?? judgeTproxy(rules, question);
    answers.set(key, answer);
    return answer;
  };
}

/** One look at the rules, and what was found in it: at most one answer a port. */
interface Look {
  readonly until: () => number;
  readonly ruleset: Promise<Ruleset | 'unreadable'>;
  readonly answers: Map<string, 'none' | 'possible'>;
}

interface Search {
  readonly tproxy: boolean;
  readonly generation?: number | undefined;
}

/** Searches the rules of nf_tables for one that names a transparent proxy, unless they are those of `clean`. */
async function searchRules(
  options: ReadOptions,
  clean: number | undefined,
): Promise<Search | 'unreadable'> {
  const presence = await presenceOf(options);
  if (presence !== 'yes') return presence === 'no' ? { tproxy: false } : 'unreadable';
  return await attempt<Search>(
    async (socket) => {
      const before = generation(socket);
      if (before !== undefined && before === clean) return { tproxy: false, generation: before };
      let tproxy = false;
      const isConsistent = await socket.dump(NFT_MSG_GETRULE, ({ payload }) => {
        const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
        // A name or a comment may say so too: then the rules are decoded for nothing.
        tproxy ||= bytes.includes('tproxy') || bytes.includes('TPROXY');
      });
      if (!isConsistent || generation(socket) !== before) return undefined;
      return { tproxy, generation: before };
    },
    { tproxy: false },
  );
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
