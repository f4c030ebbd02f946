/** @module Events of nf_tables: netlink bytes -> what changed. Pure. */
import type { ElementList, Family, Rule } from '../model.ts';
import { AttributeReader } from './attributes.ts';
import { packElements } from './elements.ts';
import { familyOf, generalBytes, type Message } from './messages.ts';
import { decodeGeneration } from './objects.ts';
import { decodeRule } from './rules.ts';
import { decodeElementsMessage } from './sets.ts';

/** Something that the ruleset has, or had. What exactly it is now, reading tells. */
export interface ObjectChange {
  readonly kind: 'table' | 'chain' | 'set' | 'object' | 'flowtable';
  /** `new` also when one that was there is changed. */
  readonly change: 'new' | 'deleted';
  readonly family: Family;
  readonly table: string;
  readonly name: string;
  readonly handle: number;
}

/** A rule that was added, changed or deleted. */
export interface RuleChange {
  readonly kind: 'rule';
  readonly change: 'new' | 'deleted';
  readonly family: Family;
  readonly table: string;
  readonly chain: string;
  readonly handle: number;
  /** Of a new one; its `index` is not known, and 0. */
  readonly rule?: Rule;
}

/** Elements that came into a set or left it. */
export interface ElementsChange {
  readonly kind: 'elements';
  readonly change: 'new' | 'deleted';
  readonly family: Family;
  readonly table: string;
  readonly set: string;
  readonly elements: ElementList;
}

/** The end of one transaction, whose changes came before. */
export interface GenerationChange {
  readonly kind: 'generation';
  readonly id: number;
  /** Who made it: `nft`, `iptables`, `firewalld` … */
  readonly process?: { readonly pid: number; readonly name: string };
}

/** The kernel had more events than the socket could hold: read everything again. */
export interface Lost {
  readonly kind: 'lost';
}

/** What `watchRuleset` tells. Changes of one transaction come before the `generation` that ends it. */
export type Change = ObjectChange | RuleChange | ElementsChange | GenerationChange | Lost;

/** Where name and handle stand in the messages of each kind. */
const objects: ReadonlyMap<number, readonly [ObjectChange['kind'], number, number]> = new Map([
  [0, ['table', 1, 4]],
  [3, ['chain', 3, 2]],
  [9, ['set', 2, 16]],
  [18, ['object', 2, 6]],
  [22, ['flowtable', 2, 5]],
]);

const NFT_MSG_NEWRULE = 6;
const NFT_MSG_NEWSETELEM = 12;
const NFT_MSG_NEWGEN = 15;
const NFNL_SUBSYS_NFTABLES = 10;

/** enum nf_tables_msg_types goes in threes: new, get, deleted. Undefined for what says nothing. Nothing of the message is kept. */
export function decodeChange({ type, payload }: Message): Change | undefined {
  if (type >> 8 !== NFNL_SUBSYS_NFTABLES) return undefined;
  const number = type & 0xff;
  if (number === NFT_MSG_NEWGEN) {
    const generation = decodeGeneration(payload);
    return generation === undefined ? undefined : { kind: 'generation', ...generation };
  }
  const isDeleted = number % 3 === 2;
  const first = isDeleted ? number - 2 : number;
  const change = isDeleted ? 'deleted' : 'new';
  if (first === NFT_MSG_NEWRULE) return ruleChange(payload.slice(), change);
  if (first === NFT_MSG_NEWSETELEM) return elementsChange(payload.slice(), change);
  return objectChange(payload, change, first);
}

function objectChange(
  payload: Uint8Array,
  change: 'new' | 'deleted',
  first: number,
): Change | undefined {
  const found = objects.get(first);
  const family = familyOf(payload[0] ?? 0);
  if (found === undefined || family === undefined) return undefined;
  const [kind, nameType, handleType] = found;
  const attributes = new AttributeReader(payload.subarray(generalBytes));
  const handle = attributes.maybeU64(handleType) ?? 0;
  // A table's own name is its first attribute; of all others that is the table's name.
  const table = attributes.maybeText(1);
  const name = nameType === 1 ? table : attributes.maybeText(nameType);
  if (table === undefined || name === undefined) return undefined;
  return { kind, change, family, table, name, handle };
}

function ruleChange(payload: Uint8Array, change: 'new' | 'deleted'): Change | undefined {
  const rule = decodeRule(payload, 0);
  if (rule === undefined) return undefined;
  const { family, table, chain, handle } = rule;
  const place = { kind: 'rule', change, family, table, chain, handle } as const;
  return change === 'new' ? { ...place, rule } : place;
}

function elementsChange(payload: Uint8Array, change: 'new' | 'deleted'): Change | undefined {
  const message = decodeElementsMessage(payload);
  if (message === undefined) return undefined;
  const { family, table, set, elements } = message;
  return { kind: 'elements', change, family, table, set, elements: packElements([elements]) };
}
