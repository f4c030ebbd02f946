// 1,000 loopback targets, one echo request a second each: our engine against fping, one after the other in one run. fping takes its
// receive time from the kernel too (SO_TIMESTAMPNS), so its p50 is the reference for ours. The third part is ours again
// while /metrics of the same process is scraped every second.
import { spawn } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const targets = Array.from({ length: 1000 }, (_, i) => `127.1.${i >> 8}.${i & 255}`);
const seconds = Number(process.argv[2] ?? 30);

console.error(`fping: ${targets.length} targets, ${seconds} s`);
const fping = await runFping();
console.error('the engine');
const engine = await runEngine({ scraped: false });
console.error('the engine, /metrics scraped every second');
const engineScraped = await runEngine({ scraped: true });

const ratio = (ours) => round(ours.cpuCores / fping.cpuCores, 2);
const difference = (ours) => round(ours.p50Microseconds - fping.p50Microseconds, 1);
console.log(
  JSON.stringify({
    bench: 'probes',
    targets: targets.length,
    seconds,
    fping,
    engine,
    engineScraped,
    cpuRatio: { engine: ratio(engine), engineScraped: ratio(engineScraped) },
    p50DifferenceMicroseconds: {
      engine: difference(engine),
      engineScraped: difference(engineScraped),
    },
    goals: {
      noFalseLoss:
        engine.lost + engine.inconclusive + engineScraped.lost + engineScraped.inconclusive === 0,
      cpuAtMostTwiceFping: ratio(engine) <= 2,
      p50Within10Microseconds:
        Math.abs(difference(engine)) <= 10 && Math.abs(difference(engineScraped)) <= 10,
    },
  }),
);

async function runFping() {
  const list = join(mkdtempSync(join(tmpdir(), 'bench-')), 'targets');
  writeFileSync(list, `${targets.join('\n')}\n`);
  // -C: every round trip time of every target, in milliseconds; -i: 1 ms between two packets.
  const command = `TIMEFORMAT='cpu %U %S'; time fping -C ${seconds} -p 1000 -i 1 -q -f ${list}`;
  const { stderr } = await output('bash', ['-c', command]);
  const rtts = [];
  let lost = 0;
  let cpu = 0;
  for (const line of stderr.split('\n')) {
    const [, times] = line.split(' : ');
    if (times !== undefined) {
      for (const time of times.trim().split(/\s+/)) {
        if (time === '-') lost += 1;
        else rtts.push(Number(time) / 1e3);
      }
    } else if (line.startsWith('cpu ')) {
      const [, user, system] = line.split(' ');
      cpu = Number(user) + Number(system);
    }
  }
  return figures({ rtts, lost, inconclusive: 0, cpu });
}

async function runEngine({ scraped }) {
  const child = spawn(process.execPath, [
    new URL('../support/engine-worker.mjs', import.meta.url).pathname,
  ]);
  child.stderr.pipe(process.stderr);
  let text = '';
  child.stdout.on('data', (chunk) => {
    text += chunk;
  });
  const ended = new Promise((resolve, reject) => {
    child.on('close', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`the engine ended with exit code ${code}`));
    });
  });
  child.stdin.end(JSON.stringify({ targets, seconds }));
  let scrapes = 0;
  let running = true;
  child.on('close', () => {
    running = false;
  });
  while (running) {
    await Promise.race([ended, sleep(1000)]);
    if (scraped && running && (await scrape())) scrapes += 1;
  }
  return { ...figures(JSON.parse(text)), scrapes };
}

function scrape() {
  return new Promise((resolve) => {
    get('http://127.0.0.1:10472/metrics', (response) => {
      response.resume().on('end', () => resolve(response.statusCode === 200));
    }).on('error', () => resolve(false));
  });
}

function output(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
    });
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    child.on('error', reject);
    child.on('close', () => resolve({ stdout, stderr }));
  });
}

function figures({ rtts, lost, inconclusive, cpu, rssBytes }) {
  const sorted = [...rtts].sort((a, b) => a - b);
  const at = (quantile) =>
    round((sorted[Math.floor((sorted.length - 1) * quantile)] ?? 0) * 1e6, 1);
  return {
    answered: sorted.length,
    lost,
    inconclusive,
    cpuCores: round(cpu / seconds, 4),
    p50Microseconds: at(0.5),
    p99Microseconds: at(0.99),
    ...(rssBytes === undefined ? {} : { rssMegabytes: round(rssBytes / 1e6, 1) }),
  };
}

function round(value, digits) {
  return Number(value.toFixed(digits));
}
