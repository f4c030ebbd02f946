import type { Chain, Rule } from 'node-nftables';
import { describe, expect, test } from 'vitest';
import {
  type Change,
  isOver,
  printOf,
  type RulesPrint,
  type Wipe,
  wipesOf,
} from '../../../checks/wiped-rules.ts';
import { openCatalogue } from '../../../rules/catalogue.ts';
import { inputBase, someChain, someRule } from '../../support/firewall.ts';

const owners = [...(await openCatalogue()).ruleOwners.owners].map(([name, owner]) => ({
  name,
  ...owner,
}));

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
  return printOf({ chains, rules }, owners);
}

function wipes(change: Change): readonly Wipe[] {
  return wipesOf(change, owners);
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
    const found = wipes({ before: print(...before), after: print(...after), processes: [nft] });
    expect(found).toHaveLength(want.length);
    expect(found).toMatchObject(want);
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
    {
      name: 'Cilium, which renames its chains before it writes new ones',
      before: [{ chains: { INPUT: ['CILIUM_INPUT'], CILIUM_INPUT: ['-'] } }],
      after: [{ chains: { INPUT: ['OLD_CILIUM_INPUT'], OLD_CILIUM_INPUT: ['-'] } }],
    },
    { name: 'its own doing', after: [], processes: [{ pid: 7, name: 'kube-proxy' }] },
  ] as const)('is silent: $name', ({ after, ...given }) => {
    const before = 'before' in given ? given.before : [full];
    const processes = 'processes' in given ? given.processes : [nft];
    expect(wipes({ before: print(...before), after: print(...after), processes })).toEqual([]);
  });

  const flannel: TableText = {
    table: 'nat',
    chains: { INPUT: ['KUBE-X', 'FLANNEL-X'], 'KUBE-X': ['-'], 'FLANNEL-X': ['-', '-'] },
  };
  const emptied: TableText = { ...flannel, chains: { ...flannel.chains, 'FLANNEL-X': [] } };
  const own: TableText = { table: 'flannel-ipv4', chains: { base: ['-'] } };
  const own6: TableText = { table: 'flannel-ipv6', family: 'ip6', chains: { base: ['-'] } };
  const firewalld = { pid: 44, name: 'firewalld' };
  test.each([
    { name: 'its chain alone, by a tool', before: [flannel], after: [emptied], want: true },
    { name: 'its tables alone', before: [full, own, own6], after: [full], want: true },
    { name: 'nobody tells by what', before: [flannel], after: [emptied], by: [], want: true },
    { name: 'not by a tool', before: [flannel], after: [emptied], by: [firewalld], want: false },
    { name: 'nobody else was there', before: [own], after: [], want: false },
    {
      name: 'nobody else was there in the table',
      before: [full, { ...own, table: 'nat', chains: { 'FLANNEL-X': ['-'] } }],
      after: [full],
      want: false,
    },
    {
      name: 'a rule of somebody else went, too',
      before: [flannel],
      after: [{ ...emptied, chains: { ...emptied.chains, 'KUBE-X': [] } }],
      want: false,
    },
    {
      name: 'a rule of somebody else went from elsewhere, too',
      before: [full, own],
      after: [{ chains: { ...full.chains, other: [] } }],
      want: false,
    },
    {
      name: 'the way into its chains went',
      before: [flannel],
      after: [{ ...flannel, chains: { ...flannel.chains, INPUT: ['KUBE-X'] } }],
      want: false,
    },
  ])('its owner may have done it, or not: $name', ({ before, after, by = [nft], want }) => {
    const found = wipes({ before: print(...before), after: print(...after), processes: by });
    const flannels = found.filter(({ owner }) => owner === 'flannel');
    expect(flannels.length).toBeGreaterThan(0);
    for (const { mayBeOwn } of flannels) expect(mayBeOwn).toBe(want);
  });

  test('of several processes none is blamed', () => {
    const processes = [nft, { pid: 43, name: 'iptables' }];
    const [wipe] = wipes({ before: print(full), after: print(), processes });
    expect(wipe).toBeDefined();
    expect(wipe).not.toHaveProperty('process');
  });

  const cutOff: TableText = { chains: { ...full.chains, FORWARD: [] } };
  const nat: TableText = { ...full, table: 'nat' };
  const ip6: TableText = { ...full, family: 'ip6' };
  const newWay: TableText = { table: 'kube-proxy', chains: { base: ['-'] } };
  test.each([
    { name: 'they are there again', gone: [], later: [full], want: true },
    { name: 'they are not', gone: [], later: [], want: false },
    { name: 'only others of the same owner are there', gone: [nat], later: [nat], want: false },
    { name: 'those for IPv6 are there', gone: [], later: [ip6], want: false },
    { name: 'it writes them elsewhere from now on', gone: [], later: [newWay], want: true },
    { name: 'nothing leads to them yet', gone: [cutOff], later: [cutOff], want: false },
    { name: 'they are reached again', gone: [cutOff], later: [full], want: true },
    { name: 'what could not be reached is given up', gone: [cutOff], later: [], want: true },
  ])('is over or not: $name', ({ gone, later, want }) => {
    const rest = gone.filter((table) => table !== cutOff);
    const [wipe] = wipes({ before: print(full, ...rest), after: print(...gone), processes: [] });
    if (wipe === undefined) throw new Error('no wipe');
    expect(isOver(wipe, print(...later))).toBe(want);
  });
});
