import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { loadCatalogue } from '../../../rules/load.ts';

/** What docs/seed-coverage.md says of each claim. */
async function readTable(): Promise<Map<string, { entries: string[]; remark: string }>> {
  const url = new URL('../../../docs/seed-coverage.md', import.meta.url);
  const rows = new Map<string, { entries: string[]; remark: string }>();
  for (const line of (await readFile(url, 'utf8')).split('\n')) {
    const [, claim = '', , entries = '', remark = ''] = line.split('|').map((cell) => cell.trim());
    if (!/^S\d+$/.test(claim)) continue;
    if (rows.has(claim)) throw new Error(`${claim} is there twice`);
    const names = [...entries.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name);
    rows.set(claim, { entries: names, remark });
  }
  return rows;
}

/** Which entries of the catalogue name each claim: a requirement's id, or a provider's name for its file. */
async function readCatalogue(): Promise<Map<string, string[]>> {
  const claims = new Map<string, string[]>();
  const add = (entry: string, seed: readonly string[] = []): void => {
    for (const claim of seed) claims.set(claim, [...(claims.get(claim) ?? []), entry]);
  };
  for (const provider of (await loadCatalogue()).providers.values()) {
    add(provider.provider, provider.seed);
    for (const { id, seed } of provider.requirements) add(id, seed);
  }
  return claims;
}

test('the table has every claim of the seed once, in order', async () => {
  const claims = Array.from({ length: 32 }, (_, index) => `S${index + 1}`);
  expect([...(await readTable()).keys()]).toEqual(claims);
});

test('table and catalogue name the same entries for each claim', async () => {
  const [table, catalogue] = await Promise.all([readTable(), readCatalogue()]);
  for (const [claim, { entries }] of table) {
    expect([...entries].sort(), claim).toEqual([...(catalogue.get(claim) ?? [])].sort());
  }
  for (const claim of catalogue.keys()) expect(table.has(claim), claim).toBe(true);
});

test('a claim without an entry says why', async () => {
  for (const [claim, { entries, remark }] of await readTable()) {
    if (entries.length > 0) continue;
    expect(remark, claim).toMatch(/^No requirement: .{40,}/);
  }
});
