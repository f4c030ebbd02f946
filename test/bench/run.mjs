// `npm run bench -- NAME`: runs one measurement of this folder against the built program, in namespaces of its own. What it says on
// the way goes to stderr; its last line is its figures as JSON.
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';

const names = readdirSync(new URL('.', import.meta.url))
  .filter((file) => file.endsWith('.mjs') && file !== 'run.mjs')
  .map((file) => file.slice(0, -'.mjs'.length));
const [name, ...args] = process.argv.slice(2);
if (name === undefined || !names.includes(name)) {
  console.error(`npm run bench -- NAME, where NAME is one of: ${names.join(', ')}`);
  process.exit(2);
}
execFileSync('npx', ['tsc', '-p', 'test/support'], { stdio: ['ignore', 2, 2] });
const { status } = spawnSync(
  'test/support/in-namespace.sh',
  [process.execPath, `test/bench/${name}.mjs`, ...args],
  { stdio: ['ignore', 'inherit', 'inherit'] },
);
process.exit(status ?? 1);
