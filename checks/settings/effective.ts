/**
 * @module What the files of sysctl.d would set a kernel setting to, at the next boot or `sysctl --system`. Pure.
 *
 * Two programs read them, and differ a little: systemd-sysctl (sysctl.d(5); at boot, and for each new network device) and procps'
 * `sysctl --system` (sysctl(8)), which reads /etc/sysctl.conf last of all. Both were asked (252 and 4.0.2): files are read in the order
 * of their names, a file of /etc hides those of the same name elsewhere, the last assignment wins, and one without a wildcard wins
 * over any with one.
 */

/** One file, with what is in it; empty where it is a link to /dev/null. */
export interface SettingsFile {
  readonly path: string;
  readonly text: string;
}

export type SettingsReader = 'systemd-sysctl' | 'sysctl --system';
export const settingsReaders: readonly SettingsReader[] = ['systemd-sysctl', 'sysctl --system'];

/** The assignment that stays. */
export interface EffectiveSetting {
  readonly value: string;
  readonly file: string;
  readonly line: number;
  /** The key as the file has it, in slashes; with wildcards where it has them. */
  readonly pattern: string;
  /** Grows in the order in which settings are written: of two names of one thing the later one stays. */
  readonly order: number;
}

/** Folders in which files are looked for, the strongest first. */
export const settingsFolders = [
  '/etc/sysctl.d',
  '/run/sysctl.d',
  '/usr/local/lib/sysctl.d',
  '/usr/lib/sysctl.d',
  '/lib/sysctl.d',
] as const;
export const mainSettingsFile = '/etc/sysctl.conf';

/**
 * What a setting gets; undefined where no file sets it. The key is written with slashes; a wildcard in it (`net/ipv4/conf/lxc*`) stands
 * for an interface that is made tomorrow.
 */
export function effectiveSysctl(
  files: readonly SettingsFile[],
  wanted: string,
  reader: SettingsReader,
): EffectiveSetting | undefined {
  const key = wanted.replaceAll('*', '0a1b2c3d');
  const assignments = inForce(
    ordered(files, reader).flatMap((file) => assignmentsOf(file)),
    reader,
  );
  const exact = assignments.filter(({ pattern }) => pattern === key);
  const named = exact.findLast(({ value }) => value !== undefined);
  if (exact.at(-1)?.value === undefined && exact.length > 0 && reader === 'systemd-sysctl')
    return undefined;
  if (named !== undefined) return settingOf(named, assignments);
  // A line `-key` keeps wildcards away from the key.
  if (exact.length > 0) return undefined;
  const matching = assignments.filter(
    ({ pattern, value }) => value !== undefined && isGlob(pattern) && matchesGlob(pattern, key),
  );
  return settingOf(matching.at(-1), assignments);
}

/** Of several keys that are names of one thing, such as `ip_forward` and `conf/all/forwarding`, the one that is written last. */
export function effectiveOf(
  files: readonly SettingsFile[],
  keys: readonly string[],
  reader: SettingsReader,
): EffectiveSetting | undefined {
  const found = keys.flatMap((key) => effectiveSysctl(files, key, reader) ?? []);
  return found.toSorted((one, other) => one.order - other.order).at(-1);
}

interface Assignment {
  readonly pattern: string;
  /** Absent for a line `-key`. */
  readonly value: string | undefined;
  readonly file: string;
  readonly line: number;
}

function settingOf(
  found: Assignment | undefined,
  all: readonly Assignment[],
): EffectiveSetting | undefined {
  if (found?.value === undefined) return undefined;
  const { value, file, line, pattern } = found;
  return { value, file, line, pattern, order: all.indexOf(found) };
}

/** The files in the order in which they are read. */
function ordered(files: readonly SettingsFile[], reader: SettingsReader): readonly SettingsFile[] {
  const byName = new Map<string, SettingsFile>();
  for (const folder of settingsFolders) {
    for (const file of files) {
      const name = file.path.slice(folder.length + 1);
      const isHere = file.path.startsWith(`${folder}/`) && !name.includes('/');
      if (!isHere || !name.endsWith('.conf') || byName.has(name)) continue;
      byName.set(name, file);
    }
  }
  const sorted = [...byName].toSorted(([one], [other]) => (one < other ? -1 : 1));
  const last = reader === 'sysctl --system' ? files.filter(isMainFile) : [];
  return [...sorted.map(([, file]) => file), ...last];
}

function isMainFile({ path }: SettingsFile): boolean {
  return path === mainSettingsFile;
}

function assignmentsOf({ path, text }: SettingsFile): readonly Assignment[] {
  return text.split('\n').flatMap((written, index) => {
    const line = written.trim();
    if (line === '' || line.startsWith('#') || line.startsWith(';')) return [];
    const equals = line.indexOf('=');
    const isIgnorable = line.startsWith('-');
    if (equals < 0 && !isIgnorable) return [];
    const key = line.slice(isIgnorable ? 1 : 0, equals < 0 ? undefined : equals).trim();
    const value = equals < 0 ? undefined : line.slice(equals + 1).trim();
    return [{ pattern: withSlashes(key), value, file: path, line: index + 1 }];
  });
}

/** Whichever separator comes first is the one; with a dot, slashes within names stand for dots. */
function withSlashes(key: string): string {
  const first = /[./]/.exec(key)?.[0];
  if (first !== '.') return key;
  return key.replaceAll(/[./]/g, (character) => (character === '.' ? '/' : '.'));
}

/** systemd-sysctl keeps one assignment a key: another value takes its place at the end, the same value stays where it is. */
function inForce(
  assignments: readonly Assignment[],
  reader: SettingsReader,
): readonly Assignment[] {
  if (reader === 'sysctl --system') return assignments;
  const kept = new Map<string, Assignment>();
  for (const assignment of assignments) {
    const known = kept.get(assignment.pattern);
    if (known !== undefined && known.value === assignment.value) continue;
    kept.delete(assignment.pattern);
    kept.set(assignment.pattern, assignment);
  }
  return [...kept.values()];
}

function isGlob(pattern: string): boolean {
  return /[*?[]/.test(pattern);
}

/** glob(7), of which no wildcard matches a slash. In time that grows with the product of the two lengths at most. */
export function matchesGlob(pattern: string, text: string): boolean {
  let at = 0;
  let place = 0;
  let star: { readonly at: number; place: number } | undefined;
  while (place < text.length) {
    const length = at < pattern.length ? matchOne(pattern, at, text[place] ?? '') : 0;
    if (pattern[at] === '*') {
      star = { at: at + 1, place };
      at += 1;
    } else if (length > 0) {
      at += length;
      place += 1;
    } else if (star !== undefined && text[star.place] !== '/') {
      star.place += 1;
      ({ at, place } = star);
    } else return false;
  }
  while (pattern[at] === '*') at += 1;
  return at === pattern.length;
}

/** How many characters of the pattern this one character of the text meets; 0 for none. */
function matchOne(pattern: string, at: number, character: string): number {
  const wanted = pattern[at];
  if (wanted === character) return 1;
  if (character === '/') return 0;
  if (wanted === '?') return 1;
  if (wanted !== '[') return 0;
  const end = pattern.indexOf(']', at + 2);
  if (end < 0) return 0;
  const body = pattern.slice(at + 1, end);
  const isNegated = body.startsWith('!') || body.startsWith('^');
  const isIn = hasCharacter(isNegated ? body.slice(1) : body, character);
  return isIn === isNegated ? 0 : end - at + 1;
}

function hasCharacter(body: string, character: string): boolean {
  for (let index = 0; index < body.length; index += 1) {
    const first = body[index] ?? '';
    const last = body[index + 1] === '-' ? body[index + 2] : undefined;
    if (last === undefined) {
      if (first === character) return true;
      continue;
    }
    if (first <= character && character <= last) return true;
    index += 2;
  }
  return false;
}
