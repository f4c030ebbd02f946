/** @module Reads every packet filter rule of this network namespace as one consistent picture. */

import { packElements } from './decode/elements.ts';
import { familyNumber } from './decode/messages.ts';
import {
  decodeChain,
  decodeFlowtable,
  decodeGeneration,
  decodeObject,
  decodeTable,
} from './decode/objects.ts';
import { RuleStore } from './decode/rule-store.ts';
import { decodeElementsMessage, decodeSet, type SetHead } from './decode/sets.ts';
import { KernelError } from './errors.ts';
import { readHooks } from './hooks.ts';
import { readIpSets } from './ipset.ts';
import { readLegacy } from './legacy.ts';
import type { Chain, Flowtable, NamedObject, NftSet, Rule, Ruleset, Table } from './model.ts';
import { encodeText, NetfilterSocket, type Request } from './netlink.ts';
import { isPresent } from './present.ts';

// enum nf_tables_msg_types, of NFNL_SUBSYS_NFTABLES (10)
const NFT_MSG_GETTABLE = 0xa01;
const NFT_MSG_GETCHAIN = 0xa04;
export const NFT_MSG_GETRULE = 0xa07;
const NFT_MSG_GETSET = 0xa0a;
const NFT_MSG_GETSETELEM = 0xa0d;
const NFT_MSG_GETGEN = 0xa10;
const NFT_MSG_GETOBJ = 0xa13;
const NFT_MSG_GETFLOWTABLE = 0xa17;

const maximumAttempts = 5;

/** Where the node's own file system is: only modules.builtin is read there. */
export interface ReadOptions {
  readonly root?: string;
}

const nothing: Ruleset = {
  tables: [],
  chains: [],
  rules: [],
  sets: [],
  objects: [],
  flowtables: [],
  ipsets: [],
};

/**
 * Reads nf_tables, legacy iptables and ip_set. Changes nothing: no module is loaded and no table created by asking.
 * Rejects with KernelError: EPERM without CAP_NET_ADMIN, ENODATA where it cannot be told whether nf_tables is there, EAGAIN when the
 * rules never stood still; or with the error of a file that may not be read.
 */
export async function readRuleset(options: ReadOptions = {}): Promise<Ruleset> {
  const ruleset = await readNftables(options);
  const legacy = await readLegacy(options.root ?? '/');
  return {
    ...ruleset,
    tables: [...ruleset.tables, ...legacy.tables],
    chains: [...ruleset.chains, ...legacy.chains],
    rules: [...ruleset.rules, ...legacy.rules],
    ipsets: await readIpSets(options.root),
  };
}

/** Reads nf_tables alone: the rules of nft, and of iptables where that is iptables-nft. */
export async function readNftables(options: ReadOptions = {}): Promise<Ruleset> {
  if (!(await hasNftables(options))) return nothing;
  const root = options.root ?? '/';
  return await attempt((socket) => readOnce(socket, root), nothing);
}

/** Whether nf_tables can be asked without making the kernel load it. */
export async function hasNftables({ root = '/' }: ReadOptions): Promise<boolean> {
  for (const module of ['nfnetlink', 'nf_tables']) {
    const presence = await isPresent(module, root);
    if (presence === 'no') return false;
    if (presence === 'unclear') {
      throw new KernelError('ENODATA', `cannot tell whether ${module} is there without loading it`);
    }
  }
  return true;
}

/** Works on a socket until the ruleset stands still meanwhile; `absent` is the answer of a kernel without nf_tables. */
export async function attempt<T>(
  work: (socket: NetfilterSocket) => Promise<T | undefined>,
  absent: T,
): Promise<T> {
  try {
    using socket = new NetfilterSocket();
    for (let count = 0; count < maximumAttempts; count++) {
      const result = await work(socket);
      if (result !== undefined) return result;
    }
  } catch (cause) {
    if (isAbsence(cause)) return absent;
    throw cause;
  }
  throw new KernelError('EAGAIN', 'nf_tables changed during every attempt to read it');
}

/** One attempt; undefined when the generation moved meanwhile. */
async function readOnce(socket: NetfilterSocket, root: string): Promise<Ruleset | undefined> {
  const before = askGeneration(socket);
  const [tables, chains, rules]: [Table[], Chain[], Rule[]] = [[], [], []];
  const store = new RuleStore();
  const [heads, objects, flowtables]: [SetHead[], NamedObject[], Flowtable[]] = [[], [], []];
  const collect = async <T>(
    type: number,
    decode: (payload: Uint8Array) => T | undefined,
    into: T[],
  ): Promise<boolean> =>
    await socket.dump({ type }, ({ payload }) => {
      into.push(known(decode(payload.slice())));
    });
  const isConsistent =
    (await collect(NFT_MSG_GETTABLE, decodeTable, tables)) &&
    (await collect(NFT_MSG_GETCHAIN, decodeChain, chains)) &&
    (await collect(NFT_MSG_GETSET, decodeSet, heads)) &&
    (await collect(NFT_MSG_GETOBJ, decodeObject, objects)) &&
    (await collect(NFT_MSG_GETFLOWTABLE, decodeFlowtable, flowtables)) &&
    (await dumpRules(socket, chains, (payload, index) =>
      rules.push(known(store.add(payload, index))),
    ));
  store.seal();
  if (!isConsistent) return undefined;
  const sets: NftSet[] = [];
  for (const head of heads) {
    const set = await readElements(socket, head);
    if (set === undefined) return undefined;
    sets.push(set);
  }
  const hooks = await readHooks(socket, chains, root);
  if (askGeneration(socket) !== before) return undefined;
  return {
    ...(before === undefined ? {} : { generation: before }),
    tables,
    chains,
    rules,
    sets,
    objects,
    flowtables,
    ipsets: [],
    ...(hooks === undefined ? {} : { hooks }),
  };
}

/** Every chain; undefined when they changed underneath. */
export async function readChains(socket: NetfilterSocket): Promise<readonly Chain[] | undefined> {
  const chains: Chain[] = [];
  const isConsistent = await socket.dump({ type: NFT_MSG_GETCHAIN }, ({ payload }) => {
    chains.push(known(decodeChain(payload)));
  });
  return isConsistent ? chains : undefined;
}

/**
 * Hands over the messages of all rules of these chains, each with its place in its chain; false when one is gone, or the ruleset changed underneath.
 *
 * Chain by chain, because the kernel counts its way from the first rule to where it stopped for every 32 KiB that it gives: for 100,000
 * rules in 200 chains one dump takes ten seconds, and 200 dumps 0.3.
 */
export async function dumpRules(
  socket: NetfilterSocket,
  chains: readonly Chain[],
  take: (payload: Uint8Array, index: number) => void,
): Promise<boolean> {
  for (const chain of chains) {
    let index = 0;
    const one = (payload: Uint8Array): void => take(payload, ++index);
    if (!(await dumpExisting(socket, rulesOf(chain), one))) return false;
  }
  return true;
}

/** Asks for the rules of one chain: 1 table, 2 chain. */
export function rulesOf({ family, table, name }: Chain): Request {
  const attributes = [encodeText(1, table), encodeText(2, name)];
  return { type: NFT_MSG_GETRULE, family: familyNumber(family), attributes };
}

/** As `dump`; what is gone has changed. */
async function dumpExisting(
  socket: NetfilterSocket,
  request: Request,
  take: (payload: Uint8Array) => void,
): Promise<boolean> {
  try {
    return await socket.dump(request, ({ payload }) => take(payload));
  } catch (cause) {
    if (cause instanceof KernelError && cause.code === 'ENOENT') return false;
    throw cause;
  }
}

/** Undefined when the set is gone, or changed meanwhile. */
async function readElements(socket: NetfilterSocket, head: SetHead): Promise<NftSet | undefined> {
  const parts: Uint8Array[] = [];
  const request: Request = {
    type: NFT_MSG_GETSETELEM,
    family: familyNumber(head.family),
    attributes: [encodeText(1, head.table), encodeText(2, head.name)],
  };
  const isConsistent = await dumpExisting(socket, request, (payload) => {
    parts.push(Uint8Array.from(known(decodeElementsMessage(payload)).elements));
  });
  return isConsistent ? { ...head, elements: packElements(parts) } : undefined;
}

export function known<T>(object: T | undefined): T {
  if (object !== undefined) return object;
  throw new KernelError(
    'EPROTO',
    'nf_tables: an object of a shape that this version does not know',
  );
}

/** The generation id: it changes with every change of tables, chains, rules, sets and objects. */
export function askGeneration(socket: NetfilterSocket): number | undefined {
  const message = socket.ask({ type: NFT_MSG_GETGEN });
  return message === undefined ? undefined : decodeGeneration(message.payload)?.id;
}

/** A kernel without modules that was built without netlink for netfilter, or without nf_tables. */
export function isAbsence(cause: unknown): boolean {
  if (!(cause instanceof KernelError)) return false;
  const { code } = cause;
  return code === 'EPROTONOSUPPORT' || code === 'EOPNOTSUPP' || code === 'EINVAL';
}
