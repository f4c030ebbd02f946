/**
 * @module Scores what the program says of faults that are made on purpose, and whether its remedies cure them.
 *
 * npm run matrix -- --seeds N [--seed FIRST] [--only FAULT,...] [--protocol P,...] [--family F] [--worlds N] [--timeout S] [--table FILE] [--log FILE]
 * npm run matrix -- --healthy MINUTES [--seed S]
 */
import { appendFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { cellsOf } from './cells.ts';
import { type Protocol, protocols } from './fault.ts';
import { faults } from './faults/index.ts';
import { runHealthy } from './healthy.ts';
import { runMatrix } from './matrix.ts';
import type { Result } from './run.ts';
import { figuresOf, tableOf } from './table.ts';

const { values } = parseArgs({
  options: {
    healthy: { type: 'string' },
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
process.exitCode = (await (values.healthy === undefined ? faultMatrix() : healthyMesh())) ? 0 : 1;

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
  const seeds = Number(values.seeds);
  const cells = cellsOf({
    seeds: Array.from({ length: seeds }, (_, index) => Number(values.seed) + index),
    faults: faults.filter(({ name }) => names?.includes(name) ?? true),
    protocols:
      wanted === undefined ? undefined : protocols.filter((one: Protocol) => wanted.includes(one)),
    family,
  });

  let errors = 0;
  let done = 0;
  const outcome = await runMatrix({
    cells,
    worlds: Number(values.worlds),
    timeoutSeconds: Number(values.timeout),
    onResult: (result) => {
      done++;
      if (values.log !== undefined) appendFileSync(values.log, `${JSON.stringify(result)}\n`);
      report(result);
      if (done % 100 === 0) say(`${done} of ${cells.length}`);
    },
    onError: (cell, error) => {
      errors++;
      say(
        `${cell.words}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
      );
    },
  });
  const { results, leftSockets } = outcome;
  for (const left of leftSockets) say(`left open: ${left}`);
  if (values.table !== undefined)
    writeFileSync(
      values.table,
      tableOf(results, new Map(faults.map(({ name, about }) => [name, about]))),
    );
  process.stdout.write(`${JSON.stringify({ ...figuresOf(outcome, seeds), errors })}\n`);
  return errors === 0 && leftSockets.length === 0 && results.every(isGood);
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
