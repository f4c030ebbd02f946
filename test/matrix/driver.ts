/** @module The matrix's hands inside a node: they run the built command line there without a new process each time. */
import { createInterface } from 'node:readline';
import type { StatusDocument } from '../../agent/model.ts';
import type { LabNode } from '../support/lab.ts';
import { LongProcess } from '../support/process.ts';

/** How many raw and packet sockets are open in the namespace. */
export interface RawSockets {
  readonly packet: number;
  readonly raw: number;
  readonly raw6: number;
}

export interface Checked {
  readonly document: StatusDocument;
  /** From the words of the command line to the document. */
  readonly seconds: number;
}

interface Reply {
  readonly id: number;
  readonly answer?: unknown;
  readonly error?: string;
}

interface Caller {
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
}

export class Driver extends LongProcess {
  readonly #waiting = new Map<number, Caller>();
  readonly #node: LabNode;
  #calls = 0;

  /** `under`: a command to run it under. */
  constructor(node: LabNode, under: readonly string[] = []) {
    const script = `${process.cwd()}/test/matrix/driver.mjs`;
    const args = ['netns', 'exec', node.namespace, ...under, process.execPath, script];
    super('ip', args, 'pipe');
    this.#node = node;
    const { stdout } = this.streams;
    if (stdout === null) throw new Error('it has no output');
    createInterface({ input: stdout }).on('line', (line) => {
      const { id, answer, error } = JSON.parse(line) as Reply;
      const caller = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) caller?.resolve(answer);
      else caller?.reject(new Error(error));
    });
    this.streams.on('close', () => {
      const ended = new Error(`the driver of ${node.namespace} has ended\n${this.stderr}`);
      for (const { reject } of this.#waiting.values()) reject(ended);
      this.#waiting.clear();
    });
  }

  /** Runs `check` with these words; its document, whatever its exit code. */
  async check(words: readonly string[]): Promise<Checked> {
    const argv = ['check', ...words, '--format', 'json', '--node-name', this.#node.name];
    const { exitCode, stdout, stderr, seconds } = await this.#call<{
      exitCode: number;
      stdout: string;
      stderr: string;
      seconds: number;
    }>('cli', { argv });
    try {
      return { document: JSON.parse(stdout) as StatusDocument, seconds };
    } catch (cause) {
      throw new Error(`${argv.join(' ')} exited ${exitCode}:\n${stderr}${stdout.slice(0, 2000)}`, {
        cause,
      });
    }
  }

  async rawSockets(): Promise<RawSockets> {
    return await this.#call<RawSockets>('rawSockets', {});
  }

  #call<T>(operation: string, request: object): Promise<T> {
    this.#calls += 1;
    const id = this.#calls;
    return new Promise((resolve, reject) => {
      if (!this.running) {
        reject(new Error(`the driver of ${this.#node.namespace} has ended\n${this.stderr}`));
        return;
      }
      this.#waiting.set(id, { resolve: (answer) => resolve(answer as T), reject });
      this.streams.stdin?.write(`${JSON.stringify({ ...request, id, operation })}\n`);
    });
  }
}
