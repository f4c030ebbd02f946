/** @module Which services run on this host and which are switched on, told by control groups and links of systemd. Asks no program. */
import type { Host } from '../host/host.ts';

export type ServiceState = 'running' | 'stopped' | 'unknown';

/** Where systemd keeps its services' control groups: cgroup v2, and v1. */
const slices = ['/sys/fs/cgroup/system.slice', '/sys/fs/cgroup/systemd/system.slice'] as const;
const unitDirectory = '/etc/systemd/system';

/** Whether a service runs. In a container the host's control groups are not to be seen, and without systemd there are none. */
export async function serviceState(
  host: Pick<Host, 'exists'>,
  unit: string,
): Promise<ServiceState> {
  for (const slice of slices) {
    if (!(await host.exists(slice))) continue;
    return (await host.exists(`${slice}/${unit}`)) ? 'running' : 'stopped';
  }
  return 'unknown';
}

/** Files that a container runtime puts into every container. */
const containerMounts: ReadonlySet<string> = new Set([
  '/etc/hosts',
  '/etc/hostname',
  '/dev/termination-log',
]);

/**
 * Whether the files that one sees are those of the host, and not of a container's image. The fifth column of /proc/self/mountinfo is where
 * something is mounted (proc(5)).
 */
export async function seesHostFiles(host: Pick<Host, 'readText'>): Promise<boolean> {
  const mounts = await host.readText('/proc/self/mountinfo');
  if (mounts === undefined) return false;
  return !mounts.split('\n').some((line) => containerMounts.has(line.split(' ')[4] ?? ''));
}

/** Names of the units that are started with others (`systemctl enable` makes links in directories of these); undefined where there is no systemd, or its files are not to be seen. */
export async function enabledUnits(
  host: Pick<Host, 'listDirectory' | 'readText'>,
): Promise<ReadonlySet<string> | undefined> {
  if (!(await seesHostFiles(host))) return undefined;
  const names = await host.listDirectory(unitDirectory);
  if (names === undefined) return undefined;
  const directories = names.filter((name) => /\.(wants|requires)$/.test(name));
  const lists = await Promise.all(
    directories.map((name) => host.listDirectory(`${unitDirectory}/${name}`)),
  );
  return new Set(lists.flatMap((list) => list ?? []));
}

/** One `key=value` line of a configuration file, with the section that it stands in. */
export interface Setting {
  readonly section: string;
  /** With the `+` of NetworkManager's `key+=value`, where there is one. */
  readonly key: string;
  readonly value: string;
}

/** Reads the form that systemd and NetworkManager share: sections, `key=value`, comments with `#` or `;`. */
export function parseSettings(text: string): readonly Setting[] {
  let section = '';
  return text.split('\n').flatMap((raw) => {
    const line = raw.trim();
    const header = /^\[(.*)\]$/.exec(line)?.[1];
    if (header !== undefined) section = header;
    const [, key, value] = /^([^#;=[][^=]*?)\s*=\s*(.*)$/.exec(line) ?? [];
    return key === undefined || value === undefined ? [] : [{ section, key, value }];
  });
}

/**
 * Reads the files with one ending in several directories in the order in which they count, the last one most: by name, and of two with one
 * name that of the later directory alone.
 */
export async function readDropIns(
  host: Pick<Host, 'listDirectory' | 'readText'>,
  directories: readonly string[],
  ending: string,
): Promise<readonly { readonly path: string; readonly text: string }[]> {
  const paths = new Map<string, string>();
  for (const directory of directories) {
    for (const name of (await host.listDirectory(directory)) ?? [])
      if (name.endsWith(ending)) paths.set(name, `${directory}/${name}`);
  }
  const files: { path: string; text: string }[] = [];
  for (const [, path] of [...paths].toSorted(([left], [right]) => (left < right ? -1 : 1))) {
    const text = await host.readText(path);
    if (text !== undefined) files.push({ path, text });
  }
  return files;
}

/** A pattern of a shell, as far as names of interfaces use them: `*`, `?` and lists in brackets. */
export function matchesGlob(pattern: string, name: string): boolean {
  const source = pattern
    .replaceAll(/[.+^${}()|\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  try {
    return new RegExp(`^${source}$`).test(name);
  } catch {
    return false;
  }
}
