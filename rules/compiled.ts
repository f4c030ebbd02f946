/**
 * @module The built-in catalogue as the build left it: the same data as the YAML, already parsed and found to be right.
 * Parsing 200 kB of YAML takes a good part of a second and of the memory of an agent; reading this takes neither.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assembleCatalogue } from './common.ts';
import type { RuleOwner, RuleRemover } from './rule-owners.ts';
import type { Catalogue, CommonRequirement, Feature, Provider } from './schema.ts';

/** Beside the built program, one folder above `rules`. */
const compiledFile = join('..', 'dist', 'catalogue.json');

interface Compiled {
  /** Of the YAML files that it was made from: after a change of one of them it is of no use. */
  readonly sha256: string;
  /** As their files have them. */
  readonly providers: readonly Provider[];
  readonly common: readonly CommonRequirement[];
  readonly features: Readonly<Record<string, Feature>>;
  readonly ruleOwners: Readonly<Record<string, RuleOwner>>;
  readonly ruleRemovers: Readonly<Record<string, RuleRemover>>;
}

/** The catalogue of a directory as it was compiled; undefined where it was not, or not from these files. */
export async function readCompiled(directory: string): Promise<Catalogue | undefined> {
  let text: string;
  try {
    text = await readFile(join(directory, compiledFile), 'utf8');
  } catch {
    return undefined;
  }
  const compiled: Compiled = JSON.parse(text);
  if (compiled.sha256 !== (await digestOf(directory))) return undefined;
  return assembleCatalogue({
    written: new Map(compiled.providers.map((provider) => [provider.provider, provider])),
    common: new Map(compiled.common.map((requirement) => [requirement.suffix, requirement])),
    features: new Map(Object.entries(compiled.features)),
    ruleOwners: {
      owners: new Map(Object.entries(compiled.ruleOwners)),
      removers: new Map(Object.entries(compiled.ruleRemovers)),
    },
  });
}

/** Writes what was loaded from a directory, for `readCompiled`. */
export async function writeCompiled(directory: string, catalogue: Catalogue): Promise<void> {
  const compiled: Compiled = {
    sha256: await digestOf(directory),
    providers: [...catalogue.written.values()],
    common: [...catalogue.common.values()],
    features: Object.fromEntries(catalogue.features),
    ruleOwners: Object.fromEntries(catalogue.ruleOwners.owners),
    ruleRemovers: Object.fromEntries(catalogue.ruleOwners.removers),
  };
  await writeFile(join(directory, compiledFile), JSON.stringify(compiled));
}

/** Digest over names and contents of every YAML file of the catalogue. */
async function digestOf(directory: string): Promise<string> {
  const digest = createHash('sha256');
  for (const folder of [directory, join(directory, 'providers')]) {
    for (const name of (await readdir(folder)).filter((one) => /\.ya?ml$/.test(one)).sort()) {
      digest.update(`${name}\n`).update(await readFile(join(folder, name)));
    }
  }
  return digest.digest('hex');
}

/** Finds the folder `rules` of this package, from source and from `dist` alike. */
export async function builtInDirectory(): Promise<string> {
  const start = dirname(fileURLToPath(import.meta.url));
  for (let folder = start; ; folder = dirname(folder)) {
    const text = await readFile(join(folder, 'package.json'), 'utf8').catch(() => '{}');
    const { name }: { readonly name?: string } = JSON.parse(text);
    if (name === 'cni-preflight') return join(folder, 'rules');
    if (folder === dirname(folder)) throw new Error(`no package cni-preflight above ${start}`);
  }
}
