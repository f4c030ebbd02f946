// What an idle agent costs in memory: with 3 peers that run agents, and with 1,000 static peers. The thousand are addresses of one
// router namespace, which answers pings and refuses everything else: hosts that are there and run no agent.
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLab } from '../../dist/test/support/lab.js';

const settleSeconds = Number(process.argv[2] ?? 60);
const settings = ['--provider', 'canal'];
const figures = [];

const lab = await createLab({ nodes: 4 });
try {
  console.error(`3 peers with agents, ${settleSeconds} s`);
  const agents = [];
  for (const node of lab.nodes) {
    agents.push(await node.agent([...settings, ...lab.peerArguments(node)]));
  }
  figures.push(await measure(agents[0], 3));
  for (const agent of agents) await agent.stop();

  console.error(`1,000 peers without agents, ${settleSeconds} s`);
  const [node] = lab.nodes;
  await lab.router.ip(['route add local 10.98.0.0/16 dev lo']);
  const peers = Array.from({ length: 1000 }, (_, i) => `10.98.${i >> 8}.${i & 255}=p${i}`);
  const agent = await node.agent([...settings, ...peers.flatMap((peer) => ['--peer', peer])]);
  figures.push(await measure(agent, 1000));
  await agent.stop();
} finally {
  await lab[Symbol.asyncDispose]();
}
console.log(
  JSON.stringify({
    bench: 'footprint',
    settleSeconds,
    figures,
    goals: { rssAtMost80Megabytes: figures.every(({ rssMegabytes }) => rssMegabytes <= 80) },
  }),
);

async function measure(agent, peers) {
  const cpuBefore = cpuSeconds(agent.pid);
  await sleep(settleSeconds * 1000);
  const document = await agent.status();
  if (document.peers.length !== peers) {
    throw new Error(`the agent has ${document.peers.length} peers, not ${peers}`);
  }
  const rollup = readFileSync(`/proc/${agent.pid}/smaps_rollup`, 'utf8');
  const megabytes = (field) =>
    Number((Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(rollup)[1]) / 1e3).toFixed(1));
  return {
    peers,
    rssMegabytes: megabytes('Rss'),
    pssMegabytes: megabytes('Pss'),
    privateDirtyMegabytes: megabytes('Private_Dirty'),
    cpuCores: Number(((cpuSeconds(agent.pid) - cpuBefore) / settleSeconds).toFixed(4)),
  };
}

/** User and system time so far, from proc(5); 100 ticks a second on Linux. */
function cpuSeconds(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
