import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type FileWatch, watchFile } from '../../../agent/watch-file.ts';

let directory = '';
let watching: FileWatch | undefined;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'watch-file-'));
});
afterEach(async () => {
  watching?.close();
  await rm(directory, { recursive: true, force: true });
});

/** Watches a file of the directory, and gives the calls. */
async function watched(name: string, change: { pollMs?: number } = {}) {
  const onChange = vi.fn<() => void>();
  watching = watchFile({ path: join(directory, name), onChange, debounceMs: 20, ...change });
  await watching.ready;
  return onChange;
}

describe('a change is told', () => {
  test('when the file is written, once', async () => {
    const path = join(directory, 'config.yaml');
    await writeFile(path, 'interval: 30');
    const onChange = await watched('config.yaml');
    await writeFile(path, 'interval: 1');
    await writeFile(path, 'interval: 10');
    await vi.waitFor(() => {
      expect(onChange).toHaveBeenCalledTimes(1);
    });
  });

  test('when an editor puts a new file in its place, and again', async () => {
    const path = join(directory, 'config.yaml');
    await writeFile(path, 'one');
    const onChange = await watched('config.yaml');
    for (const [index, content] of ['two', 'three'].entries()) {
      await writeFile(`${path}.new`, content);
      await rename(`${path}.new`, path);
      await vi.waitFor(() => {
        expect(onChange).toHaveBeenCalledTimes(index + 1);
      });
    }
  });

  test('when Kubernetes swaps the link of a ConfigMap', async () => {
    for (const version of ['..1', '..2']) {
      await mkdir(join(directory, version));
      await writeFile(join(directory, version, 'config.yaml'), `version ${version}`);
    }
    await symlink('..1', join(directory, '..data'));
    await symlink('..data/config.yaml', join(directory, 'config.yaml'));
    const onChange = await watched('config.yaml');
    await symlink('..2', join(directory, '..data_tmp'));
    await rename(join(directory, '..data_tmp'), join(directory, '..data'));
    await vi.waitFor(() => {
      expect(onChange).toHaveBeenCalledTimes(1);
    });
  });

  test('when a file appears that was not there', async () => {
    const onChange = await watched('config.yaml');
    await writeFile(join(directory, 'config.yaml'), 'here');
    await vi.waitFor(() => {
      expect(onChange).toHaveBeenCalledTimes(1);
    });
  });

  test('by polling, when there was no directory to watch', async () => {
    const onChange = await watched('later/config.yaml', { pollMs: 20 });
    await mkdir(join(directory, 'later'));
    await writeFile(join(directory, 'later/config.yaml'), 'here');
    await vi.waitFor(() => {
      expect(onChange).toHaveBeenCalledTimes(1);
    });
  });
});

describe('nothing is told', () => {
  test('when the content is the same, the file goes, or another one changes', async () => {
    const path = join(directory, 'config.yaml');
    await writeFile(path, 'same');
    const onChange = await watched('config.yaml', { pollMs: 10 });
    await writeFile(path, 'same');
    await writeFile(join(directory, 'other.yaml'), 'new');
    await rm(path);
    // The one real change comes last, so that the others have had their time when it is told.
    await writeFile(path, 'different');
    await vi.waitFor(() => {
      expect(onChange).toHaveBeenCalled();
    });
    expect(onChange).toHaveBeenCalledTimes(1);
  });

  test('after close', async () => {
    const path = join(directory, 'config.yaml');
    await writeFile(path, 'one');
    const closed = await watched('config.yaml');
    watching?.close();
    const onChange = await watched('config.yaml');
    await writeFile(path, 'two');
    await vi.waitFor(() => {
      expect(onChange).toHaveBeenCalledTimes(1);
    });
    expect(closed).not.toHaveBeenCalled();
  });
});
