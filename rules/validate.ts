/**
 * @module Compares a value with a schema of `type.ts`. Pure. Knows the keywords of JSON Schema that are written here, no other, and
 * nothing that refers back to itself: what it does with a value is bounded by the value and the schema.
 */
import type { Static, TSchema } from 'typebox';

/** A path into a document: keys and list positions from its root. */
export type Path = readonly (string | number)[];

/** The keywords in use. What they mean: JSON Schema 2020-12, Validation sections 6.1 to 6.5, Core sections 10.2 and 10.3. */
export interface Schema {
  readonly type?: 'array' | 'boolean' | 'integer' | 'null' | 'number' | 'object' | 'string';
  readonly const?: string | number | boolean;
  readonly enum?: readonly string[];
  readonly anyOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly patternProperties?: Readonly<Record<string, Schema>>;
  /** Properties that neither of the two above names are welcome unless this is false. */
  readonly additionalProperties?: false;
  readonly maxProperties?: number;
  readonly items?: Schema;
  readonly minItems?: number;
  readonly maxItems?: number;
  /** Characters, as JSON Schema counts them: code points. */
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
}

/** One thing in which a value departs from its schema. */
export interface Fault {
  readonly keyword: keyof Schema;
  /** Of the value at fault; of a missing or unknown property: of what it is missing or unknown in. */
  readonly path: Path;
  readonly value: unknown;
  /** The schema that it does not fit. */
  readonly schema: Schema;
  /** Of a missing or unknown property. */
  readonly property?: string;
}

/** Whether a value has the shape of a schema. */
export function fits<S extends TSchema>(schema: S, value: unknown): value is Static<S> {
  return faultsOf(schema, value).next().done === true;
}

/** Everything in which a value departs from a schema. A union is one fault, not those of each of its members. */
export function* faultsOf(given: TSchema, value: unknown, path: Path = []): Generator<Fault> {
  const schema: Schema = given;
  const fault = (keyword: keyof Schema): Fault => ({ keyword, path, value, schema });
  if (schema.anyOf !== undefined) {
    if (!schema.anyOf.some((member) => faultsOf(member, value).next().done === true))
      yield fault('anyOf');
  } else if (schema.const !== undefined) {
    if (value !== schema.const) yield fault('const');
  } else if (schema.enum !== undefined) {
    if (!schema.enum.some((word) => word === value)) yield fault('enum');
  } else if (schema.type !== undefined && !isOfType(schema.type, value)) {
    // Of a wrong type nothing else is worth saying.
    yield fault('type');
  } else if (typeof value === 'string') {
    for (const keyword of textFaults(schema, value)) yield fault(keyword);
  } else if (typeof value === 'number') {
    if (value < (schema.minimum ?? -Infinity)) yield fault('minimum');
    if (value > (schema.maximum ?? Infinity)) yield fault('maximum');
  } else if (Array.isArray(value)) {
    if (value.length < (schema.minItems ?? 0)) yield fault('minItems');
    if (value.length > (schema.maxItems ?? Infinity)) yield fault('maxItems');
    if (schema.items === undefined) return;
    for (const [index, item] of value.entries()) {
      yield* faultsOf(schema.items, item, [...path, index]);
    }
  } else if (isRecord(value)) {
    yield* objectFaults(schema, value, path);
  }
}

function isOfType(type: NonNullable<Schema['type']>, value: unknown): boolean {
  switch (type) {
    case 'array':
      return Array.isArray(value);
    case 'integer':
      return Number.isInteger(value);
    case 'null':
      return value === null;
    case 'number':
      return Number.isFinite(value);
    case 'object':
      return isRecord(value) && !Array.isArray(value);
    case 'boolean':
    case 'string':
      return typeof value === type;
  }
}

function* textFaults(schema: Schema, value: string): Generator<keyof Schema> {
  const { minLength = 0, maxLength = Infinity, pattern } = schema;
  const length = Array.from(value).length;
  if (length < minLength) yield 'minLength';
  if (length > maxLength) yield 'maxLength';
  if (pattern !== undefined && !new RegExp(pattern, 'u').test(value)) yield 'pattern';
}

function* objectFaults(
  schema: Schema,
  value: Readonly<Record<string, unknown>>,
  path: Path,
): Generator<Fault> {
  const { properties = {}, patternProperties = {}, required = [] } = schema;
  // A property that is there and undefined is not there: JSON has no such thing.
  const present = Object.entries(value).filter(([, found]) => found !== undefined);
  const names = new Set(present.map(([name]) => name));
  const fault = (keyword: keyof Schema): Fault => ({ keyword, path, value, schema });
  for (const property of required) {
    if (!names.has(property)) yield { ...fault('required'), property };
  }
  if (names.size > (schema.maxProperties ?? Infinity)) yield fault('maxProperties');
  const patterns = Object.entries(patternProperties).map(
    ([pattern, member]) => [new RegExp(pattern, 'u'), member] as const,
  );
  for (const [name, found] of present) {
    // `__proto__` may be a property of what was parsed, and is never one of a schema.
    const own = Object.hasOwn(properties, name) ? properties[name] : undefined;
    const members = [
      ...(own === undefined ? [] : [own]),
      ...patterns.flatMap(([pattern, member]) => (pattern.test(name) ? [member] : [])),
    ];
    for (const member of members) yield* faultsOf(member, found, [...path, name]);
    if (members.length === 0 && schema.additionalProperties === false)
      yield { ...fault('additionalProperties'), property: name };
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
