/** @module Whole rulesets as `nft list ruleset` writes them, so that `nft -f` loads them. */
import type { Chain, Family, NftSet, Ruleset, Table } from '../model.ts';
import { identifier, quote } from './bytes.ts';
import { typesOf, writeTime } from './datatypes.ts';
import { keyComponents, writeElements } from './elements.ts';
import { writeFlowtable, writeObject } from './objects.ts';
import { writePriority } from './priority.ts';
import { oneLine, writeRule } from './rule.ts';
import { objectWords } from './settings.ts';
import { writeSimple } from './statements.ts';

/** `type filter hook input priority filter; policy accept;`; empty for a chain that is no base chain. */
export function formatChainHeader(chain: Chain): string {
  const { base, family } = chain;
  if (base === undefined) return '';
  const devices = base.devices.map((device) => `"${device}"`);
  const device =
    devices.length === 1 ? ` device ${devices[0]}` : ` devices = { ${devices.join(', ')} }`;
  const priority = writePriority(family, base.hook, base.priority);
  const place = `hook ${base.hook}${devices.length === 0 ? '' : device}`;
  return `type ${base.type} ${place} priority ${priority}; policy ${base.policy};`;
}

/**
 * A named set with its elements as a block of text. `key`: an expression that is looked up in it, for sets whose type nft can only
 * name so.
 */
export function formatSet(set: NftSet, key?: string): string {
  const comment = set.comment === undefined ? undefined : quote(set.comment);
  const lines = [
    typeLine(set, key),
    ...(set.size === undefined || set.size === 0 ? [] : [`size ${set.size}`]),
    ...flagLines(set),
    ...(set.timeoutMs === undefined || set.timeoutMs === 0
      ? []
      : [`timeout ${writeTime(set.timeoutMs)}`]),
    ...(set.gcIntervalMs === undefined || set.gcIntervalMs === 0
      ? []
      : [`gc-interval ${writeTime(set.gcIntervalMs)}`]),
    ...(set.autoMerge === true ? ['auto-merge'] : []),
    ...(set.policy === 'memory' ? ['policy memory'] : []),
    ...(comment === undefined ? [] : [`comment ${comment}`]),
    ...(set.expressions ?? []).map(
      (expression) =>
        (expression.kind === 'counter' ? 'counter' : writeSimple(expression)) ??
        oneLine(`# unknown expression: ${expression.kind}`),
    ),
  ];
  if (identifier(set.name) === undefined) return oneLine(`# unknown name of a set: ${set.name}`);
  const words = writeElements(set, keyComponents(set), writeSimple);
  if (words === undefined) lines.push('# unknown elements');
  else if (words.length > 0) lines.push(`elements = { ${words.join(',\n\t\t\t     ')} }`);
  const kind = set.flags.map || set.flags.object ? 'map' : 'set';
  return [`${kind} ${set.name} {`, ...lines.map((line) => `\t${line}`), '}'].join('\n');
}

function flagLines({ flags }: NftSet): readonly string[] {
  const words = (['constant', 'dynamic', 'interval', 'timeout'] as const).filter(
    (name) => flags[name],
  );
  return words.length === 0 ? [] : [`flags ${words.join(',')}`];
}

function typeLine(set: NftSet, key: string | undefined): string {
  const types = typesOf(set.keyType);
  const named = types.every(({ name }) => name !== undefined);
  const data = dataWords(set);
  if (named && data.isNamed) {
    return `type ${types.map(({ name }) => name).join(' . ')}${data.type}`;
  }
  // nft takes an expression instead, and any of the same size and byte order will do.
  const components = keyComponents(set);
  const stand = components.map(({ type, length }) => expressionOf(type.name, length, type.order));
  return `typeof ${key ?? stand.join(' . ')}${data.expression}`;
}

function dataWords(set: NftSet): {
  readonly isNamed: boolean;
  readonly type: string;
  readonly expression: string;
} {
  const { data } = set;
  if (data === undefined) return { isNamed: true, type: '', expression: '' };
  if (data.kind === 'verdict')
    return { isNamed: true, type: ' : verdict', expression: ' : verdict' };
  if (data.kind === 'object') {
    const words = ` : ${objectWords[data.objectType] ?? 'counter'}`;
    return { isNamed: true, type: words, expression: words };
  }
  const types = typesOf(data.type, set.dataByteOrder ?? 'host');
  const stand = types.map(({ name, length, order }) =>
    expressionOf(name, length ?? data.length, order),
  );
  return {
    isNamed: types.every(({ name }) => name !== undefined),
    type: ` : ${types.map(({ name }) => name).join(' . ')}`,
    expression: ` : ${stand.join(' . ')}`,
  };
}

/** Some expression of a type. */
function expressionOf(name: string | undefined, length: number, order: 'big' | 'host'): string {
  const known: Readonly<Record<string, string>> = {
    ipv4_addr: 'ip saddr',
    ipv6_addr: 'ip6 saddr',
    ether_addr: 'ether saddr',
    ether_type: 'meta protocol',
    inet_proto: 'meta l4proto',
    inet_service: 'tcp dport',
    mark: 'meta mark',
    ifname: 'iifname',
    iface_index: 'iif',
    ct_state: 'ct state',
    uid: 'meta skuid',
    gid: 'meta skgid',
    icmp_type: 'icmp type',
    icmpv6_type: 'icmpv6 type',
  };
  const found = known[name ?? ''];
  if (found !== undefined) return found;
  if (length === 16) return 'osf name';
  if (length === 8) return 'ct bytes';
  if (length === 4) return order === 'host' ? 'meta length' : 'tcp sequence';
  if (length === 2) return order === 'host' ? 'ct zone' : 'ip length';
  return 'ip ttl';
}

/** A table with everything in it. */
function formatTable(table: Table, ruleset: Ruleset): string {
  if (identifier(table.name) === undefined) {
    return oneLine(`# unknown name of a table: ${table.family} ${table.name}`);
  }
  const isOurs = (each: { readonly family: Family; readonly table: string }): boolean =>
    each.family === table.family && each.table === table.name;
  const sets = ruleset.sets.filter(isOurs);
  const chains = ruleset.chains.filter((chain) => chain.backend === 'nf_tables' && isOurs(chain));
  const rules = ruleset.rules.filter((rule) => rule.backend === 'nf_tables' && isOurs(rule));
  const byName = new Map(sets.map((set) => [set.name, set]));
  const keys = new Map<string, string>();
  const sources = {
    findSet: (name: string): NftSet | undefined => byName.get(name),
    observe: (set: string, key: string): void => {
      if (!keys.has(set)) keys.set(set, key);
    },
  };
  const lines = new Map<string, string>();
  for (const rule of rules) {
    const { chain } = rule;
    lines.set(chain, `${lines.get(chain) ?? ''}\t${writeRule(rule, sources)}\n`);
  }
  const comment = table.comment === undefined ? undefined : quote(table.comment);
  const blocks: string[] = [];
  if (comment !== undefined) blocks.push(`comment ${comment}`);
  if (table.dormant) blocks.push('flags dormant');
  for (const object of ruleset.objects.filter(isOurs)) {
    blocks.push(
      writeObject(object)?.join('\n') ?? oneLine(`# unknown object: ${object.type} ${object.name}`),
    );
  }
  for (const set of sets) {
    if (!set.flags.anonymous) blocks.push(formatSet(set, keys.get(set.name)));
  }
  for (const flowtable of ruleset.flowtables.filter(isOurs)) {
    blocks.push(writeFlowtable(flowtable).join('\n'));
  }
  for (const chain of chains) {
    const name = identifier(chain.name);
    const body = `${headerLines(chain)}${lines.get(chain.name) ?? ''}`;
    blocks.push(
      name === undefined
        ? oneLine(`# unknown name of a chain: ${chain.name}`)
        : `chain ${name} {\n${body}}`,
    );
  }
  const body = blocks.map((block) => `${indented(block)}\n`).join('\n');
  return `table ${table.family} ${table.name} {\n${body}}\n`;
}

function headerLines(chain: Chain): string {
  const comment = chain.comment === undefined ? undefined : quote(chain.comment);
  const header = formatChainHeader(chain);
  return `${comment === undefined ? '' : `\tcomment ${comment}\n`}${header === '' ? '' : `\t${header}\n`}`;
}

function indented(text: string): string {
  return text
    .split('\n')
    .map((line) => `\t${line}`)
    .join('\n');
}

/** Every table of nf_tables. What nft has no words for stands there as a comment. Legacy tables are no part of it. */
export function formatRuleset(ruleset: Ruleset): string {
  return ruleset.tables
    .filter(({ backend }) => backend === 'nf_tables')
    .map((table) => formatTable(table, ruleset))
    .join('\n');
}
