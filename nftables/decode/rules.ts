/** @module Rules: netlink bytes -> rules. Pure. */
import type { Expression, Rule } from '../model.ts';
import { given, splitAttributes } from './attributes.ts';
import { decodeExpression } from './expressions.ts';
import { openMessage } from './objects.ts';
import { commentOf } from './userdata.ts';

/** NFT_MSG_NEWRULE: 1 table, 2 chain, 3 handle, 4 expressions, 7 user data. The index is told by those before it. */
export function decodeRule(payload: Uint8Array, index = 1): Rule | undefined {
  const message = openMessage(payload);
  if (message === undefined) return undefined;
  const { family, attributes } = message;
  const table = attributes.maybeText(1);
  const chain = attributes.maybeText(2);
  if (table === undefined || chain === undefined) return undefined;
  return {
    backend: 'nf_tables',
    family,
    table,
    chain,
    handle: attributes.maybeU64(3) ?? 0,
    index,
    expressions: decodeExpressions(attributes.maybeBytes(4)),
    ...given({ comment: commentOf(attributes.maybeBytes(7)) }),
  };
}

/** A list of NFTA_LIST_ELEM. */
export function decodeExpressions(list: Uint8Array | undefined): readonly Expression[] {
  if (list === undefined) return [];
  return splitAttributes(list).attributes.map(([, element]) => decodeExpression(element));
}
