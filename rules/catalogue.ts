/** @module The catalogue of a running program: what the build compiled, and what an operator adds. */
import { builtInDirectory, readCompiled } from './compiled.ts';
import type { Catalogue } from './schema.ts';

/**
 * Opens the catalogue, or throws `CatalogueError`. The reader of YAML, which is large, is loaded only where there is
 * YAML to read: an operator's directory, or a program that was not built.
 */
export async function openCatalogue(
  options: { readonly directories?: readonly string[] } = {},
): Promise<Catalogue> {
  const base = await readCompiled(await builtInDirectory());
  if (base !== undefined && (options.directories ?? []).length === 0) return base;
  const { loadCatalogue } = await import('./load.ts');
  return await loadCatalogue(base === undefined ? options : { ...options, base });
}
