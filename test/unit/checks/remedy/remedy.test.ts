import {
  type Chain,
  type Expression,
  evaluate,
  type Packet,
  type Rule,
  type Ruleset,
} from 'node-nftables';
import { describe, expect, test } from 'vitest';
import { type ManagerFacts, unknownManagers } from '../../../../checks/remedy/managers.ts';
import { type Remedy, remediesFor } from '../../../../checks/remedy/remedy.ts';
import { inputBase, someChain, someRule, someRuleset } from '../../../support/firewall.ts';

const environment = { interfaces: [], routes: [] };
const drop: Expression = { kind: 'verdict', verdict: { code: 'drop' } };
const counter: Expression = { kind: 'counter', packets: 0, bytes: 0 };
const jump = (chain: string): Expression => ({ kind: 'verdict', verdict: { code: 'jump', chain } });
const log: Expression = { kind: 'log', prefix: "'; reboot; '" };

const asked: Packet = {
  direction: 'in',
  protocol: 17,
  family: 'ip',
  source: '10.0.0.2',
  destination: '10.0.0.1',
  sourcePort: 40_000,
  destinationPort: 8472,
};

function remediesOf(
  change: Partial<Ruleset>,
  packet: Partial<Packet> = {},
  managers: Partial<ManagerFacts> = {},
): readonly Remedy[] {
  const table = change.chains?.[0] ?? someChain();
  const tables = [{ ...table, name: table.table, dormant: false }];
  const ruleset = someRuleset({ tables, ...change });
  const whole = { ...asked, ...packet };
  const answer = evaluate(ruleset, whole, environment);
  const facts = { ...unknownManagers, ...managers };
  return remediesFor({ ruleset, environment, packet: whole, answer, managers: facts, evaluate });
}

/** The same chain in tables that iptables-nft, or legacy iptables, has made. */
function iptables(rules: readonly Partial<Rule>[], chains: readonly Partial<Chain>[] = []) {
  const place = { family: 'ip' as const, table: 'filter' };
  const { base: _, ...plain } = someChain(place);
  return {
    chains: [
      someChain({ ...place, name: 'INPUT' }),
      ...chains.map((change) => ({ ...plain, ...change })),
    ],
    rules: rules.map((change, index) =>
      someRule({
        ...place,
        chain: 'INPUT',
        index: index + 1,
        handle: index + 10,
        expressions: [counter, drop],
        ...change,
      }),
    ),
  };
}

describe('remedies', () => {
  test('a packet that passes needs none', () => {
    expect(remediesOf({})).toEqual([]);
  });

  test('before the rule that decides', () => {
    expect(remediesOf({ rules: [someRule()] })).toEqual([
      {
        manager: 'nftables',
        commands: [
          'nft insert rule inet filter input position 12 ip saddr 10.0.0.2 udp dport 8472 accept',
        ],
      },
    ]);
  });

  test.each([
    { packet: { source: '10.0.0.0/24' }, words: 'ip saddr 10.0.0.0/24 udp dport 8472' },
    { packet: { source: '10.0.0.77/24' }, words: 'ip saddr 10.0.0.0/24 udp dport 8472' },
    { packet: { protocol: 4 }, words: 'ip saddr 10.0.0.2 meta l4proto 4' },
    { packet: { protocol: 1, icmpType: 8 }, words: 'ip saddr 10.0.0.2 icmp type 8' },
    {
      packet: { family: 'ip6', source: 'FD00::0:2', destination: 'fd00::1', protocol: 6 },
      words: 'ip6 saddr fd00::2 tcp dport 8472',
    },
  ] as const)('says no more than was asked: $words', ({ packet, words }) => {
    const [remedy] = remediesOf({ rules: [someRule()] }, packet);
    expect(remedy?.commands).toEqual([
      `nft insert rule inet filter input position 12 ${words} accept`,
    ]);
  });

  test('of any source, the family is said where the table has both', () => {
    const { source: _, ...anySource } = asked;
    const ruleset = someRuleset({ rules: [someRule()] });
    const answer = evaluate(ruleset, anySource, environment);
    const [remedy] = remediesFor({
      ruleset,
      environment,
      packet: anySource,
      answer,
      managers: unknownManagers,
      evaluate,
    });
    expect(remedy?.commands[0]).toContain('meta nfproto ipv4 udp dport 8472 accept');
  });

  describe('an answer', () => {
    const { destinationPort: _, ...unasked } = asked;
    const answerOf = (change: Partial<Packet>): Packet => ({
      ...unasked,
      protocol: 6,
      sourcePort: 179,
      conntrack: 'established',
      ...change,
    });
    const cure = (packet: Packet, ruleset: Ruleset): readonly Remedy[] => {
      const answer = evaluate(ruleset, packet, environment);
      const managers = unknownManagers;
      return remediesFor({ ruleset, environment, packet, answer, managers, evaluate });
    };
    const tables = [{ ...someChain(), name: 'filter', dormant: false }];

    test.each([
      { packet: {}, words: 'ip saddr 10.0.0.2 tcp sport 179' },
      { packet: { protocol: 1, icmpType: 0 }, words: 'ip saddr 10.0.0.2 icmp type 0' },
    ])('passes as part of its connection alone: $words', ({ packet, words }) => {
      expect(cure(answerOf(packet), someRuleset({ tables, rules: [someRule()] }))).toEqual([
        {
          manager: 'nftables',
          commands: [
            `nft insert rule inet filter input position 12 ${words} ct state established accept`,
          ],
        },
      ]);
    });

    test('in the words of iptables', () => {
      const [remedy] = cure(
        answerOf({}),
        someRuleset({
          tables: [{ ...someChain({ family: 'ip' }), name: 'filter', dormant: false }],
          ...iptables([{}]),
        }),
      );
      expect(remedy?.commands).toEqual([
        'iptables-nft -I INPUT 1 -s 10.0.0.2 -p tcp --sport 179 -m conntrack --ctstate ESTABLISHED -j ACCEPT',
      ]);
    });

    test('of any port of the peer is none that could be told', () => {
      const { sourcePort: _port, ...anyPort } = answerOf({});
      expect(cure(anyPort, someRuleset({ tables, rules: [someRule()] }))).toEqual([]);
    });
  });

  test.each([
    { name: 'no port', packet: { destinationPort: Number.NaN } },
    { name: 'a source that is no address', packet: { source: '10.0.0.2; reboot' } },
  ])('nothing for $name', ({ packet }) => {
    expect(remediesOf({ rules: [someRule()] }, packet)).toEqual([]);
  });

  test.each([
    { name: 'a table', chain: { table: 'a;reboot' } },
    { name: 'a table', chain: { table: '$(reboot)' } },
    { name: 'a chain', chain: { name: "x' | sh #" } },
    { name: 'a chain', chain: { name: '-f' } },
  ])('$name whose name a shell would read in its own way: nothing', ({ chain }) => {
    const { name = 'input', ...place } = chain;
    const rule = someRule({ ...place, chain: name });
    expect(remediesOf({ chains: [someChain(chain)], rules: [rule] })).toEqual([]);
  });

  test('what a rule says of itself is in no command', () => {
    const rule = someRule({ comment: '`reboot`', expressions: [log, drop] });
    const text = JSON.stringify(remediesOf({ rules: [rule] }));
    expect(text).toContain('position 12');
    expect(text).not.toContain('reboot');
  });

  test('a table that belongs to a program: nothing', () => {
    const tables = [{ ...someChain(), name: 'filter', dormant: false, owner: 77 }];
    expect(remediesOf({ tables, rules: [someRule()] })).toEqual([]);
    const own = { family: 'inet', table: 'cilium' } as const;
    expect(remediesOf({ chains: [someChain(own)], rules: [someRule(own)] })).toEqual([]);
  });

  test('where one of two cannot be opened, nothing is said of the other', () => {
    const foreign = { family: 'ip', table: 'kube-proxy' } as const;
    const chains = [someChain(), someChain({ ...foreign, base: { ...inputBase, priority: 10 } })];
    const rules = [someRule(), someRule(foreign)];
    expect(remediesOf({ chains, rules })).toEqual([]);
    expect(remediesOf({ chains, rules: [someRule()] })).toHaveLength(1);
  });

  test('a shared chain: the rule stands where the packet enters it', () => {
    const { base: _, ...shared } = someChain({ name: 'shared' });
    const forward = someChain({ name: 'forward', base: { ...inputBase, hook: 'forward' } });
    const chains = [someChain(), forward, shared];
    const rules = [
      someRule({ handle: 5, expressions: [jump('shared')] }),
      someRule({ chain: 'forward', handle: 6, expressions: [jump('shared')] }),
      someRule({ chain: 'shared', handle: 7 }),
    ];
    expect(remediesOf({ chains, rules })[0]?.commands[0]).toContain('inet filter input position 5');
    const alone = rules.filter(({ chain }) => chain !== 'forward');
    expect(remediesOf({ chains, rules: alone })[0]?.commands[0]).toContain('shared position 7');
  });

  describe('of iptables', () => {
    test('the number of the rule', () => {
      const accepted = { expressions: [counter, { kind: 'log' as const }] };
      expect(remediesOf(iptables([accepted, {}]))).toEqual([
        {
          manager: 'iptables',
          commands: ['iptables-nft -I INPUT 2 -s 10.0.0.2 -p udp --dport 8472 -j ACCEPT'],
        },
      ]);
    });

    test('the program as it is called here', () => {
      const managers = { iptables: { legacy: 'iptables', nft: 'iptables' } };
      expect(remediesOf(iptables([{}]), {}, managers)[0]?.commands[0]).toMatch(/^iptables -I/);
    });

    test('a table that it could not print is changed with nft', () => {
      expect(remediesOf(iptables([{ expressions: [drop] }]))[0]?.manager).toBe('nftables');
    });

    test('rules that Kubernetes writes: nothing', () => {
      const rules = [
        { expressions: [counter, jump('KUBE-FIREWALL')] },
        { chain: 'KUBE-FIREWALL', index: 1 },
      ];
      expect(
        remediesOf(iptables(rules, [{ name: 'KUBE-FIREWALL' }])).flatMap(
          ({ commands }) => commands,
        ),
      ).toEqual([]);
    });
  });

  describe('of ufw', () => {
    const chains = [{ name: 'ufw-before-input' }, { name: 'ufw-user-input' }];
    const rules = [
      { expressions: [counter, jump('ufw-before-input')] },
      {},
      { chain: 'ufw-before-input', index: 1, expressions: [counter, jump('ufw-user-input')] },
    ];

    test('one rule of its own', () => {
      expect(remediesOf(iptables(rules, chains))).toEqual([
        { manager: 'ufw', commands: ['ufw allow from 10.0.0.2 to any port 8472 proto udp'] },
      ]);
    });

    test('before a rule that denies', () => {
      const denied = [...rules, { chain: 'ufw-user-input', index: 1 }];
      expect(remediesOf(iptables(denied, chains))[0]?.commands).toEqual([
        'ufw insert 1 allow from 10.0.0.2 to any port 8472 proto udp',
      ]);
    });

    test('no word of it where it is switched off', () => {
      expect(remediesOf(iptables(rules, chains), {}, { ufw: 'no' })[0]?.manager).toBe('iptables');
    });
  });

  describe('of firewalld', () => {
    const place = { family: 'inet', table: 'firewalld' } as const;
    const { base: _, ...plain } = someChain(place);
    const names = [
      'filter_IN_work',
      'filter_IN_work_pre',
      'filter_IN_work_deny',
      'filter_IN_work_allow',
    ];
    const chains = [
      someChain({ ...place, name: 'filter_INPUT' }),
      ...names.map((name) => ({ ...plain, name })),
    ];
    const rule = (chain: string, index: number, ...expressions: Expression[]): Rule =>
      someRule({ ...place, chain, index, handle: index * 100 + chain.length, expressions });
    const rules = [
      rule('filter_INPUT', 1, jump('filter_IN_work')),
      ...['pre', 'deny', 'allow'].map((part, index) =>
        rule('filter_IN_work', index + 1, jump(`filter_IN_work_${part}`)),
      ),
      rule('filter_IN_work', 4, drop),
    ];
    const rich = 'family="ipv4" source address="10.0.0.2" port port="8472" protocol="udp" accept';

    test('the zone, now and for good', () => {
      expect(remediesOf({ chains, rules })).toEqual([
        {
          manager: 'firewalld',
          commands: [
            `firewall-cmd --zone=work --add-rich-rule='rule ${rich}'`,
            `firewall-cmd --permanent --zone=work --add-rich-rule='rule ${rich}'`,
          ],
        },
      ]);
    });

    test('before what the zone denies', () => {
      const denied = [...rules, rule('filter_IN_work_deny', 1, drop)];
      expect(remediesOf({ chains, rules: denied })[0]?.commands[0]).toBe(
        `firewall-cmd --zone=work --add-rich-rule='rule priority="-1" ${rich}'`,
      );
    });

    test('of any source, the port', () => {
      expect(remediesOf({ chains, rules }, { source: '0.0.0.0/0' })[0]?.commands[0]).toBe(
        'firewall-cmd --zone=work --add-port=8472/udp',
      );
    });
  });
});
