// The measured half of the probes benchmark: the product's packet engine and its metrics in a process of their own, one echo request a
// second to every target. Reads its task from stdin, writes what it measured to stdout.
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';

const product = new URL('../../dist/', import.meta.url);
const { keepHeapSmall } = await import(new URL('agent/heap.js', product));
// As the agent does it, for it costs collections.
keepHeapSmall();
const { createMetrics } = await import(new URL('agent/metrics.js', product));
const { LinuxNetwork } = await import(new URL('checks/host/network-linux.js', product));
const { createSourcePorts, parsePortRange } = await import(
  new URL('checks/host/source-ports.js', product)
);

const { targets, seconds } = JSON.parse(await text(process.stdin));
const metrics = createMetrics({ version: 'bench' });
const server = createServer((_, response) => {
  metrics.render().then(
    ({ contentType, body }) => response.setHeader('content-type', contentType).end(body),
    (error) => response.writeHead(500).end(error.message),
  );
});
await new Promise((resolve) => server.listen(10472, '127.0.0.1', resolve));

const network = new LinuxNetwork({
  session: randomBytes(8).readBigUInt64BE(),
  sourcePorts: createSourcePorts(parsePortRange(undefined), new Set()),
  listener: {
    sent: () => metrics.probeSent('icmp-echo'),
    ended: (_, { lost, stalled, rttSeconds }) => {
      if (stalled) metrics.probeInconclusive('icmp-echo');
      else if (lost) metrics.probeLost('icmp-echo');
      if (rttSeconds !== undefined) metrics.rtt('icmp-echo', rttSeconds);
    },
    dropped: (reason) => metrics.datagramDropped(reason),
  },
});
network.openEcho();

// Room for all of them at once: a list that grows would be what the collector works on, not the engine.
const rtts = new Float64Array(targets.length * seconds);
let answered = 0;
let lost = 0;
let inconclusive = 0;
const { signal } = new AbortController();
const paths = targets.map((destination) => ({ family: 'ipv4', destination }));

async function probe(path) {
  const { replied, stalled, rttSeconds } = await network.echo(path, {}, 1000, signal);
  if (replied) rtts[answered++] = rttSeconds;
  else if (stalled) inconclusive += 1;
  else lost += 1;
}

// Evenly paced, as the agent does it: a few probes every few milliseconds, by the clock and not by counting ticks.
const cpu = process.cpuUsage();
const started = performance.now();
const total = targets.length * seconds;
let sent = 0;
let ended = 0;
await new Promise((resolve, reject) => {
  const onEnd = () => {
    ended += 1;
    if (ended === total) resolve();
  };
  const timer = setInterval(() => {
    const due = Math.min(total, ((performance.now() - started) / 1000) * targets.length);
    for (; sent < due; sent++) probe(paths[sent % paths.length]).then(onEnd, reject);
    if (sent === total) clearInterval(timer);
  }, 5);
});
const { user, system } = process.cpuUsage(cpu);
await network[Symbol.asyncDispose]();
server.close();
server.closeAllConnections();
const figures = {
  rtts: [...rtts.subarray(0, answered)],
  lost,
  inconclusive,
  cpu: (user + system) / 1e6,
  rssBytes: process.memoryUsage.rss(),
};
process.stdout.write(JSON.stringify(figures));
