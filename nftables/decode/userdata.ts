/**
 * @module What nft notes beside tables, chains, rules, sets and elements for itself, and the kernel only keeps. Pure.
 *
 * libnftnl's udata: u8 type, u8 length, value; texts end with NUL, numbers are u32 in host byte order. A comment is type 0 everywhere
 * but in sets. Whoever else writes rules may keep there what he likes: it is believed only as far as it has this shape.
 */
import { hostNumber, textOf } from './attributes.ts';

// libnftnl/udata.h, enum nftnl_udata_set_types
const keyByteOrderType = 0;
const dataByteOrderType = 1;
const mergeElementsType = 2;
const setCommentType = 7;

export interface SetNotes {
  readonly keyByteOrder?: 'host' | 'big';
  readonly dataByteOrder?: 'host' | 'big';
  readonly autoMerge?: boolean;
  readonly comment?: string;
}

/** The comment of anything but a set. */
export function commentOf(data: Uint8Array | undefined): string | undefined {
  const value = split(data)?.get(0);
  return value === undefined ? undefined : comment(value);
}

/** The notes of a set. */
export function setNotesOf(data: Uint8Array | undefined): SetNotes {
  const notes = split(data);
  if (notes === undefined) return {};
  const keyByteOrder = byteOrder(notes.get(keyByteOrderType));
  const dataByteOrder = byteOrder(notes.get(dataByteOrderType));
  const merge = number(notes.get(mergeElementsType));
  const text = notes.get(setCommentType);
  const words = text === undefined ? undefined : comment(text);
  return {
    ...(keyByteOrder === undefined ? {} : { keyByteOrder }),
    ...(dataByteOrder === undefined ? {} : { dataByteOrder }),
    ...(merge === undefined || merge === 0 ? {} : { autoMerge: true }),
    ...(words === undefined ? {} : { comment: words }),
  };
}

/** Undefined unless it is wholly of that shape. */
function split(data: Uint8Array | undefined): ReadonlyMap<number, Uint8Array> | undefined {
  if (data === undefined) return undefined;
  const notes = new Map<number, Uint8Array>();
  let at = 0;
  while (at + 2 <= data.length) {
    const end = at + 2 + (data[at + 1] ?? 0);
    if (end > data.length) return undefined;
    notes.set(data[at] ?? 0, data.subarray(at + 2, end));
    at = end;
  }
  return at === data.length ? notes : undefined;
}

function comment(value: Uint8Array): string | undefined {
  return value.length > 0 && value.indexOf(0) === value.length - 1 ? textOf(value) : undefined;
}

function number(value: Uint8Array | undefined): number | undefined {
  return value?.length === 4 ? hostNumber(value, 0) : undefined;
}

/** nft's enum byteorder: 1 host, 2 big. */
function byteOrder(value: Uint8Array | undefined): 'host' | 'big' | undefined {
  const order = number(value);
  if (order === 1) return 'host';
  return order === 2 ? 'big' : undefined;
}
