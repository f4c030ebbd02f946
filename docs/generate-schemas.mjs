// Writes the JSON Schemas of the catalogue into rules/. Run it after `npm run build`, when rules/schema.ts changed.
import { writeFile } from 'node:fs/promises';
import { jsonSchemaFiles } from '../dist/rules/json-schema.js';

for (const [name, text] of jsonSchemaFiles()) {
  await writeFile(new URL(`../rules/${name}`, import.meta.url), text);
}
