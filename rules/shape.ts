/** @module What is wrong with a value's shape, said so that the writer of a YAML file can cure it. Pure. */

import type { TSchema } from 'typebox';
import { Settings } from 'typebox/system';
import Value from 'typebox/value';
import { suggest } from './suggest.ts';

/** A path into a YAML document: keys and list positions from its root. */
export type Path = readonly (string | number)[];

/** One thing that is wrong, and where. */
export interface ShapeProblem {
  readonly path: Path;
  readonly message: string;
}

/** Lists everything in which a value departs from a schema. */
export function shapeProblems(schema: TSchema, value: unknown, base: Path = []): ShapeProblem[] {
  const errors = allErrors(schema, value);
  // A union reports each of its members and then itself: only the last is worth reading.
  const unions = errors
    .filter(({ keyword }) => keyword === 'anyOf')
    .map((error) => error.schemaPath);
  const insideUnion = (schemaPath: string): boolean =>
    unions.some((union) => schemaPath.startsWith(`${union}/anyOf/`));
  return errors
    .filter(({ schemaPath, keyword }) => !insideUnion(schemaPath) && keyword !== 'boolean')
    .flatMap((error) => {
      const path = [...base, ...pathOf(error.instancePath, value)];
      const at = nodeAt(schema, error.schemaPath);
      const found = nodeAt(value, error.instancePath);
      // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- JSON Schema has keywords that no schema here uses
      switch (error.keyword) {
        case 'required':
          return error.params.requiredProperties.map((name) => ({
            path,
            message: `${name} is missing`,
          }));
        case 'additionalProperties':
          return error.params.additionalProperties.map((name) => ({
            path: [...path, name],
            message: `unknown field ${name}${meaning(name, at)}`,
          }));
        case 'anyOf':
          return [{ path, message: `${show(found)} is not ${alternatives(at)}` }];
        case 'const':
          return [
            {
              path,
              message: `${show(found)} is not ${show(error.params.allowedValue)}`,
            },
          ];
        case 'type':
          return [
            {
              path,
              message: `${show(found)} is not ${article(String(error.params.type))}`,
            },
          ];
        case 'pattern':
          return [
            {
              path,
              message: `${show(found)} does not match ${String(error.params.pattern)}`,
            },
          ];
        case 'minItems':
          return [{ path, message: 'the list is empty' }];
        default:
          return [{ path, message: `${show(found)} ${error.message}` }];
      }
    });
}

/** The library stops at eight errors unless told otherwise, and each member of a union counts. */
function allErrors(schema: TSchema, value: unknown): ReturnType<typeof Value.Errors> {
  const { maxErrors } = Settings.Get();
  Settings.Set({ maxErrors: 10_000 });
  try {
    return Value.Errors(schema, value);
  } finally {
    Settings.Set({ maxErrors });
  }
}

function meaning(name: string, schema: unknown): string {
  const valid = Object.keys(property(schema, 'properties') ?? {});
  const meant = suggest(name, valid);
  return `${meant === undefined ? '' : `; did you mean ${meant}?`} (valid: ${valid.join(', ')})`;
}

/** `one of required, recommended, info`, or the types that a union takes. */
function alternatives(schema: unknown): string {
  const members = property(schema, 'anyOf');
  if (!Array.isArray(members)) return 'valid';
  const constants = members.flatMap((member) => property(member, 'const') ?? []);
  if (constants.length === members.length) return `one of ${constants.map(String).join(', ')}`;
  const types = members.map((member) => {
    const type = property(member, 'type');
    return article(typeof type === 'string' ? type : 'union');
  });
  return types.join(' or ');
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

/** Follows a JSON pointer with or without the `#` of a schema path (RFC 6901 section 4). */
function steps(pointer: string): string[] {
  return pointer
    .replace(/^#/, '')
    .split('/')
    .slice(1)
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function nodeAt(root: unknown, pointer: string): unknown {
  return steps(pointer).reduce<unknown>((node, step) => property(node, step), root);
}

function pathOf(pointer: string, root: unknown): Path {
  let node = root;
  return steps(pointer).map((step) => {
    const key = Array.isArray(node) ? Number(step) : step;
    node = property(node, step);
    return key;
  });
}

function property(node: unknown, key: string): unknown {
  if (typeof node !== 'object' || node === null || !Object.hasOwn(node, key)) return undefined;
  return Object.getOwnPropertyDescriptor(node, key)?.value;
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}
