/** @module Tells when a file changes, also one that Kubernetes swaps by symbolic links. */
import { type FSWatcher, watch } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';

export interface WatchFileOptions {
  readonly path: string;
  /** Called once a change of the content, when writing has come to rest. A file that went is no change. */
  readonly onChange: () => void;
  /** How long the directory must be quiet. */
  readonly debounceMs?: number;
  /** How often to look without being told: some file systems tell nothing. */
  readonly pollMs?: number;
}

/** Ends the watching. */
export interface FileWatch {
  /** Resolves when the file as it is now is known, so that every later change is told. */
  readonly ready: Promise<void>;
  close(): void;
}

const defaultDebounceMs = 250;
const defaultPollMs = 10_000;

/**
 * Watches the directory, for an editor replaces the file and a ConfigMap replaces the link `..data` beside it: a watch on the
 * file itself would stay with the old one.
 */
export function watchFile(options: WatchFileOptions): FileWatch {
  const { path, onChange, debounceMs = defaultDebounceMs, pollMs = defaultPollMs } = options;
  let content: string | undefined;
  let closed = false;
  let watcher: FSWatcher | undefined;
  let debounce: NodeJS.Timeout | undefined;
  let looking: Promise<void> = Promise.resolve();

  function look(): void {
    looking = looking.then(async () => {
      const found = await readIfPresent(path);
      if (closed || found === undefined || found === content) return;
      content = found;
      onChange();
    });
  }
  function follow(): void {
    if (watcher !== undefined) return;
    try {
      watcher = watch(dirname(path), { persistent: false }, () => {
        clearTimeout(debounce);
        debounce = setTimeout(look, debounceMs);
      });
    } catch {
      // No such directory now: the next poll tries again.
      return;
    }
    watcher.on('error', () => {
      watcher?.close();
      watcher = undefined;
    });
  }

  const ready = readIfPresent(path).then((found) => {
    content = found;
    if (!closed) follow();
  });
  const poll = setInterval(() => {
    follow();
    look();
  }, pollMs);
  poll.unref();

  return {
    ready,
    close() {
      closed = true;
      clearInterval(poll);
      clearTimeout(debounce);
      watcher?.close();
    },
  };
}

/** The content, or undefined while there is nothing to read: in the middle of a swap, or for good. */
async function readIfPresent(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error) return undefined;
    throw error;
  }
}
