// What the agent costs the pods' network: iperf3 through a flannel-style VXLAN device between two nodes, with and without an agent
// on both of them, in turns, so that a slow change of the machine meets both alike. TCP throughput, and 64-byte UDP
// packets a second that arrive.
import { setTimeout as sleep } from 'node:timers/promises';
import { createLab } from '../../dist/test/support/lab.js';
import { LongProcess } from '../../dist/test/support/process.js';

const turns = Number(process.argv[2] ?? 5);
const seconds = 10;
const interval = 10;
const port = 5201;

const lab = await createLab({ nodes: 2 });
const [sender, receiver] = lab.nodes;
const server = new LongProcess('ip', ['netns', 'exec', receiver.namespace, 'iperf3', '-s']);
const measured = { without: [], with: [] };
try {
  await overlay(sender, receiver);
  await overlay(receiver, sender);
  await receiver.exec('ping', ['-c', '1', '-W', '5', overlayAddress(sender)]);
  for (let turn = 0; turn < turns; turn++) {
    // Which of the two comes first changes too.
    for (const which of turn % 2 === 0 ? ['without', 'with'] : ['with', 'without']) {
      console.error(`turn ${turn + 1} of ${turns}, ${which} the agent`);
      const agents = which === 'with' ? await startAgents() : [];
      measured[which].push({ gigabits: await tcp(), packets: await udp() });
      for (const agent of agents) await agent.stop();
    }
  }
} finally {
  await server[Symbol.asyncDispose]();
  await lab[Symbol.asyncDispose]();
}

const lossesOf = (field) =>
  measured.without.map((turn, index) => 1 - measured.with[index][field] / turn[field]);
const report = (field, digits) => {
  const [without, withAgent] = ['without', 'with'].map((which) =>
    median(measured[which].map((turn) => turn[field])),
  );
  return {
    without: Number(without.toFixed(digits)),
    with: Number(withAgent.toFixed(digits)),
    // Of each turn by itself, for the machine may change from turn to turn.
    lossPercent: Number((median(lossesOf(field)) * 100).toFixed(2)),
    // How far the turns without an agent lie apart: a difference below it says nothing.
    spreadPercent: spread(measured.without.map((turn) => turn[field])),
  };
};
const tcpGigabitsPerSecond = report('gigabits', 3);
const udp64PacketsPerSecond = report('packets', 0);
console.log(
  JSON.stringify({
    bench: 'overhead',
    turns,
    seconds,
    agentIntervalSeconds: interval,
    tcpGigabitsPerSecond,
    udp64PacketsPerSecond,
    goals: {
      tcpWithin2Percent: tcpGigabitsPerSecond.lossPercent <= 2,
      udpWithin5Percent: udp64PacketsPerSecond.lossPercent <= 5,
    },
  }),
);

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

async function startAgents() {
  const agents = [];
  for (const node of lab.nodes) {
    const settings = ['--provider', 'canal', '--interval', String(interval)];
    agents.push(await node.agent([...settings, ...lab.peerArguments(node)]));
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

async function tcp() {
  const { end } = await iperf([]);
  return end.sum_received.bits_per_second / 1e9;
}

async function udp() {
  const { end } = await iperf(['-u', '-b', '0', '-l', '64']);
  const { packets, lost_packets: lost, seconds: took } = end.sum;
  return (packets - lost) / took;
}

async function iperf(options) {
  const args = ['-c', overlayAddress(receiver), '-p', String(port), '-t', String(seconds), '-J'];
  const { stdout } = await sender.exec('iperf3', [...args, ...options], { timeoutMs: 60_000 });
  return JSON.parse(stdout);
}

function spread(values) {
  const width = Math.max(...values) - Math.min(...values);
  return Number(((width / median(values)) * 100).toFixed(2));
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
