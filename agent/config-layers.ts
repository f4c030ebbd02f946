/** @module The sources of settings, each by itself: flags, environment, file. What does not fit is said, and left out. */
import { dirname } from 'node:path';
import { shapeProblems } from '../rules/shape.ts';
import { suggest, unknownWord } from '../rules/suggest.ts';
import { fits, type Path } from '../rules/validate.ts';
import { readYaml } from './config-yaml.ts';
import type { ConfigurationProblem } from './configuration-error.ts';
import {
  type ConfigurationFile,
  environmentPrefix,
  type Setting,
  type SettingName,
  schemaOf,
  settings,
  twinOf,
} from './settings.ts';

export type Environment = Readonly<Record<string, string | undefined>>;
export type Origin = 'flag' | 'environment' | 'file' | 'default';

/** Flags as the command line gave them; absent where a flag was not given. */
export type Flags = Readonly<
  Partial<Record<SettingName | 'config', string | boolean | readonly string[]>>
>;

/** One source of settings, with the place of each of its values. */
export interface Layer {
  readonly origin: Exclude<Origin, 'default'>;
  /** Only values that fit the schema. */
  readonly given: ConfigurationFile;
  /** What relative paths start from. */
  readonly directory: string;
  place(path: Path): Omit<ConfigurationProblem, 'message'>;
}

export function flagLayer(
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

export function environmentLayer(
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

export function fileLayer(
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
  if (fits(schemaOf(setting.name), value)) {
    given[setting.name] = value;
    return;
  }
  const list = Array.isArray(value) ? value : [value];
  const wrong = list.find((one) => !fits(schemaOf(setting.name), [one])) ?? list[0] ?? '';
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

/**
 * Variables that were probably meant for us. Others with our prefix are let pass: Kubernetes puts
 * CNI_PREFLIGHT_SERVICE_HOST, CNI_PREFLIGHT_PORT and more of the kind into every pod beside a Service of our name.
 */
export function unknownVariables(env: Environment): ConfigurationProblem[] {
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

function flagOf(name: string | number | undefined): string {
  return settings.find((setting) => setting.name === name)?.flag ?? String(name);
}

export function nonEmpty(text: string | undefined): string | undefined {
  return text === undefined || text === '' ? undefined : text;
}

function show(value: unknown): string {
  return typeof value === 'string'
    ? JSON.stringify(value)
    : (JSON.stringify(value) ?? String(value));
}
