/** @module Reads the catalogue: the files that come with the program, then those of an operator. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Static, TSchema } from 'typebox';
import { type Document, isAlias, isNode, LineCounter, parseDocument, visit } from 'yaml';
import { assembleCatalogue } from './common.ts';
import { builtInDirectory } from './compiled.ts';
import { type RuleOwner, RuleOwnersFile, type RuleRemover } from './rule-owners.ts';
import {
  type Catalogue,
  CommonFile,
  type CommonRequirement,
  commonRequirementSchemas,
  Feature,
  FeaturesFile,
  kinds,
  Provider,
  requirementSchemas,
} from './schema.ts';
import {
  commonProblems,
  featureProblems,
  providerProblems,
  ruleOwnerProblems,
} from './semantics.ts';
import { type ShapeProblem, shapeProblems } from './shape.ts';
import { unknownWord } from './suggest.ts';
import { Type } from './type.ts';
import type { Path } from './validate.ts';

/** One thing that is wrong in one file of the catalogue. */
export interface CatalogueProblem {
  readonly file: string;
  /** Where in the document, e.g. `requirements[3].params.port`; empty for the file as a whole. */
  readonly path: string;
  readonly line?: number;
  readonly message: string;
}

/** The catalogue cannot be used; `problems` holds everything that is wrong in all of its files. */
export class CatalogueError extends Error {
  readonly code = 'CATALOGUE_INVALID';
  override readonly name = 'CatalogueError';
  readonly problems: readonly CatalogueProblem[];

  constructor(problems: readonly CatalogueProblem[]) {
    super(problems.map(problemLine).join('\n'));
    this.problems = problems;
  }
}

/** No honest file of the catalogue comes near it. */
const maximumFileBytes = 1024 * 1024;

/**
 * Loads the built-in catalogue, then every directory in turn, or throws `CatalogueError`.
 *
 * Of a directory, `features.yaml` adds kernel features or replaces those of the same name, and so do `common.yaml` with what every
 * provider needs and `rule-owners.yaml` with the owners of firewall rules; every other `*.yaml` and `*.yml` file in it, or in its
 * `providers` folder, is one provider. A provider of a name that was there before replaces it as a whole.
 */
export async function loadCatalogue(
  options: {
    readonly directories?: readonly string[];
    /** Folder to begin with, if not the one of this package. */
    readonly builtIn?: string;
    /** What to begin with instead of a folder: a catalogue that was found to be right before. */
    readonly base?: Catalogue;
  } = {},
): Promise<Catalogue> {
  const problems: CatalogueProblem[] = [];
  const features = new Map<string, Feature>(options.base?.features);
  const common = new Map<string, CommonRequirement>(options.base?.common);
  const owners = new Map<string, RuleOwner>(options.base?.ruleOwners.owners);
  const removers = new Map<string, RuleRemover>(options.base?.ruleOwners.removers);
  const commonDocuments: ReadDocument[] = [];
  const ownerDocuments: ReadDocument[] = [];
  const found = new Map<string, Source>();

  const own = options.base === undefined ? [options.builtIn ?? (await builtInDirectory())] : [];
  for (const directory of [...own, ...(options.directories ?? [])]) {
    const files = await listFiles(directory, problems);
    const here = new Map<string, Source>();
    for (const file of files) {
      const document = await readDocument(file.path, problems);
      if (document === undefined) continue;
      if (file.holds === 'features') {
        takeFeatures(document, features, problems);
      } else if (file.holds === 'common') {
        if (takeCommon(document, common, problems)) commonDocuments.push(document);
      } else if (file.holds === 'rule-owners') {
        if (takeRuleOwners(document, { owners, removers }, problems)) ownerDocuments.push(document);
      } else {
        takeProvider(document, here, problems);
      }
    }
    for (const [name, source] of here) found.set(name, source);
  }

  // Only now is every feature known: an operator's file may add the one that another file asks for.
  for (const { document, provider } of found.values()) {
    problems.push(...document.problems(providerProblems(provider, features)));
  }
  const written = new Map(options.base?.written);
  for (const [name, { provider }] of found) written.set(name, provider);
  // Nor is every provider before now, whose options a common requirement may name.
  const all = [...written.values()];
  for (const document of commonDocuments) {
    const { requirements } = document.value as { requirements: readonly CommonRequirement[] };
    problems.push(...document.problems(commonProblems(requirements, all, features)));
  }
  for (const document of ownerDocuments) {
    const { owners: here = {} } = document.value as RuleOwnersDocument;
    for (const [name, owner] of Object.entries(here)) {
      problems.push(...document.problems(ruleOwnerProblems(owner, all, ['owners', name])));
    }
  }
  if (problems.length > 0) throw new CatalogueError(problems);
  return assembleCatalogue({ written, common, features, ruleOwners: { owners, removers } });
}

interface Source {
  readonly document: ReadDocument;
  readonly provider: Provider;
}

/** A document that was read, with the means to say where in it a problem lies. */
interface ReadDocument {
  readonly file: string;
  readonly value: unknown;
  problems(found: readonly ShapeProblem[]): CatalogueProblem[];
}

interface FileOfDirectory {
  readonly path: string;
  readonly holds: 'features' | 'common' | 'rule-owners' | 'provider';
}

const holds: Readonly<Record<string, FileOfDirectory['holds']>> = {
  'features.yaml': 'features',
  'common.yaml': 'common',
  'rule-owners.yaml': 'rule-owners',
};

async function listFiles(
  directory: string,
  problems: CatalogueProblem[],
): Promise<FileOfDirectory[]> {
  const names = await readdir(directory).catch((error: unknown): string[] => {
    problems.push({
      file: directory,
      path: '',
      message: `cannot be read: ${codeOf(error)}`,
    });
    return [];
  });
  const nested = names.includes('providers')
    ? await readdir(join(directory, 'providers')).catch(() => [])
    : [];
  return [...names.sort(), ...nested.sort().map((name) => join('providers', name))]
    .filter((name) => /\.ya?ml$/.test(name))
    .map((name) => ({
      path: join(directory, name),
      holds: holds[name] ?? 'provider',
    }));
}

async function readDocument(
  file: string,
  problems: CatalogueProblem[],
): Promise<ReadDocument | undefined> {
  const refuse = (message: string): undefined => {
    problems.push({ file, path: '', message });
  };
  let text: string;
  try {
    // Not by its directory entry: a mounted ConfigMap consists of symbolic links.
    const entry = await stat(file);
    if (!entry.isFile()) return refuse('is not a regular file');
    if (entry.size > maximumFileBytes) return refuse(`is larger than ${maximumFileBytes} bytes`);
    text = await readFile(file, 'utf8');
  } catch (error) {
    return refuse(`cannot be read: ${codeOf(error)}`);
  }
  const lines = new LineCounter();
  const lineAt = (offset: number): number => lines.linePos(offset).line;
  const document = parseDocument(text, {
    version: '1.2',
    lineCounter: lines,
    prettyErrors: false,
    resolveKnownTags: false,
    stringKeys: true,
  });
  const faults = faultsOf(document);
  for (const { message, offset } of faults) {
    problems.push({ file, path: '', line: lineAt(offset), message: `YAML: ${message}` });
  }
  if (faults.length > 0) return undefined;
  const value: unknown = document.toJS({ maxAliasCount: 0 });
  return {
    file,
    value,
    problems: (found) =>
      found.map(({ path, message }) => {
        const offset = offsetOf(document, path);
        const where = { file, path: pathText(path), message };
        return offset === undefined ? where : { ...where, line: lineAt(offset) };
      }),
  };
}

/** Errors of syntax, tags, and aliases: a few lines of those can stand for gigabytes. */
function faultsOf(document: Document): { readonly message: string; readonly offset: number }[] {
  const exhausted = document.errors.find(({ code }) => code === 'RESOURCE_EXHAUSTION');
  if (exhausted !== undefined) return [{ message: 'nested too deep', offset: exhausted.pos[0] }];
  const faults = [...document.errors, ...document.warnings].map(({ message, pos }) => ({
    message,
    offset: pos[0],
  }));
  visit(document, {
    Alias(_key, { source, range }) {
      faults.push({
        message: `alias *${source} is not allowed`,
        offset: range?.[0] ?? 0,
      });
    },
  });
  return faults;
}

function takeFeatures(
  document: ReadDocument,
  features: Map<string, Feature>,
  problems: CatalogueProblem[],
): void {
  const wrong = shapeProblems(FeaturesFile, document.value);
  if (isRecord(document.value) && isRecord(document.value['features'])) {
    for (const [name, value] of Object.entries(document.value['features'])) {
      const path: Path = ['features', name];
      if (!isShaped(Feature, value)) continue;
      wrong.push(...featureProblems(value, path));
      features.set(name, value);
    }
  }
  problems.push(...document.problems(wrong));
}

/** Whether the document has the right shape. */
function takeCommon(
  document: ReadDocument,
  common: Map<string, CommonRequirement>,
  problems: CatalogueProblem[],
): boolean {
  const { value } = document;
  const written = isRecord(value) ? value['requirements'] : undefined;
  const wrong = [
    ...shapeProblems(CommonFrame, value),
    ...eachRequirement(written, commonRequirementSchemas),
  ];
  problems.push(...document.problems(wrong));
  if (wrong.length > 0) return false;
  for (const requirement of written as readonly CommonRequirement[])
    common.set(requirement.suffix, requirement);
  return true;
}

/** Whether the document has the right shape. */
function takeRuleOwners(
  document: ReadDocument,
  into: { readonly owners: Map<string, RuleOwner>; readonly removers: Map<string, RuleRemover> },
  problems: CatalogueProblem[],
): boolean {
  const wrong = shapeProblems(RuleOwnersFile, document.value);
  problems.push(...document.problems(wrong));
  if (wrong.length > 0) return false;
  const { owners = {}, removers = {} } = document.value as RuleOwnersDocument;
  for (const [name, owner] of Object.entries(owners)) into.owners.set(name, owner);
  for (const [name, remover] of Object.entries(removers)) into.removers.set(name, remover);
  return true;
}

type RuleOwnersDocument = Static<typeof RuleOwnersFile>;

const CommonFrame = Type.Object(
  { ...CommonFile.properties, requirements: Type.Array(Type.Unknown()) },
  { additionalProperties: false },
);

/** Each requirement is judged by the schema of its own kind: a union of all would only say that none fits. */
const ProviderFrame = Type.Object(
  {
    ...Provider.properties,
    requirements: Type.Array(Type.Unknown(), { minItems: 1 }),
  },
  { additionalProperties: false },
);

function takeProvider(
  document: ReadDocument,
  here: Map<string, Source>,
  problems: CatalogueProblem[],
): void {
  const { value } = document;
  const written = isRecord(value) ? value['requirements'] : undefined;
  const wrong = [
    ...shapeProblems(ProviderFrame, value),
    ...eachRequirement(written, requirementSchemas),
  ];
  problems.push(...document.problems(wrong));
  if (wrong.length > 0) return;
  const provider = value as Provider;
  const other = here.get(provider.provider);
  if (other !== undefined) {
    const message = `provider ${provider.provider} is in ${other.document.file} too`;
    problems.push(...document.problems([{ path: ['provider'], message }]));
    return;
  }
  here.set(provider.provider, { document, provider });
}

function eachRequirement(written: unknown, schemas: ReadonlyMap<string, TSchema>): ShapeProblem[] {
  const list: readonly unknown[] = Array.isArray(written) ? written : [];
  return list.flatMap((value, index) =>
    requirementProblems(value, ['requirements', index], schemas),
  );
}

function requirementProblems(
  value: unknown,
  path: Path,
  schemas: ReadonlyMap<string, TSchema>,
): ShapeProblem[] {
  if (!isRecord(value)) return [{ path, message: 'is not a mapping' }];
  const kind = value['kind'];
  const schema = typeof kind === 'string' ? schemas.get(kind) : undefined;
  if (schema !== undefined) return shapeProblems(schema, value, path);
  if (kind === undefined) return [{ path, message: 'kind is missing' }];
  const message = unknownWord({
    what: 'kind',
    word: typeof kind === 'string' ? kind : JSON.stringify(kind),
    valid: kinds,
  });
  return [{ path: [...path, 'kind'], message }];
}

function isShaped(schema: typeof Feature, value: unknown): value is Feature {
  return shapeProblems(schema, value).length === 0;
}

/** Where the node at a path starts, or the nearest around it that is there. */
function offsetOf(document: Document, path: Path): number | undefined {
  for (let depth = path.length; depth >= 0; depth -= 1) {
    const node: unknown = document.getIn(path.slice(0, depth), true);
    if (isNode(node) && !isAlias(node) && node.range) return node.range[0];
  }
  return undefined;
}

function pathText(path: Path): string {
  return path.reduce<string>((text, step) => {
    if (typeof step === 'number') return `${text}[${step}]`;
    return text === '' ? step : `${text}.${step}`;
  }, '');
}

function problemLine({ file, path, line, message }: CatalogueProblem): string {
  const place = line === undefined ? file : `${file}:${line}`;
  return `${place}: ${path === '' ? '' : `${path}: `}${message}`;
}

function codeOf(error: unknown): string {
  if (isRecord(error) && typeof error['code'] === 'string') return error['code'];
  return String(error);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
