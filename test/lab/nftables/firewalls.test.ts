/** Firewalls as people run them: packets are sent through each, and our answer held against what the kernel did. */
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Arena, createArena } from '../../../nftables/differential/arena.ts';
import { type ConntrackSocket, openConntrack } from '../../../nftables/differential/conntrack.ts';
import { ruleKeyOf } from '../../../nftables/differential/course.ts';
import { createOracle, type Oracle } from '../../../nftables/differential/oracle.ts';
import { createRandom } from '../../../nftables/differential/random.ts';
import { decide } from '../../../nftables/differential/round.ts';
import { scaffold } from '../../../nftables/differential/scaffold.ts';
import { compile } from '../../../nftables/evaluate/index.ts';
import type { Ruleset } from '../../../nftables/model.ts';
import { readRuleset } from '../../../nftables/read.ts';
import {
  limitedPort,
  type Run,
  type Standing,
  startFirewalld,
  startUfw,
} from '../../support/firewalls/managed.ts';
import { textsOf, withoutCounts } from '../../support/firewalls/round-trip.ts';
import { drawShots, namedIn, shotText } from '../../support/firewalls/shots.ts';
import { comparableRules } from '../../support/nftables/comparable.ts';

const packets = 200;

const fixture = (name: string): string =>
  readFileSync(new URL(`../../fixtures/firewalls/${name}`, import.meta.url), 'utf8');

interface Firewall {
  readonly name: string;
  readonly start: (run: Run) => Promise<Standing>;
  /** To be asked more often than others. */
  readonly port?: number;
}

const none: Standing = { stop: async () => undefined };

function written(name: string, steps: readonly (readonly [string, string])[]): Firewall {
  return {
    name,
    start: async (run) => {
      for (const [program, file] of steps) {
        run(
          program,
          program === 'nft' ? ['-f', '-'] : program === 'ipset' ? ['restore'] : [],
          fixture(file),
        );
      }
      return none;
    },
  };
}

const firewalls: readonly Firewall[] = [
  { name: 'ufw', start: startUfw, port: limitedPort },
  { name: 'firewalld with nftables', start: async (run) => await startFirewalld(run, 'nftables') },
  { name: 'firewalld with iptables', start: async (run) => await startFirewalld(run, 'iptables') },
  written('nftables.service', [['nft', 'handwritten.nft']]),
  written('iptables-persistent', [
    ['iptables-nft-restore', 'persistent.v4'],
    ['ip6tables-nft-restore', 'persistent.v6'],
  ]),
  written('Docker', [['iptables-nft-restore', 'docker.v4']]),
  written('kube-proxy with iptables', [['iptables-nft-restore', 'kube-proxy.v4']]),
  written('kube-proxy with nftables', [['nft', 'kube-proxy.nft']]),
  written('Calico', [
    ['ipset', 'calico.ipset'],
    ['iptables-nft-restore', 'calico.v4'],
  ]),
  written('Cilium', [
    ['ipset', 'cilium.ipset'],
    ['iptables-nft-restore', 'cilium.v4'],
  ]),
  // Legacy tables stay once they are made: these come last.
  written('iptables-persistent with legacy iptables', [
    ['iptables-legacy-restore', 'persistent.v4'],
    ['ip6tables-legacy-restore', 'persistent.v6'],
  ]),
  written('kube-proxy with legacy iptables', [['iptables-legacy-restore', 'kube-proxy.v4']]),
];

let arena: Arena;
let oracle: Oracle;
let conntrack: ConntrackSocket;

beforeAll(() => {
  arena = createArena();
  oracle = createOracle(arena);
  conntrack = openConntrack();
});

/** What we write of it, loaded by the tools themselves, is the same again. */
async function roundTrip(ruleset: Ruleset): Promise<void> {
  const { nft, restores, unknown } = textsOf(ruleset);
  expect(unknown).toEqual([]);
  arena.run('nft', ['-f', '-'], `flush ruleset\n${nft}`);
  for (const [program, text] of restores) arena.run(program, [], text);
  expect(rulesOf(await readRuleset())).toEqual(rulesOf(ruleset));
}

/** By chain, which no tool loads in the order of another. */
function rulesOf(ruleset: Ruleset): ReadonlyMap<string, readonly string[]> {
  const chains = new Map<string, string[]>();
  for (const line of comparableRules(withoutCounts(ruleset))) {
    const place = /"family":.*?"chain":"[^"]*"/.exec(line)?.[0] ?? '';
    chains.set(place, [...(chains.get(place) ?? []), line]);
  }
  return new Map([...chains].toSorted(([one], [other]) => (one < other ? -1 : 1)));
}

describe.sequential('what a firewall does with a packet', () => {
  it.each(firewalls)('$name', async ({ start, port }) => {
    arena.run('nft', ['-f', '-'], 'flush ruleset\n');
    const standing = await start(arena.run);
    try {
      arena.run('nft', ['-f', '-'], scaffold());
      const ruleset = await readRuleset();
      const evaluator = compile(ruleset, arena.environment);
      const loaded = {
        ruleset,
        rules: new Map(ruleset.rules.map((rule) => [ruleKeyOf(rule), rule])),
        ask: evaluator.evaluate,
      };
      const text =
        ['iptables-nft-save', 'iptables-legacy-save'].map((each) => arena.run(each, [])).join('') +
        arena.run('nft', ['list', 'ruleset']);
      const named = namedIn(text);
      const often =
        port === undefined ? [] : Array<number>(Math.ceil(named.ports.length / 4)).fill(port);
      const shots = drawShots(
        createRandom(packets),
        { ...named, ports: [...named.ports, ...often] },
        packets,
      );
      const bench = {
        loader: { load: (): void => undefined },
        oracle,
        conntrack,
        environment: arena.environment,
        read: readRuleset,
        evaluator: (): typeof evaluator.evaluate => evaluator.evaluate,
      };
      const decisions = decide(bench, loaded, shots);
      const judged = decisions.filter(({ judgement }) => judgement !== undefined);
      const undetermined = judged.filter(({ answer }) => answer.verdict === 'undetermined');
      const faults = judged.flatMap(({ judgement, shot }) =>
        (judgement?.faults ?? []).map(
          ({ fault, text: words }) => `${fault}: ${words}: ${shotText(shot)}`,
        ),
      );
      expect(faults).toEqual([]);
      // Neither lets everything through, nor nothing.
      const verdicts = new Set(judged.map(({ answer }) => answer.verdict));
      expect(verdicts).toContain('accept');
      expect(verdicts.has('drop') || verdicts.has('reject')).toBe(true);
      expect(judged.length).toBeGreaterThan(0.9 * packets);
      expect(undetermined.length).toBeLessThan(0.2 * packets);
      if (port !== undefined) expect(undetermined.length).toBeGreaterThan(0);
      await roundTrip(await readRuleset());
    } finally {
      await standing.stop();
    }
  });
});
