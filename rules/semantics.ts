/** @module What a provider's file says that its schema cannot judge: names that must exist, values that must fit. Pure. */
import { valueProblem } from './resolve.ts';
import { providerName, type RuleOwner } from './rule-owners.ts';
import type {
  CatalogueRequirement,
  CommonRequirement,
  Condition,
  Feature,
  Kind,
  OptionValue,
  Provider,
  ProviderOption,
  Scope,
} from './schema.ts';
import type { ShapeProblem } from './shape.ts';
import { unknownWord } from './suggest.ts';
import type { Path } from './validate.ts';
import { distributionName } from './when.ts';

/** Scopes in which a kind can be tested at all. */
const scopesOf: { readonly [K in Kind]: readonly Scope[] } = {
  'kernel-version': ['node'],
  'kernel-feature': ['node'],
  sysctl: ['node'],
  forwarding: ['node'],
  'sysctl-files': ['node'],
  'reverse-path': ['node'],
  'return-path': ['peer'],
  'kernel-table': ['node'],
  'kernel-counter': ['node'],
  'ipv6-state': ['node'],
  'known-issue': ['node'],
  'traffic-filters': ['node'],
  selinux: ['node'],
  'cni-files': ['node'],
  'policy-routing': ['node'],
  'service-manager': ['node'],
  'firewall-backends': ['node'],
  'cni-plugins': ['node'],
  'cni-token': ['node'],
  'port-owner': ['node'],
  'device-conflict': ['node'],
  datastore: ['node'],
  'firewall-wipe': ['node'],
  'icmp-echo': ['peer'],
  'udp-port': ['peer', 'host-local'],
  'tcp-port': ['peer', 'host-local'],
  'vxlan-path': ['peer'],
  'ip-protocol': ['peer'],
  'path-mtu': ['peer'],
  'overlay-path': ['peer'],
  'overlay-device': ['node'],
  'overlay-state': ['peer'],
  'host-forward': ['node'],
  'pod-source': ['node'],
  latency: ['peer'],
  'host-firewall': ['peer'],
  'peer-agreement': ['peer'],
};

/** Lists what is wrong with a provider whose shape is right. */
export function providerProblems(
  provider: Provider,
  features: ReadonlyMap<string, unknown>,
): ShapeProblem[] {
  return [
    ...optionProblems(provider),
    ...detectionProblems(provider),
    ...requirementProblems(provider, features),
    ...groupProblems(provider.requirements),
  ];
}

/** Lists what is wrong with what every provider needs, of a right shape. */
export function commonProblems(
  requirements: readonly CommonRequirement[],
  providers: readonly Provider[],
  features: ReadonlyMap<string, unknown>,
): ShapeProblem[] {
  const seen = new Set<string>();
  return requirements.flatMap((requirement, index) => {
    const path: Path = ['requirements', index];
    const { suffix, when = {}, unless = {} } = requirement;
    const twice = seen.has(suffix)
      ? [{ path: [...path, 'suffix'], message: `${suffix} is there twice` }]
      : [];
    seen.add(suffix);
    return [
      ...twice,
      ...someProviderProblems(providers, when, [...path, 'when']),
      ...someProviderProblems(providers, unless, [...path, 'unless']),
      // A number of one provider's option cannot be what all of them need.
      ...placeProblems({ options: {} }, requirement, features, path),
    ];
  });
}

/** Lists what is wrong with an owner of firewall rules whose shape is right. */
export function ruleOwnerProblems(
  owner: RuleOwner,
  providers: readonly Provider[],
  path: Path,
): ShapeProblem[] {
  const valid = providers.map(({ provider }) => provider);
  const conditionsOf = (
    { when = {}, unless = {} }: Pick<RuleOwner, 'when' | 'unless'>,
    at: Path,
  ): ShapeProblem[] =>
    Object.entries({ when, unless }).flatMap(([word, { [providerName]: wanted, ...rest }]) => {
      const names = wanted === undefined ? [] : [wanted].flat().map(String);
      const unknown = names
        .filter((name) => !valid.includes(name))
        .map((name) => ({
          path: [...at, word, providerName],
          message: unknownWord({ what: 'provider', word: name, valid }),
        }));
      return [...unknown, ...someProviderProblems(providers, rest, [...at, word])];
    });
  const nameless =
    owner.chains.length + owner.tables.length > 0
      ? []
      : [{ path, message: 'nothing tells its rules: it names neither chains nor tables' }];
  return [
    ...nameless,
    ...conditionsOf(owner, path),
    ...owner.restore.flatMap((way, index) => conditionsOf(way, [...path, 'restore', index])),
  ];
}

/** A provider that lacks the option, or the value, is none that the condition is about; one at least must have it. */
function someProviderProblems(
  providers: readonly Provider[],
  condition: Condition,
  path: Path,
): ShapeProblem[] {
  const lists = providers.map((provider) => conditionProblems(provider, condition, path));
  if (lists.length === 0 || lists.some((problems) => problems.length === 0)) return [];
  const nearest = lists.toSorted((left, right) => left.length - right.length)[0] ?? [];
  return nearest.map((problem) => ({
    ...problem,
    message: `no provider fits it: ${problem.message}`,
  }));
}

/** Lists what is wrong with a kernel feature whose shape is right. */
export function featureProblems(feature: Feature, path: Path): ShapeProblem[] {
  const { modules, config, devices = [], files = [], mount } = feature;
  const problems = files.flatMap((file, index) => pathProblem(file, [...path, 'files', index]));
  const evidence = modules.length + config.length + devices.length + files.length;
  if (evidence === 0 && mount === undefined) {
    problems.push({
      path,
      message: 'nothing proves it: it names no module, config, device, file or mount',
    });
  }
  return problems;
}

function optionProblems(provider: Provider): ShapeProblem[] {
  const problems: ShapeProblem[] = [];
  for (const [name, option] of Object.entries(provider.options)) {
    const path: Path = ['options', name];
    if (!/^[a-z][A-Za-z0-9]*$/.test(name) || name === distributionName) {
      problems.push({
        path,
        message: `${JSON.stringify(name)} cannot name an option`,
      });
    }
    if (option.type === 'choice' && (option.values ?? []).length === 0) {
      problems.push({ path, message: 'a choice needs values' });
      continue;
    }
    if (option.type !== 'choice' && option.values !== undefined) {
      problems.push({
        path: [...path, 'values'],
        message: 'only a choice has values',
      });
    }
    const check = (value: OptionValue, at: Path): void => {
      const problem = valueProblem(option, value);
      if (problem !== undefined) problems.push({ path: at, message: problem });
    };
    check(option.default, [...path, 'default']);
    for (const [distribution, value] of Object.entries(option.defaultByDistribution ?? {})) {
      const at: Path = [...path, 'defaultByDistribution', distribution];
      check(value, at);
      if (provider.distributions.includes(distribution)) continue;
      problems.push({
        path: at,
        message: unknownWord({
          what: 'distribution',
          word: distribution,
          valid: provider.distributions,
        }),
      });
    }
    for (const [index, { when, value }] of (option.defaultWhen ?? []).entries()) {
      const at: Path = [...path, 'defaultWhen', index];
      check(value, [...at, 'value']);
      problems.push(...conditionProblems(provider, when, [...at, 'when']));
    }
  }
  return [...problems, ...circleProblems(provider)];
}

/** Options whose defaults hang on one another could never be settled. */
function circleProblems(provider: Provider): ShapeProblem[] {
  const asks = (name: string): string[] =>
    (optionOf(provider, name)?.defaultWhen ?? []).flatMap(({ when }) => Object.keys(when));
  const reaches = (start: string): boolean => {
    const seen = new Set<string>();
    const queue = asks(start);
    for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
      if (name === start) return true;
      if (seen.has(name)) continue;
      seen.add(name);
      queue.push(...asks(name));
    }
    return false;
  };
  return Object.keys(provider.options)
    .filter(reaches)
    .map((name) => ({
      path: ['options', name, 'defaultWhen'],
      message: `the default of ${name} depends on itself`,
    }));
}

function conditionProblems(provider: Provider, condition: Condition, path: Path): ShapeProblem[] {
  return Object.entries(condition).flatMap(([name, wanted]) => {
    const at: Path = [...path, name];
    const values = Array.isArray(wanted) ? wanted : [wanted];
    if (name === distributionName) {
      return values
        .filter((value) => !provider.distributions.includes(String(value)))
        .map((value) => ({
          path: at,
          message: unknownWord({
            what: 'distribution',
            word: String(value),
            valid: provider.distributions,
          }),
        }));
    }
    const option = optionOf(provider, name);
    if (option === undefined) return [unknownOption(provider, name, at)];
    return values.flatMap((value) => {
      const message = valueProblem(option, value);
      return message === undefined ? [] : [{ path: at, message }];
    });
  });
}

function detectionProblems(provider: Provider): ShapeProblem[] {
  const { files, links } = provider.detect;
  const problems = files.flatMap((file, index) => pathProblem(file, ['detect', 'files', index]));
  for (const [index, link] of links.entries()) {
    const path: Path = ['detect', 'links', index];
    for (const [name, value] of Object.entries(link.set ?? {})) {
      problems.push(...conditionProblems(provider, { [name]: value }, [...path, 'set']));
    }
    for (const [attribute, name] of Object.entries(link.read ?? {})) {
      problems.push(...numberProblems(provider, { option: name }, [...path, 'read', attribute]));
    }
  }
  return problems;
}

function requirementProblems(
  provider: Provider,
  features: ReadonlyMap<string, unknown>,
): ShapeProblem[] {
  const problems: ShapeProblem[] = [];
  const seen = new Set<string>();
  for (const [index, requirement] of provider.requirements.entries()) {
    const { id } = requirement;
    const path: Path = ['requirements', index];
    const prefix = `${provider.provider}.`;
    if (seen.has(id)) problems.push({ path: [...path, 'id'], message: `${id} is there twice` });
    seen.add(id);
    if (!id.startsWith(prefix)) {
      problems.push({
        path: [...path, 'id'],
        message: `${id} does not start with ${prefix}`,
      });
    }
    for (const name of ['when', 'unless'] as const) {
      problems.push(...conditionProblems(provider, requirement[name] ?? {}, [...path, name]));
    }
    problems.push(...placeProblems(provider, requirement, features, path));
  }
  return problems;
}

/** What is wrong with where it is tested, with its params or its sources. */
function placeProblems(
  provider: Pick<Provider, 'options'>,
  requirement: Pick<CatalogueRequirement, 'kind' | 'scope' | 'direction' | 'params' | 'source'>,
  features: ReadonlyMap<string, unknown>,
  path: Path,
): ShapeProblem[] {
  const { kind, scope, direction, params, source } = requirement;
  const problems: ShapeProblem[] = [];
  if (!scopesOf[kind].includes(scope)) {
    const message = `${kind} is tested with scope ${scopesOf[kind].join(' or ')}, not ${scope}`;
    problems.push({ path: [...path, 'scope'], message });
  }
  if (direction !== undefined && scope !== 'peer') {
    problems.push({
      path: [...path, 'direction'],
      message: 'only scope peer has directions',
    });
  }
  for (const [at, text] of source.entries()) {
    if (text.trim() === '') problems.push({ path: [...path, 'source', at], message: 'empty' });
  }
  return [...problems, ...paramProblems(provider, features, params, [...path, 'params'])];
}

function paramProblems(
  provider: Pick<Provider, 'options'>,
  features: ReadonlyMap<string, unknown>,
  params: Readonly<Record<string, unknown>>,
  path: Path,
): ShapeProblem[] {
  return Object.entries(params).flatMap(([name, value]) => {
    const at: Path = [...path, name];
    switch (name) {
      case 'port':
      case 'vni':
      case 'overheadBytes':
      case 'overheadBytesIpv6':
        return numberProblems(provider, value, at);
      case 'feature':
        if (features.has(String(value))) return [];
        return [
          {
            path: at,
            message: unknownWord({
              what: 'kernel feature',
              word: String(value),
              valid: [...features.keys()].sort(),
            }),
          },
        ];
      case 'endpointsOption': {
        const option = optionOf(provider, String(value));
        if (option === undefined) return [unknownOption(provider, String(value), at)];
        if (option.type === 'text') return [];
        return [{ path: at, message: `option ${String(value)} is not of type text` }];
      }
      case 'version':
        return formatProblem(value, /^\d+(\.\d+){1,2}$/, 'a kernel version such as 5.10', at);
      case 'key':
        return formatProblem(
          value,
          /^(?!.*(^|\/)\.{1,2}(\/|$))[A-Za-z0-9_.*-]+(\/[A-Za-z0-9_.*-]+)+$/,
          'a setting under /proc/sys such as net/ipv4/ip_forward',
          at,
        );
      case 'maximumMilliseconds':
        if (typeof value === 'number' && value > 0) return [];
        return [{ path: at, message: `${String(value)} is not more than 0` }];
      case 'directories':
      case 'subnetFiles':
        return listOf(value).flatMap((entry, index) => pathProblem(entry, [...at, index]));
      case 'backports':
        return listOf(value).flatMap((entry, index) =>
          formatProblem(
            property(entry, 'atLeast'),
            /^\d+\.\d+\.\d+(-\d+(\.\d+)*)?$/,
            'a vendor kernel such as 4.18.0-372',
            [...at, index, 'atLeast'],
          ),
        );
      default:
        return [];
    }
  });
}

/** A number written out, or an option that holds one. Ports are those whose place in the file is called so. */
function numberProblems(
  provider: Pick<Provider, 'options'>,
  value: unknown,
  path: Path,
): ShapeProblem[] {
  const isPort = path.at(-1) === 'port';
  if (typeof value === 'number') {
    const [least, most] = isPort ? [1, 65_535] : [0, Number.MAX_SAFE_INTEGER];
    if (value >= least && value <= most) return [];
    const valid = isPort ? 'a port (1 to 65535)' : '0 or more';
    return [{ path, message: `${value} is not ${valid}` }];
  }
  const name = property(value, 'option');
  if (typeof name !== 'string') return [];
  const option = optionOf(provider, name);
  if (option === undefined) return [unknownOption(provider, name, path)];
  const types: readonly ProviderOption['type'][] = isPort ? ['port'] : ['port', 'number'];
  if (types.includes(option.type)) return [];
  return [{ path, message: `option ${name} is not of type ${types.join(' or ')}` }];
}

function groupProblems(requirements: readonly CatalogueRequirement[]): ShapeProblem[] {
  return requirements.flatMap(({ anyOf }, index) => {
    if (anyOf === undefined) return [];
    if (requirements.filter((other) => other.anyOf === anyOf).length > 1) return [];
    const message = `group ${anyOf} has no other member, so there is nothing to choose from`;
    return [{ path: ['requirements', index, 'anyOf'], message }];
  });
}

function unknownOption(
  provider: Pick<Provider, 'options'>,
  word: string,
  path: Path,
): ShapeProblem {
  const valid = Object.keys(provider.options).sort();
  return { path, message: unknownWord({ what: 'option', word, valid }) };
}

function optionOf(provider: Pick<Provider, 'options'>, name: string): ProviderOption | undefined {
  return Object.hasOwn(provider.options, name) ? provider.options[name] : undefined;
}

function pathProblem(value: unknown, path: Path): ShapeProblem[] {
  const message = 'an absolute path without . or ..';
  return formatProblem(value, /^(?!.*\/\.{1,2}(\/|$))\/[^\0]*$/, message, path);
}

function formatProblem(value: unknown, format: RegExp, wanted: string, path: Path): ShapeProblem[] {
  if (typeof value === 'string' && format.test(value)) return [];
  return [{ path, message: `${JSON.stringify(value)} is not ${wanted}` }];
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function property(node: unknown, key: string): unknown {
  if (typeof node !== 'object' || node === null) return undefined;
  return Object.getOwnPropertyDescriptor(node, key)?.value;
}
