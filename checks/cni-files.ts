/** @module Finds CNI configuration that the container runtime would take instead of the provider's. */
import type { ParamsByKind } from '../rules/schema.ts';
import { type Answer, type Check, type Context, fail, pass, unknown } from './check.ts';
import { HostError } from './host/host.ts';

/** Finds CNI configuration that the container runtime would take instead of the provider's. */
export const cniFiles: Check<'cni-files'> = {
  kind: 'cni-files',
  summary: 'no other CNI’s configuration takes precedence over the provider’s',
  scope: 'node',
  needs: [],

  async run(params, _target, context) {
    const present: string[] = [];
    for (const directory of params.directories) {
      const names = await context.host.listDirectory(directory);
      if (names === undefined) continue;
      const answer = await judgeDirectory(params, directory, configurations(names), context);
      if (answer.outcome !== 'pass') return answer;
      present.push(...configurations(names).map((name) => `${directory}/${name}`));
    }
    if (present.length === 0) return pass({ configured: 'nothing yet' });
    return pass({ files: present.join(',') });
  },
};

/** Names that libcni loads, in the order in which it does (ConfFiles, then sort.Strings): the first one wins. */
function configurations(names: readonly string[]): readonly string[] {
  return names.filter((name) => /\.(conf|conflist|json)$/.test(name)).toSorted(byBytes);
}

/**
 * A known provider's file is foreign wherever it sorts: it is a leftover, or a second CNI. A file that nobody
 * knows matters only when it would be taken before the provider's own.
 */
async function judgeDirectory(
  { own }: ParamsByKind['cni-files'],
  directory: string,
  names: readonly string[],
  context: Context,
): Promise<Answer> {
  const ours = names.find((name) => own.includes(name)) ?? own[0] ?? '';
  const evidence = { directory, first: names[0] ?? '', own: ours, files: names.join(',') };
  for (const name of names) {
    if (own.includes(name)) continue;
    const provider = providerOf(name, context.knownConfigurations);
    if (provider !== undefined) {
      return fail(
        'foreign-cni-config',
        { ...evidence, foreign: name, provider },
        { where: 'node', node: 'this' },
      );
    }
    if (byBytes(name, ours) > 0) continue;
    const plugin = await pluginOf(`${directory}/${name}`, context);
    if (plugin === undefined) {
      return unknown('permission-denied', { ...evidence, unreadable: name });
    }
    if (isHarmless(plugin)) continue;
    return fail(
      'foreign-cni-config',
      { ...evidence, foreign: name, plugin },
      { where: 'node', node: 'this' },
    );
  }
  return pass(evidence);
}

function providerOf(name: string, known: Context['knownConfigurations']): string | undefined {
  for (const [provider, names] of known) if (names.includes(name)) return provider;
  return undefined;
}

/** Multus delegates to the provider and sorts first on purpose; loopback makes no network. */
function isHarmless(plugin: string): boolean {
  return plugin === 'loopback' || plugin.startsWith('multus');
}

/** The plugin type of a configuration; `unparsable` when it is not one, undefined when it may not be read. */
async function pluginOf(path: string, { host }: Context): Promise<string | undefined> {
  try {
    return parsePlugin((await host.readText(path)) ?? '');
  } catch (cause) {
    if (cause instanceof HostError) return undefined;
    throw cause;
  }
}

/** Takes the type of a `.conf`, or of the first plugin of a `.conflist` (CNI spec, section 1). */
export function parsePlugin(text: string): string {
  let configuration: unknown;
  try {
    configuration = JSON.parse(text);
  } catch {
    return 'unparsable';
  }
  const first: unknown = property(property(configuration, 'plugins'), '0') ?? configuration;
  const type = property(first, 'type');
  return typeof type === 'string' ? type : 'unparsable';
}

function property(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return Object.getOwnPropertyDescriptor(value, name)?.value;
}

/** Go compares strings by bytes. */
function byBytes(one: string, other: string): number {
  return Buffer.compare(Buffer.from(one), Buffer.from(other));
}
