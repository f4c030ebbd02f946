/** @module Runs a program. The only file that imports `child_process`; only `--try-modules` gets here. */
import { execFile } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { join } from 'node:path';

/** How a program ended. */
export interface Ending {
  /** Exit code; undefined when it was killed, or could not be started. */
  readonly code?: number;
  readonly stdout: string;
  readonly stderr: string;
}

const directories = ['/usr/sbin', '/sbin', '/usr/bin', '/bin'] as const;
const maximumOutputBytes = 64 << 10;

/** Finds a program in the system's own directories; PATH is not asked. */
export async function findProgram(name: string): Promise<string | undefined> {
  for (const directory of directories) {
    const path = join(directory, name);
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return path;
  }
  return undefined;
}

/** Runs a program without a shell, in the C locale and with an otherwise empty environment. Never rejects. */
export function run(
  path: string,
  parameters: readonly string[],
  signal: AbortSignal,
): Promise<Ending> {
  return new Promise((resolve) => {
    const options = {
      signal,
      maxBuffer: maximumOutputBytes,
      env: { LC_ALL: 'C', PATH: directories.join(':') },
      encoding: 'utf8',
    } as const;
    const child = execFile(path, [...parameters], options, (error, stdout, stderr) => {
      const code = error === null ? 0 : error.code;
      resolve({ ...(typeof code === 'number' ? { code } : {}), stdout, stderr });
    });
    child.stdin?.end();
  });
}

/**
 * Creates a link of this kind in a network namespace that ends with the command. True: it came up; false: the
 * kernel does not know the kind; undefined: it could not be tried. The kernel may load a module for it.
 */
export async function tryLink(kind: string, signal: AbortSignal): Promise<boolean | undefined> {
  if (!/^[a-z][a-z0-9_-]{0,15}$/.test(kind))
    throw new RangeError(`link kind ${JSON.stringify(kind)}`);
  const unshare = await findProgram('unshare');
  const ip = await findProgram('ip');
  if (unshare === undefined || ip === undefined) return undefined;
  const link = ['link', 'add', 'name', 'cnipreflight0', 'type', kind, ...linkParameters(kind)];
  const { code, stderr } = await run(unshare, ['--net', '--', ip, ...link], signal);
  if (code === 0) return true;
  // rtnl_newlink says EOPNOTSUPP for a kind that nobody serves; ip(8) may refuse a kind by itself.
  const isUnknownKind = /RTNETLINK answers: Operation not supported|Unknown device type/.test(
    stderr,
  );
  return isUnknownKind ? false : undefined;
}

/** What ip(8) or the kernel demands of a kind before it creates one. */
function linkParameters(kind: string): readonly string[] {
  switch (kind) {
    case 'vxlan':
      return ['id', '1', 'dstport', '4789'];
    case 'geneve':
      return ['id', '1', 'remote', '127.0.0.2'];
    // Without addresses it would equal the fallback device (tunl0, sit0, gre0) that comes with the module.
    case 'ipip':
    case 'sit':
    case 'gre':
    case 'gretap':
      return ['local', '127.0.0.1', 'remote', '127.0.0.2'];
    default:
      return [];
  }
}
