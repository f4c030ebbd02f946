// Sums up what everything.sh left in .vitest/results/: one line a step, the failures in words, and `N passed, N failed` at the
// very end. With --line it prints that line alone. Exits 1 if anything failed, or if nothing ran.
import { existsSync, readFileSync } from 'node:fs';

const results = new URL('../../.vitest/results/', import.meta.url);
const rings = ['unit', 'lab', 'e2e'];

const steps = (read('steps.tsv') ?? '')
  .split('\n')
  .filter((line) => line !== '')
  .map((line) => {
    const [name, status, seconds] = line.split('\t');
    return sumUp(name, Number(status), Number(seconds));
  });
// No step at all: `make deps` or `npm ci` failed.
if (steps.length === 0) {
  steps.push({
    name: 'set-up',
    passed: 0,
    failed: 1,
    skipped: [],
    problems: ['no step ran'],
    note: '',
    seconds: 0,
  });
}

let passed = 0;
let failed = 0;
for (const step of steps) {
  passed += step.passed;
  failed += step.failed;
}
if (!process.argv.includes('--line')) print();
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;

function sumUp(name, status, seconds) {
  const step = { name, passed: 0, failed: 0, skipped: [], problems: [], note: '', seconds };
  if (rings.includes(name)) addTests(step, status);
  // A step that failed without a failed test of its own (lint, types, a crash, the deadline) is one failure.
  if (status !== 0 && step.failed === 0) {
    step.failed = 1;
    const why =
      status === 124 || status === 137 ? 'cut off at the deadline' : `exit code ${status}`;
    step.problems.push(`${name}: ${why}\n${lastLines(read(`${name}.log`) ?? '', 40)}`);
  }
  return step;
}

function addTests(step, status) {
  const text = read(`${step.name}.json`);
  if (text === undefined) {
    if (status === 0) step.note = 'not run, because CNI_PREFLIGHT_LAB=off';
    return;
  }
  for (const file of JSON.parse(text).testResults) {
    const path = file.name.replace(`${process.cwd()}/`, '');
    for (const test of file.assertionResults) {
      const title = `${path} > ${test.fullName}`;
      if (test.status === 'passed') step.passed += 1;
      else if (test.status === 'failed') {
        step.failed += 1;
        step.problems.push(`${title}\n${firstLines(test.failureMessages.join('\n'), 15)}`);
      } else step.skipped.push(title);
    }
    // A file that could not be loaded has no tests to count.
    if (
      file.status === 'failed' &&
      !file.assertionResults.some(({ status: s }) => s === 'failed')
    ) {
      step.failed += 1;
      step.problems.push(`${path}\n${firstLines(file.message ?? '', 15)}`);
    }
  }
}

function print() {
  console.log('\n=== summary');
  for (const { problems } of steps)
    for (const problem of problems) console.log(`\nFAILED ${problem}`);
  console.log();
  for (const { name, passed: p, failed: f, skipped, note, seconds } of steps) {
    const tests = rings.includes(name) ? `${p} passed, ${f} failed` : f === 0 ? 'passed' : 'failed';
    console.log(`${name.padEnd(6)} ${note === '' ? tests : note}, ${seconds} s`);
    for (const title of skipped) console.log(`       skipped: ${title}`);
  }
}

function read(name) {
  const file = new URL(name, results);
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
}

function firstLines(text, count) {
  return text.split('\n').slice(0, count).join('\n');
}

function lastLines(text, count) {
  return text.trimEnd().split('\n').slice(-count).join('\n');
}
