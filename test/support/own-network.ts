/** @module A network namespace of this very process, for code that opens its own sockets. */
import { execFileSync } from 'node:child_process';
import koffi from 'koffi';

const CLONE_NEWNET = 0x40000000;

/**
 * Moves the main thread into a new, empty network namespace with `lo` up; the old one stays with nobody. Sockets
 * opened and commands started from here on live there, and /proc/net shows it.
 */
export function enterNewNetwork(): void {
  const unshare = koffi.load(null).func('int unshare(int)');
  if (unshare(CLONE_NEWNET) !== 0) {
    throw new Error(
      `no new network namespace: errno ${koffi.errno()}; run through in-namespace.sh`,
    );
  }
  shell('ip link set lo up');
}

/** Runs shell commands in the namespace; stops at the first that fails. */
export function shell(commands: string): string {
  return execFileSync('/bin/sh', ['-ec', commands], { encoding: 'utf8', stdio: 'pipe' });
}
