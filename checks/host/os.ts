/**
 * @module What the operating system is.
 *
 * systeminformation is not asked: `osInfo()` of 5.33 runs `hostname -f` (a DNS look-up), `cat`, `dmesg`,
 * `ip link` and more through /bin/sh, the first of them synchronously, and knows no root but `/`.
 * Its one answer that spawns nothing, `versions('kernel')`, is `os.release()`.
 */
import { hostname, machine, release } from 'node:os';
import type { Files } from './files.ts';
import type { OsFacts } from './host.ts';

/** Reads the facts: two small files and uname(2). */
export async function readOsFacts(files: Files): Promise<OsFacts> {
  // os-release(5): /etc/os-release takes precedence over /usr/lib/os-release.
  const text =
    (await files.readText('/etc/os-release')) ??
    (await files.readText('/usr/lib/os-release')) ??
    '';
  const fields = parseOsRelease(text);
  return {
    kernel: release(),
    os: fields.get('PRETTY_NAME') ?? fields.get('NAME') ?? 'Linux',
    id: (fields.get('ID') ?? 'linux').toLowerCase(),
    idLike: (fields.get('ID_LIKE') ?? '').toLowerCase(),
    versionId: fields.get('VERSION_ID') ?? '',
    architecture: machine(),
    hostname: hostname(),
  };
}

/** Takes the assignments of os-release(5): shell-compatible, with quotes and backslashes but no expansion. */
export function parseOsRelease(text: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  for (const line of text.split('\n')) {
    const match = /^\s*([A-Z][A-Z0-9_]*)=(.*?)\s*$/.exec(line);
    if (match?.[1] === undefined || match[2] === undefined) continue;
    const [, name, value] = match;
    const quoted = /^(["'])(.*)\1$/.exec(value);
    const bare = quoted?.[2] ?? value;
    fields.set(name, quoted?.[1] === "'" ? bare : bare.replaceAll(/\\([\\"$`'])/g, '$1'));
  }
  return fields;
}
