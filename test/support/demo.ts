/** @module `make demo`: three agents, a fault, what they say of it, and that they notice when it is mended. */
import { createLab, type LabAgent, type LabNode } from './lab.ts';

const slow = { deadlineMs: 60_000 };
const settings = ['--provider', 'canal', '--interval', '1', '--timeout', '0.4'];

await using lab = await createLab({ nodes: 3 });
title(
  'Three nodes, n1, n2 and n3, on a network of their own. On each of them an agent asks: could Canal run here?',
);
const agents = await Promise.all(
  lab.nodes.map((node) => node.agent([...settings, ...lab.peerArguments(node)])),
);
const [first, second] = agents;
if (first === undefined || second === undefined) throw new Error('no agents');
await Promise.all(
  agents.map((agent) =>
    agent.statusWhen(
      'that everything required passes',
      ({ readiness, peers, findings }) =>
        readiness === 'ready' &&
        peers.every((peer) => peer.agent === 'reachable') &&
        !findings.some(({ level, outcome }) => level === 'required' && outcome === 'unknown'),
      slow,
    ),
  ),
);
await status(first);

title(
  "n2's firewall now drops VXLAN, the packets between pods:  nft add rule inet filter input udp dport 8472 drop",
);
{
  await using _ = await second.node.chain('input', 'udp dport 8472 counter drop');
  await second.statusWhen('not ready', ({ readiness }) => readiness === 'not-ready', slow);
  await first.statusWhen('the failing pair', ({ summary }) => summary.fail > 0, slow);
  print('n2 says that it is not fit: everybody fails to reach it.\n');
  await status(second, '&outcome=fail');
  print('n1 shows the failing pair, and stays ready: one bad node taints no other.\n');
  await status(first, '&outcome=fail');
  title('The same, asked once and for all on n3, as before a cluster is installed:');
  await check(lab.node('n3'));
}

title('The rule is gone again.');
await second.statusWhen('ready', ({ readiness }) => readiness === 'ready', slow);
print(`n2$ curl ${second.node.address4}:10472/readyz`);
print((await second.get('/readyz')).body);

async function status(agent: LabAgent, filter = ''): Promise<void> {
  const path = `/status?format=text${filter}`;
  print(`${agent.node.name}$ curl '${agent.node.address4}:10472${path}'`);
  print((await agent.get(path)).body);
}

async function check(node: LabNode): Promise<void> {
  const only = ['--only', 'udp-port', '--only', 'icmp-echo', '--only', 'path-mtu'];
  const args = ['check', '--provider', 'canal', ...only, ...lab.peerArguments(node)];
  print(`${node.name}$ cni-preflight ${args.join(' ')}`);
  const { exitCode, stdout } = await node.program(args, { expectExit: 'any' });
  print(`${stdout}(exit code ${exitCode})`);
}

function title(text: string): void {
  print(`\n--- ${text}\n`);
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
