/** Rules of iptables, loaded by both backends, read from the kernel and written as text: as iptables-save of the same backend does. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { formatIptables } from '../../../nftables/format/iptables.ts';
import type { Rule, Ruleset } from '../../../nftables/index.ts';
import { readRuleset } from '../../../nftables/index.ts';
import { enterNewNetwork, shell } from '../../support/own-network.ts';

const sets = `
create hip hash:ip timeout 100 counters
create hipport hash:ip,port
create hip6 hash:ip family inet6
`;

beforeAll(() => {
  enterNewNetwork();
  execFileSync('ipset', ['restore'], { input: sets });
});

interface Line {
  readonly table: string;
  readonly text: string;
}

function linesOf(file: string): readonly Line[] {
  const text = readFileSync(new URL(`../../fixtures/nftables/${file}`, import.meta.url), 'utf8');
  return text
    .trim()
    .split('\n')
    .map((line) => {
      const [table = '', ...rest] = line.split(' ');
      return { table, text: rest.join(' ') };
    });
}

function restore(command: string, lines: readonly Line[]): void {
  const tables = [...new Set(lines.map(({ table }) => table))];
  const input = tables.flatMap((table) => [
    `*${table}`,
    ...(table === 'filter' ? [':own - [0:0]'] : []),
    ...lines.filter((line) => line.table === table).map(({ text }) => text),
    'COMMIT',
  ]);
  execFileSync(`${command}-restore`, { input: `${input.join('\n')}\n` });
}

function save(command: string): readonly Line[] {
  const lines: Line[] = [];
  let table = '';
  for (const text of execFileSync(`${command}-save`, { encoding: 'utf8' }).split('\n')) {
    if (text.startsWith('*')) table = text.slice(1);
    if (text.startsWith('-A')) lines.push({ table, text });
  }
  return lines;
}

/** Chains stand in another order in the dump; rules of one chain do not. */
function sorted(lines: readonly Line[]): readonly string[] {
  const order = (line: Line): string => `${line.table} ${line.text.split(' ')[1]}`;
  return lines
    .toSorted((one, other) => order(one).localeCompare(order(other)))
    .map(({ table, text }) => `${table} ${text}`);
}

function ofBackend(ruleset: Ruleset, backend: Rule['backend'], family: string): readonly Rule[] {
  return ruleset.rules.filter((rule) => rule.backend === backend && rule.family === family);
}

function textOf(rules: readonly Rule[], ruleset: Ruleset): readonly Line[] {
  return rules.map((rule) => ({
    table: rule.table,
    text: formatIptables(rule, ruleset) ?? `not written: ${JSON.stringify(rule.expressions)}`,
  }));
}

/** Without what changes by itself: the handle, and counters of the rules. */
function expressionsOf(rules: readonly Rule[]): readonly unknown[] {
  return rules
    .map(({ table, chain, index, expressions }) => ({ table, chain, index, expressions }))
    .toSorted((one, other) =>
      `${one.table} ${one.chain}`.localeCompare(`${other.table} ${other.chain}`),
    );
}

describe.each([
  { command: 'iptables-nft', file: 'iptables.txt', backend: 'nf_tables', family: 'ip' },
  { command: 'iptables-legacy', file: 'iptables.txt', backend: 'iptables-legacy', family: 'ip' },
  { command: 'ip6tables-nft', file: 'ip6tables.txt', backend: 'nf_tables', family: 'ip6' },
  { command: 'ip6tables-legacy', file: 'ip6tables.txt', backend: 'iptables-legacy', family: 'ip6' },
] as const)('$command', ({ command, file, backend, family }) => {
  test('every rule is written as iptables-save does, and loaded again is the same', async () => {
    const lines = linesOf(file);
    restore(command, lines);
    const ruleset = await readRuleset();
    const rules = ofBackend(ruleset, backend, family);
    expect(rules).toHaveLength(lines.length);
    const written = textOf(rules, ruleset);
    expect(sorted(written)).toEqual(sorted(save(command)));
    restore(command, written);
    const again = await readRuleset();
    expect(expressionsOf(ofBackend(again, backend, family))).toEqual(expressionsOf(rules));
  });
});

test('a rule has the number of iptables -L --line-numbers, a chain its policy', async () => {
  shell(`iptables-legacy -F; iptables-legacy -X; iptables-legacy -P INPUT DROP
    iptables-legacy -N own; iptables-legacy -A own -s 1.1.1.1; iptables-legacy -A own -s 2.2.2.2
    iptables-legacy -A INPUT -s 3.3.3.3; iptables-legacy -A INPUT -s 4.4.4.4 -j own`);
  const ruleset = await readRuleset();
  const rules = ofBackend(ruleset, 'iptables-legacy', 'ip').filter((r) => r.table === 'filter');
  const numbered = rules.map((rule) => `${rule.index} ${formatIptables(rule, ruleset)}`).toSorted();
  expect(numbered).toEqual([
    '1 -A INPUT -s 3.3.3.3/32',
    '1 -A own -s 1.1.1.1/32',
    '2 -A INPUT -s 4.4.4.4/32 -j own',
    '2 -A own -s 2.2.2.2/32',
  ]);
  const policies = ruleset.chains
    .filter((chain) => chain.backend === 'iptables-legacy' && chain.family === 'ip')
    .filter((chain) => chain.table === 'filter')
    .map((chain) => `${chain.name} ${chain.base?.policy}`);
  expect(policies).toEqual(['INPUT drop', 'FORWARD accept', 'OUTPUT accept', 'own undefined']);
});

test('a counter has what the rule counted', async () => {
  enterNewNetwork();
  shell(`iptables-legacy -A OUTPUT -d 127.0.0.9 -p icmp
    ping -q -c 3 -i 0.01 -W 1 127.0.0.9`);
  const ruleset = await readRuleset();
  const [rule] = ofBackend(ruleset, 'iptables-legacy', 'ip').filter((r) => r.chain === 'OUTPUT');
  expect(rule?.expressions.find(({ kind }) => kind === 'counter')).toEqual({
    kind: 'counter',
    packets: 3,
    bytes: 3 * 84,
  });
});

test('reading makes no legacy table', async () => {
  enterNewNetwork();
  const names = (): string => readFileSync('/proc/net/ip_tables_names', 'utf8');
  await readRuleset();
  expect(names()).toBe('');
  shell('iptables-legacy -t mangle -S');
  const before = names();
  expect(before).toBe('mangle\n');
  const { tables } = await readRuleset();
  expect(tables.map(({ name }) => name)).toEqual(['mangle']);
  expect(names()).toBe(before);
});
