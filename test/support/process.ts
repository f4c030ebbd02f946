/** @module Child processes of a test: short ones with their output, long ones that are surely ended. */
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { performance } from 'node:perf_hooks';

export interface Output {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string;
  readonly timeoutMs?: number;
  /** Exit codes that are an answer and not an error; `any` takes every one. */
  readonly expectExit?: readonly number[] | 'any';
  readonly environment?: Readonly<Record<string, string>>;
}

/** What every child sees: nothing of the tester's own settings, so that a run means the same everywhere. */
const environment = {
  PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: process.env['HOME'] ?? '/',
  LC_ALL: 'C',
};

/** Runs a command to its end; throws with what it printed when it ends otherwise than expected. */
export async function run(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Output> {
  const { input = '', timeoutMs = 30_000, expectExit = [0] } = options;
  const child = spawn(command, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...environment, ...options.environment },
  });
  const stdout = collect(child.stdout);
  const stderr = collect(child.stderr);
  // A child may end without reading its input.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill('SIGKILL');
  }, timeoutMs);
  const { exitCode, signal } = await ended(child);
  clearTimeout(timer);
  const output = { exitCode, stdout: stdout(), stderr: stderr() };
  const expected = expectExit === 'any' || expectExit.includes(exitCode);
  if (signal !== null || !expected) {
    const how = late
      ? `did not end within ${timeoutMs} ms`
      : `ended with ${signal ?? `exit code ${exitCode}`}`;
    throw new Error(
      `${command} ${args.join(' ')} ${how}\n${output.stderr}\n${output.stdout.slice(-8000)}`,
    );
  }
  return output;
}

export interface Stopped {
  readonly exitCode: number;
  readonly signal: NodeJS.Signals | null;
  readonly durationMs: number;
}

/** A process that runs until it is stopped. Its end is certain: what does not heed SIGTERM is killed. */
export class LongProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #ended: Promise<{ exitCode: number; signal: NodeJS.Signals | null }>;
  readonly #stdout: () => string;
  readonly #stderr: () => string;
  #running = true;

  constructor(command: string, args: readonly string[], stdin: 'pipe' | 'ignore' = 'ignore') {
    const stdio: StdioOptions = [stdin, 'pipe', 'pipe'];
    this.#child = spawn(command, args, { stdio, env: environment });
    this.#stdout = collect(this.#child.stdout);
    this.#stderr = collect(this.#child.stderr);
    this.#child.stdin?.on('error', () => undefined);
    this.#ended = ended(this.#child).finally(() => {
      this.#running = false;
    });
    // Whoever stops it hears of a failed start; an unobserved one must not end the test runner.
    this.#ended.catch(() => undefined);
  }

  get pid(): number {
    const { pid } = this.#child;
    if (pid === undefined) throw new Error(`it never started\n${this.logs}`);
    return pid;
  }

  get running(): boolean {
    return this.#running;
  }

  get streams(): ChildProcess {
    return this.#child;
  }

  get stdout(): string {
    return this.#stdout();
  }

  get stderr(): string {
    return this.#stderr();
  }

  /** What it printed on both streams. */
  get logs(): string {
    return `${this.#stdout()}${this.#stderr()}`;
  }

  /** Sends the signal and waits for the end, which `limitMs` later is forced. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', limitMs = 10_000): Promise<Stopped> {
    const started = performance.now();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), limitMs);
    this.#child.kill(signal);
    try {
      return {
        ...(await this.#ended),
        durationMs: performance.now() - started,
      };
    } finally {
      clearTimeout(timer);
    }
  }

  /** Sends a signal and does not wait. */
  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#running) await this.stop('SIGTERM', 3000);
  }
}

function ended(child: ChildProcess): Promise<{ exitCode: number; signal: NodeJS.Signals | null }> {
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      resolve({ exitCode: code ?? 128, signal });
    });
  });
}

/** Gathers a stream; of one that never ends, the last 16 to 32 MiB. */
function collect(stream: NodeJS.ReadableStream | null): () => string {
  const limit = 32 * 1024 * 1024;
  let chunks: Buffer[] = [];
  let bytes = 0;
  stream?.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > limit) {
      const whole = Buffer.concat(chunks);
      chunks = [whole.subarray(whole.length - limit / 2)];
      bytes = limit / 2;
    }
  });
  return () => Buffer.concat(chunks).toString('utf8');
}
