/** @module What is wrong with a value's shape, said so that the writer of a YAML file can cure it. Pure. */
import type { TSchema } from 'typebox';
import { suggest } from './suggest.ts';
import { type Fault, faultsOf, type Path, type Schema } from './validate.ts';

/** One thing that is wrong, and where. */
export interface ShapeProblem {
  readonly path: Path;
  readonly message: string;
}

/** Lists everything in which a value departs from a schema. */
export function shapeProblems(schema: TSchema, value: unknown, base: Path = []): ShapeProblem[] {
  return [...faultsOf(schema, value, base)].map(problemOf);
}

function problemOf({ keyword, path, value, schema, property = '' }: Fault): ShapeProblem {
  const limit = show(schema[keyword]);
  const is = (message: string): ShapeProblem => ({ path, message: `${show(value)} ${message}` });
  switch (keyword) {
    case 'required':
      return { path, message: `${property} is missing` };
    case 'additionalProperties':
      return {
        path: [...path, property],
        message: `unknown field ${property}${meaning(property, schema)}`,
      };
    case 'anyOf':
      return is(`is not ${alternatives(schema.anyOf ?? [])}`);
    case 'const':
      return is(`is not ${show(schema.const)}`);
    case 'enum':
      return is(`is not one of ${(schema.enum ?? []).join(', ')}`);
    case 'type':
      return is(`is not ${article(schema.type ?? 'value')}`);
    case 'pattern':
      return is(`does not match ${schema.pattern ?? ''}`);
    case 'minItems':
      return { path, message: 'the list is empty' };
    case 'minLength':
      return is(`has fewer than ${limit} characters`);
    case 'maxLength':
      return is(`has more than ${limit} characters`);
    case 'minimum':
      return is(`is less than ${limit}`);
    case 'maximum':
      return is(`is more than ${limit}`);
    case 'maxItems':
    case 'maxProperties':
      return { path, message: `has more than ${limit} entries` };
    case 'items':
    case 'patternProperties':
    case 'properties':
      // What is inside them is at fault, by a keyword of its own.
      return is('does not fit');
  }
}

function meaning(name: string, schema: Schema): string {
  const valid = Object.keys(schema.properties ?? {});
  const meant = suggest(name, valid);
  return `${meant === undefined ? '' : `; did you mean ${meant}?`} (valid: ${valid.join(', ')})`;
}

/** `one of required, recommended, info`, or the types that a union takes. */
function alternatives(members: readonly Schema[]): string {
  const constants = members.flatMap((member) => member.const ?? []);
  if (constants.length === members.length) return `one of ${constants.map(String).join(', ')}`;
  return members.map(({ type = 'union' }) => article(type)).join(' or ');
}

function article(type: string): string {
  switch (type) {
    case 'array':
      return 'a list';
    case 'object':
      return 'a mapping';
    case 'integer':
      return 'a whole number';
    case 'string':
      return 'text';
    case 'boolean':
      return 'true or false';
    default:
      return `a ${type}`;
  }
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}
