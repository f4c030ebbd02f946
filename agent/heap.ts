/** @module How the process keeps its memory small. */
import { setFlagsFromString } from 'node:v8';

/**
 * Makes V8 keep the heap small, at the cost of more collections; to be called before much is loaded.
 *
 * - The half of the heap for new objects stays at its first size of 1 MiB. Loading the program makes V8 grow it to 16 MiB for good,
 *   which an agent that sleeps most of the time never needs again. `--max-semi-space-size` says the same, but works on the
 *   command line of node only.
 * - The heap for old objects grows in small steps: after one busy round it would stay half as large again as what it holds.
 */
export function keepHeapSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
  setFlagsFromString('--optimize-for-size');
}
