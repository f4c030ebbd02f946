/** @module Run by the build: loads the built-in YAML, and leaves it where the program finds it parsed. */
import { builtInDirectory, writeCompiled } from './compiled.ts';
import { loadCatalogue } from './load.ts';

const directory = await builtInDirectory();
await writeCompiled(directory, await loadCatalogue());
