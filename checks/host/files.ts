/** @module Files of the machine, read whole and bounded. */
import { access, open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { HostError } from './host.ts';

/** The file half of `Host`. */
export interface Files {
  readText(path: string): Promise<string | undefined>;
  readTail(path: string, bytes: number): Promise<string | undefined>;
  listDirectory(path: string): Promise<readonly string[] | undefined>;
  exists(path: string): Promise<boolean>;
}

/** The largest file that is read, and the largest that a compressed one may grow to. */
const maximumBytes = 8 << 20;
const kernelConfiguration = '/proc/config.gz';
const unzip = promisify(gunzip);

/** Opens the files below `root`: `/`, or where a container has the node's file system mounted. */
export function createFiles(root: string): Files {
  // The kernel's configuration is asked for by every feature, and stays while the kernel runs.
  let configuration: string | undefined;
  return {
    async readText(path) {
      if (path === kernelConfiguration && configuration !== undefined) return configuration;
      const bytes = await readBounded(join(root, path));
      if (bytes === undefined) return undefined;
      if (!path.endsWith('.gz')) return bytes.toString('utf8');
      try {
        const text = (await unzip(bytes, { maxOutputLength: maximumBytes })).toString('utf8');
        if (path === kernelConfiguration) configuration = text;
        return text;
      } catch (cause) {
        throw new HostError('EINVAL', `${path} is not a gzip file of at most 8 MiB`, { cause });
      }
    },
    async readTail(path, bytes) {
      return await readEnd(join(root, path), Math.min(bytes, maximumBytes));
    },
    async listDirectory(path) {
      return await orAbsent(() => readdir(join(root, path)), path);
    },
    async exists(path) {
      const found = await orAbsent(() => access(join(root, path)).then(() => true), path);
      return found === true;
    },
  };
}

/** Reads at most the bound. Files of /proc say length 0, so the length is not believed. */
async function readBounded(path: string): Promise<Buffer | undefined> {
  return await orAbsent(async () => {
    // A FIFO would block open(2) for ever, and a character device may do anything when read.
    if (!(await stat(path)).isFile()) {
      throw new HostError('EINVAL', `${path} is not a regular file`);
    }
    await using file = await open(path, 'r');
    const chunks: Buffer[] = [];
    let total = 0;
    for (;;) {
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(64 << 10), 0, 64 << 10);
      if (bytesRead === 0) return Buffer.concat(chunks);
      total += bytesRead;
      if (total > maximumBytes) throw new HostError('EFBIG', `${path} is larger than 8 MiB`);
      chunks.push(buffer.subarray(0, bytesRead));
    }
  }, path);
}

/** The whole lines within the last bytes of a file that others write to. */
async function readEnd(path: string, bytes: number): Promise<string | undefined> {
  return await orAbsent(async () => {
    if (!(await stat(path)).isFile()) {
      throw new HostError('EINVAL', `${path} is not a regular file`);
    }
    await using file = await open(path, 'r');
    const { size } = await file.stat();
    const from = Math.max(0, size - bytes);
    const { bytesRead, buffer } = await file.read(Buffer.alloc(size - from), 0, size - from, from);
    const text = buffer.toString('utf8', 0, bytesRead);
    return from === 0 ? text : text.slice(text.indexOf('\n') + 1);
  }, path);
}

async function orAbsent<T>(work: () => Promise<T>, path: string): Promise<T | undefined> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof HostError) throw cause;
    const code = errorCode(cause);
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ESRCH') return undefined;
    throw new HostError(code, `cannot read ${path}: ${code}`, { cause });
  }
}

/** The errno name of an error of `node:fs` and its kin. */
export function errorCode(cause: unknown): string {
  if (typeof cause === 'object' && cause !== null && 'code' in cause) {
    if (typeof cause.code === 'string') return cause.code;
  }
  return 'EIO';
}
