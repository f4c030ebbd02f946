/** @module Runs the cells of a matrix in several worlds at once. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Cell } from './cells.ts';
import type { ManagerName } from './managers.ts';
import { providerFile } from './provider.ts';
import { randomOf } from './random.ts';
import { type Result, runCell } from './run.ts';
import { World, type WorldOptions } from './world.ts';

export interface MatrixOptions {
  readonly cells: readonly Cell[];
  /** How many clusters run side by side: most of a run is waiting. */
  readonly worlds: number;
  readonly timeoutSeconds: number;
  /** Who owns the rules of node n2; there is only one world then. */
  readonly manager?: ManagerName;
  readonly onResult?: (result: Result) => void;
  /** A run that could not be made; the world is made anew. */
  readonly onError: (cell: Cell, error: unknown) => void;
}

export interface Outcome {
  /** In the order of the cells. */
  readonly results: readonly Result[];
  /** Raw and packet sockets that agents still had open when all was over, a line each. */
  readonly leftSockets: readonly string[];
}

/** Runs all cells. */
export async function runMatrix(options: MatrixOptions): Promise<Outcome> {
  const { cells, worlds } = options;
  const folder = mkdtempSync(join(tmpdir(), 'matrix-'));
  writeFileSync(join(folder, 'matrix.yaml'), providerFile());
  const results = new Map<Cell, Result>();
  const leftSockets: string[] = [];
  const count = Math.min(worlds, cells.length);
  const { timeoutSeconds, manager } = options;
  const managed = manager === undefined ? {} : { managed: { by: manager, folder } };
  const make = worldMaker({ rules: folder, timeoutSeconds, ...managed });
  try {
    await Promise.all(
      Array.from({ length: count }, async (_, number) => {
        // By their place, so that the same cell meets the same addresses whenever it is run.
        const own = cells.filter((_cell, place) => place % count === number);
        leftSockets.push(...(await runInOneWorld(number, own, make, options, results)));
      }),
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return { results: cells.flatMap((cell) => results.get(cell) ?? []), leftSockets };
}

/** Makes worlds one after the other: the processes of several, started at once, would wait for one another too long. */
function worldMaker(
  options: Pick<WorldOptions, 'rules' | 'timeoutSeconds' | 'managed'>,
): MakeWorld {
  let last: Promise<unknown> = Promise.resolve();
  return async (number) => {
    const made = last.then(
      async () => await World.create({ number, random: randomOf(`world ${number}`), ...options }),
    );
    last = made.catch(() => undefined);
    return await made;
  };
}

type MakeWorld = (number: number) => Promise<World>;

async function runInOneWorld(
  number: number,
  cells: readonly Cell[],
  make: MakeWorld,
  { onResult, onError }: MatrixOptions,
  results: Map<Cell, Result>,
): Promise<readonly string[]> {
  let world: World | undefined;
  try {
    for (const cell of cells) {
      try {
        world ??= await make(number);
        const result = await runCell(world, cell);
        results.set(cell, result);
        onResult?.(result);
      } catch (error) {
        onError(cell, error);
        // Where no world can be made, none of the other cells will have one.
        if (world === undefined) throw error;
        await world[Symbol.asyncDispose]();
        world = undefined;
      }
    }
    return (await world?.leftSockets()) ?? [];
  } finally {
    await world?.[Symbol.asyncDispose]();
  }
}
