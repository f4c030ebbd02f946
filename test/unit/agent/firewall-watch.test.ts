import { type Change, KernelError } from 'node-nftables';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { watchFirewall } from '../../../agent/firewall-watch.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const generation: Change = { kind: 'generation', id: 8, process: { pid: 7, name: 'firewalld' } };
const rule: Change = {
  kind: 'rule',
  change: 'deleted',
  family: 'inet',
  table: 'filter',
  chain: 'input',
  handle: 4,
};

/** Each `open` gives the next of these: changes and then the end, or an error. */
function watch(...openings: readonly (readonly Change[] | Error)[]) {
  const told: string[] = [];
  const ending = new AbortController();
  let opened = 0;
  const done = watchFirewall({
    signal: ending.signal,
    onChange: (maker) => told.push(`changed by ${maker?.name}`),
    onLost: () => told.push('lost'),
    onProblem: () => told.push('problem'),
    open: async () => {
      const next = openings[opened++] ?? [];
      if (next instanceof Error) throw next;
      return (async function* (): AsyncGenerator<Change> {
        yield* next;
      })();
    },
  });
  return { told, done, ending, opened: () => opened };
}

test('one transaction is one change, however many rules it touched', async () => {
  const { told, ending, done } = watch([rule, rule, generation, rule, generation]);
  await vi.advanceTimersByTimeAsync(10);
  expect(told).toEqual(['changed by firewalld', 'changed by firewalld']);
  ending.abort();
  await done;
});

test('lost events say that anything may have changed', async () => {
  const { told, ending, done } = watch([{ kind: 'lost' }, generation]);
  await vi.advanceTimersByTimeAsync(10);
  expect(told).toEqual(['lost', 'changed by firewalld']);
  ending.abort();
  await done;
});

test('a watch that broke is opened again, and what happened meanwhile is lost', async () => {
  const { told, ending, done } = watch(new Error('EBADF'), [generation]);
  await vi.advanceTimersByTimeAsync(29_000);
  expect(told).toEqual(['problem']);
  await vi.advanceTimersByTimeAsync(2000);
  expect(told).toEqual(['problem', 'lost', 'changed by firewalld']);
  ending.abort();
  await done;
});

test('a kernel without nf_tables is no problem, and is asked again', async () => {
  const { told, ending, done, opened } = watch(new KernelError('ENOENT', 'not there'), []);
  await vi.advanceTimersByTimeAsync(31_000);
  expect(told).toEqual(['lost']);
  expect(opened()).toBe(2);
  ending.abort();
  await done;
});

test('without permission it ends', async () => {
  const { told, done } = watch(new KernelError('EPERM', 'not permitted'));
  await done;
  expect(told).toEqual([]);
});
