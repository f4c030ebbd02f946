/** @module How the process keeps its memory small. */
import { setFlagsFromString } from 'node:v8';

/**
 * Keeps the part of the heap for new objects at its first size of 1 MiB a half. Loading the program makes V8 grow it to 16 MiB a half
 * for good, which an agent that sleeps most of the time never needs again. To be called before much is loaded; the option
 * `--max-semi-space-size` says the same, but only on the command line of node.
 */
export function keepHeapSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
}
