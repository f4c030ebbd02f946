/**
 * @module What to type so that a kernel setting has another value, now and after the next boot. Pure, and only ever shown.
 *
 * What is said of files is verified: the files as they would be are read again, and what would not make the value stay is not shown.
 */
import type { Remedy } from '../remedy/remedy.ts';
import {
  type EffectiveSetting,
  effectiveOf,
  mainSettingsFile,
  type SettingsFile,
  settingsReaders,
} from './effective.ts';

/** A setting, by all of its names; a name may have a wildcard for an interface. */
export interface WantedSetting {
  readonly keys: readonly string[];
  readonly value: string;
}

/** Sorts behind what distributions and hardening guides install. */
const dropIn = '/etc/sysctl.d/99-zz-cni.conf';
const distributionLink = '/etc/sysctl.d/99-sysctl.conf';
/** So many lines are mended one after the other. */
const mostSteps = 8;

/** Commands that set it now; empty where the key cannot be typed safely. */
export function setNow(key: string, value: string): readonly string[] {
  return isTypable(key) && isTypable(value) ? [`sysctl -w ${dotted(key)}=${value}`] : [];
}

/**
 * Commands after which the files give it this value; empty where they do already, or where nothing that can be typed would do. `always`:
 * also where no file says anything of it.
 * Files that could not be read are not spoken of.
 */
export function setInFiles(
  wanted: WantedSetting,
  found: readonly SettingsFile[] | undefined,
  when: 'always' | 'if-set',
): readonly string[] {
  if (found === undefined) return [];
  const [key = ''] = wanted.keys;
  if (!isTypable(key.replaceAll('*', '')) || !isTypable(wanted.value)) return [];
  let files = found;
  const commands: string[] = [];
  while (commands.length <= mostSteps) {
    const wrong = settingsReaders
      .flatMap((reader) => effectiveOf(files, wanted.keys, reader) ?? [])
      .find(({ value }) => value !== wanted.value);
    const isUnset = effectiveOf(files, wanted.keys, 'systemd-sysctl') === undefined;
    if (wrong === undefined && (when === 'if-set' || !isUnset)) return commands;
    const mended = wrong === undefined ? undefined : edited(files, wrong, wanted.value);
    const step = mended ?? appended(files, key, wanted.value);
    if (commands.includes(step.command)) return [];
    commands.push(step.command);
    ({ files } = step);
  }
  return [];
}

/** A remedy of these commands; none where there are none. */
export function sysctlRemedy(...commands: readonly string[]): readonly Remedy[] {
  return commands.length === 0 ? [] : [{ manager: 'sysctl', commands }];
}

interface Step {
  readonly command: string;
  readonly files: readonly SettingsFile[];
}

/** Changes the line itself, where an administrator wrote it for this very setting; what packages install is left alone. */
function edited(
  files: readonly SettingsFile[],
  { file: path, line, pattern }: EffectiveSetting,
  value: string,
): Step | undefined {
  const file = files.find((one) => one.path === path);
  const name = pattern.split('/').at(-1) ?? '';
  if (file === undefined || !path.startsWith('/etc/') || /[*?[]/.test(pattern)) return undefined;
  if (!isTypable(path) || !/^\w+$/.test(name)) return undefined;
  const lines = file.text.split('\n');
  const changed = lines[line - 1]?.replace(new RegExp(`(${name} *=).*`), `$1 ${value}`);
  if (changed === undefined || changed === lines[line - 1]) return undefined;
  lines[line - 1] = changed;
  return {
    command: `sed -i --follow-symlinks '${line}s/\\(${name} *=\\).*/\\1 ${value}/' ${path}`,
    files: files.map((one) =>
      one === file || isLinked(one, file) ? { path: one.path, text: lines.join('\n') } : one,
    ),
  };
}

function appended(files: readonly SettingsFile[], key: string, value: string): Step {
  const line = `${dotted(key)} = ${value}`;
  const before = files.find(({ path }) => path === dropIn)?.text ?? '';
  const text = `${before}${before === '' || before.endsWith('\n') ? '' : '\n'}${line}\n`;
  return {
    command: `echo '${line}' >> ${dropIn}`,
    files: [...files.filter(({ path }) => path !== dropIn), { path: dropIn, text }],
  };
}

/** Debian's 99-sysctl.conf is a link to /etc/sysctl.conf: one file, whose line is changed once. */
function isLinked(one: SettingsFile, other: SettingsFile): boolean {
  const pair = [mainSettingsFile, distributionLink];
  return pair.includes(one.path) && pair.includes(other.path) && one.text === other.text;
}

/** As people write it, `net.ipv4.ip_forward`; with slashes where an interface's name has a dot. */
export function dotted(key: string): string {
  return key.includes('.') ? key : key.replaceAll('/', '.');
}

/** Whether a shell takes it as it stands. */
export function isTypable(word: string): boolean {
  return /^[\w./@:+-]+$/.test(word) && !word.startsWith('-');
}
