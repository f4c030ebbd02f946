/** @module The product's own source text, for tests about the project itself. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = new URL('../..', import.meta.url).pathname;

/** Every TypeScript file of these folders, by path from the top, without its comments. */
export function sources(...folders: readonly string[]): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const folder of folders) {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      if (['dist', 'node_modules'].includes(entry.name)) continue;
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory()) for (const [name, text] of sources(path)) found.set(name, text);
      else if (entry.name.endsWith('.ts')) found.set(path, withoutComments(readText(path)));
    }
  }
  return found;
}

/** A file of the project. */
export function readText(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

/** The files whose text matches. */
export function filesWith(files: ReadonlyMap<string, string>, pattern: RegExp): readonly string[] {
  return [...files].filter(([, text]) => pattern.test(text)).map(([path]) => path);
}

function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/(^|\s)\/\/.*$/gm, '');
}
