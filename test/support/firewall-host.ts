/** @module A host with a firewall: this very process in a network namespace of its own, with an interface to two neighbours. */
import { runExplain } from '../../agent/explain-command.ts';
import type { Answer, PeerTarget } from '../../checks/check.ts';
import { createMachine } from '../../checks/host/machine.ts';
import { hostFirewall } from '../../checks/host-firewall.ts';
import { fakeContext } from './fake-host.ts';
import { enterNewNetwork, shell } from './own-network.ts';

/** The host is 10.99.1.2 and fd99:1::2 on `e0`; 10.99.0.0/16 and fd99::/16 lie behind it. */
export function enterFirewallHost(): void {
  enterNewNetwork();
  shell(`ip link add e0 type veth peer name e0-far
    ip link set e0 up; ip link set e0-far up
    ip addr add 10.99.1.2/16 dev e0; ip addr add fd99:1::2/16 dev e0 nodad`);
}

/** Loads nft text. */
export function nft(text: string): void {
  shell(`nft -f - <<'RULES'\n${text}\nRULES`);
}

/** What the check says of UDP port 8472 between this host and a peer. */
export async function askFirewall(
  direction: 'inbound' | 'outbound',
  family: 'ipv4' | 'ipv6' = 'ipv4',
): Promise<Answer> {
  const target: PeerTarget = {
    scope: 'peer',
    name: 'n2',
    address: family === 'ipv4' ? '10.99.2.2' : 'fd99:2::2',
    family,
    mustReach: true,
    ...(direction === 'inbound' ? { direction } : {}),
  };
  const context = fakeContext({ host: createMachine() });
  return await hostFirewall.run({ protocol: 'udp', port: 8472 }, target, context);
}

export interface Explained {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** `explain WORDS`, with `--from` and `--to` before their addresses, and with more lines as `--packets -`. */
export async function explainHere(
  asked: Parameters<typeof runExplain>[0]['asked'],
  format: 'text' | 'json' | 'jsonl' = 'text',
  packets?: readonly string[],
): Promise<Explained> {
  const out: string[] = [];
  const err: string[] = [];
  const code = await runExplain({
    asked,
    format,
    ...(packets === undefined ? {} : { packetsFile: '-' }),
    color: false,
    input: (async function* (): AsyncGenerator<string> {
      for (const line of packets ?? []) yield `${line}\n`;
    })(),
    write: (text) => out.push(text),
    complain: (text) => err.push(text),
    signal: new AbortController().signal,
  });
  return { code, out: out.join(''), err: err.join('\n') };
}
