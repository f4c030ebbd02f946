// What it costs to read and to ask a firewall: 100,000 rules with their expressions, read by node-nftables and by `nft -j list ruleset` in the
// same run, each in a process of its own; whether the ruleset is unchanged; 5,000 peers x 6 ports against 10,000 rules; and firewall-change.mjs.
//
// npm run bench -- firewall [RULES] [CHAINS] [ROUNDS]
import { execFileSync, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const library = '../../nftables/dist/reading.js';
const numbers = process.argv
  .slice(2)
  .map(Number)
  .filter((number) => number > 0);
const [ruleCount = 100_000, chainCount = 200, rounds = 3] = numbers;

const works = { read, stream, walk, generation, evaluate };
const work = works[process.argv[2]];
if (work === undefined) await measure();
else console.log(JSON.stringify(await work()));

async function measure() {
  load(bigRuleset());
  const self = (name) => measured(process.execPath, [fileURLToPath(import.meta.url), name]);
  const runs = { nft: [], read: [], walk: [], stream: [] };
  for (let round = 0; round < rounds; round++) {
    runs.nft.push(await measured('nft', ['-j', 'list', 'ruleset']));
    for (const name of ['read', 'walk', 'stream']) runs[name].push(await self(name));
    const said = Object.entries(runs).map(
      ([name, all]) => `${name} ${all.at(-1).ms.toFixed(0)} ms`,
    );
    console.error(`round ${round + 1} of ${rounds}: ${said.join(', ')}`);
  }
  const reading = Object.fromEntries(
    Object.entries(runs).map(([name, all]) => [
      name,
      { seconds: median(all, 'ms') / 1000, peakMegabytes: median(all, 'peakBytes') / 1e6 },
    ]),
  );
  const { seconds, peakMegabytes } = reading.nft;
  const ratios = Object.fromEntries(
    ['read', 'walk', 'stream'].map((name) => [
      name,
      {
        time: rounded(reading[name].seconds / seconds),
        memory: rounded(reading[name].peakMegabytes / peakMegabytes),
      },
    ]),
  );
  const unchanged = (await self('generation')).result;
  load(questionRuleset());
  const evaluation = (await self('evaluate')).result;
  const changes = fileURLToPath(new URL('firewall-change.mjs', import.meta.url));
  const change = (await measured(process.execPath, [changes])).result;
  console.log(
    JSON.stringify({
      bench: 'firewall',
      rules: ruleCount,
      chains: chainCount,
      rounds,
      reading,
      ratiosToNft: ratios,
      unchangedMicroseconds: unchanged,
      evaluation,
      change,
    }),
  );
}

/** Runs a program to its end: how long, and the most memory that it ever had (VmHWM, looked at until it ends). */
async function measured(command, args) {
  const start = performance.now();
  const isOurs = command !== 'nft';
  const child = spawn(command, args, { stdio: ['ignore', isOurs ? 'pipe' : 'ignore', 'inherit'] });
  let peakBytes = 0;
  const look = () => {
    try {
      const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
      const kilobytes = Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0);
      // Before exec(2) the child is a copy of this process.
      if (status.includes(`Name:\t${isOurs ? 'node' : 'nft'}`)) {
        peakBytes = Math.max(peakBytes, kilobytes * 1024);
      }
    } catch {
      // It has ended.
    }
  };
  const timer = setInterval(look, 5);
  let last = '';
  child.stdout?.on('data', (bytes) => {
    last += bytes;
  });
  const code = await new Promise((resolve) => child.on('close', resolve));
  clearInterval(timer);
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}`);
  const result = last === '' ? undefined : JSON.parse(last);
  // A process of ours says itself what it had at the end.
  return {
    ms: performance.now() - start,
    peakBytes: Math.max(peakBytes, result?.peakBytes ?? 0),
    result,
  };
}

function peakOfThis() {
  const kilobytes = /VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  return { peakBytes: Number(kilobytes) * 1024 };
}

/** The whole ruleset; expressions are decoded when somebody looks at them. */
async function read() {
  const { readNftables } = await import(library);
  const { rules } = await readNftables();
  return { rules: rules.length, ...peakOfThis() };
}

/** The whole ruleset, and a look at every expression. */
async function walk() {
  const { readNftables } = await import(library);
  const { rules } = await readNftables();
  let expressions = 0;
  for (const rule of rules) expressions += rule.expressions.length;
  return { rules: rules.length, expressions, ...peakOfThis() };
}

/** One rule after the other, and a look at every expression. */
async function stream() {
  const { streamRules } = await import(library);
  let [rules, expressions] = [0, 0];
  for await (const rule of streamRules()) {
    rules++;
    expressions += rule.expressions.length;
  }
  return { rules, expressions, ...peakOfThis() };
}

async function generation() {
  const { openGeneration } = await import(library);
  const reader = await openGeneration();
  const times = [];
  for (let count = 0; count < 20_000; count++) {
    const start = performance.now();
    reader.read();
    times.push((performance.now() - start) * 1000);
  }
  times.sort((one, other) => one - other);
  return { median: rounded(times[10_000]), p99: rounded(times[19_800]) };
}

/** ---- Asking: figures of the evaluator. ---- */
async function evaluate() {
  const { readNftables } = await import(library);
  const { compile } = await import('../../nftables/dist/evaluate/index.js');
  const ruleset = await readNftables();
  const start = performance.now();
  const evaluator = compile(ruleset, { interfaces: [], routes: [] });
  const verdicts = {};
  let questions = 0;
  for (let peer = 0; peer < 5000; peer++) {
    for (const destinationPort of [22, 179, 4240, 6443, 8472, 10_250]) {
      const { verdict } = evaluator.evaluate({
        direction: 'in',
        family: 'ip',
        protocol: destinationPort === 8472 ? 17 : 6,
        source: `10.${peer >> 8}.${peer & 255}.7`,
        destination: '192.0.2.1',
        destinationPort,
      });
      verdicts[verdict] = (verdicts[verdict] ?? 0) + 1;
      questions++;
    }
  }
  const seconds = (performance.now() - start) / 1000;
  return { rules: ruleset.rules.length, questions, seconds: rounded(seconds), verdicts };
}

/** Rules as they are written by the thousand: an address, a port, a counter. */
function bigRuleset() {
  const perChain = ruleCount / chainCount;
  const lines = ['table inet big {'];
  for (let chain = 0; chain < chainCount; chain++) {
    lines.push(`chain c${chain} {`);
    for (let index = 0; index < perChain; index++) {
      const number = chain * perChain + index;
      const address = `10.${(number >> 16) & 255}.${(number >> 8) & 255}.${number & 255}`;
      lines.push(`ip saddr ${address} tcp dport ${1 + (number % 60_000)} counter accept`);
    }
    lines.push('}');
  }
  lines.push('}');
  return lines.join('\n');
}

/** 100 chains of 99 rules, one for each block of sources, as policies of pods are. */
function questionRuleset() {
  const lines = ['table inet ask {'];
  for (let chain = 0; chain < 100; chain++) {
    lines.push(`chain c${chain} {`);
    for (let index = 0; index < 98; index++) {
      lines.push(`tcp dport ${20_000 + index} ip daddr 192.0.2.${index} accept`);
    }
    lines.push('tcp dport { 22, 179, 6443 } accept', '}');
  }
  const jumps = Array.from({ length: 100 }, (_, at) => `ip saddr 10.${at}.0.0/16 jump c${at}`);
  lines.push('chain input { type filter hook input priority 0; policy drop;', ...jumps, '}', '}');
  return lines.join('\n');
}

function load(ruleset) {
  // nft keeps a large ruleset on its stack.
  const input = `flush ruleset\n${ruleset}\n`;
  execFileSync('sh', ['-c', 'ulimit -s unlimited; exec nft -f -'], { input });
}

function median(all, field) {
  const sorted = all.map((one) => one[field]).sort((one, other) => one - other);
  return sorted[Math.floor(sorted.length / 2)];
}

function rounded(value) {
  return Number(value.toPrecision(3));
}
