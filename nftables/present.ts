/** @module Whether a part of the kernel is there, told without making the kernel load it. */
import { access, readFile } from 'node:fs/promises';
import { release } from 'node:os';
import { join } from 'node:path';

/**
 * `yes`: it is there, or nothing can be loaded, so asking is harmless. `no`: it is not loaded, hence holds no
 * rules. `unclear`: it may be built in, and nothing readable says so.
 */
export async function isPresent(module: string, root: string): Promise<'yes' | 'no' | 'unclear'> {
  // Without /proc/modules the kernel was built without CONFIG_MODULES; but only if /proc is there at all.
  if (!(await exists('/proc/modules'))) {
    return (await exists('/proc/self/status')) ? 'yes' : 'unclear';
  }
  if (await exists(`/sys/module/${module}`)) return 'yes';
  try {
    const path = join(root, 'lib/modules', release(), 'modules.builtin');
    const listing = await readFile(path, 'utf8');
    const names = listing.split('\n').map((line) => line.slice(line.lastIndexOf('/') + 1));
    return names.some((name) => name.replaceAll('-', '_') === `${module}.ko`) ? 'yes' : 'no';
  } catch {
    return 'unclear';
  }
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
