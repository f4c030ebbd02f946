/** @module Where every setting comes from: flag, environment, file or default. The only reader of `process.env`. */
import { hostname, networkInterfaces } from 'node:os';
import { resolve } from 'node:path';
import { readKey } from './config-key.ts';
import {
  type Environment,
  environmentLayer,
  type Flags,
  fileLayer,
  flagLayer,
  type Layer,
  nonEmpty,
  type Origin,
  unknownVariables,
} from './config-layers.ts';
import { settlePeers } from './config-peers.ts';
import { ConfigurationError, type ConfigurationProblem } from './configuration-error.ts';
import { canonicalAddress, type Peer } from './peer-list.ts';
import {
  type CommandName,
  type ConfigurationFile,
  type SettingName,
  settings,
  twinOf,
} from './settings.ts';

export type Format = 'text' | 'json' | 'yaml' | 'junit';
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** Where the agent listens. */
export interface ListenAddress {
  readonly address: string;
  readonly port: number;
}

/** The port of agents, unless `listen` names another. */
export const defaultPort = 10_472;

/** Every setting, settled. */
export interface Configuration {
  readonly configFile: string | undefined;
  /** A name, `auto`, or (check only) `all`. */
  readonly provider: string;
  /** Options of the provider as typed. */
  readonly set: Readonly<Record<string, string>>;
  /** Static peers without the own node; more may come by `discover`. */
  readonly peers: readonly Peer[];
  readonly peersFile: string | undefined;
  readonly distribution: string | undefined;
  readonly only: readonly string[];
  readonly ignore: readonly string[];
  readonly timeoutSeconds: number;
  readonly waitSeconds: number;
  readonly strict: boolean;
  readonly tryModules: boolean;
  readonly format: Format;
  readonly rules: string | undefined;
  readonly noColor: boolean;
  /** Empty: the default port of the node's underlay addresses. */
  readonly listen: readonly ListenAddress[];
  readonly intervalSeconds: number;
  readonly keyFile: string | undefined;
  readonly discover: 'static' | 'dns';
  readonly discoverName: readonly string[];
  readonly nodeName: string;
  readonly logLevel: LogLevel;
}

/** The settings, where each came from, and what an operator should hear about them. */
export interface LoadedConfiguration {
  readonly values: Configuration;
  /** By setting; an option of the provider stands as `set.NAME`. */
  readonly origins: Readonly<Record<string, Origin>>;
  readonly notes: readonly string[];
  /** Content of the key file. It stands apart so that whoever prints the settings cannot print it. */
  readonly key: Uint8Array | undefined;
  /** Files that were read; a change of one of them is a change of the configuration. */
  readonly files: readonly string[];
}

/** What a configuration is made of. */
export interface ConfigurationSources {
  readonly command: CommandName;
  readonly flags?: Flags;
  readonly env?: Environment;
  readonly cwd?: string;
  /** Addresses of this node: such a peer is left out. */
  readonly ownAddresses?: readonly string[];
}

/** Settles every setting, or throws `ConfigurationError` with all that is wrong. */
export function loadConfiguration(sources: ConfigurationSources): LoadedConfiguration {
  const { command, flags = {}, env = process.env, cwd = process.cwd() } = sources;
  const problems: ConfigurationProblem[] = [];
  const configFlag = typeof flags.config === 'string' ? flags.config : undefined;
  const configName = configFlag ?? nonEmpty(env[twinOf('config')]);
  const configFile = configName === undefined ? undefined : resolve(cwd, configName);

  problems.push(...unknownVariables(env));
  // What a command has no use for cannot stop it: `providers` works with an unreadable key file.
  const used = settings.filter(({ commands }) => commands.includes(command));
  const layers: Layer[] = [
    flagLayer(used, flags, cwd, problems),
    environmentLayer(used, env, cwd, problems),
  ];
  if (configFile !== undefined) {
    const place = configFlag === undefined ? twinOf('config') : '--config';
    layers.push(fileLayer(used, configFile, place, problems));
  }
  return settle({
    command,
    layers,
    configFile,
    ownAddresses: sources.ownAddresses ?? addressesOfThisNode(),
    problems,
  });
}

interface Settling {
  readonly command: CommandName;
  /** Strongest first. */
  readonly layers: readonly Layer[];
  readonly configFile: string | undefined;
  readonly ownAddresses: readonly string[];
  readonly problems: ConfigurationProblem[];
}

function settle({
  command,
  layers,
  configFile,
  ownAddresses,
  problems,
}: Settling): LoadedConfiguration {
  const origins: Record<string, Origin> = {};
  const notes: string[] = [];
  const files = configFile === undefined ? [] : [configFile];

  const layerOf = (name: SettingName): Layer | undefined =>
    layers.find(({ given }) => given[name] !== undefined);
  const value = <N extends SettingName>(name: N): ConfigurationFile[N] | undefined => {
    const layer = layerOf(name);
    origins[name] = layer?.origin ?? 'default';
    return layer?.given[name];
  };
  const complain = (name: SettingName, message: string): void => {
    problems.push({ ...(layerOf(name)?.place([name]) ?? { path: name }), message });
  };
  const path = (name: 'peersFile' | 'keyFile' | 'rules'): string | undefined => {
    const text = value(name);
    return text === undefined ? undefined : resolve(layerOf(name)?.directory ?? '.', text);
  };

  const provider = value('provider') ?? 'auto';
  if (provider === 'all' && command === 'agent') {
    complain('provider', '"all" is for check: the agent watches one provider, by name or "auto"');
  }

  const discover = value('discover') ?? 'static';
  const discoverName = value('discoverName') ?? [];
  if (discover === 'kubernetes') {
    complain('discover', '"kubernetes" is not in this version yet: use static or dns');
  }
  if (discover === 'dns' && discoverName.length === 0) {
    complain('discover', '"dns" needs a name to look up: give --discover-name NAME');
  }
  if (discover === 'static' && discoverName.length > 0) {
    complain('discoverName', 'a name is looked up only with --discover dns');
  }

  const keyFile = path('keyFile');
  let key: Uint8Array | undefined;
  if (keyFile !== undefined) {
    const read = readKey(keyFile);
    if (typeof read === 'string') complain('keyFile', read);
    else {
      key = read.key;
      notes.push(...read.notes);
      files.push(keyFile);
    }
  }

  const listen = (value('listen') ?? []).flatMap((text) => {
    const parsed = parseListen(text);
    if (typeof parsed !== 'string') return [parsed];
    complain('listen', parsed);
    return [];
  });

  const list = settlePeers({ layers, ownAddresses, origins, problems });
  notes.push(...list.notes);
  if (list.file !== undefined) files.push(list.file);

  const values: Configuration = {
    configFile,
    provider,
    set: settleOptions(layers, origins),
    peers: list.peers,
    peersFile: list.file,
    distribution: value('distribution'),
    only: value('only') ?? [],
    ignore: value('ignore') ?? [],
    timeoutSeconds: value('timeout') ?? 1,
    waitSeconds: value('wait') ?? 0,
    strict: value('strict') ?? false,
    tryModules: value('tryModules') ?? false,
    format: value('format') ?? 'text',
    rules: path('rules'),
    noColor: value('noColor') ?? false,
    listen,
    intervalSeconds: value('interval') ?? 30,
    keyFile,
    discover: discover === 'dns' ? 'dns' : 'static',
    discoverName,
    // In Kubernetes the host name of a pod may be cut short, so a manifest sets the twin from spec.nodeName.
    nodeName: value('nodeName') ?? hostname(),
    logLevel: value('logLevel') ?? 'info',
  };
  if (problems.length > 0) throw new ConfigurationError(problems);
  return { values, origins, notes, key, files };
}

/** Options of the provider merge one by one: a flag changes its own and leaves the file's others alone. */
function settleOptions(
  layers: readonly Layer[],
  origins: Record<string, Origin>,
): Record<string, string> {
  const set: Record<string, string> = {};
  origins['set'] = 'default';
  for (const { origin, given } of [...layers].reverse()) {
    for (const [name, value] of pairsOf(given.set)) {
      set[name] = value;
      origins[`set.${name}`] = origin;
      origins['set'] = origin;
    }
  }
  return set;
}

function pairsOf(set: ConfigurationFile['set']): [string, string][] {
  if (set === undefined) return [];
  if (!Array.isArray(set)) return Object.entries(set).map(([name, value]) => [name, String(value)]);
  return set.map((pair) => {
    const separator = pair.indexOf('=');
    return [pair.slice(0, separator).trim(), pair.slice(separator + 1).trim()];
  });
}

/** Parses `ADDR:PORT`, IPv6 in brackets; a string is the sentence that says what is wrong. */
function parseListen(text: string): ListenAddress | string {
  if (canonicalAddress(text) !== undefined) {
    return `"${text}" has no port: write ${text.includes(':') ? `[${text}]` : text}:${defaultPort}`;
  }
  const [, bracketed, plain, portText = ''] = /^(?:\[(.*)\]|([^[\]:]*)):(\d+)$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined) return `"${text}" is not ADDR:PORT, with an IPv6 address in brackets`;
  const address = canonicalAddress(host);
  if (address === undefined) return `"${host}" is not an address of this node`;
  const port = Number(portText);
  return port >= 1 && port <= 65_535
    ? { address, port }
    : `port ${portText} is out of range (1 to 65535)`;
}

/** Every address of this node's devices. */
export function addressesOfThisNode(): string[] {
  return Object.values(networkInterfaces()).flatMap((addresses) =>
    (addresses ?? []).map(({ address }) => address),
  );
}
