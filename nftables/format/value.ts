/** @module What a register holds, as the expressions that made it. */
import type { CtKey, Expression, ExpressionOf, MetaKey } from '../model.ts';

type Load = ExpressionOf<
  'payload' | 'meta' | 'ct' | 'fib' | 'exthdr' | 'socket' | 'osf' | 'rt' | 'xfrm'
>;

export type Value =
  | { readonly kind: 'load'; readonly load: Load; readonly length: number }
  | { readonly kind: 'constant'; readonly bytes: Uint8Array; readonly length: number }
  | {
      readonly kind: 'mask';
      readonly of: Value;
      readonly mask: Uint8Array;
      readonly xor: Uint8Array;
      readonly length: number;
    }
  | {
      readonly kind: 'shift';
      readonly of: Value;
      readonly direction: 'left' | 'right';
      readonly bits: number;
      readonly length: number;
    }
  | {
      /** Operation with another register. */
      readonly kind: 'combine';
      readonly of: Value;
      readonly with: Value;
      readonly operation: 'and' | 'or' | 'xor';
      readonly length: number;
    }
  | {
      readonly kind: 'swap';
      readonly of: Value;
      readonly operation: 'ntoh' | 'hton';
      readonly length: number;
    }
  | {
      readonly kind: 'map';
      readonly key: readonly Value[];
      readonly set: string;
      readonly length: number;
    }
  | {
      readonly kind: 'hash';
      readonly key: readonly Value[];
      readonly hash: ExpressionOf<'hash'>;
      readonly length: number;
    }
  | { readonly kind: 'numgen'; readonly numgen: ExpressionOf<'numgen'>; readonly length: number };

const metaLengths: Partial<Record<MetaKey, number>> = {
  protocol: 2,
  iifname: 16,
  oifname: 16,
  iiftype: 2,
  oiftype: 2,
  nftrace: 1,
  nfproto: 1,
  l4proto: 1,
  ibrname: 16,
  obrname: 16,
  pkttype: 1,
  ipsec: 1,
  iifkind: 16,
  oifkind: 16,
  ibrpvid: 2,
  ibrvproto: 2,
  time: 8,
  day: 1,
  sdifname: 16,
  broute: 1,
  ibrhwaddr: 6,
};

const ctLengths: Partial<Record<CtKey, number>> = {
  direction: 1,
  helper: 16,
  l3proto: 1,
  protocol: 1,
  'proto-src': 2,
  'proto-dst': 2,
  label: 16,
  packets: 8,
  bytes: 8,
  avgpkt: 8,
  zone: 2,
  'src-ip6': 16,
  'dst-ip6': 16,
};

/** Bytes that an expression writes to its register; undefined for one that loads nothing. */
export function loadOf(expression: Expression, family: string): Value | undefined {
  const load = (found: Load, length: number): Value => ({ kind: 'load', load: found, length });
  switch (expression.kind) {
    case 'payload':
      return load(expression, expression.length);
    case 'meta':
      return load(expression, metaLengths[expression.key] ?? 4);
    case 'ct':
      if (expression.key === 'src' || expression.key === 'dst') {
        return load(expression, family === 'ip6' ? 16 : 4);
      }
      return load(expression, ctLengths[expression.key] ?? 4);
    case 'fib':
      return load(expression, expression.result === 'oifname' ? 16 : 4);
    case 'exthdr':
      return load(expression, expression.present ? 1 : expression.length);
    case 'socket':
      if (expression.key === 'cgroupv2') return load(expression, 8);
      return load(expression, expression.key === 'mark' ? 4 : 1);
    case 'osf':
      return load(expression, 16);
    case 'rt':
      if (expression.key === 'nexthop6') return load(expression, 16);
      return load(expression, { tcpmss: 2, ipsec: 1 }[expression.key as 'tcpmss' | 'ipsec'] ?? 4);
    case 'xfrm':
      return load(expression, expression.key.endsWith('addr6') ? 16 : 4);
    default:
      return undefined;
  }
}

/** The registers of a rule, in words. */
export interface Registers {
  readonly write: (register: number, value: Value) => void;
  /** The value that starts in a register. */
  readonly at: (register: number) => Value | undefined;
  /** The value that a register is a part of. */
  readonly inside: (register: number) => Value | undefined;
  /** The values that follow one another from a register on, until they make up so many bytes. */
  readonly gather: (register: number, bytes: number) => readonly Value[] | undefined;
  /** A load that nothing reads may still end its rule: it fails where the packet is too short. */
  readonly hasUnread: () => boolean;
}

export function createRegisters(): Registers {
  const words: ({ readonly value: Value; readonly word: number } | undefined)[] = [];
  const unread = new Set<Value>();
  const at = (register: number): Value | undefined => {
    const found = words[register];
    if (found?.word !== 0) return undefined;
    unread.delete(found.value);
    return found.value;
  };
  return {
    write(register, value) {
      unread.add(value);
      for (let word = 0; word < Math.ceil(value.length / 4) && register + word < 32; word++) {
        words[register + word] = { value, word };
      }
    },
    at,
    inside: (register) => words[register]?.value,
    gather(register, bytes) {
      const values: Value[] = [];
      for (let word = 0; word * 4 < bytes; ) {
        const value = at(register + word);
        if (value === undefined || value.length === 0) return undefined;
        values.push(value);
        word += Math.ceil(value.length / 4);
      }
      return values;
    },
    hasUnread: () => unread.size > 0,
  };
}
