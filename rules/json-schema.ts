/** @module The catalogue's JSON Schemas, with which editors check its YAML files. Pure. */
import type { TSchema } from 'typebox';
import { RuleOwnersFile } from './rule-owners.ts';
import { CommonFile, FeaturesFile, Provider } from './schema.ts';

/** The committed schema files, by their name in `rules/`, as text. */
export function jsonSchemaFiles(): ReadonlyMap<string, string> {
  return new Map([
    ['common.schema.json', render('What every provider of the catalogue needs', CommonFile)],
    ['features.schema.json', render('Kernel features of the catalogue', FeaturesFile)],
    ['provider.schema.json', render('A provider of the catalogue', Provider)],
    ['rule-owners.schema.json', render('Whose rules a firewall may hold', RuleOwnersFile)],
  ]);
}

function render(title: string, schema: TSchema): string {
  const $schema = 'https://json-schema.org/draft/2020-12/schema';
  return `${JSON.stringify({ $schema, title, ...schema }, undefined, 2)}\n`;
}
