import { describe, expect, test } from 'vitest';
import type { Environment } from '../../../../nftables/evaluate/types.ts';
import type { Expression, HookEntry } from '../../../../nftables/model.ts';
import {
  accept,
  address,
  ask,
  bytes,
  ctState,
  daddr,
  dport,
  drop,
  iifname,
  limit,
  mark,
  oifname,
  port,
  possible,
  ruleset,
  setMark,
  told,
  verdict,
} from './build.ts';

const host: Environment = {
  interfaces: [
    { name: 'lo', index: 1, type: 772, group: 0, addresses: ['127.0.0.1/8'] },
    { name: 'eth0', index: 2, type: 1, group: 0, addresses: ['10.0.0.1/24'] },
    { name: 'wg0', index: 3, type: 65534, group: 7, kind: 'wireguard', addresses: ['10.9.0.1/24'] },
  ],
  routes: [
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
      destination: '10.0.0.1/32',
      type: 'local',
      table: 'local',
      metric: 0,
      interfaces: ['eth0'],
    },
    {
      family: 'ip',
      destination: '10.9.0.1/32',
      type: 'local',
      table: 'local',
      metric: 0,
      interfaces: ['wg0'],
    },
    {
      family: 'ip',
      destination: '10.0.0.255/32',
      type: 'broadcast',
      table: 'local',
      metric: 0,
      interfaces: ['eth0'],
    },
    {
      family: 'ip',
      destination: '10.0.0.0/24',
      type: 'unicast',
      table: 'main',
      metric: 0,
      interfaces: ['eth0'],
    },
    {
      family: 'ip',
      destination: '10.9.0.0/24',
      type: 'unicast',
      table: 'main',
      metric: 0,
      interfaces: ['wg0'],
    },
    {
      family: 'ip',
      destination: '0.0.0.0/0',
      type: 'unicast',
      table: 'main',
      metric: 0,
      interfaces: ['eth0'],
    },
  ],
};

describe('the way through the hooks', () => {
  const everywhere = ruleset({
    dev: {
      family: 'netdev',
      chains: {
        ingress: { base: { hook: 'ingress', devices: ['eth0'] }, rules: [[...dport(1), drop]] },
        egress: { base: { hook: 'egress', devices: ['eth0'] }, rules: [[...dport(7), drop]] },
      },
    },
    f: {
      chains: {
        prerouting: { base: { hook: 'prerouting' }, rules: [[...dport(2), drop]] },
        input: { base: { hook: 'input' }, rules: [[...dport(3), drop]] },
        forward: { base: { hook: 'forward' }, rules: [[...dport(4), drop]] },
        output: { base: { hook: 'output' }, rules: [[...dport(5), drop]] },
        postrouting: { base: { hook: 'postrouting' }, rules: [[...dport(6), drop]] },
      },
    },
  });
  test.each([
    { direction: 'in', dropped: [1, 2, 3] },
    { direction: 'out', dropped: [5, 6, 7] },
    { direction: 'forward', dropped: [1, 2, 4, 6, 7] },
  ] as const)('$direction', ({ direction, dropped }) => {
    const found = [1, 2, 3, 4, 5, 6, 7].filter((to) => {
      const packet = { direction, destinationPort: to, inInterface: 'eth0', outInterface: 'eth0' };
      return ask(everywhere, packet).verdict === 'drop';
    });
    expect(found).toEqual(dropped);
  });

  test('an ingress chain of another device is not met, of an unknown one it may be', () => {
    expect(ask(everywhere, { destinationPort: 1, inInterface: 'eth1' }).verdict).toBe('accept');
    const open = { destinationPort: 1, inInterface: undefined as unknown as string };
    expect(possible(ask(everywhere, open))).toBe('accept drop');
  });

  test('what has no name matches no name: there is no output device at input', () => {
    const given = ruleset({
      f: { chains: { input: { base: {}, rules: [[...oifname('eth0'), drop]] } } },
    });
    expect(ask(given).verdict).toBe('accept');
  });

  test('a device that is not named is none that has the address', () => {
    const given = ruleset({
      f: { chains: { input: { base: {}, rules: [[...iifname('lo'), accept], [drop]] } } },
    });
    const open = { inInterface: undefined as unknown as string };
    expect(told(ask(given, open, host))).toBe('drop 2');
    expect(possible(ask(given, open))).toBe('accept drop');
  });

  test('the output device is that of the route', () => {
    const given = ruleset({
      f: { chains: { output: { base: { hook: 'output' }, rules: [[...oifname('wg0'), drop]] } } },
    });
    const packet = { direction: 'out', source: '10.9.0.1' } as const;
    expect(told(ask(given, { ...packet, destination: '10.9.0.5' }, host))).toBe('drop 1');
    expect(ask(given, { ...packet, destination: '10.0.0.5' }, host).verdict).toBe('accept');
    expect(possible(ask(given, { ...packet, destination: '10.0.0.5' }))).toBe('accept drop');
  });

  test('a hop is spent before forward', () => {
    const ttl = (value: number): Expression[] => [
      { kind: 'payload', base: 'network', offset: 8, length: 1, register: 0 },
      { kind: 'cmp', register: 0, comparison: 'eq', value: bytes(value) },
      drop,
    ];
    const given = ruleset({
      f: { chains: { forward: { base: { hook: 'forward' }, rules: [ttl(64), ttl(63)] } } },
    });
    expect(told(ask(given, { direction: 'forward', ttl: 64 }))).toBe('drop 2');
  });

  test('a mark is seen by chains behind, not before', () => {
    const given = (first: number, second: number) =>
      ruleset({
        a: {
          chains: { c: { base: { hook: 'prerouting', priority: first }, rules: [setMark(7)] } },
        },
        b: {
          chains: {
            c: { base: { hook: 'prerouting', priority: second }, rules: [[...mark(7), drop]] },
          },
        },
      });
    expect(ask(given(0, 1)).verdict).toBe('drop');
    expect(ask(given(1, 0)).verdict).toBe('accept');
  });
});

describe('equal priorities', () => {
  const two = (
    first: readonly Expression[],
    second: readonly Expression[],
    hooks?: readonly HookEntry[],
  ) =>
    ruleset(
      {
        a: { chains: { c: { base: { priority: 0 }, rules: [first] } } },
        b: { chains: { c: { base: { priority: 0 }, rules: [second] } } },
      },
      hooks,
    );
  test('both drop: either may be the one', () => {
    const answer = ask(two([drop], [drop]));
    expect(answer.verdict).toBe('drop');
    const named = [answer.decidedBy, ...answer.candidates].map((one) =>
      one.kind === 'rule' ? one.rule.handle : 0,
    );
    expect(new Set(named)).toEqual(new Set([1, 2]));
  });
  test('one drops: it is the one in every order', () => {
    const answer = ask(two([accept], [drop]));
    expect(told(answer)).toBe('drop 2');
    expect(answer.candidates).toEqual([]);
  });
  test('what is met in one order only is met maybe', () => {
    const answer = ask(two([accept], [drop]));
    const met = answer.chains.map(({ chain, met: one }) => `${chain.table} ${one}`);
    expect(new Set(met)).toEqual(new Set(['a maybe', 'b yes']));
    expect(answer.path.map(({ rule, matched }) => `${rule.table} ${matched}`)).toContain('a maybe');
  });
  test('a mark that one sets and the other asks for', () => {
    expect(possible(ask(two(setMark(7), [...mark(7), drop])))).toBe('accept drop');
  });
  test('the kernel tells the order', () => {
    const entry = (table: string): HookEntry => ({
      family: 'ip',
      hook: 'input',
      priority: 0,
      chain: { family: 'inet', table, name: 'c' },
    });
    const rules = [setMark(7), [...mark(7), drop]] as const;
    expect(ask(two(...rules, [entry('a'), entry('b')])).verdict).toBe('drop');
    expect(ask(two(...rules, [entry('b'), entry('a')])).verdict).toBe('accept');
  });
});

const dnat = (to: string, toPort?: number): Expression[] => [
  { kind: 'immediate', register: 0, value: address(to) },
  ...(toPort === undefined
    ? []
    : [{ kind: 'immediate', register: 4, value: port(toPort) } as const]),
  {
    kind: 'nat',
    type: 'dnat',
    family: 'ip',
    range: { addressFirst: 0, ...(toPort === undefined ? {} : { portFirst: 4 }), flags: 0 },
  },
];
const redirect = (toPort: number): Expression[] => [
  { kind: 'immediate', register: 0, value: port(toPort) },
  { kind: 'redir', range: { portFirst: 0, flags: 2 } },
];

describe('NAT', () => {
  const nat = (
    rules: readonly (readonly Expression[])[],
    input: readonly (readonly Expression[])[] = [],
  ) =>
    ruleset({
      n: { chains: { pre: { base: { type: 'nat', hook: 'prerouting', priority: -100 }, rules } } },
      f: {
        chains: {
          input: { base: {}, rules: input },
          forward: { base: { hook: 'forward', policy: 'drop' } },
        },
      },
    });

  test('redirect: the rules of input see the other port', () => {
    const given = nat(
      [redirect(80)],
      [
        [...dport(22), accept],
        [...dport(80), drop],
      ],
    );
    expect(told(ask(given, {}, host))).toBe('drop 3');
  });
  test('redirect: no listener on the asked port sees it', () => {
    const answer = ask(nat([redirect(80)]), {}, host);
    expect(answer.arrives).toBe('elsewhere');
    expect(answer.rewrites).toMatchObject([
      { kind: 'redirect', address: '10.0.0.1', port: 80, certain: true },
    ]);
  });
  test('to the port that it has: it arrives', () => {
    expect(ask(nat([redirect(22)]), {}, host).arrives).toBe('as-asked');
  });
  test('dnat to another host: it goes through forward', () => {
    const answer = ask(nat([dnat('10.0.0.77', 2222)]), {}, host);
    expect(told(answer)).toBe('drop policy forward');
    expect(answer.rewrites).toMatchObject([{ kind: 'dnat', address: '10.0.0.77', port: 2222 }]);
  });
  test('dnat to another host: accepted, it is elsewhere', () => {
    const given = ruleset({
      n: {
        chains: {
          pre: {
            base: { type: 'nat', hook: 'prerouting', priority: -100 },
            rules: [dnat('10.0.0.77')],
          },
        },
      },
    });
    expect(ask(given, {}, host)).toMatchObject({ verdict: 'accept', arrives: 'elsewhere' });
  });
  test('forwarded, and redirected: it comes to this host instead', () => {
    const given = nat([redirect(80)], [[...dport(80), drop]]);
    expect(told(ask(given, { direction: 'forward', destination: '10.9.0.7' }, host))).toBe(
      'drop 2',
    );
    const answer = ask(
      nat([redirect(80)]),
      { direction: 'forward', destination: '10.9.0.7' },
      host,
    );
    expect(answer).toMatchObject({ verdict: 'accept', arrives: 'elsewhere' });
  });
  test('a chain of type nat that nothing is tracked for is not met', () => {
    const given = ruleset({
      n: {
        chains: {
          pre: { base: { type: 'nat', hook: 'prerouting', priority: -100 }, rules: [[drop]] },
        },
      },
    });
    expect(ask(given).verdict).toBe('accept');
  });
  test('dnat to an address that may be this host or not', () => {
    expect(possible(ask(nat([dnat('10.0.0.77')])))).toBe('accept drop');
  });
  test('a redirect that may happen: rules behind it see either port', () => {
    const given = nat([[limit, ...redirect(80)]], [[...dport(22), drop]]);
    expect(possible(ask(given, {}, host))).toBe('accept drop');
    const other = nat([[limit, ...redirect(80)]], [[...dport(80), drop]]);
    expect(possible(ask(other, {}, host))).toBe('accept drop');
  });
  test('dnat that may happen', () => {
    const answer = ask(nat([[limit, ...dnat('10.0.0.77')]]), {}, host);
    expect(possible(answer)).toBe('accept drop');
    expect(answer.rewrites).toMatchObject([{ certain: false }]);
    expect(answer.arrives).toBe('maybe-elsewhere');
  });
  test.each([
    { conntrack: 'established' },
    { conntrack: 'untracked' },
    { conntrack: 'invalid' },
  ] as const)('what is $conntrack does not meet it', ({ conntrack }) => {
    expect(ask(nat([redirect(80)]), { conntrack }, host)).toMatchObject({
      arrives: 'as-asked',
      rewrites: [],
    });
  });
  test('the first that translates ends NAT', () => {
    const given = ruleset({
      n: {
        chains: {
          pre: { base: { type: 'nat', hook: 'prerouting', priority: -100 }, rules: [redirect(80)] },
        },
      },
      m: {
        chains: {
          pre: { base: { type: 'nat', hook: 'prerouting', priority: -90 }, rules: [[drop]] },
        },
      },
    });
    expect(ask(given, {}, host).verdict).toBe('accept');
  });
  test('a chain of type nat runs with NAT, whatever its priority is', () => {
    const given = ruleset({
      n: {
        chains: {
          pre: { base: { type: 'nat', hook: 'prerouting', priority: 50 }, rules: [redirect(80)] },
        },
      },
      f: {
        chains: {
          pre: { base: { hook: 'prerouting', priority: 0 }, rules: [[...dport(80), drop]] },
        },
      },
    });
    expect(ask(given, {}, host).verdict).toBe('drop');
  });
  test('ct status tells that a destination was changed', () => {
    const status: Expression[] = [
      { kind: 'ct', key: 'status', register: 0 },
      {
        kind: 'bitwise',
        operation: 'mask-xor',
        source: 0,
        destination: 0,
        length: 4,
        mask: bytes(32, 0, 0, 0),
        xor: bytes(0, 0, 0, 0),
      },
      { kind: 'cmp', register: 0, comparison: 'neq', value: bytes(0, 0, 0, 0) },
      drop,
    ];
    expect(ask(nat([redirect(80)], [status]), {}, host).verdict).toBe('drop');
    expect(ask(nat([], [status]), {}, host).verdict).toBe('accept');
  });
  test('ct original holds what it had before', () => {
    const original: Expression[] = [
      { kind: 'ct', key: 'proto-dst', direction: 'original', register: 0 },
      { kind: 'cmp', register: 0, comparison: 'eq', value: port(22) },
      drop,
    ];
    expect(ask(nat([redirect(80)], [original]), {}, host).verdict).toBe('drop');
  });
  test('a transparent proxy takes it, if one listens', () => {
    const given = ruleset({
      f: {
        chains: {
          pre: {
            base: { hook: 'prerouting', priority: -150 },
            rules: [
              [
                { kind: 'immediate', register: 0, value: port(5000) },
                { kind: 'tproxy', family: 'ip', portRegister: 0 },
                ...setMark(1),
                accept,
              ],
            ],
          },
        },
      },
    });
    const answer = ask(given);
    expect(answer.arrives).toBe('maybe-elsewhere');
    expect(answer.rewrites).toMatchObject([{ kind: 'tproxy', port: 5000, certain: false }]);
  });
});

describe('what only some expressions do', () => {
  const input = (...rules: readonly (readonly Expression[])[]) =>
    ruleset({ f: { chains: { input: { base: {}, rules } } } });
  test.each([
    { name: 'reject', given: [{ kind: 'reject', reject: { with: 'tcp-reset' } }], want: 'reject' },
    { name: 'fwd', given: [{ kind: 'fwd', deviceRegister: 0 }], want: 'stolen' },
    {
      name: 'synproxy with a SYN',
      given: [{ kind: 'synproxy', mss: 1460, wscale: 7, flags: 0 }],
      want: 'stolen',
    },
    {
      name: 'queue',
      given: [{ kind: 'queue', number: 0, total: 1, bypass: false, fanout: false }],
      want: 'accept drop queue',
    },
    { name: 'break', given: [verdict('break'), drop], want: 'accept' },
    {
      name: 'log, counter and dup go on',
      given: [{ kind: 'log' }, { kind: 'counter', packets: 0, bytes: 0 }, { kind: 'dup' }, drop],
      want: 'drop',
    },
    {
      name: 'a quota',
      given: [{ kind: 'quota', bytes: 9, usedBytes: 0, over: false, depleted: false }, drop],
      want: 'accept drop',
    },
    {
      name: 'a socket',
      given: [{ kind: 'socket', key: 'mark', register: 0 }, drop],
      want: 'accept drop',
    },
  ] as const)('$name', ({ given, want }) => {
    expect(possible(ask(input(given as readonly Expression[])))).toBe(want);
  });

  test('a TCP reset is told', () => {
    expect(ask(input([{ kind: 'reject', reject: { with: 'tcp-reset' } }])).reject).toEqual({
      with: 'tcp-reset',
    });
  });

  const fib = (expected: number): Expression[] => [
    {
      kind: 'fib',
      result: 'type',
      flags: { saddr: false, daddr: true, mark: false, iif: false, oif: false, present: false },
      register: 0,
    },
    { kind: 'cmp', register: 0, comparison: 'eq', value: bytes(expected, 0, 0, 0) },
    drop,
  ];
  test.each([
    { destination: '10.0.0.1', type: 2 },
    { destination: '10.0.0.255', type: 3 },
    { destination: '10.0.0.9', type: 1 },
    { destination: '224.0.0.1', type: 5 },
  ])('fib daddr type of $destination is $type', ({ destination, type }) => {
    expect(ask(input(fib(type)), { destination }, host).verdict).toBe('drop');
    expect(ask(input(fib(type === 1 ? 2 : 1)), { destination }, host).verdict).toBe('accept');
    const told = destination === '224.0.0.1' ? 'drop' : 'accept drop';
    expect(possible(ask(input(fib(type)), { destination }))).toBe(told);
  });

  test('what is written into the packet is seen', () => {
    const given = input(
      [
        { kind: 'immediate', register: 0, value: port(99) },
        {
          kind: 'payload-set',
          base: 'transport',
          offset: 2,
          length: 2,
          register: 0,
          checksumType: 1,
          checksumOffset: 16,
          checksumFlags: 0,
        },
      ],
      [...dport(22), accept],
      [...dport(99), drop],
    );
    expect(told(ask(given))).toBe('drop 3');
  });

  test('a later fragment has no ports, and none is seen where conntrack puts them together', () => {
    const given = input([...dport(22), drop]);
    expect(ask(given, { fragment: 'later' }).verdict).toBe('accept');
    const tracked = input([...dport(22), drop], [...ctState(1), accept]);
    expect(ask(tracked, { fragment: 'later' }).verdict).toBe('drop');
  });

  test('a long chain is searched by value, and gives what a short one gives', () => {
    const rules = Array.from({ length: 300 }, (_, index) => [
      ...(index % 2 === 0 ? daddr(`10.0.${index >> 8}.${index & 255}`) : dport(index)),
      drop,
    ]);
    const given = input(...rules, [accept]);
    for (const [packet, want] of [
      [{ destination: '10.0.0.44', destinationPort: 9999 }, 'drop 45'],
      [{ destination: '10.0.0.44', destinationPort: 43 }, 'drop 44'],
      [{ destination: '10.0.0.44', destinationPort: 45 }, 'drop 45'],
      [{ destination: '10.7.0.44', destinationPort: 299 }, 'drop 300'],
      [{ destination: '10.7.0.44', destinationPort: 298 }, 'accept 301'],
    ] as const) {
      expect(told(ask(given, packet))).toBe(want);
    }
    expect(possible(ask(given, { destination: '10.0.0.0/24', destinationPort: 9999 }))).toBe(
      'accept drop',
    );
  });
});
