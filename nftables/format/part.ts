/** @module A loaded value in nft's words, with how constants that are compared with it are written. */
import type { ByteOrder } from './bytes.ts';
import type { DataFormat } from './datatypes.ts';
import type { Need } from './dependencies.ts';

export interface Part {
  readonly text: string;
  readonly type: DataFormat;
  /** Bytes in the register. */
  readonly length: number;
  /** Of the register's bytes: another one than the type's behind `byteorder`. */
  readonly order: ByteOrder;
  /** A field of bits stands so high in its bytes. */
  readonly shift: number;
  readonly needs: readonly Need[];
  /** An operator is outermost: what follows is compared with `==`. */
  readonly isOperation: boolean;
}

export function atom(
  text: string,
  type: DataFormat,
  length: number,
  needs: readonly Need[] = [],
): Part {
  return { text, type, length, order: type.order, shift: 0, needs, isOperation: false };
}

export function joined(parts: readonly Part[]): string {
  return parts.map((part) => part.text).join(' . ');
}

export function allNeeds(parts: readonly Part[]): readonly Need[] {
  return parts.flatMap((part) => part.needs);
}
