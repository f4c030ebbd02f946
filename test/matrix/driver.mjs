// Runs the built command line inside a lab node, again and again in one process: one request a line, one answer a line.
// It ends when its input ends, so it cannot outlive the matrix.
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { runCli } from '../../dist/agent/cli.js';

const never = new AbortController();

const operations = {
  async cli({ argv }) {
    let stdout = '';
    let stderr = '';
    const started = performance.now();
    const exitCode = await runCli(argv, {
      stdout: { write: (text) => (stdout += text) },
      stderr: { write: (text) => (stderr += text) },
      env: {},
      cwd: process.cwd(),
      version: '0.0.0',
      signal: never.signal,
      commands: async () => ({
        check: async (loaded, run) =>
          await (await import('../../dist/agent/check-command.js')).runCheck(loaded, run),
      }),
    });
    return { exitCode, stdout, stderr, seconds: (performance.now() - started) / 1000 };
  },

  // One line a socket; what changes while a socket lives is left out.
  async rawSockets() {
    const sockets = {};
    for (const file of ['packet', 'raw', 'raw6'])
      sockets[file] = readFileSync(`/proc/net/${file}`, 'utf8').trim().split('\n').length - 1;
    return sockets;
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const call = JSON.parse(line);
  operations[call.operation](call).then(
    (answer) => say({ id: call.id, answer }),
    (error) => say({ id: call.id, error: error.stack ?? String(error) }),
  );
}
process.exit(0);

function say(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}
