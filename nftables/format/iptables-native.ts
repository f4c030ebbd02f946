/** @module The expressions of nf_tables in which iptables-nft writes what needs no extension: addresses, interfaces, ports, marks. */
import type { Comparison, Expression } from '../model.ts';

/** What a register holds. */
interface Source {
  readonly field: Field;
  readonly mask?: Uint8Array;
}

export type Field =
  | 'iifname'
  | 'oifname'
  | 'l4proto'
  | 'mark'
  | 'source'
  | 'destination'
  | 'fragment'
  | 'source-port'
  | 'destination-port'
  | 'ports'
  | 'tcp-flags';

/** A field compared with bytes, or with a range of them. */
export interface Condition {
  readonly field: Field;
  readonly mask?: Uint8Array;
  readonly comparison: Comparison;
  readonly value: Uint8Array;
  readonly last?: Uint8Array;
}

/** Follows what each register holds. */
export interface NativeReader {
  /** True if it is a load, a mask or a value; a condition; undefined if it is none that iptables writes. */
  read(expression: Expression): true | Condition | undefined;
  /** A value that was put into a register. */
  immediate(register: number): Uint8Array | undefined;
}

export function createNativeReader(family: 'ip' | 'ip6'): NativeReader {
  const sources = new Map<number, Source>();
  const immediates = new Map<number, Uint8Array>();
  const load = (register: number, field: Field | undefined): true | undefined => {
    if (field === undefined) return undefined;
    sources.set(register, { field });
    return true;
  };
  return {
    immediate: (register) => immediates.get(register),
    read: (expression) => {
      switch (expression.kind) {
        case 'meta':
          return load(expression.register, metaField(expression.key));
        case 'payload':
          return load(expression.register, payloadField(expression, family));
        case 'immediate':
          immediates.set(expression.register, expression.value);
          return true;
        case 'bitwise': {
          const source = sources.get(expression.source);
          if (expression.operation !== 'mask-xor' || source === undefined) return undefined;
          if (expression.xor.some((byte) => byte !== 0) || source.mask !== undefined) {
            return undefined;
          }
          sources.set(expression.destination, { ...source, mask: expression.mask });
          return true;
        }
        case 'cmp': {
          const source = sources.get(expression.register);
          const { comparison, value } = expression;
          return source === undefined ? undefined : { ...source, comparison, value };
        }
        case 'range': {
          const source = sources.get(expression.register);
          const { comparison, first, last } = expression;
          return source === undefined ? undefined : { ...source, comparison, value: first, last };
        }
        default:
          return undefined;
      }
    },
  };
}

function metaField(key: string): Field | undefined {
  return key === 'iifname' || key === 'oifname' || key === 'l4proto' || key === 'mark'
    ? key
    : undefined;
}

/** Fields of the IP and the transport header by offset and length; an address may be read in part, for a prefix of whole bytes. */
function payloadField(
  { base, offset, length }: Extract<Expression, { readonly kind: 'payload' }>,
  family: 'ip' | 'ip6',
): Field | undefined {
  if (base === 'network') {
    const [size, source, destination] = family === 'ip' ? [4, 12, 16] : [16, 8, 24];
    if (offset === source && length <= size) return 'source';
    if (offset === destination && length <= size) return 'destination';
    return family === 'ip' && offset === 6 && length === 2 ? 'fragment' : undefined;
  }
  if (base !== 'transport') return undefined;
  if (offset === 0 && length === 2) return 'source-port';
  if (offset === 2 && length === 2) return 'destination-port';
  if (offset === 0 && length === 4) return 'ports';
  return offset === 13 && length === 1 ? 'tcp-flags' : undefined;
}
