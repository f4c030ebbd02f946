// What the agent costs the pods' network: a flannel-style VXLAN device between two nodes, with and without an agent on both of them.
// TCP throughput (iperf3), and 64-byte UDP datagrams a second: from node to node, where the kernel delivers the inner datagram as well as
// the outer one, and from node to pod, where it passes the inner one on.
//
// A shared machine's speed drifts by more than what is looked for. So there are two such pairs of nodes, one with agents and one without,
// and neighbours in time are compared: short slices in the order without, with, with, without. Half-way the agents change sides,
// for two pairs are never quite alike. The median of the ratios has an interval, which says what the machine's unrest allows
// to say. The agents' own CPU time (`npm run bench -- footprint`) slows both pairs alike and does not show here.
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLab } from '../../dist/test/support/lab.js';
import { LongProcess, run } from '../../dist/test/support/process.js';
import { medianWithInterval } from '../support/statistics.mjs';

const pairs = { tcp: Number(process.argv[2] ?? 80), udp: Number(process.argv[3] ?? 400) };
/** About a fifth of a second. */
const tcpMegabytes = 400;
const udpMilliseconds = 50;
const interval = 10;
const port = 5201;

const lab = await createLab({ nodes: 4 });
const open = [];
const pods = [];
let measured;
try {
  const ways = [await way(lab.nodes[0], lab.nodes[1]), await way(lab.nodes[2], lab.nodes[3])];
  measured = await halves(ways);
} finally {
  for (const process of open) await process[Symbol.asyncDispose]();
  for (const { namespace } of pods) await run('ip', ['netns', 'del', namespace]);
  await lab[Symbol.asyncDispose]();
}

const tcp = report(measured.tcp, 2, 3);
const udp = report(measured.udp, 5, 0);
const pod = report(measured.pod, 5, 0);
console.log(
  JSON.stringify({
    bench: 'overhead',
    agentIntervalSeconds: interval,
    tcpGigabitsPerSecond: { sliceMegabytes: tcpMegabytes, ...tcp },
    udp64PacketsPerSecond: { sliceSeconds: udpMilliseconds / 1000, ...udp },
    udp64PacketsPerSecondToPod: { sliceSeconds: udpMilliseconds / 1000, ...pod },
    goals: {
      tcpWithin2Percent: tcp.verdict,
      udpWithin5Percent: udp.verdict,
      udpToPodWithin5Percent: pod.verdict,
    },
  }),
);

/** Measures with the agents on the second way, then on the first. */
async function halves(ways) {
  const found = { tcp: [], udp: [], pod: [] };
  for (const [without, having] of [ways, [...ways].reverse()]) {
    console.error(`agents on ${having.sender.namespace} and ${having.receiver.namespace}`);
    const agents = await startAgents(having);
    for (const to of ['udp', 'pod']) {
      found[to].push(...(await compare(pairs.udp / 2, without, having, (one) => one.packets(to))));
    }
    found.tcp.push(
      ...(await compare(pairs.tcp / 2, without, having, ({ gigabits }) => gigabits())),
    );
    for (const agent of agents) await agent.stop();
  }
  return found;
}

async function compare(count, without, having, measure) {
  // What is slow the first time only.
  for (const one of [without, having]) await measure(one);
  const found = [];
  while (found.length < count) {
    const first = { without: await measure(without), with: await measure(having) };
    const second = { with: await measure(having), without: await measure(without) };
    found.push(first, second);
  }
  return found;
}

function report(found, goalPercent, digits) {
  const loss = medianWithInterval(found.map((pair) => (1 - pair.with / pair.without) * 100));
  const [low, high] = loss.interval;
  const middle = (which) => medianWithInterval(found.map((pair) => pair[which])).median;
  return {
    pairs: found.length,
    without: Number(middle('without').toFixed(digits)),
    with: Number(middle('with').toFixed(digits)),
    lossPercent: Number(loss.median.toFixed(2)),
    lossPercentInterval: loss.interval.map((bound) => Number(bound.toFixed(2))),
    confidence: Number(loss.confidence.toFixed(3)),
    verdict: high <= goalPercent ? 'met' : low > goalPercent ? 'missed' : 'inconclusive',
  };
}

/** Two nodes with an overlay between them and a pod on the second, and how fast the way is. */
async function way(sender, receiver) {
  await overlay(sender, receiver);
  await overlay(receiver, sender);
  const pod = await addPod(receiver);
  const address = overlayAddress(receiver);
  for (const to of [address, pod.address]) await sender.exec('ping', ['-c', '1', '-W', '5', to]);
  start(receiver.namespace, ['taskset', '-c', '1', 'iperf3', '-s']);
  const sources = {
    udp: await stream(sender.namespace, receiver.namespace, address),
    pod: await stream(sender.namespace, pod.namespace, pod.address),
  };
  return {
    sender,
    receiver,
    packets: (to) => sources[to](),
    async gigabits() {
      const options = ['-c', address, '-p', String(port), '-n', `${tcpMegabytes}M`, '-J'];
      const { stdout } = await sender.exec('taskset', ['-c', '0', 'iperf3', ...options]);
      return JSON.parse(stdout).end.sum_received.bits_per_second / 1e9;
    },
  };
}

/** Makes a function that sends to an address for a slice, and says how many a second it sent. */
async function stream(from, to, address) {
  await lines(start(to, worker('sink', address)))();
  const source = start(from, ['taskset', '-c', '0', ...worker('source', address)]);
  const next = lines(source);
  await next();
  return async () => {
    source.streams.stdin.write(`${udpMilliseconds}\n`);
    return Number(await next());
  };
}

/** A namespace behind a node, with an address of the node's part of the pods' network. */
async function addPod(node) {
  const namespace = `${node.namespace}-pod`;
  const address = `10.244.${node.index}.2`;
  await node.exec('sysctl', ['-q', '-w', 'net.ipv4.ip_forward=1']);
  await run('ip', ['netns', 'add', namespace]);
  await node.ip([
    `link add pod0 type veth peer name eth0 netns ${namespace}`,
    'link set pod0 up',
    `route add ${address}/32 dev pod0`,
    'addr add 169.254.1.1/32 dev pod0',
  ]);
  for (const command of [
    `addr add ${address}/32 dev eth0`,
    'link set eth0 up',
    'route add 169.254.1.1 dev eth0',
    'route add default via 169.254.1.1 dev eth0',
  ]) {
    await run('ip', ['-n', namespace, ...command.split(' ')]);
  }
  pods.push({ namespace });
  return { namespace, address };
}

function worker(role, address) {
  return [process.execPath, 'test/support/udp-worker.mjs', role, address, String(port + 1)];
}

function start(namespace, command) {
  const child = new LongProcess('ip', ['netns', 'exec', namespace, ...command], 'pipe');
  open.push(child);
  return child;
}

/** Makes a function that waits for the next line of output. */
function lines(child) {
  const iterator = createInterface({ input: child.streams.stdout })[Symbol.asyncIterator]();
  return async () => {
    const { value, done } = await iterator.next();
    if (done) throw new Error(`no more output\n${child.stderr}`);
    return value;
  };
}

async function startAgents({ sender, receiver }) {
  const agents = [];
  for (const [own, other] of [
    [sender, receiver],
    [receiver, sender],
  ]) {
    const settings = ['--provider', 'canal', '--interval', String(interval)];
    agents.push(await own.agent([...settings, '--peer', `${other.address4}=${other.name}`]));
  }
  // Starting and the first round are heavier than what follows.
  for (const agent of agents) {
    await agent.statusWhen('a round', ({ readiness }) => readiness !== 'unknown', {
      deadlineMs: 60_000,
    });
  }
  await sleep(1000);
  return agents;
}

function overlayAddress(node) {
  return `10.244.${node.index}.0`;
}

// As flannel does it: static neighbour, forwarding entry and route of every other node.
async function overlay(own, other) {
  const mac = (node) => `02:00:00:00:00:0${node.index}`;
  await own.ip([
    `link add flannel.1 address ${mac(own)} mtu 1450 type vxlan id 1 dev e0 local ${own.address4} dstport 8472 nolearning`,
    `addr add ${overlayAddress(own)}/32 dev flannel.1`,
    'link set flannel.1 up',
    `route add 10.244.${other.index}.0/24 via ${overlayAddress(other)} dev flannel.1 onlink`,
    `neigh add ${overlayAddress(other)} lladdr ${mac(other)} dev flannel.1 nud permanent`,
  ]);
  const entry = [mac(other), 'dev', 'flannel.1', 'dst', other.address4];
  await own.exec('bridge', ['fdb', 'append', ...entry]);
}
