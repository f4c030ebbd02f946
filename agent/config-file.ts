/** @module Reads the files that a configuration names: bounded, and with the system's errors in words. */
import { closeSync, openSync, readSync } from 'node:fs';

/** Room for 50,000 peers. */
const longestFileBytes = 4 * 1024 * 1024;

/** The text of a file, or why it cannot be read. */
export function readText(file: string): string | { readonly reason: string } {
  try {
    const content = readAtMost(file, longestFileBytes + 1);
    if (content.length > longestFileBytes) return { reason: `more than ${longestFileBytes} bytes` };
    return new TextDecoder().decode(content);
  } catch (error) {
    return { reason: reasonOf(error) };
  }
}

/** What the system said, in words. */
export function reasonOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
  const words: Readonly<Record<string, string>> = {
    ENOENT: 'no such file',
    EACCES: 'permission denied',
    EISDIR: 'it is a directory',
    ENOTDIR: 'a part of the path is not a directory',
  };
  return words[code] ?? code;
}

/** Reads no more than is needed to tell that a file is too long: the path may be /dev/zero. */
export function readAtMost(file: string, bytes: number): Uint8Array {
  const content = new Uint8Array(bytes);
  const descriptor = openSync(file, 'r');
  try {
    let length = 0;
    while (length < bytes) {
      const read = readSync(descriptor, content, length, bytes - length, null);
      if (read === 0) break;
      length += read;
    }
    return content.subarray(0, length);
  } finally {
    closeSync(descriptor);
  }
}
