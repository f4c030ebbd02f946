/** @module Asks single requirements of the built program inside a lab node, without a round: milliseconds each. */
import { createInterface } from 'node:readline';
import type { Answer, PeerTarget } from '../../checks/check.ts';
import type { Place } from './lab.ts';
import { LongProcess } from './process.ts';

export interface RequirementQuestion {
  /** Id of the catalogue: `flannel.ip-forward`. */
  readonly requirement: string;
  readonly set?: Readonly<Record<string, string>>;
  /** Instead of those of the catalogue. */
  readonly params?: object;
  readonly target?: PeerTarget;
  /** Interfaces of the underlay. */
  readonly underlay?: readonly string[];
  readonly ownAddresses?: readonly string[];
}

export interface Requirements extends AsyncDisposable {
  ask(question: RequirementQuestion): Promise<Answer>;
}

/** Starts the process; `before` are shell lines that it runs first, such as mounts of files over the machine's own. */
export function openRequirements(
  { namespace }: Pick<Place, 'namespace'>,
  before = '',
): Requirements {
  const script = `${process.cwd()}/test/support/requirements.mjs`;
  const line = `${before}\nexec "$0" "$1"`;
  const child = new LongProcess(
    'ip',
    ['netns', 'exec', namespace, 'sh', '-ec', line, process.execPath, script],
    'pipe',
  );
  const waiting = new Map<number, (answer: Answer | { readonly error: string }) => void>();
  const { stdout, stdin } = child.streams;
  if (stdout === null || stdin === null) throw new Error('it has no streams');
  createInterface({ input: stdout }).on('line', (text) => {
    const { id, answer } = JSON.parse(text) as { id: number; answer: Answer };
    waiting.get(id)?.(answer);
    waiting.delete(id);
  });
  child.streams.on('close', () => {
    for (const tell of waiting.values()) tell({ error: `it has ended\n${child.stderr}` });
    waiting.clear();
  });
  let asked = 0;
  return {
    async ask(question) {
      asked += 1;
      const id = asked;
      const answer = await new Promise<Answer | { readonly error: string }>((resolve) => {
        if (!child.running) resolve({ error: `it has ended\n${child.stderr}` });
        waiting.set(id, resolve);
        stdin.write(`${JSON.stringify({ id, ...question })}\n`);
      });
      if ('error' in answer) throw new Error(answer.error);
      return answer;
    },
    [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
  };
}
