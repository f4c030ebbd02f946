/**
 * @module Writes JSON Schemas as typed values: the words and the types are those of the package typebox, the schemas are plain data.
 * Pure. Only its types are borrowed (`Static` of a schema is what fits it): loading the package takes an agent 19 MB of memory.
 */
import type { TSchema, Type as TypeBox } from 'typebox';

type Word =
  | 'Array'
  | 'Boolean'
  | 'Enum'
  | 'Integer'
  | 'Literal'
  | 'Null'
  | 'Number'
  | 'Object'
  | 'Optional'
  | 'Record'
  | 'String'
  | 'Union'
  | 'Unknown'
  | 'Unsafe';
type Builder = Pick<typeof TypeBox, Word>;
type Options = Readonly<Record<string, unknown>>;
type Schema = Options & { readonly [optional]?: true };

/** Marks a property that may be missing; neither JSON nor validation sees a symbol. */
const optional = Symbol('optional');

const builder: { readonly [W in Word]: (...given: never[]) => unknown } = {
  Array: (items: TSchema, options?: Options) => ({ type: 'array', items, ...options }),
  Boolean: () => ({ type: 'boolean' }),
  Enum: (words: readonly string[]) => ({ enum: [...words] }),
  Integer: (options?: Options) => ({ type: 'integer', ...options }),
  Literal: (value: string | number | boolean) => ({ type: typeof value, const: value }),
  Null: () => ({ type: 'null' }),
  Number: (options?: Options) => ({ type: 'number', ...options }),
  Object: (properties: Readonly<Record<string, Schema>>, options?: Options) => {
    const required = Object.keys(properties).filter(
      (name) => properties[name]?.[optional] !== true,
    );
    return {
      type: 'object',
      ...(required.length === 0 ? {} : { required }),
      properties,
      ...options,
    };
  },
  Optional: (schema: Schema) => ({ ...schema, [optional]: true }),
  Record: (key: { readonly pattern?: string }, value: TSchema, options?: Options) => ({
    type: 'object',
    patternProperties: { [key.pattern ?? '^.*$']: value },
    ...options,
  }),
  String: (options?: Options) => ({ type: 'string', ...options }),
  Union: (anyOf: readonly TSchema[], options?: Options) => ({ anyOf, ...options }),
  Unknown: () => ({}),
  Unsafe: (schema: TSchema) => schema,
};

/** The words that schemas here are made of. */
export const Type = builder as unknown as Builder;
