/** @module `cni-preflight providers`: the catalogue for a person, or for a program. Pure. */
import { SelectionError } from '../rules/resolve.ts';
import type {
  Catalogue,
  CatalogueRequirement,
  Condition,
  OptionValue,
  Provider,
  ProviderOption,
} from '../rules/schema.ts';
import { unknownWord } from '../rules/suggest.ts';
import { comparisonTable, inTableOrder } from '../rules/table.ts';
import { renderTable, wrap } from './text-layout.ts';

/** Puts all providers side by side. */
export function describeProviders(catalogue: Catalogue, format: 'text' | 'json'): string {
  const providers = inTableOrder([...catalogue.providers.values()]);
  if (format === 'json') {
    return json(
      providers.map(({ provider, title, about, status, statusNote, distributions, features }) => ({
        name: provider,
        title,
        about,
        status,
        ...(statusNote === undefined ? {} : { statusNote }),
        distributions,
        features,
      })),
    );
  }
  const names = providers.map(({ provider }) => provider).join(', ');
  const archived = providers
    .filter(({ status }) => status === 'archived')
    .map(
      ({ title, statusNote }) =>
        `${title} is archived${statusNote === undefined ? '.' : `: ${statusNote}`}\n`,
    );
  return [
    renderTable(comparisonTable(catalogue)),
    '',
    ...archived,
    `cni-preflight providers NAME tells what one needs: ${names}\n`,
  ].join('\n');
}

/** Tells all about one provider, or throws `SelectionError` for a name that is none. */
export function describeProvider(
  catalogue: Catalogue,
  name: string,
  how: { readonly format: 'text' | 'json'; readonly width: number },
): string {
  const provider = catalogue.providers.get(name);
  if (provider === undefined) {
    const valid = [...catalogue.providers.keys()].sort();
    throw new SelectionError(unknownWord({ what: 'provider', word: name, valid }));
  }
  if (how.format === 'json') return json(provider);
  const own = new Set(catalogue.written.get(name)?.requirements.map(({ id }) => id));
  return providerText(provider, own, how.width);
}

/** `own` are the requirements that its own file has; the others it shares with every provider. */
function providerText(provider: Provider, own: ReadonlySet<string>, width: number): string {
  const { title, about, status, statusNote, distributions, options, requirements } = provider;
  const listed = (shared: boolean): string[] =>
    requirements
      .filter(({ id }) => own.has(id) !== shared)
      .flatMap((requirement) => requirementLines(requirement, width));
  const common = listed(true);
  const lines = [
    `${title} (${provider.provider})`,
    ...wrap(about, { width, indent: '  ' }),
    ...wrap(`status: ${status}${statusNote === undefined ? '' : ` (${statusNote})`}`, {
      width,
      indent: '  ',
    }),
    ...wrap(`distributions: ${distributions.join(', ')}`, { width, indent: '  ' }),
    '',
    'Options (--set NAME=VALUE)',
    ...Object.entries(options).flatMap(([name, option]) => optionLines(name, option, width)),
    '',
    'Requirements',
    ...listed(false),
    ...(common.length === 0 ? [] : ['', 'Requirements of every provider', ...common]),
  ];
  const disputes = new Set([
    ...(provider.disputed ?? []),
    ...Object.values(options).flatMap(({ disputed }) => disputed ?? []),
    ...requirements.flatMap(({ disputed }) => disputed ?? []),
  ]);
  if (disputes.size > 0) {
    lines.push('', 'What the sources disagree on');
    for (const dispute of disputes) lines.push(...bullet(dispute, width));
  }
  lines.push('', 'Sources');
  for (const source of new Set(requirements.flatMap(({ source: documents }) => documents))) {
    lines.push(...bullet(source, width));
  }
  return `${lines.join('\n')}\n`;
}

function optionLines(name: string, option: ProviderOption, width: number): string[] {
  const { type, values, defaultByDistribution, defaultWhen } = option;
  const valid = values === undefined ? type : values.map(String).join(' | ');
  const defaults = [
    show(option.default),
    ...Object.entries(defaultByDistribution ?? {}).map(
      ([distribution, value]) => `${show(value)} on ${distribution}`,
    ),
    ...(defaultWhen ?? []).map(({ when, value }) => `${show(value)} with ${conditionText(when)}`),
  ];
  return [
    ...wrap(valid, { width, indent: '      ', first: `  ${name}  ` }),
    ...wrap(`default: ${defaults.join('; ')}`, { width, indent: '      ' }),
    ...wrap(option.about, { width, indent: '      ' }),
  ];
}

function requirementLines(requirement: CatalogueRequirement, width: number): string[] {
  const { id, level, kind, scope, direction, peerRole, params, when, unless, anyOf } = requirement;
  const facts = [
    paramsText(params),
    when === undefined ? '' : `only with ${conditionText(when)}`,
    unless === undefined ? '' : `not with ${conditionText(unless)}`,
    direction === 'either' ? 'either direction is enough' : '',
    peerRole === undefined ? '' : `towards ${peerRole} nodes`,
    anyOf === undefined ? '' : `one of the group ${anyOf} is enough`,
  ].filter((fact) => fact !== '');
  const where = { node: 'this node', peer: 'each peer', 'host-local': 'must not be reachable' }[
    scope
  ];
  return [
    `  ${id}  ${level}, ${kind}, ${where}`,
    ...(facts.length === 0 ? [] : wrap(facts.join('; '), { width, indent: '      ' })),
    ...wrap(requirement.purpose, { width, indent: '      ' }),
  ];
}

/** `port 8472, payload vxlan`; what hangs on an option says so. */
function paramsText(params: Readonly<Record<string, unknown>>): string {
  return Object.entries(params)
    .map(([name, value]) => `${name} ${paramText(value)}`)
    .join(', ');
}

function paramText(value: unknown): string {
  if (Array.isArray(value)) return value.map(paramText).join('|');
  if (typeof value !== 'object' || value === null) return String(value);
  const entries = new Map<string, unknown>(Object.entries(value));
  const option = entries.get('option');
  if (typeof option !== 'string') return `{${paramsText(Object.fromEntries(entries))}}`;
  const plus = entries.get('plus');
  return `of option ${option}${typeof plus === 'number' ? ` + ${plus}` : ''}`;
}

function conditionText(condition: Condition): string {
  return Object.entries(condition)
    .map(([name, wanted]) => `${name}=${Array.isArray(wanted) ? wanted.join('|') : String(wanted)}`)
    .join(', ');
}

function bullet(text: string, width: number): string[] {
  return wrap(text, { width, indent: '    ', first: '  - ' });
}

function show(value: OptionValue): string {
  return value === '' ? 'none' : String(value);
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
