/** @module Where every setting comes from: flag, environment, file or default. The only reader of `process.env`. */
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { hostname, networkInterfaces } from 'node:os';
import { dirname, resolve } from 'node:path';
import Value from 'typebox/value';
import { type Document, isMap, isNode, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import { type Path, shapeProblems } from '../rules/shape.ts';
import { suggest, unknownWord } from '../rules/suggest.ts';
import { ConfigurationError, type ConfigurationProblem } from './configuration-error.ts';
import {
  canonicalAddress,
  type Peer,
  type PeerEntry,
  readPeerLines,
  readPeers,
  withoutOwn,
} from './peer-list.ts';
import {
  type CommandName,
  ConfigurationFile,
  environmentPrefix,
  PeersFileSchema,
  type Setting,
  type SettingName,
  schemaOf,
  settings,
  twinOf,
} from './settings.ts';

export type Environment = Readonly<Record<string, string | undefined>>;
export type Format = 'text' | 'json' | 'yaml' | 'junit';
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent';
export type Origin = 'flag' | 'environment' | 'file' | 'default';

/** Flags as the command line gave them; absent where a flag was not given. */
export type Flags = Readonly<
  Partial<Record<SettingName | 'config', string | boolean | readonly string[]>>
>;

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

/** One source of settings, with the place of each of its values. */
interface Layer {
  readonly origin: Exclude<Origin, 'default'>;
  /** Only values that fit the schema. */
  readonly given: ConfigurationFile;
  /** What relative paths start from. */
  readonly directory: string;
  place(path: Path): Omit<ConfigurationProblem, 'message'>;
}

function flagLayer(
  used: readonly Setting[],
  flags: Flags,
  cwd: string,
  problems: ConfigurationProblem[],
): Layer {
  const given: Record<string, unknown> = {};
  for (const setting of used) {
    const raw = flags[setting.name];
    if (raw === undefined) continue;
    const path = `--${setting.flag}`;
    take(setting, fromText(setting, raw), { path }, given, problems);
  }
  return {
    origin: 'flag',
    given,
    directory: cwd,
    place: ([name]) => ({ path: `--${flagOf(name)}` }),
  };
}

function environmentLayer(
  used: readonly Setting[],
  env: Environment,
  cwd: string,
  problems: ConfigurationProblem[],
): Layer {
  const given: Record<string, unknown> = {};
  for (const setting of used) {
    const raw = nonEmpty(env[twinOf(setting.flag)]);
    if (raw === undefined) continue;
    const path = twinOf(setting.flag);
    take(setting, fromText(setting, raw), { path }, given, problems);
  }
  // https://no-color.org: present and not empty, whatever its value.
  if (nonEmpty(env['NO_COLOR']) !== undefined || env['TERM'] === 'dumb') given['noColor'] ??= true;
  return {
    origin: 'environment',
    given,
    directory: cwd,
    place: ([name]) => ({ path: twinOf(flagOf(name)) }),
  };
}

function fileLayer(
  used: readonly Setting[],
  file: string,
  namedBy: string,
  problems: ConfigurationProblem[],
): Layer {
  const directory = dirname(file);
  const empty: Layer = { origin: 'file', given: {}, directory, place: () => ({ file, path: '' }) };
  const read = readYaml(file, namedBy, problems);
  if (read === undefined) return empty;
  const place: Layer['place'] = (path) => {
    const line = read.lineOf(path);
    return { file, ...(line === undefined ? {} : { line }), path: path.join('.') };
  };
  const { value } = read;
  if (value === null) return empty;
  if (typeof value !== 'object' || Array.isArray(value)) {
    problems.push({ file, line: 1, path: '', message: 'is not a map of settings' });
    return empty;
  }
  const given: Record<string, unknown> = {};
  const valid = settings.map(({ name }) => name);
  for (const [name, found] of Object.entries(value)) {
    const setting = settings.find((one) => one.name === name);
    if (setting === undefined) {
      problems.push({
        ...place([name]),
        message: unknownWord({ what: 'setting', word: name, valid }),
      });
      continue;
    }
    // Wrong is wrong for every command, as one file serves them all; only what is used counts.
    const taken: Record<string, unknown> = used.includes(setting) ? given : {};
    // `wait:` with nothing behind it is the default, as a missing line would be.
    if (found === null) continue;
    if (typeof found === 'object') {
      const wrong = shapeProblems(schemaOf(setting.name), found, [name]);
      for (const { path, message } of wrong) problems.push({ ...place(path), message });
      if (wrong.length === 0) taken[name] = found;
      continue;
    }
    take(setting, found, place([name]), taken, problems);
  }
  return { origin: 'file', given, directory, place };
}

/** Puts a value that fits its schema among the given, or says that it does not fit. */
function take(
  setting: Setting,
  value: unknown,
  place: Omit<ConfigurationProblem, 'message'>,
  given: Record<string, unknown>,
  problems: ConfigurationProblem[],
): void {
  if (Value.Check(schemaOf(setting.name), value)) {
    given[setting.name] = value;
    return;
  }
  const list = Array.isArray(value) ? value : [value];
  const wrong = list.find((one) => !Value.Check(schemaOf(setting.name), [one])) ?? list[0] ?? '';
  problems.push({ ...place, message: `${show(wrong)} is not ${setting.expected}` });
}

/** What a flag or a variable says, in the shape of the file. */
function fromText(setting: Setting, raw: string | boolean | readonly string[]): unknown {
  switch (setting.form) {
    case 'switch': {
      if (typeof raw === 'boolean') return raw;
      const word = String(raw).toLowerCase();
      if (['true', '1', 'yes'].includes(word)) return true;
      return ['false', '0', 'no'].includes(word) ? false : raw;
    }
    case 'number':
      return typeof raw === 'string' && /^\d+(\.\d+)?$/.test(raw.trim()) ? Number(raw) : raw;
    case 'list': {
      const texts = Array.isArray(raw) ? raw.map(String) : [String(raw)];
      if (setting.name !== 'set') return texts.flatMap(splitList);
      return Array.isArray(raw) ? texts : texts.flatMap(splitPairs);
    }
    case 'text':
      return Array.isArray(raw) ? raw.at(-1) : raw;
  }
}

function splitList(text: string): string[] {
  return text
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '');
}

/** Splits `K=V,K=V`. A value may hold commas (etcd endpoints): only what looks like `K=` starts a new pair. */
function splitPairs(text: string): string[] {
  const pairs: string[] = [];
  for (const piece of text.split(',')) {
    const before = pairs.at(-1);
    if (before === undefined || /^\s*[A-Za-z][\w-]*=/.test(piece)) pairs.push(piece.trim());
    else pairs[pairs.length - 1] = `${before},${piece.trim()}`;
  }
  return pairs.filter((pair) => pair !== '');
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

interface SettledPeers {
  readonly peers: readonly Peer[];
  readonly notes: readonly string[];
  readonly file: string | undefined;
}

/**
 * `peers` and `peersFile` are one setting as far as precedence goes: `--peer` asks for that peer alone,
 * not for that peer and all of the file's. Given in the same place, both count.
 */
function settlePeers(from: {
  readonly layers: readonly Layer[];
  readonly ownAddresses: readonly string[];
  readonly origins: Record<string, Origin>;
  readonly problems: ConfigurationProblem[];
}): SettledPeers {
  const { layers, ownAddresses, origins, problems } = from;
  const layer = layers.find(
    ({ given }) => given.peers !== undefined || given.peersFile !== undefined,
  );
  origins['peers'] = layer?.origin ?? 'default';
  origins['peersFile'] = layer?.given.peersFile === undefined ? 'default' : layer.origin;
  if (layer === undefined) return { peers: [], notes: [], file: undefined };

  const entries: PeerEntry[] = (layer.given.peers ?? []).map((peer, index) => ({
    ...entryOf(peer),
    place: placeText(layer.place(layer.origin === 'file' ? ['peers', index] : ['peers'])),
  }));
  const { peersFile } = layer.given;
  const file = peersFile === undefined ? undefined : resolve(layer.directory, peersFile);
  if (file !== undefined) {
    entries.push(...readPeersFile(file, layer.place(['peersFile']), problems));
  }
  const read = readPeers(entries);
  for (const { place, message } of read.problems) problems.push({ path: place, message });
  const others = withoutOwn(read.peers, ownAddresses);
  return { peers: others.peers, notes: [...read.notes, ...others.notes], file };
}

function readPeersFile(
  file: string,
  namedBy: Omit<ConfigurationProblem, 'message'>,
  problems: ConfigurationProblem[],
): PeerEntry[] {
  if (!/\.(ya?ml|json)$/.test(file)) {
    const text = readText(file);
    if (typeof text === 'string') return readPeerLines(text, file);
    problems.push({ ...namedBy, message: `${file} cannot be read (${text.reason})` });
    return [];
  }
  const read = readYaml(file, placeText(namedBy), problems);
  if (read === undefined) return [];
  const wrong = shapeProblems(PeersFileSchema, read.value);
  for (const { path, message } of wrong) {
    const line = read.lineOf(path);
    problems.push({ file, ...(line === undefined ? {} : { line }), path: path.join('.'), message });
  }
  if (wrong.length > 0 || !Value.Check(PeersFileSchema, read.value)) return [];
  return read.value.map((peer, index) => ({
    ...entryOf(peer),
    place: `${file}:${read.lineOf([index]) ?? 1}`,
  }));
}

function entryOf(
  peer: NonNullable<ConfigurationFile['peers']>[number],
): Pick<PeerEntry, 'text' | 'roles'> {
  if (typeof peer === 'string') return { text: peer };
  const { address, name, roles } = peer;
  const text = name === undefined ? address : `${address}=${name}`;
  return roles === undefined ? { text } : { text, roles };
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

const shortestKeyBytes = 16;
const longestKeyBytes = 4096;
/** Room for 50,000 peers. */
const longestFileBytes = 4 * 1024 * 1024;

/** Reads the shared key; a string is the sentence that says what is wrong, and never quotes the content. */
function readKey(file: string): { key: Uint8Array; notes: readonly string[] } | string {
  let content: Uint8Array;
  let mode: number;
  try {
    mode = statSync(file).mode;
    content = readAtMost(file, longestKeyBytes + 3);
  } catch (error) {
    return `${file} cannot be read (${reasonOf(error)})`;
  }
  const key = content.subarray(0, content.length - trailingNewlineBytes(content));
  if (key.length < shortestKeyBytes) {
    return `${file} holds a key of ${key.length} bytes: at least ${shortestKeyBytes} are needed`;
  }
  if (key.length > longestKeyBytes) {
    return `${file} holds a key of more than ${longestKeyBytes} bytes`;
  }
  const notes = (mode & 0o004) === 0 ? [] : [`the key file ${file} can be read by everybody`];
  return { key, notes };
}

function trailingNewlineBytes(content: Uint8Array): number {
  if (content.at(-1) !== 0x0a) return 0;
  return content.at(-2) === 0x0d ? 2 : 1;
}

/** Reads no more than is needed to tell that a file is too long: the path may be /dev/zero. */
function readAtMost(file: string, bytes: number): Uint8Array {
  const content = new Uint8Array(bytes);
  const descriptor = openSync(file, 'r');
  try {
    let length = 0;
    while (length < bytes) {
      const read = readSync(descriptor, content, length, bytes - length, null);
      if (read === 0) break;
      length += read;
    }
    return content.subarray(0, length);
  } finally {
    closeSync(descriptor);
  }
}

interface ReadYaml {
  readonly value: unknown;
  lineOf(path: Path): number | undefined;
}

function readYaml(
  file: string,
  namedBy: string,
  problems: ConfigurationProblem[],
): ReadYaml | undefined {
  const text = readText(file);
  if (typeof text !== 'string') {
    problems.push({ path: namedBy, message: `${file} cannot be read (${text.reason})` });
    return undefined;
  }
  const lines = new LineCounter();
  const document = parseSafely(text, lines);
  if (document === undefined) {
    problems.push({ file, path: '', message: 'is nested too deep' });
    return undefined;
  }
  if (document.errors.length > 0) {
    for (const error of document.errors) {
      const { line } = lines.linePos(error.pos[0]);
      problems.push({ file, line, path: '', message: `not YAML: ${error.message}` });
    }
    return undefined;
  }
  const lineOf = (path: Path): number | undefined => {
    let node: unknown = document.contents;
    let start: number | undefined;
    // A missing field has no node of its own: its parent's line is the nearest.
    for (const step of path) {
      const pair = isMap(node)
        ? node.items.find(({ key }) => isScalar(key) && String(key.value) === String(step))
        : undefined;
      const key = isScalar(pair?.key) ? pair.key : undefined;
      node = isSeq(node) ? node.items[Number(step)] : pair?.value;
      const at = key ?? (isNode(node) ? node : undefined);
      if (at === undefined) break;
      start = at.range?.[0] ?? start;
    }
    return start === undefined ? undefined : lines.linePos(start).line;
  };
  try {
    return { value: document.toJS(), lineOf };
  } catch (error) {
    // Aliases that multiply are refused by the library.
    problems.push({ file, path: '', message: `not usable: ${String(error)}` });
    return undefined;
  }
}

/** A file of a million opening brackets is nested deeper than the parser's stack. */
function parseSafely(text: string, lineCounter: LineCounter): Document.Parsed | undefined {
  try {
    return parseDocument(text, { lineCounter, prettyErrors: false });
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function readText(file: string): string | { readonly reason: string } {
  try {
    const content = readAtMost(file, longestFileBytes + 1);
    if (content.length > longestFileBytes) return { reason: `more than ${longestFileBytes} bytes` };
    return new TextDecoder().decode(content);
  } catch (error) {
    return { reason: reasonOf(error) };
  }
}

/** What the system said, in words. */
function reasonOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
  const words: Readonly<Record<string, string>> = {
    ENOENT: 'no such file',
    EACCES: 'permission denied',
    EISDIR: 'it is a directory',
    ENOTDIR: 'a part of the path is not a directory',
  };
  return words[code] ?? code;
}

/**
 * Variables that were probably meant for us. Others with our prefix are let pass: Kubernetes puts
 * CNI_PREFLIGHT_SERVICE_HOST, CNI_PREFLIGHT_PORT and more of the kind into every pod beside a Service of our name.
 */
function unknownVariables(env: Environment): ConfigurationProblem[] {
  const valid = [...settings.map(({ flag }) => twinOf(flag)), twinOf('config')];
  const problems: ConfigurationProblem[] = [];
  for (const name of Object.keys(env).sort()) {
    if (!name.startsWith(environmentPrefix) || valid.includes(name)) continue;
    const rest = name.slice(environmentPrefix.length);
    if (/(^|_)(PORT|SERVICE_HOST|SERVICE_PORT)(_|$)/.test(rest)) continue;
    const meant = suggest(
      rest,
      valid.map((one) => one.slice(environmentPrefix.length)),
    );
    if (meant === undefined) continue;
    problems.push({
      path: name,
      message: `unknown variable; did you mean ${environmentPrefix}${meant}?`,
    });
  }
  return problems;
}

/** Every address of this node's devices. */
export function addressesOfThisNode(): string[] {
  return Object.values(networkInterfaces()).flatMap((addresses) =>
    (addresses ?? []).map(({ address }) => address),
  );
}

function placeText({ file, line, path }: Omit<ConfigurationProblem, 'message'>): string {
  return file === undefined ? path : line === undefined ? file : `${file}:${line}`;
}

function flagOf(name: string | number | undefined): string {
  return settings.find((setting) => setting.name === name)?.flag ?? String(name);
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === undefined || text === '' ? undefined : text;
}

function show(value: unknown): string {
  return typeof value === 'string'
    ? JSON.stringify(value)
    : (JSON.stringify(value) ?? String(value));
}
