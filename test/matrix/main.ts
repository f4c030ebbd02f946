/**
 * @module Scores what the program says of faults that are made on purpose, and whether its remedies cure them.
 *
 * npm run matrix -- --seeds N [--seed FIRST] [--only FAULT,...] [--protocol P,...] [--family F] [--worlds N] [--timeout S] [--table FILE] [--log FILE]
 * npm run matrix -- --managers [--seeds N] [--only ufw,...]
 * npm run matrix -- --healthy MINUTES [--seed S]
 */
import { appendFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { cellsOf } from './cells.ts';
import { type Protocol, protocols } from './fault.ts';
import { faults } from './faults/index.ts';
import { runHealthy } from './healthy.ts';
import { managedCells } from './managed-causes.ts';
import { managerNames } from './managers.ts';
import { type MatrixOptions, runMatrix } from './matrix.ts';
import type { Result } from './run.ts';
import { figuresOf, tableOf } from './table.ts';

const { values } = parseArgs({
  options: {
    healthy: { type: 'string' },
    managers: { type: 'boolean', default: false },
    seeds: { type: 'string', default: '1' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string' },
    protocol: { type: 'string' },
    family: { type: 'string' },
    worlds: { type: 'string', default: '6' },
    timeout: { type: 'string', default: '1' },
    table: { type: 'string' },
    log: { type: 'string' },
  },
});

const say = (text: string): void => {
  process.stderr.write(`${text}\n`);
};
process.exitCode = (await chosen()()) ? 0 : 1;

function chosen(): () => Promise<boolean> {
  if (values.healthy !== undefined) return healthyMesh;
  return values.managers ? managedHosts : faultMatrix;
}

async function healthyMesh(): Promise<boolean> {
  const figures = await runHealthy({
    minutes: Number(values.healthy),
    seed: Number(values.seed),
    nodes: 6,
    burners: 2,
    say,
  });
  process.stdout.write(`${JSON.stringify(figures)}\n`);
  return figures.falseFindings === 0;
}

async function faultMatrix(): Promise<boolean> {
  const names = values.only?.split(',');
  for (const name of names ?? [])
    if (!faults.some((fault) => fault.name === name))
      throw new Error(
        `no fault ${name}; there are ${faults.map((fault) => fault.name).join(', ')}`,
      );
  const wanted = values.protocol?.split(',');
  const family = values.family;
  if (family !== undefined && family !== 'ipv4' && family !== 'ipv6')
    throw new Error('--family is ipv4 or ipv6');
  const cells = cellsOf({
    seeds: seedsOf(),
    faults: faults.filter(({ name }) => names?.includes(name) ?? true),
    protocols:
      wanted === undefined ? undefined : protocols.filter((one: Protocol) => wanted.includes(one)),
    family,
  });

  const about = new Map(faults.map((fault) => [fault.name, fault.about]));
  return await scored([{ cells }], about);
}

/** The most frequent causes, on hosts whose rules somebody owns: one manager after the other. */
async function managedHosts(): Promise<boolean> {
  const wanted = managerNames.filter((name) => values.only?.split(',').includes(name) ?? true);
  const parts = wanted.map((manager) => ({ manager, cells: managedCells(manager, seedsOf()) }));
  const all = parts.flatMap(({ cells }) => cells);
  return await scored(parts, new Map(all.map(({ fault: { name, about } }) => [name, about])));
}

/** Runs the parts and prints their figures; whether all is well. */
async function scored(
  parts: readonly Pick<MatrixOptions, 'cells' | 'manager'>[],
  about: ReadonlyMap<string, string>,
): Promise<boolean> {
  const total = parts.reduce((sum, { cells }) => sum + cells.length, 0);
  const results: Result[] = [];
  const leftSockets: string[] = [];
  let errors = 0;
  let done = 0;
  for (const part of parts) {
    const outcome = await runMatrix({
      ...part,
      worlds: part.manager === undefined ? Number(values.worlds) : 1,
      timeoutSeconds: Number(values.timeout),
      onResult: (result) => {
        done++;
        if (values.log !== undefined) appendFileSync(values.log, `${JSON.stringify(result)}\n`);
        report(result);
        if (done % 100 === 0) say(`${done} of ${total}`);
      },
      onError: (cell, error) => {
        errors++;
        say(
          `${cell.words}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
        );
      },
    });
    results.push(...outcome.results);
    leftSockets.push(...outcome.leftSockets);
  }
  for (const left of leftSockets) say(`left open: ${left}`);
  if (values.table !== undefined) writeFileSync(values.table, tableOf(results, about));
  const figures = figuresOf({ results, leftSockets }, seedsOf().length);
  process.stdout.write(`${JSON.stringify({ ...figures, errors })}\n`);
  return errors === 0 && leftSockets.length === 0 && results.every(isGood);
}

function seedsOf(): readonly number[] {
  return Array.from({ length: Number(values.seeds) }, (_, index) => Number(values.seed) + index);
}

function isGood({ score, falseAlarms, cure }: Result): boolean {
  return (
    score.grade !== 'wrong' &&
    falseAlarms.length === 0 &&
    (cure.cured === 'none' || (cure.cured === 'yes' && cure.sideEffects.length === 0))
  );
}

function report(result: Result): void {
  const { words, family: spoken, score, falseAlarms, cure } = result;
  const complaints = [
    ...(score.grade === 'right' ? [] : [`${score.grade}: ${score.why ?? ''}`]),
    ...falseAlarms.map((alarm) => `false alarm: ${alarm}`),
    ...(cure.cured === 'no' ? [`not cured by ${cure.typed.join('; ')}: ${cure.why ?? ''}`] : []),
    ...(cure.cured === 'none' ? [] : cure.sideEffects.map((effect) => `side effect: ${effect}`)),
  ];
  for (const complaint of complaints) say(`${words} (${spoken}): ${complaint}`);
}
