import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { jsonSchemaFiles } from '../../../rules/json-schema.ts';

test.each([...jsonSchemaFiles()])('rules/%s says what rules/schema.ts says', async (name, text) => {
  const committed = await readFile(new URL(`../../../rules/${name}`, import.meta.url), 'utf8');
  expect(JSON.parse(committed)).toEqual(JSON.parse(text));
});

test('the schema of a provider knows every kind of requirement', () => {
  const text = jsonSchemaFiles().get('provider.schema.json') ?? '';
  for (const kind of ['udp-port', 'kernel-version', 'peer-agreement']) {
    expect(text).toContain(`"const": "${kind}"`);
  }
});
