/** @module Reads the key that all agents share. */
import { statSync } from 'node:fs';
import { readAtMost, reasonOf } from './config-file.ts';

const shortestKeyBytes = 16;
const longestKeyBytes = 4096;

/** Reads the shared key; a string is the sentence that says what is wrong, and never quotes the content. */
export function readKey(file: string): { key: Uint8Array; notes: readonly string[] } | string {
  let content: Uint8Array;
  let mode: number;
  try {
    mode = statSync(file).mode;
    content = readAtMost(file, longestKeyBytes + 3);
  } catch (error) {
    return `${file} cannot be read (${reasonOf(error)})`;
  }
  const key = content.subarray(0, content.length - trailingNewlineBytes(content));
  if (key.length < shortestKeyBytes) {
    return `${file} holds a key of ${key.length} bytes: at least ${shortestKeyBytes} are needed`;
  }
  if (key.length > longestKeyBytes) {
    return `${file} holds a key of more than ${longestKeyBytes} bytes`;
  }
  const notes = (mode & 0o004) === 0 ? [] : [`the key file ${file} can be read by everybody`];
  return { key, notes };
}

function trailingNewlineBytes(content: Uint8Array): number {
  if (content.at(-1) !== 0x0a) return 0;
  return content.at(-2) === 0x0d ? 2 : 1;
}
