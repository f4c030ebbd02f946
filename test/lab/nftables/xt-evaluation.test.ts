/**
 * Every match of x_tables, asked by the kernel and by the evaluator about the same packets: which rules counted a packet, and which ones
 * the evaluator says it matched. Where it says maybe either is right, but that is counted too.
 */

import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { compile } from '../../../nftables/evaluate/index.ts';
import type { Environment, Packet } from '../../../nftables/evaluate/types.ts';
import { formatIptables } from '../../../nftables/format/iptables.ts';
import { type Rule, readRuleset } from '../../../nftables/index.ts';
import { enterNewNetwork, shell } from '../../support/own-network.ts';

/** Named as a lab's are, which the tests of a host that is unchanged leave out. */
const peerNamespace = `lab-${randomBytes(3).toString('hex')}-peer`;

const sets = `
create ip hash:ip
add ip 10.0.0.2
create timed hash:ip timeout 500
add timed 10.0.0.2
create net hash:net
add net 10.0.0.0/8
add net 10.0.0.4/30 nomatch
create ip-port hash:ip,port
add ip-port 10.0.0.2,udp:53
add ip-port 10.0.0.2,icmp:8/0
create net-port hash:net,port
add net-port 10.0.0.0/24,tcp:80
create net-iface hash:net,iface
add net-iface 10.0.0.0/30,v0
add net-iface 10.0.0.4/30,w wildcard
create ip-port-net hash:ip,port,net
add ip-port-net 10.0.0.2,udp:53,10.0.0.0/31
create masked hash:ip netmask 30
add masked 10.0.0.6
create map bitmap:ip range 10.0.0.0/28
add map 10.0.0.5
create ports bitmap:port range 0-1000
add ports 53
add ports 80
create macs bitmap:ip,mac range 10.0.0.0/28
add macs 10.0.0.2,02:00:00:00:00:02
add macs 10.0.0.5,02:00:00:00:00:09
create list list:set
add list map
add list net
create filled hash:ip
`;

const environment: Environment = {
  interfaces: [
    { name: 'v0', index: 2, type: 1, group: 0, kind: 'veth', addresses: ['10.0.0.1/24'] },
    { name: 'lo', index: 1, type: 772, group: 0, addresses: ['127.0.0.1/8'] },
  ],
  routes: [
    {
      family: 'ip',
      destination: '10.0.0.1/32',
      type: 'local',
      table: 'local',
      metric: 0,
      interfaces: ['v0'],
    },
    {
      family: 'ip',
      destination: '10.0.0.255/32',
      type: 'broadcast',
      table: 'local',
      metric: 0,
      interfaces: ['v0'],
    },
    {
      family: 'ip',
      destination: '127.0.0.0/8',
      type: 'local',
      table: 'local',
      metric: 0,
      interfaces: ['lo'],
    },
    {
      family: 'ip',
      destination: '10.0.0.0/24',
      type: 'unicast',
      table: 'main',
      metric: 0,
      interfaces: ['v0'],
    },
  ],
};

const common = {
  direction: 'in',
  family: 'ip',
  destination: '10.0.0.1',
  inInterface: 'v0',
  mark: 0,
  dscp: 0,
  sourceMac: '02:00:00:00:00:02',
  destinationMac: '02:00:00:00:00:01',
} as const;

/** What the peer sends, by a line for its node process. */
interface Case {
  readonly name: string;
  readonly send: string;
  readonly packet: Packet;
}

const udp = (from: string, sport: number, dport: number, ttl = 64): Case => ({
  name: `udp from ${from}:${sport} to ${dport}, ttl ${ttl}`,
  send: `const s = require('dgram').createSocket('udp4');
    s.bind(${sport}, '${from}', () => { s.setTTL(${ttl}); s.send('x', ${dport}, '10.0.0.1', () => s.close()) })`,
  packet: {
    ...common,
    protocol: 17,
    source: from,
    sourcePort: sport,
    destinationPort: dport,
    ttl,
    length: 29,
  },
});

const tcp = (from: string, sport: number, dport: number): Case => ({
  name: `tcp from ${from}:${sport} to ${dport}`,
  send: `require('net').connect({ host: '10.0.0.1', port: ${dport}, localAddress: '${from}', localPort: ${sport} }).on('error', () => {})`,
  packet: {
    ...common,
    protocol: 6,
    source: from,
    sourcePort: sport,
    destinationPort: dport,
    ttl: 64,
  },
});

const ping = (from: string): Case => ({
  name: `ping from ${from}`,
  send: `require('child_process').spawnSync('ping', ['-c1', '-W1', '-I', '${from}', '10.0.0.1'])`,
  packet: { ...common, protocol: 1, source: from, icmpType: 8, icmpCode: 0, ttl: 64, length: 84 },
});

const cases: readonly Case[] = [
  udp('10.0.0.2', 4000, 53),
  udp('10.0.0.2', 4001, 54, 50),
  udp('10.0.0.5', 4000, 99),
  udp('10.0.0.6', 4100, 53),
  tcp('10.0.0.2', 5000, 80),
  tcp('10.0.0.5', 5001, 95),
  ping('10.0.0.2'),
  ping('10.0.0.5'),
];

const matches = readFileSync(
  new URL('../../fixtures/nftables/xt-matches.txt', import.meta.url),
  'utf8',
)
  .trim()
  .split('\n');

beforeAll(() => {
  enterNewNetwork();
  const peer = peerNamespace;
  shell(`ip netns add ${peer}
    ip link add v0 address 02:00:00:00:00:01 type veth peer name w0 address 02:00:00:00:00:02 netns ${peer}
    ip addr add 10.0.0.1/24 dev v0; ip link set v0 up
    ip -n ${peer} link set w0 up
    for n in 2 5 6; do ip -n ${peer} addr add 10.0.0.$n/24 dev w0; done
    ip -n ${peer} neigh replace 10.0.0.1 lladdr 02:00:00:00:00:01 nud permanent dev w0`);
  execFileSync('ipset', ['restore'], { input: sets });
  return () => shell(`ip netns delete ${peer}`);
});

function restore(command: string): void {
  const lines = matches.map((match) => `-A INPUT ${match}`);
  const filling = '-A OUTPUT -j SET --add-set filled dst';
  const input = ['*filter', ...lines, filling, 'COMMIT', ''].join('\n');
  execFileSync(`${command}-restore`, { input });
}

/** Sends one packet. */
function send(given: Case): void {
  // conntrack shall know nothing of the packets before.
  shell('conntrack -F 2>/dev/null; iptables-nft -Z; iptables-legacy -Z');
  const peer = ['netns', 'exec', peerNamespace, process.execPath, '-e', given.send];
  execFileSync('ip', peer, { stdio: 'ignore', timeout: 10_000 });
}

function counted({ expressions }: Rule): number {
  const counter = expressions.find(({ kind }) => kind === 'counter');
  return counter?.kind === 'counter' ? counter.packets : 0;
}

/** Backend, chain and number tell a rule. */
const keyOf = (rule: Rule): string => `${rule.backend} ${rule.chain} ${rule.index}`;

describe('both backends decide as the kernel', () => {
  beforeAll(() => {
    restore('iptables-nft');
    restore('iptables-legacy');
  });

  test.each(cases)('$name', async (given) => {
    send(given);
    const ruleset = await readRuleset();
    const answer = compile(ruleset, environment).evaluate(given.packet);
    const met = new Map(answer.path.map(({ rule, matched }) => [keyOf(rule), matched]));
    const rules = [...ruleset.rules].filter((rule) => rule.chain === 'INPUT');
    expect(rules).toHaveLength(2 * matches.length);
    // The kernel saw one packet, and many rules matched it.
    expect(rules.filter((rule) => counted(rule) === 1).length).toBeGreaterThan(60);
    const textOf = (rule: Rule): string => `${rule.backend} ${formatIptables(rule, ruleset)}`;
    const wrong = rules.flatMap((rule) => {
      const said = met.get(keyOf(rule)) ?? 'no';
      const truth = counted(rule) > 0 ? 'yes' : 'no';
      if (said === 'maybe' || said === truth) return [];
      return [`${textOf(rule)}: ${said}, but the kernel ${truth}`];
    });
    expect(wrong).toEqual([]);
    const unsure = rules.filter((rule) => met.get(keyOf(rule)) === 'maybe').map(textOf);
    expect(unsure.filter((text) => !mayBeOpen.test(text))).toEqual([]);
  });
});

/** What nobody can tell: rates, chance, what may expire or a rule may add, and the bits that the question leaves open. */
const mayBeOpen = /limit|statistic|-m cpu|timed|filled|--match-set macs|tos 0x00\/0xff|-m length/;
