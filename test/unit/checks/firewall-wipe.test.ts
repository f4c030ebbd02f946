import type { Chain, Rule } from 'node-nftables';
import { describe, expect, test } from 'vitest';
import { isRestored, printOf, type RulesPrint, wipesOf } from '../../../checks/firewall-wipe.ts';
import { inputBase, someChain, someRule } from '../../support/firewall.ts';

/** A table of iptables: chain -> the chains that its rules jump to; `-` is a rule that jumps nowhere. Upper case INPUT hangs at a hook. */
interface TableText {
  readonly family?: 'ip' | 'ip6' | 'inet';
  readonly table?: string;
  readonly chains: Readonly<Record<string, readonly string[]>>;
}

function print(...tables: readonly TableText[]): RulesPrint {
  const chains: Chain[] = [];
  const rules: Rule[] = [];
  for (const { family = 'ip', table = 'filter', chains: given } of tables) {
    for (const [name, targets] of Object.entries(given)) {
      const place = { family, table };
      const { base: _, ...plain } = someChain({ ...place, name });
      chains.push(/^(INPUT|FORWARD|base)/.test(name) ? { ...plain, base: inputBase } : plain);
      for (const target of targets)
        rules.push(
          someRule({
            ...place,
            chain: name,
            expressions:
              target === '-' ? [] : [{ kind: 'verdict', verdict: { code: 'jump', chain: target } }],
          }),
        );
    }
  }
  return printOf({ chains, rules });
}

const kube = { INPUT: ['KUBE-FIREWALL'], FORWARD: ['KUBE-FORWARD'] };
const full: TableText = {
  chains: { ...kube, 'KUBE-FIREWALL': ['-'], 'KUBE-FORWARD': ['-', '-'], other: ['-'] },
};
const nft = { pid: 42, name: 'nft' };

describe('the wipe alarm', () => {
  test.each([
    {
      name: 'all chains deleted',
      before: [full],
      after: [{ chains: { INPUT: [], FORWARD: [], other: ['-'] } }],
      want: [{ owner: 'kube-proxy', what: 'rules', lost: 3, process: nft }],
    },
    {
      name: 'chains flushed and left empty',
      before: [full],
      after: [{ chains: { INPUT: [], FORWARD: [], 'KUBE-FIREWALL': [], 'KUBE-FORWARD': [] } }],
      want: [{ owner: 'kube-proxy', what: 'rules', lost: 3 }],
    },
    {
      name: 'a base chain flushed: its chains are there, and nothing leads to them',
      before: [full],
      after: [{ chains: { ...full.chains, FORWARD: [] } }],
      want: [{ owner: 'kube-proxy', what: 'entries', lost: 1, chains: ['FORWARD'] }],
    },
    {
      name: 'one table of two',
      before: [full, { ...full, table: 'nat' }],
      after: [full],
      want: [{ owner: 'kube-proxy', place: 'nf_tables ip nat', what: 'rules' }],
    },
    {
      name: 'IPv6 alone',
      before: [full, { ...full, family: 'ip6' as const }],
      after: [full],
      want: [{ family: 'ip6', what: 'rules' }],
    },
    {
      name: 'a table of nf_tables',
      before: [{ table: 'calico', chains: { base: ['-'] } }],
      after: [],
      want: [{ owner: 'calico', what: 'rules', lost: 1 }],
    },
    {
      name: 'two owners at once',
      before: [full, { table: 'flannel-ipv4', chains: { base: ['-'] } }],
      after: [],
      want: [{ owner: 'kube-proxy' }, { owner: 'flannel' }],
    },
  ])('sounds: $name', ({ before, after, want }) => {
    const wipes = wipesOf({ before: print(...before), after: print(...after), processes: [nft] });
    expect(wipes).toHaveLength(want.length);
    expect(wipes).toMatchObject(want);
  });

  test.each([
    { name: 'nothing changed', after: [full] },
    {
      name: 'fewer rules',
      after: [{ chains: { ...kube, 'KUBE-FIREWALL': ['-'], 'KUBE-FORWARD': ['-'] } }],
    },
    {
      name: 'a chain that it gave up, with the jump to it',
      after: [{ chains: { INPUT: ['KUBE-FIREWALL'], FORWARD: [], 'KUBE-FIREWALL': ['-'] } }],
    },
    {
      name: 'other names for its chains',
      after: [
        { chains: { INPUT: ['KUBE-X'], FORWARD: ['KUBE-Y'], 'KUBE-X': ['-'], 'KUBE-Y': ['-'] } },
      ],
    },
    {
      name: 'nftables instead of iptables',
      after: [{ table: 'kube-proxy', chains: { base: ['-'] } }],
    },
    { name: 'rules of nobody', before: [{ chains: { INPUT: ['mine'], mine: ['-'] } }], after: [] },
    { name: 'chains that never held a rule', before: [{ chains: { 'KUBE-X': [] } }], after: [] },
    { name: 'its own doing', after: [], processes: [{ pid: 7, name: 'kube-proxy' }] },
  ] as const)('is silent: $name', ({ after, ...given }) => {
    const before = 'before' in given ? given.before : [full];
    const processes = 'processes' in given ? given.processes : [nft];
    expect(wipesOf({ before: print(...before), after: print(...after), processes })).toEqual([]);
  });

  test('of several processes none is blamed', () => {
    const processes = [nft, { pid: 43, name: 'iptables' }];
    const [wipe] = wipesOf({ before: print(full), after: print(), processes });
    expect(wipe).toBeDefined();
    expect(wipe).not.toHaveProperty('process');
  });

  test('ends when the rules are there again, and reached', () => {
    const gone = { chains: { ...full.chains, FORWARD: [] } };
    const [wipe] = wipesOf({ before: print(full), after: print(gone), processes: [] });
    if (wipe === undefined) throw new Error('no wipe');
    expect(isRestored(wipe, print(gone))).toBe(false);
    expect(isRestored(wipe, print())).toBe(false);
    expect(isRestored(wipe, print(full))).toBe(true);
  });
});
