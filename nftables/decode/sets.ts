/** @module Sets, maps and verdict maps without their elements: netlink bytes -> sets. Pure. */
import type { Expression, Family, NftSet, SetFlags } from '../model.ts';
import { AttributeReader, given } from './attributes.ts';
import { decodeExpression } from './expressions.ts';
import { openMessage } from './objects.ts';
import { setNotesOf } from './userdata.ts';

/** A set whose elements are asked for separately. */
export type SetHead = Omit<NftSet, 'elements'>;

/** NFT_DATA_VERDICT: the data type of a verdict map. */
const verdictType = 0xffff_ff00;

/**
 * NFT_MSG_NEWSET: 1 table, 2 name, 3 flags, 4 key type, 5 key length, 6 data type, 7 data length, 8 policy, 9 description, 11 timeout, 12 interval of
 * collecting, 13 user data, 15 object type, 16 handle, 17 expression, 18 expressions.
 */
export function decodeSet(payload: Uint8Array): SetHead | undefined {
  const message = openMessage(payload);
  if (message === undefined) return undefined;
  const { family, attributes } = message;
  const table = attributes.maybeText(1);
  const name = attributes.maybeText(2);
  const keyLength = attributes.maybeU32(5);
  if (table === undefined || name === undefined || keyLength === undefined) return undefined;
  const flags = flagsOf(attributes.maybeU32(3) ?? 0);
  const description = attributes.maybeNested(9);
  const expressions = expressionsOf(attributes.maybeBytes(17), attributes.list(18, 1));
  const policy = attributes.maybeU32(8);
  const data = dataOf(flags, attributes);
  if (flags.map !== (data?.kind === 'value' || data?.kind === 'verdict')) return undefined;
  return {
    family,
    table,
    name,
    handle: attributes.maybeU64(16) ?? 0,
    flags,
    keyType: attributes.maybeU32(4) ?? 0,
    keyLength,
    ...given({
      fieldLengths: fieldLengthsOf(description),
      data,
      timeoutMs: attributes.maybeU64(11),
      gcIntervalMs: attributes.maybeU32(12),
      size: description?.maybeU32(1),
      policy: (['performance', 'memory'] as const)[policy ?? 0],
      expressions: expressions.length === 0 ? undefined : expressions,
    }),
    ...setNotesOf(attributes.maybeBytes(13)),
  };
}

/** enum nft_set_flags. */
function flagsOf(bits: number): SetFlags {
  return {
    anonymous: (bits & 0x01) !== 0,
    constant: (bits & 0x02) !== 0,
    interval: (bits & 0x04) !== 0,
    map: (bits & 0x08) !== 0,
    timeout: (bits & 0x10) !== 0,
    dynamic: (bits & 0x20) !== 0,
    object: (bits & 0x40) !== 0,
    concatenation: (bits & 0x80) !== 0,
  };
}

function dataOf(flags: SetFlags, attributes: AttributeReader): NftSet['data'] {
  if (flags.object) return { kind: 'object', objectType: attributes.maybeU32(15) ?? 0 };
  if (!flags.map) return undefined;
  const type = attributes.maybeU32(6);
  if (type === undefined) return undefined;
  if (type === verdictType) return { kind: 'verdict' };
  return { kind: 'value', type, length: attributes.maybeU32(7) ?? 0 };
}

/** NFTA_SET_DESC_CONCAT (2): a list of { 1 { 1 length } }, in bytes whatever the header says. */
function fieldLengthsOf(description: AttributeReader | undefined): readonly number[] | undefined {
  const fields = description?.list(2, 1) ?? [];
  if (fields.length === 0) return undefined;
  return fields.map((field) => new AttributeReader(field).maybeU32(1) ?? 0);
}

function expressionsOf(
  single: Uint8Array | undefined,
  list: readonly Uint8Array[],
): readonly Expression[] {
  const elements = single === undefined ? list : [single];
  return elements.map((element) => decodeExpression(element));
}

/** Which set a message of elements is about: NFT_MSG_NEWSETELEM: 1 table, 2 set, 3 elements. */
export interface ElementsMessage {
  readonly family: Family;
  readonly table: string;
  readonly set: string;
  /** A list of NFTA_LIST_ELEM: see `packElements`. */
  readonly elements: Uint8Array;
}

export function decodeElementsMessage(payload: Uint8Array): ElementsMessage | undefined {
  const message = openMessage(payload);
  if (message === undefined) return undefined;
  const { family, attributes } = message;
  const table = attributes.maybeText(1);
  const set = attributes.maybeText(2);
  if (table === undefined || set === undefined) return undefined;
  return { family, table, set, elements: attributes.maybeBytes(3) ?? new Uint8Array() };
}
