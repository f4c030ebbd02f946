// How soon an agent says another verdict when the rules change: a rule that drops a required port comes and goes, and each time it is
// measured from before the command is handed to a waiting `nft` until the agent's status says so. The next round is an hour away: all that
// is said comes from the change itself.
//
// npm run bench -- firewall-change [CHANGES]
import { setTimeout as sleep } from 'node:timers/promises';
import { said, theFinding } from '../../dist/test/support/document.js';
import { createLab } from '../../dist/test/support/lab.js';
import { LongProcess } from '../../dist/test/support/process.js';

const changes = Number(process.argv[2] ?? 200);
const goalMs = 500;
/** Between two looks at the status: what is measured is at most so much too long. */
const lookEveryMs = 10;
const requirement = 'flannel.vxlan.firewall';
const target = { requirement, peer: 'n2', family: 'ipv4', direction: 'inbound' };

const times = [];
let nft;
const lab = await createLab({ nodes: 2, ipv6: false });
try {
  const node = lab.node('n1');
  await node.nft('table inet bench { chain c { type filter hook input priority 0; }; }');
  const settings = ['--provider', 'flannel', '--only', requirement, '--interval', '3600'];
  const agent = await node.agent([...settings, ...lab.peerArguments(node)]);
  await agent.statusWhen('a verdict', ({ findings }) => findings.length > 0);
  const inside = ['netns', 'exec', node.namespace];
  nft = new LongProcess('ip', [...inside, 'nft', '--interactive'], 'pipe');
  const change = async (command, word) => {
    const start = performance.now();
    nft.streams.stdin.write(`${command}\n`);
    while (said(theFinding(await agent.status(), target)) !== word) {
      if (performance.now() > start + 30_000) throw new Error(`${command}: nothing was said of it`);
      await sleep(lookEveryMs);
    }
    return performance.now() - start;
  };
  for (let count = 0; count < changes; count += 2) {
    times.push(
      await change(
        'add rule inet bench c udp dport 8472 drop',
        'fail dropped-by-receiver-firewall',
      ),
      await change('flush chain inet bench c', 'pass'),
    );
    if (count % 50 === 0) console.error(`${count} of ${changes}: ${times.at(-1).toFixed(0)} ms`);
  }
} finally {
  await nft?.stop();
  await lab[Symbol.asyncDispose]();
}
times.sort((one, other) => one - other);
const at = (share) =>
  Math.round(times[Math.min(times.length - 1, Math.floor(times.length * share))]);
console.log(
  JSON.stringify({
    bench: 'firewall-change',
    changes: times.length,
    milliseconds: { median: at(0.5), p90: at(0.9), p99: at(0.99), longest: at(1) },
    goals: { p99Within500Milliseconds: at(0.99) <= goalMs },
  }),
);
