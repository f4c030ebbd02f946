#!/usr/bin/env node
/** @module The program: wires the command line to the process. The only file that ends it. */
import { setMaxListeners } from 'node:events';
import type { Commands } from './commands.ts';
import { exitCodes } from './exit-code.ts';
import { keepHeapSmall } from './heap.ts';
import { packageVersion } from './version.ts';

/** SIGTERM ends the agent in under two seconds. */
const graceMs = 1800;
/** Handles that nobody closed keep the process for so long after its work is done, and no longer. */
const lingerMs = 300;

const ending = new AbortController();
// Every test of a round listens, and forgets it when it ends: many listeners are no leak here.
setMaxListeners(0, ending.signal);

function onSignal(signal: NodeJS.Signals): void {
  if (ending.signal.aborted) process.exit(exitCodes.internalError);
  ending.abort(new DOMException(`ended by ${signal}`, 'AbortError'));
  setTimeout(() => {
    process.stderr.write(`cni-preflight: fatal: did not end within ${graceMs} ms of ${signal}\n`);
    process.exit(exitCodes.internalError);
  }, graceMs).unref();
}

function onFatal(error: unknown): void {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`cni-preflight: fatal: ${text}\n`);
  process.exit(exitCodes.internalError);
}

/** A reader that has seen enough (`| head`) is no failure of ours. */
function onOutputError(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') process.exit(process.exitCode ?? exitCodes.fit);
  onFatal(error);
}

/** Each command loads what it needs: a check starts no web server. */
const commands: Commands = {
  check: async (loaded, run) => await (await import('./check-command.ts')).runCheck(loaded, run),
  agent: async (loaded, run) => await (await import('./daemon.ts')).runAgent(loaded, run),
  explain: async (run) => await (await import('./explain-command.ts')).runExplain(run),
};

process.on('SIGINT', onSignal);
process.on('SIGTERM', onSignal);
process.on('uncaughtException', onFatal);
process.on('unhandledRejection', onFatal);
process.stdout.on('error', onOutputError);
process.stderr.on('error', onOutputError);

const words = process.argv.slice(2);
// What runs for a moment is better quick than small.
if (words[0] === 'agent') keepHeapSmall();
const { runCli } = await import('./cli.ts');
process.exitCode = await runCli(words, {
  stdout: process.stdout,
  stderr: process.stderr,
  stdin: process.stdin,
  cwd: process.cwd(),
  version: packageVersion(),
  signal: ending.signal,
  commands: async () => await Promise.resolve(commands),
});
setTimeout(() => {
  process.exit();
}, lingerMs).unref();
