// 1,000 loopback targets, one echo request a second each: our engine against fping, one after the other in one run. The third part is
// ours again while /metrics of the same process is scraped every second. What the engine says of the round trips is held against the
// kernel's own times of the same packets, captured on `lo` in two more and shorter runs, since a capture costs the sender. fping's figures stand beside it; they come from
// packets a millisecond apart, which meet colder caches than ours, which leave in small groups.
import { spawn } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const targets = Array.from({ length: 1000 }, (_, i) => `127.1.${i >> 8}.${i & 255}`);
const seconds = Number(process.argv[2] ?? 30);
const capturedSeconds = Math.min(seconds, 10);

console.error(`fping: ${targets.length} targets, ${seconds} s`);
const fping = await runFping();
console.error('the engine');
const engine = await runEngine({ scraped: false, captured: false });
console.error('the engine, /metrics scraped every second');
const engineScraped = await runEngine({ scraped: true, captured: false });
console.error('both again, captured');
const engineCaptured = await runEngine({ scraped: false, captured: true });
const engineScrapedCaptured = await runEngine({ scraped: true, captured: true });

const ratio = (ours) => round(ours.cpuCores / fping.cpuCores, 2);
const difference = (ours) => round(ours.p50Microseconds - ours.kernelP50Microseconds, 1);
console.log(
  JSON.stringify({
    bench: 'probes',
    targets: targets.length,
    seconds,
    fping,
    engine,
    engineScraped,
    engineCaptured,
    engineScrapedCaptured,
    cpuRatio: { engine: ratio(engine), engineScraped: ratio(engineScraped) },
    p50DifferenceMicroseconds: {
      engine: difference(engineCaptured),
      engineScraped: difference(engineScrapedCaptured),
    },
    goals: {
      noFalseLoss: [engine, engineScraped, engineCaptured, engineScrapedCaptured].every(
        ({ lost, inconclusive }) => lost + inconclusive === 0,
      ),
      cpuAtMostTwiceFping: ratio(engine) <= 2,
      p50Within10Microseconds:
        Math.abs(difference(engineCaptured)) <= 10 &&
        Math.abs(difference(engineScrapedCaptured)) <= 10,
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
  return figures({ rtts, lost, inconclusive: 0, cpu }, seconds);
}

async function runEngine({ scraped, captured }) {
  const capture = captured ? await startCapture() : undefined;
  const duration = captured ? capturedSeconds : seconds;
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
  child.stdin.end(JSON.stringify({ targets, seconds: duration }));
  let scrapes = 0;
  let running = true;
  child.on('close', () => {
    running = false;
  });
  while (running) {
    await Promise.race([ended, sleep(1000)]);
    if (scraped && running && (await scrape())) scrapes += 1;
  }
  return { ...figures(JSON.parse(text), duration), ...(await capture?.end()), scrapes };
}

/** Captures echo requests and replies on `lo` with the kernel's times; `end` answers how far they lie apart. */
async function startCapture() {
  const filter = 'icmp[icmptype] == icmp-echo or icmp[icmptype] == icmp-echoreply';
  const options = ['-i', 'lo', '-n', '-s', '64', '-B', '16384', '--time-stamp-precision=nano'];
  const child = spawn('tcpdump', [...options, '-Z', 'root', '-w', '-', filter], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const chunks = [];
  let said = '';
  child.stdout.on('data', (chunk) => chunks.push(chunk));
  const closed = new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  await new Promise((resolve, reject) => {
    closed.then(() => reject(new Error(`tcpdump ended: ${said}`)), reject);
    child.stderr.on('data', (chunk) => {
      said += chunk;
      if (said.includes('listening on')) resolve();
    });
  });
  return {
    async end() {
      // What the kernel still holds reaches tcpdump within a second.
      await sleep(1500);
      child.kill('SIGINT');
      await closed;
      return capturedFigures(Buffer.concat(chunks));
    },
  };
}

/** Reads a pcap file of nanoseconds: header 24, then for each packet seconds 4 · nanoseconds 4 · length 4 · original length 4 · bytes. */
function capturedFigures(pcap) {
  const ethernetBytes = 14;
  const ipBytes = 20;
  const sent = new Map();
  const seconds = [];
  // Whole seconds since the epoch would leave a double no room for nanoseconds.
  const first = pcap.length > 24 ? pcap.readUInt32LE(24) : 0;
  for (let at = 24; at + 16 <= pcap.length; ) {
    const time = pcap.readUInt32LE(at) - first + pcap.readUInt32LE(at + 4) / 1e9;
    const length = pcap.readUInt32LE(at + 8);
    const ip = at + 16 + ethernetBytes;
    const icmp = ip + ipBytes;
    const isReply = pcap[icmp] === 0;
    // The far end, identifier and sequence number: the same in a request and its reply.
    const address = isReply ? pcap.readUInt32BE(ip + 12) : pcap.readUInt32BE(ip + 16);
    const exchange = `${address} ${pcap.readUInt32BE(icmp + 4)}`;
    const sentAt = sent.get(exchange);
    if (!isReply) sent.set(exchange, time);
    else if (sentAt !== undefined) seconds.push(time - sentAt);
    at += 16 + length;
  }
  seconds.sort((one, other) => one - other);
  return {
    kernelPairs: seconds.length,
    kernelP50Microseconds: round((seconds[seconds.length >> 1] ?? Number.NaN) * 1e6, 1),
  };
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

function figures({ rtts, lost, inconclusive, cpu, rssBytes }, duration) {
  const sorted = [...rtts].sort((a, b) => a - b);
  const at = (quantile) =>
    round((sorted[Math.floor((sorted.length - 1) * quantile)] ?? 0) * 1e6, 1);
  return {
    answered: sorted.length,
    lost,
    inconclusive,
    cpuCores: round(cpu / duration, 4),
    p50Microseconds: at(0.5),
    p99Microseconds: at(0.99),
    ...(rssBytes === undefined ? {} : { rssMegabytes: round(rssBytes / 1e6, 1) }),
  };
}

function round(value, digits) {
  return Number(value.toFixed(digits));
}
