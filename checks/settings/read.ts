/** @module The files of sysctl.d as they are on this host. */
import { type Host, HostError } from '../host/host.ts';
import { mainSettingsFile, type SettingsFile, settingsFolders } from './effective.ts';

/** No host has so many; whoever has is not served by reading them all in every round. */
const mostFiles = 256;

/** Reads them. Rejects with HostError EACCES where one may not be read: it may be the one that matters. */
export async function readSettingsFiles(
  host: Pick<Host, 'listDirectory' | 'readText'>,
): Promise<readonly SettingsFile[]> {
  const paths: string[] = [];
  for (const folder of settingsFolders) {
    const names = (await host.listDirectory(folder)) ?? [];
    paths.push(
      ...names.filter((name) => name.endsWith('.conf')).map((name) => `${folder}/${name}`),
    );
  }
  if (paths.length > mostFiles)
    throw new HostError('EMSGSIZE', `more than ${mostFiles} files of sysctl.d`);
  const files: SettingsFile[] = [];
  for (const path of [...paths, mainSettingsFile]) {
    const text = await textOf(host, path);
    if (text !== undefined) files.push({ path, text });
  }
  return files;
}

/** Reads them for a remedy, which says less where they may not be read. */
export async function readableSettingsFiles(
  host: Pick<Host, 'listDirectory' | 'readText'>,
): Promise<readonly SettingsFile[] | undefined> {
  try {
    return await readSettingsFiles(host);
  } catch (cause) {
    if (cause instanceof HostError) return undefined;
    throw cause;
  }
}

async function textOf(host: Pick<Host, 'readText'>, path: string): Promise<string | undefined> {
  try {
    return await host.readText(path);
  } catch (cause) {
    // A link to /dev/null, or a folder: it sets nothing, and hides files of its name all the same.
    if (cause instanceof HostError && cause.code === 'EINVAL') return '';
    throw cause;
  }
}
