import { readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { checks } from '../../../checks/index.ts';
import { sources } from '../../support/sources.ts';

const ownFiles = readdirSync(new URL('../../../checks', import.meta.url))
  .filter((name) => name.endsWith('.ts') && name !== 'index.ts')
  .map((name) => `checks/${name}`);

describe('the list of checks', () => {
  const texts = sources('checks');
  const exported = ownFiles.flatMap((path) => {
    const found = (texts.get(path) ?? '').matchAll(/export const (\w+): Check</g);
    return [...found].map(([, name]) => ({ path, name: name ?? '' }));
  });

  test('is not empty', () => {
    expect(exported.length).toBeGreaterThan(0);
  });

  test('holds every check that a file of checks/ exports', async () => {
    const listed = new Set<unknown>(Object.values(checks));
    const forgotten: string[] = [];
    for (const { path, name } of exported) {
      const url = new URL(`../../../${path}`, import.meta.url).href;
      const module: Record<string, unknown> = await import(/* @vite-ignore */ url);
      if (!listed.has(module[name])) forgotten.push(`${name} of ${path}`);
    }
    expect(forgotten).toEqual([]);
  });

  test('names each check by its own kind', () => {
    for (const [kind, check] of Object.entries(checks)) expect(check.kind).toBe(kind);
  });
});
