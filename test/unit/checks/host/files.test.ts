import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { hostname, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createFiles } from '../../../../checks/host/files.ts';
import { readOsFacts } from '../../../../checks/host/os.ts';

describe('files', () => {
  let root = '';
  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), 'files-'));
    mkdirSync(join(root, 'etc'));
    writeFileSync(join(root, 'etc/os-release'), 'ID=rocky\nPRETTY_NAME="Rocky Linux 8.9"\n');
    writeFileSync(join(root, 'config.gz'), gzipSync('CONFIG_VXLAN=m\n'));
    writeFileSync(join(root, 'bad.gz'), 'no gzip');
    writeFileSync(join(root, 'bomb.gz'), gzipSync(Buffer.alloc(9 << 20)));
    writeFileSync(join(root, 'large'), '');
    truncateSync(join(root, 'large'), (8 << 20) + 1);
    symlinkSync('nowhere', join(root, 'dangling'));
  });
  afterAll(() => {
    rmSync(root, { recursive: true });
  });

  test('a file is read below the root, packed or not', async () => {
    const files = createFiles(root);
    expect(await files.readText('/etc/os-release')).toContain('ID=rocky');
    expect(await files.readText('/config.gz')).toBe('CONFIG_VXLAN=m\n');
    expect(await files.listDirectory('/etc')).toEqual(['os-release']);
    expect(await files.exists('/etc')).toBe(true);
  });

  test('the end of a file comes in whole lines', async () => {
    const files = createFiles(root);
    writeFileSync(join(root, 'log'), 'one\ntwo\nthree\n');
    expect(await files.readTail('/log', 100)).toBe('one\ntwo\nthree\n');
    expect(await files.readTail('/log', 9)).toBe('three\n');
    expect(await files.readTail('/log', 3)).toBe('');
    expect(await files.readTail('/none', 9)).toBeUndefined();
    await expect(files.readTail('/etc', 9)).rejects.toMatchObject({ code: 'EINVAL' });
    expect((await files.readTail('/large', 1 << 30))?.length).toBeLessThanOrEqual(8 << 20);
  });

  test.each(['/nothing', '/etc/os-release/inside', '/dangling'])('%s is absent', async (path) => {
    const files = createFiles(root);
    expect(await files.readText(path)).toBeUndefined();
    expect(await files.listDirectory(path)).toBeUndefined();
    expect(await files.exists(path)).toBe(false);
  });

  test.each([
    { path: '/large', code: 'EFBIG' },
    { path: '/bomb.gz', code: 'EINVAL' },
    { path: '/bad.gz', code: 'EINVAL' },
    { path: '/etc', code: 'EINVAL' },
  ])('$path is refused with $code', async ({ path, code }) => {
    await expect(createFiles(root).readText(path)).rejects.toMatchObject({
      name: 'HostError',
      code,
    });
  });

  test('a file of /proc, which says that it is empty, is read whole', async () => {
    expect(await createFiles('/').readText('/proc/self/status')).toMatch(/^Name:/);
  });

  test('the facts come from the root, and from the kernel', async () => {
    expect(await readOsFacts(createFiles(root))).toMatchObject({
      id: 'rocky',
      os: 'Rocky Linux 8.9',
      kernel: release(),
      hostname: hostname(),
    });
  });
});
