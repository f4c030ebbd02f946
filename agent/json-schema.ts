/** @module The JSON Schemas of what users write and read, for `docs/`. Pure. */
import type { TSchema } from 'typebox';
import { ConfigurationFile } from './settings.ts';
import { StatusSchema } from './status-schema.ts';

/** The committed schema files, by their name in `docs/`, as text. */
export function documentSchemaFiles(): ReadonlyMap<string, string> {
  return new Map([
    ['config.schema.json', render('The configuration file (--config)', ConfigurationFile)],
    ['status.schema.json', render('check --format json, and GET /status', StatusSchema)],
  ]);
}

function render(title: string, schema: TSchema): string {
  const $schema = 'https://json-schema.org/draft/2020-12/schema';
  return `${JSON.stringify({ $schema, title, ...schema }, undefined, 2)}\n`;
}
