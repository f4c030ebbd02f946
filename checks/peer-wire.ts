/** @module JSON between agents: written as bytes, and read only where it has the shape that is waited for. */
import type { Static, TSchema } from 'typebox';
import { Type } from '../rules/type.ts';
import { fits } from '../rules/validate.ts';

export const strict = { additionalProperties: false } as const;

/** Without control characters: it ends in logs and on terminals. */
export const text = (maxLength: number) => Type.String({ maxLength, pattern: '^\\P{Cc}*$' });

/** Turns bytes into a value of one shape, or undefined when they are anything else. */
export function reader<S extends TSchema>(schema: S): (bytes: Uint8Array) => Static<S> | undefined {
  return (bytes) => {
    let value: unknown;
    try {
      value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    } catch {
      return undefined;
    }
    return fits(schema, value) ? value : undefined;
  };
}

/** Any body as bytes. */
export function writeBody(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

/** A response travels in the padded request that asked for it. */
export const maximumBodyBytes = 1000;
