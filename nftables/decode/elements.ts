/**
 * @module Elements of sets: kept as the bytes that came, and decoded while one walks over them. Pure.
 *
 * An element with its objects takes ten times the memory of its bytes, and most sets are walked over once.
 */
import type { ElementList, Expression, SetElement } from '../model.ts';
import { AttributeReader, given, splitAttributes, valueOf } from './attributes.ts';
import { decodeExpression } from './expressions.ts';
import { commentOf } from './userdata.ts';
import { decodeVerdict } from './verdict.ts';

/** No elements. */
export const noElements: ElementList = packElements([]);

/** Makes a list of what several messages brought: each a list of NFTA_LIST_ELEM, copied out of its message. */
export function packElements(parts: readonly Uint8Array[]): ElementList {
  let length = 0;
  for (const part of parts) length += splitAttributes(part).attributes.length;
  return {
    length,
    *[Symbol.iterator]() {
      for (const part of parts) {
        for (const [, element] of splitAttributes(part).attributes) yield decodeElement(element);
      }
    },
  };
}

/**
 * 1 key, 2 data: a value or a verdict, 3 flags (1 ends an interval, 2 catch-all), 4 timeout, 5 expiration, 6 user data, 7 expression,
 * 9 named object, 10 last key, 11 expressions.
 */
export function decodeElement(bytes: Uint8Array): SetElement {
  const element = new AttributeReader(bytes);
  const flags = element.maybeU32(3) ?? 0;
  const isCatchAll = (flags & 2) !== 0;
  const data = element.maybeNested(2);
  const verdict = data?.has(2) === true ? decodeVerdict(data) : undefined;
  const value = data?.has(1) === true ? valueOf(data) : undefined;
  const expressions = expressionsOf(element.maybeBytes(7), element.list(11, 1));
  return {
    ...given({
      key: isCatchAll ? undefined : (element.maybeValue(1) ?? new Uint8Array()),
      keyEnd: element.maybeValue(10),
    }),
    intervalEnd: (flags & 1) !== 0,
    ...given({
      value,
      verdict,
      object: element.maybeText(9),
      timeoutMs: element.maybeU64(4),
      expiresMs: element.maybeU64(5),
      expressions: expressions.length === 0 ? undefined : expressions,
      comment: commentOf(element.maybeBytes(6)),
    }),
  };
}

function expressionsOf(
  single: Uint8Array | undefined,
  list: readonly Uint8Array[],
): readonly Expression[] {
  const elements = single === undefined ? list : [single];
  return elements.map((element) => decodeExpression(element));
}
