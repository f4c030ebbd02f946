/** @module One expression: netlink attributes -> what it does. What is not wholly understood is `opaque`, with its attributes. Pure. */
import type { Expression } from '../model.ts';
import { AttributeReader, splitAttributes, textOf } from './attributes.ts';
import {
  decodeCt,
  decodeExthdr,
  decodeFib,
  decodeHash,
  decodeInner,
  decodeMeta,
  decodeNumgen,
  decodeOsf,
  decodePayload,
  decodeRt,
  decodeSocket,
  decodeTunnel,
  decodeXfrm,
} from './loads.ts';
import {
  decodeBitwise,
  decodeByteorder,
  decodeCmp,
  decodeDynset,
  decodeImmediate,
  decodeLookup,
  decodeObjref,
  decodeRange,
} from './operations.ts';
import {
  decodeConnlimit,
  decodeCounter,
  decodeDup,
  decodeExtension,
  decodeFlowOffload,
  decodeFwd,
  decodeLast,
  decodeLimit,
  decodeLog,
  decodeMasq,
  decodeNat,
  decodeNotrack,
  decodeQueue,
  decodeQuota,
  decodeRedir,
  decodeReject,
  decodeSynproxy,
  decodeTproxy,
} from './statements.ts';

type Decoder = (data: AttributeReader, nested: (element: Uint8Array) => Expression) => Expression;

const decoders: ReadonlyMap<string, Decoder> = new Map<string, Decoder>([
  ['payload', decodePayload],
  ['inner', decodeInner],
  ['meta', decodeMeta],
  ['cmp', decodeCmp],
  ['range', decodeRange],
  ['bitwise', decodeBitwise],
  ['byteorder', decodeByteorder],
  ['immediate', decodeImmediate],
  ['lookup', decodeLookup],
  ['ct', decodeCt],
  ['fib', decodeFib],
  ['exthdr', decodeExthdr],
  ['counter', decodeCounter],
  ['limit', decodeLimit],
  ['quota', decodeQuota],
  ['connlimit', decodeConnlimit],
  ['log', decodeLog],
  ['reject', decodeReject],
  ['nat', decodeNat],
  ['masq', decodeMasq],
  ['redir', decodeRedir],
  ['tproxy', decodeTproxy],
  ['queue', decodeQueue],
  ['dup', decodeDup],
  ['fwd', decodeFwd],
  ['notrack', decodeNotrack],
  ['dynset', decodeDynset],
  ['objref', decodeObjref],
  ['hash', decodeHash],
  ['numgen', decodeNumgen],
  ['socket', decodeSocket],
  ['osf', decodeOsf],
  ['rt', decodeRt],
  ['xfrm', decodeXfrm],
  ['tunnel', decodeTunnel],
  ['synproxy', decodeSynproxy],
  ['flow_offload', decodeFlowOffload],
  ['last', decodeLast],
  ['match', (data) => decodeExtension('match', data)],
  ['target', (data) => decodeExtension('target', data)],
]);

/** Nested expressions are not nested again by the kernel; what claims to be deeper is kept as it is. */
const maximumDepth = 2;

/** Decodes what NFTA_LIST_ELEM holds: 1 name, 2 data. */
export function decodeExpression(element: Uint8Array, depth = 0): Expression {
  const { attributes } = splitAttributes(element);
  const name = textOf(attributes.find(([type]) => type === 1)?.[1] ?? nothing);
  const isPlain = attributes.every(([type]) => type === 1 || type === 2) && attributes.length <= 2;
  const data = attributes.find(([type]) => type === 2)?.[1] ?? nothing;
  return (isPlain ? decodeExpressionData(name, data, depth) : undefined) ?? opaque(name, data);
}

/** Decodes by name what an expression of that name, or a named object of that type, holds. Undefined: not understood. */
export function decodeExpressionData(
  name: string,
  data: Uint8Array,
  depth = 0,
): Expression | undefined {
  const decoder = depth < maximumDepth ? decoders.get(name) : undefined;
  if (decoder === undefined) return undefined;
  const reader = new AttributeReader(data);
  const expression = decoder(reader, (element) => decodeExpression(element, depth + 1));
  return reader.isUnderstood ? expression : undefined;
}

export function opaque(name: string, data: Uint8Array): Expression {
  return { kind: 'opaque', name, attributes: splitAttributes(data).attributes };
}

const nothing = new Uint8Array();
