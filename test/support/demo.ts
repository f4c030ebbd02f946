/** @module `make demo`: three agents, a fault, what they say of it, and that they notice when it is mended. */
import { createLab, type LabAgent, type LabNode } from './lab.ts';

const settings = ['--provider', 'canal', '--interval', '1', '--timeout', '0.4'];

await using lab = await createLab({ nodes: 3 });
title('Three nodes n1, n2 and n3 with a router between them; an agent for Canal on each.');
const agents: LabAgent[] = [];
for (const node of lab.nodes)
  agents.push(await node.agent([...settings, ...lab.peerArguments(node)]));
const [first, second] = agents;
if (first === undefined || second === undefined) throw new Error('no agents');
await first.statusWhen('ready', ({ readiness }) => readiness === 'ready', { deadlineMs: 30_000 });
await status(first);

title("n2's firewall now drops VXLAN:  nft add rule inet filter input udp dport 8472 drop");
{
  await using _ = await second.node.chain('input', 'udp dport 8472 counter drop');
  await second.statusWhen('not ready', ({ readiness }) => readiness === 'not-ready', {
    deadlineMs: 30_000,
  });
  await first.statusWhen('the failing pair', ({ summary }) => summary.fail > 0);
  await status(second);
  await status(first);
  title('The same as a one-shot check, run on n3:');
  await check(lab.node('n3'));
}

title('The rule is gone again.');
await second.statusWhen('ready', ({ readiness }) => readiness === 'ready', { deadlineMs: 30_000 });
await status(second);

async function status(agent: LabAgent): Promise<void> {
  print(`${agent.node.name}$ curl ${agent.node.address4}:10472/status?format=text`);
  print((await agent.get('/status?format=text')).body);
}

async function check(node: LabNode): Promise<void> {
  const args = ['check', '--provider', 'canal', ...lab.peerArguments(node)];
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
