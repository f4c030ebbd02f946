/** @module Directories of the machine that a program of the host under test may change, without the machine's own being touched. */
import { cpSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { newMounts } from '../../../nftables/differential/system.ts';

type Run = (file: string, options: readonly string[], input?: string) => string;

const covered = new Set<string>();

/**
 * Takes this test file into a mount namespace of its own, with an empty /run: what it covers is covered for no other test, and neither
 * ufw's lock nor the socket of the bus is shared with one.
 */
function ownMounts(run: Run): void {
  newMounts();
  run('mount', ['--make-rprivate', '/']);
  run('mount', ['-t', 'tmpfs', 'own', '/run']);
}

/**
 * Covers a directory with an empty one, in this mount namespace only, and fills it from others that anybody may read. The second time it
 * is there already.
 */
export function coverDirectory(run: Run, directory: string, sources: readonly string[]): void {
  if (covered.has(directory)) return;
  if (covered.size === 0) ownMounts(run);
  covered.add(directory);
  run('mount', ['-t', 'tmpfs', 'own', directory]);
  for (const source of sources) {
    const target = statSync(source).isDirectory() ? directory : `${directory}/${basename(source)}`;
    cpSync(source, target, { recursive: true });
  }
}
