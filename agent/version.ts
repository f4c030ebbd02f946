/** @module Which version this is. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Reads the version from the package that this file belongs to, from source and from `dist` alike. */
export function packageVersion(): string {
  const start = dirname(fileURLToPath(import.meta.url));
  for (let folder = start; ; folder = dirname(folder)) {
    const manifest = readManifest(join(folder, 'package.json'));
    if (manifest?.name === 'cni-preflight') return manifest.version ?? 'unknown';
    if (folder === dirname(folder)) throw new Error(`no package cni-preflight above ${start}`);
  }
}

interface Manifest {
  readonly name?: string;
  readonly version?: string;
}

function readManifest(path: string): Manifest | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  const manifest: Manifest = JSON.parse(text);
  return manifest;
}
