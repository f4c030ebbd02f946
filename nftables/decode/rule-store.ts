/**
 * @module Rules by the hundred thousand: kept as bytes, decoded when somebody looks at their expressions. Pure.
 *
 * The expressions of a rule are a pattern of offsets into a pool where each expression's bytes stand once, and what its comparisons compare
 * with. So a rule takes a tenth of the memory that
 * its objects would, and whoever only wants to know handles or comments pays for nothing else.
 */
import type { Expression, Family, Rule } from '../model.ts';
import { hostShort, textOf } from './attributes.ts';
import { BytePool, wordsOf } from './byte-pool.ts';
import { decodeExpression } from './expressions.ts';
import { familyOf, generalBytes } from './messages.ts';
import { commentOf } from './userdata.ts';

interface Place {
  readonly family: Family;
  readonly table: string;
  readonly chain: string;
}

/** How many decoded expressions are remembered, to be shared by rules. */
const maximumShared = 4096;
const listBits = 16;
/** Marks an expression whose last word is kept with the rule. */
const withTail = 2 ** 31;
/**
 * NFTA_EXPR_NAME `cmp` in words. Comparisons are what differs from rule to rule, in their last word: an address, a port. So that word is kept
 * apart, and the rest is the same for all.
 */
const cmpHead = [0x0001_0008, 0x0070_6d63] as const;

/** Takes the messages of rules and makes rules of them. */
export class RuleStore {
  readonly #pool = new BytePool();
  /** Of each rule: its pattern, and the last words of its comparisons. */
  readonly #lists: Uint32Array[] = [];
  #listsUsed = 1 << listBits;
  readonly #shared = new Map<number, Expression>();
  /** What most rules have in common: the offsets of their expressions, without the last words. */
  readonly #patterns = new BytePool();
  /** The pattern of the rule that is kept right now: as many expressions as fit into an attribute, behind a length. */
  readonly #pattern = new Int32Array(1 << 14);
  readonly #tails: number[] = [];
  readonly #lazyExpressions = lazyExpressionsOf(this);
  #place: Place | undefined;
  #placeBytes = new Uint8Array();
  #words: Int32Array = new Int32Array();

  /**
   * NFT_MSG_NEWRULE: 1 table, 2 chain, 3 handle, 4 expressions, 7 user data. `index` is the rule's place in its chain. The message is not
   * needed any more afterwards.
   */
  add(payload: Uint8Array, index: number): Rule | undefined {
    let table = 0;
    let chain = 0;
    let handle = 0;
    let list = 0;
    let notes = 0;
    let at = generalBytes;
    while (at + 4 <= payload.length) {
      const length = hostShort(payload, at);
      if (length < 4 || at + length > payload.length) return undefined;
      switch (hostShort(payload, at + 2) & 0x3fff) {
        case 1:
          table = at;
          break;
        case 2:
          chain = at;
          break;
        case 3:
          handle = bigHandle(payload, at);
          break;
        case 4:
          list = at;
          break;
        case 7:
          notes = at;
          break;
      }
      at += (length + 3) & ~3;
    }
    if (table === 0 || chain === 0) return undefined;
    const place = this.#placeOf(payload, table, chain);
    if (place === undefined) return undefined;
    const listAt = this.#keep(payload, list);
    const comment = notes === 0 ? undefined : commentOf(valueAt(payload, notes));
    return new StoredRule(place, { handle, index, comment }, this.#lazyExpressions, listAt);
  }

  /** No more rules come: frees what is only needed to add some. */
  seal(): void {
    this.#pool.seal();
    this.#patterns.seal();
  }

  /** The expressions of the list that was kept there. */
  expressionsAt(listAt: number): readonly Expression[] {
    const list = this.#lists[listAt >>> listBits] ?? new Uint32Array(1);
    let at = listAt & ((1 << listBits) - 1);
    const pattern = this.#patterns.attributeAt(list[at] ?? 0);
    const entries = new Uint32Array(pattern.buffer, pattern.byteOffset, pattern.length >>> 2);
    const expressions: Expression[] = [];
    for (const entry of entries.subarray(1)) {
      if (entry < withTail) expressions.push(this.#expressionAt(entry));
      else expressions.push(this.#comparisonAt(entry - withTail, list, ++at));
    }
    return expressions;
  }

  #expressionAt(offset: number): Expression {
    const known = this.#shared.get(offset);
    return known ?? this.#remember(offset, this.#pool.attributeAt(offset));
  }

  #remember(key: number, attribute: Uint8Array): Expression {
    const expression = decodeExpression(attribute.subarray(4));
    if (this.#shared.size >= maximumShared) this.#shared.clear();
    this.#shared.set(key, expression);
    return expression;
  }

  /** A comparison that was kept without its last word, which is in the list. */
  #comparisonAt(offset: number, list: Uint32Array, at: number): Expression {
    const tail = list[at] ?? 0;
    const first =
      this.#shared.get(offset) ?? this.#remember(offset, this.#pool.attributeAt(offset, tail));
    if (first.kind === 'cmp' && first.value.length <= 4) {
      // It is like the first in all but its value, which is wholly in that word.
      const { register, comparison } = first;
      const value = new Uint8Array(list.buffer, at * 4, first.value.length);
      return isSame(first.value, value, value.length)
        ? first
        : { kind: 'cmp', register, comparison, value };
    }
    return decodeExpression(this.#pool.attributeAt(offset, tail).subarray(4));
  }

  /** Keeps a list of NFTA_LIST_ELEM. Counters differ in every rule, so an equal one is sought only for those at zero. */
  #keep(payload: Uint8Array, list: number): number {
    this.#tails.length = 0;
    let count = 0;
    const words = this.#wordsOf(payload);
    const shift = payload.byteOffset - words.byteOffset;
    const end = list === 0 ? 0 : list + hostShort(payload, list);
    let at = list + 4;
    while (at + 4 <= end) {
      const length = hostShort(payload, at);
      if (length < 4 || at + length > end) break;
      const start = (at + shift) >>> 2;
      // Padding is zero, and inside of the list.
      const stop = start + wordsOf(length);
      if (words[start + 1] === cmpHead[0] && words[start + 2] === cmpHead[1]) {
        this.#pattern[++count] = this.#pool.intern(words, start, stop - 1) + withTail;
        this.#tails.push(words[stop - 1] ?? 0);
      } else if (isRunningCounter(payload, at, length)) {
        this.#pattern[++count] = this.#pool.append(words, start, stop);
      } else {
        this.#pattern[++count] = this.#pool.intern(words, start, stop);
      }
      at += (length + 3) & ~3;
    }
    return this.#keepList(count);
  }

  /** The words of a message, or of the whole buffer that it lies in: the same again and again. */
  #wordsOf(payload: Uint8Array): Int32Array {
    const { buffer, byteOffset, byteLength } = payload;
    if (this.#words.buffer === buffer && byteOffset % 4 === 0) return this.#words;
    if (byteOffset % 4 === 0 && buffer.byteLength % 4 === 0) {
      this.#words = new Int32Array(buffer);
      return this.#words;
    }
    const copy = new Uint8Array((byteLength + 3) & ~3);
    copy.set(payload);
    return new Int32Array(copy.buffer);
  }

  /** The pattern as a run of words of the pool, which starts with its length in bytes. */
  #keepList(count: number): number {
    this.#pattern[0] = (count + 1) * 4;
    const pattern = this.#patterns.intern(this.#pattern, 0, count + 1);
    const tails = this.#tails;
    if (this.#listsUsed + tails.length + 1 > 1 << listBits) {
      this.#lists.push(new Uint32Array(1 << listBits));
      this.#listsUsed = 0;
    }
    const lists = this.#lists.at(-1) ?? new Uint32Array();
    const start = this.#listsUsed;
    lists[start] = pattern;
    for (let index = 0; index < tails.length; index++) lists[start + 1 + index] = tails[index] ?? 0;
    this.#listsUsed = start + 1 + tails.length;
    return (this.#lists.length - 1) * (1 << listBits) + start;
  }

  /** Rules that come together share the names of their table and chain. */
  #placeOf(payload: Uint8Array, table: number, chain: number): Place | undefined {
    // In the kernel's order, the two stand at the front behind the family.
    const isFirst = table === generalBytes && chain > table;
    const end = isFirst ? chain + hostShort(payload, chain) : 0;
    if (isFirst && this.#place !== undefined && isSame(this.#placeBytes, payload, end)) {
      return this.#place;
    }
    const family = familyOf(payload[0] ?? 0);
    if (family === undefined) return undefined;
    this.#place = {
      family,
      table: textOf(valueAt(payload, table)),
      chain: textOf(valueAt(payload, chain)),
    };
    this.#placeBytes = Uint8Array.from(payload.subarray(0, end));
    return this.#place;
  }
}

interface Facts {
  readonly handle: number;
  readonly index: number;
  readonly comment: string | undefined;
}

/** Own properties throughout, so that a rule can be copied, compared and printed like any plain object. */
class StoredRule implements Rule {
  readonly backend = 'nf_tables';
  readonly family: Family;
  readonly table: string;
  readonly chain: string;
  readonly handle: number;
  readonly index: number;
  declare readonly expressions: readonly Expression[];
  declare readonly comment?: string;
  /** Where they are kept, and when somebody looked, what they are. */
  #expressions: number | readonly Expression[];

  constructor(
    place: Place,
    { handle, index, comment }: Facts,
    lazyExpressions: PropertyDescriptor,
    listAt: number,
  ) {
    this.family = place.family;
    this.table = place.table;
    this.chain = place.chain;
    this.handle = handle;
    this.index = index;
    this.#expressions = listAt;
    Object.defineProperty(this, 'expressions', lazyExpressions);
    if (comment !== undefined) this.comment = comment;
  }

  /** Decodes once: the next look finds what the first one made. */
  static expressionsOf(this: void, rule: StoredRule, store: RuleStore): readonly Expression[] {
    if (typeof rule.#expressions === 'number') {
      rule.#expressions = store.expressionsAt(rule.#expressions);
    }
    return rule.#expressions;
  }
}

/** The property of all rules of a store. The store is in the getter, and not in 100,000 rules. */
function lazyExpressionsOf(store: RuleStore): PropertyDescriptor & ThisType<StoredRule> {
  return {
    enumerable: true,
    configurable: true,
    get() {
      return StoredRule.expressionsOf(this, store);
    },
  };
}

/** NFTA_EXPR_NAME `counter` at the front, and numbers behind it that are not zero. */
function isRunningCounter(payload: Uint8Array, at: number, length: number): boolean {
  for (let index = 0; index < counterHead.length; index++) {
    if (payload[at + 4 + index] !== counterHead[index]) return false;
  }
  // Bytes and packets stand behind the headers of the data, each behind its own header.
  const first = at + 4 + counterHead.length + 4;
  for (let index = first; index + 12 <= at + length; index += 12) {
    for (let byte = 4; byte < 12; byte++) if (payload[index + byte] !== 0) return true;
  }
  return false;
}

const counterHead = Uint8Array.of(12, 0, 1, 0, 99, 111, 117, 110, 116, 101, 114, 0);

function isSame(known: Uint8Array, payload: Uint8Array, end: number): boolean {
  if (known.length !== end || end > payload.length) return false;
  for (let index = 0; index < end; index++) if (known[index] !== payload[index]) return false;
  return true;
}

function valueAt(payload: Uint8Array, at: number): Uint8Array {
  return payload.subarray(at + 4, at + hostShort(payload, at));
}

/** NFTA_RULE_HANDLE: a big-endian u64. Handles count from 1, so they are far from 2^53. */
function bigHandle(payload: Uint8Array, at: number): number {
  let value = 0;
  if (hostShort(payload, at) !== 12) return 0;
  for (let index = at + 4; index < at + 12; index++) value = value * 256 + (payload[index] ?? 0);
  return value;
}
