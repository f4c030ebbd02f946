/** @module From a provider's file to the requirements of one node: options settled, references replaced. Pure. */
import type {
  Catalogue,
  CatalogueRequirement,
  OptionValue,
  Provider,
  ProviderOption,
  Requirement,
} from './schema.ts';
import { kinds } from './schema.ts';
import { unknownWord } from './suggest.ts';
import { applies, distributionName, holds } from './when.ts';

/** A provider, option, value, distribution or requirement was asked for that the catalogue does not have. */
export class SelectionError extends Error {
  readonly code = 'SELECTION_INVALID';
  override readonly name = 'SelectionError';
}

/** What to resolve: which provider, how it was set, and what the node's devices tell. */
export interface Selection {
  readonly provider: string;
  /** Absent: `upstream`, or the first that the provider comes with. */
  readonly distribution?: string | undefined;
  /** Options as an operator typed them (`--set`). */
  readonly set?: Readonly<Record<string, string>> | undefined;
  readonly detected?:
    | {
        readonly options: Readonly<Record<string, OptionValue>>;
        readonly origins: Readonly<Record<string, string>>;
      }
    | undefined;
}

/** A provider as it runs, or would run, on one node. */
export interface ResolvedProvider {
  readonly provider: Provider;
  readonly distribution: string;
  readonly options: Readonly<Record<string, OptionValue>>;
  /** Where each option's value came from, e.g. `device flannel.1` or `default of rke2`. */
  readonly origins: Readonly<Record<string, string>>;
  readonly requirements: readonly Requirement[];
  /** Names of its own network devices; a trailing `*` matches any ending. */
  readonly interfaces: readonly string[];
}

/** Settles every option of a provider, lists the requirements that then apply, or throws `SelectionError`. */
export function resolveProvider(catalogue: Catalogue, selection: Selection): ResolvedProvider {
  const provider = catalogue.providers.get(selection.provider);
  if (provider === undefined) {
    throw new SelectionError(
      unknownWord({
        what: 'provider',
        word: selection.provider,
        valid: [...catalogue.providers.keys()].sort(),
      }),
    );
  }
  const distribution = pickDistribution(catalogue, provider, selection.distribution);
  const { options, origins } = settleOptions(provider, distribution, selection);
  const valueOfOption = (name: string): OptionValue => lookUp(name, distribution, options);
  const requirements = provider.requirements
    .filter((written) => applies(written, valueOfOption))
    .map((written) => resolveRequirement(written, options, origins));
  const { interfaces = [] } = provider;
  return { provider, distribution, options, origins, requirements, interfaces };
}

/** Lists the ids of every requirement of the catalogue, whether it applies to some node or not, sorted. */
export function requirementIds(catalogue: Catalogue): string[] {
  return [...catalogue.providers.values()]
    .flatMap(({ requirements }) => requirements.map(({ id }) => id))
    .sort();
}

/**
 * Keeps the requirements asked for by id or kind, or throws `SelectionError` for a word that is neither.
 * `known` holds ids that are right although nothing here has them: they belong to another mode or provider.
 */
export function selectRequirements<R extends { readonly id: string; readonly kind: string }>(
  requirements: readonly R[],
  selection: {
    readonly only?: readonly string[];
    readonly ignore?: readonly string[];
    readonly known?: readonly string[];
  },
): R[] {
  const { only = [], ignore = [], known = [] } = selection;
  const ids = requirements.map(({ id }) => id);
  const valid = new Set<string>([...ids, ...known, ...kinds]);
  for (const [flag, words] of [
    ['--only', only],
    ['--ignore', ignore],
  ] as const) {
    for (const word of words) {
      if (valid.has(word)) continue;
      const list = [...ids].sort();
      throw new SelectionError(
        `${flag}: ${unknownWord({ what: 'requirement id or kind', word, valid: [...list, ...kinds] })}`,
      );
    }
  }
  const named = (words: readonly string[], { id, kind }: R): boolean =>
    words.includes(id) || words.includes(kind);
  return requirements.filter(
    (requirement) => (only.length === 0 || named(only, requirement)) && !named(ignore, requirement),
  );
}

/** Says why a value does not fit an option, or answers undefined. */
export function valueProblem(option: ProviderOption, value: OptionValue): string | undefined {
  switch (option.type) {
    case 'choice': {
      const valid = option.values ?? [];
      if (valid.includes(value)) return undefined;
      return unknownWord({
        what: 'value',
        word: String(value),
        valid: valid.map(String),
      });
    }
    case 'port':
      return isWhole(value, 1, 65_535) ? undefined : `${show(value)} is not a port (1 to 65535)`;
    case 'number':
      return isWhole(value, 0, Number.MAX_SAFE_INTEGER)
        ? undefined
        : `${show(value)} is not a whole number of 0 or more`;
    case 'boolean':
      return typeof value === 'boolean' ? undefined : `${show(value)} is neither true nor false`;
    case 'text':
      return typeof value === 'string' ? undefined : `${show(value)} is not text`;
  }
}

function pickDistribution(
  catalogue: Catalogue,
  provider: Provider,
  asked: string | undefined,
): string {
  const valid = provider.distributions;
  if (asked === undefined) return valid.find((name) => name === 'upstream') ?? valid[0] ?? '';
  if (valid.includes(asked)) return asked;
  const known = [...catalogue.providers.values()].flatMap(({ distributions }) => distributions);
  const list = valid.join(', ');
  throw new SelectionError(
    known.includes(asked)
      ? `${provider.title} does not come with the distribution ${JSON.stringify(asked)} (valid: ${list})`
      : unknownWord({
          what: `distribution of ${provider.title}`,
          word: asked,
          valid,
        }),
  );
}

interface Settled {
  readonly options: Record<string, OptionValue>;
  readonly origins: Record<string, string>;
}

function settleOptions(provider: Provider, distribution: string, selection: Selection): Settled {
  const set = parseSettings(provider, selection.set ?? {});
  const detected = selection.detected;
  const options: Record<string, OptionValue> = {};
  const origins: Record<string, string> = {};

  // An option's default may hang on another option, so settling one settles those it asks for first. The
  // loader refuses circles.
  const settle = (name: string): OptionValue => {
    const known = own(options, name);
    if (known !== undefined) return known;
    const option = own(provider.options, name);
    if (option === undefined) throw new Error(`no option ${name} in ${provider.provider}`);
    const { value, origin } = choose(name, option);
    options[name] = value;
    origins[name] = origin;
    return value;
  };
  const valueOfOption = (name: string): OptionValue =>
    name === distributionName ? distribution : settle(name);

  const choose = (name: string, option: ProviderOption): { value: OptionValue; origin: string } => {
    const asked = set.get(name);
    if (asked !== undefined) return { value: asked, origin: 'set by the operator' };
    const seen = detected === undefined ? undefined : own(detected.options, name);
    // A device may have a value that no configuration of the provider would accept: then it is not its own.
    if (seen !== undefined && valueProblem(option, seen) === undefined) {
      return {
        value: seen,
        origin: own(detected?.origins ?? {}, name) ?? 'seen on the node',
      };
    }
    const conditional = (option.defaultWhen ?? []).find(({ when }) => holds(when, valueOfOption));
    if (conditional !== undefined) {
      return {
        value: conditional.value,
        origin: `default with ${inWords(conditional.when)}`,
      };
    }
    const ofDistribution = own(option.defaultByDistribution ?? {}, distribution);
    if (ofDistribution !== undefined)
      return { value: ofDistribution, origin: `default of ${distribution}` };
    return { value: option.default, origin: 'default' };
  };

  for (const name of Object.keys(provider.options)) settle(name);
  return { options, origins };
}

function parseSettings(
  provider: Provider,
  settings: Readonly<Record<string, string>>,
): Map<string, OptionValue> {
  const parsed = new Map<string, OptionValue>();
  for (const [name, text] of Object.entries(settings)) {
    const option = own(provider.options, name);
    if (option === undefined) {
      throw new SelectionError(
        unknownWord({
          what: `option of ${provider.title}`,
          word: name,
          valid: Object.keys(provider.options).sort(),
        }),
      );
    }
    const value = parseValue(option, text);
    const problem = valueProblem(option, value);
    if (problem !== undefined) {
      throw new SelectionError(`option ${name} of ${provider.title}: ${problem}`);
    }
    parsed.set(name, value);
  }
  return parsed;
}

function parseValue(option: ProviderOption, text: string): OptionValue {
  switch (option.type) {
    case 'choice':
      return (option.values ?? []).find((value) => String(value) === text) ?? text;
    case 'port':
    case 'number':
      return /^\d{1,15}$/.test(text) ? Number(text) : text;
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : text;
    case 'text':
      return text;
  }
}

function resolveRequirement(
  written: CatalogueRequirement,
  options: Readonly<Record<string, OptionValue>>,
  origins: Readonly<Record<string, string>>,
): Requirement {
  const used: Record<string, string> = {};
  const resolve = (param: unknown): unknown => {
    if (Array.isArray(param)) return param.map(resolve);
    if (!isObject(param)) return param;
    const reference = param['option'];
    if (typeof reference === 'string') {
      const value = own(options, reference);
      const plus = param['plus'];
      used[reference] = own(origins, reference) ?? 'default';
      return Number(value) + (typeof plus === 'number' ? plus : 0);
    }
    return Object.fromEntries(Object.entries(param).map(([key, value]) => [key, resolve(value)]));
  };
  const { id, kind, level, scope, direction, peerRole, purpose, anyOf, source, disputed } = written;
  const params = resolve(written.params);
  const port = isObject(params) ? params['port'] : undefined;
  if (typeof port === 'number' && port > 65_535) {
    const [option = 'port'] = Object.keys(used);
    throw new SelectionError(
      `option ${option}: ${id} would need port ${port} (valid: up to 65535)`,
    );
  }
  const endpointsOption = written.params['endpointsOption'];
  if (typeof endpointsOption === 'string') {
    used[endpointsOption] = own(origins, endpointsOption) ?? 'default';
  }
  // The loader has checked `params` against the schema of its kind, which the compiler cannot see here.
  return {
    id,
    kind,
    level,
    scope,
    direction: direction ?? 'both',
    ...(peerRole === undefined ? {} : { peerRole }),
    params,
    purpose,
    ...(anyOf === undefined ? {} : { anyOf }),
    source,
    disputed: disputed ?? [],
    origins: used,
  } as Requirement;
}

function lookUp(
  name: string,
  distribution: string,
  options: Readonly<Record<string, OptionValue>>,
): OptionValue {
  return name === distributionName ? distribution : (own(options, name) ?? '');
}

function inWords(condition: Readonly<Record<string, OptionValue | OptionValue[]>>): string {
  return Object.entries(condition)
    .map(([name, wanted]) => `${name}=${Array.isArray(wanted) ? wanted.join('|') : String(wanted)}`)
    .join(', ');
}

/** The value of an own property: names come from files and command lines, and may be `constructor`. */
function own<V>(record: Readonly<Record<string, V>>, name: string): V | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

function isWhole(value: OptionValue, least: number, most: number): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most;
}

function show(value: OptionValue): string {
  return typeof value === 'string' ? JSON.stringify(value) : String(value);
}
