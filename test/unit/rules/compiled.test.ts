import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { builtInDirectory, readCompiled, writeCompiled } from '../../../rules/compiled.ts';
import { loadCatalogue } from '../../../rules/load.ts';
import type { Catalogue } from '../../../rules/schema.ts';

let root = '';
let rules = '';
let catalogue: Catalogue;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'compiled-'));
  rules = join(root, 'rules');
  await cp(await builtInDirectory(), rules, { recursive: true });
  await mkdir(join(root, 'dist'));
  catalogue = await loadCatalogue({ builtIn: rules });
});
afterAll(async () => {
  await rm(root, { recursive: true });
});

test('what was compiled reads as what was written', async () => {
  expect(await readCompiled(rules)).toBeUndefined();
  await writeCompiled(rules, catalogue);
  expect(await readCompiled(rules)).toEqual(catalogue);
});

test('a change of any file makes it worthless', async () => {
  await writeCompiled(rules, catalogue);
  const file = join(rules, 'providers', 'weave.yaml');
  const before = await readFile(file);
  await writeFile(file, Buffer.concat([before, Buffer.from('# one more word\n')]));
  expect(await readCompiled(rules)).toBeUndefined();
  await writeFile(file, before);
  expect(await readCompiled(rules)).toEqual(catalogue);
});

test('an operator adds to it as to the YAML', async () => {
  const directories = [new URL('../../fixtures/rules/invented', import.meta.url).pathname];
  const onCompiled = await loadCatalogue({ base: catalogue, directories });
  expect(onCompiled).toEqual(await loadCatalogue({ builtIn: rules, directories }));
  expect(onCompiled.providers.size).toBeGreaterThan(catalogue.providers.size);
});
