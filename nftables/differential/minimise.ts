/** @module Makes a failing case small: takes away what can be missing without the fault going away. */
import { type Bench, type Decision, decide, load } from './round.ts';
import type { Script } from './script.ts';
import type { Shot } from './shot.ts';

const copy = ({ tables, restores }: Script): Script => ({
  tables: tables.map((table) => ({
    ...table,
    sets: [...table.sets],
    chains: table.chains.map((chain) => ({ ...chain, rules: [...chain.rules] })),
  })),
  restores: restores.map(({ command, lines }) => ({ command, lines: [...lines] })),
});

export interface Case {
  readonly script: Script;
  readonly decision: Decision;
}

/** Undefined where the packet alone does not show the fault: it needs those that were sent before it. */
export async function minimise(
  bench: Bench,
  script: Script,
  shot: Shot,
  isFault: (decision: Decision) => boolean,
): Promise<Case | undefined> {
  const attempt = async (candidate: Script): Promise<Decision | undefined> => {
    try {
      const [decision] = decide(bench, await load(bench, candidate), [shot]);
      return decision !== undefined && isFault(decision) ? decision : undefined;
    } catch {
      // What was taken away was needed by something else.
      return undefined;
    }
  };
  let best = copy(script);
  let found = await attempt(best);
  if (found === undefined) return undefined;
  let budget = 250;
  const without = async (change: (candidate: Script) => void): Promise<boolean> => {
    if (budget-- <= 0) return false;
    const candidate = copy(best);
    change(candidate);
    const decision = await attempt(candidate);
    if (decision === undefined) return false;
    best = candidate;
    found = decision;
    return true;
  };
  const each = async (
    length: number,
    remove: (candidate: Script, index: number) => void,
  ): Promise<void> => {
    for (let i = length - 1; i >= 0; i--) {
      await without((candidate) => {
        remove(candidate, i);
      });
    }
  };
  await each(best.restores.length, (candidate, i) => candidate.restores.splice(i, 1));
  await each(best.tables.length, (candidate, i) => candidate.tables.splice(i, 1));
  for (const [t, table] of best.tables.entries()) {
    for (const [c, chain] of table.chains.entries()) {
      if (chain.rules.length === 0) continue;
      const isGone = await without((candidate) => candidate.tables[t]?.chains[c]?.rules.splice(0));
      if (isGone) continue;
      await each(chain.rules.length, (candidate, i) =>
        candidate.tables[t]?.chains[c]?.rules.splice(i, 1),
      );
    }
    const chains = best.tables[t]?.chains.length ?? 0;
    await each(chains, (candidate, i) => candidate.tables[t]?.chains.splice(i, 1));
    const sets = best.tables[t]?.sets.length ?? 0;
    await each(sets, (candidate, i) => candidate.tables[t]?.sets.splice(i, 1));
  }
  for (const [r, { lines }] of best.restores.entries()) {
    await each(lines.length, (candidate, i) => candidate.restores[r]?.lines.splice(i, 1));
  }
  return { script: best, decision: found };
}
