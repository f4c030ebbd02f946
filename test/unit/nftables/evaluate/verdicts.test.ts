import { describe, expect, test } from 'vitest';
import {
  accept,
  ask,
  ctState,
  dport,
  drop,
  giveBack,
  goto,
  inputChain,
  jump,
  l4proto,
  limit,
  mark,
  possible,
  ruleset,
  saddr,
  setMark,
  sport,
  told,
  verdict,
} from './build.ts';

describe('verdicts', () => {
  test.each([
    { name: 'no chain at all', given: ruleset({}), want: 'accept none' },
    { name: 'an empty chain: its policy', given: inputChain([]), want: 'accept policy input' },
    { name: 'policy drop', given: inputChain([], { policy: 'drop' }), want: 'drop policy input' },
    {
      name: 'the first rule that matches',
      given: inputChain([
        [...dport(23), drop],
        [...dport(22), accept],
        [...dport(22), drop],
      ]),
      want: 'accept 2',
    },
    {
      name: 'continue goes on',
      given: inputChain([[verdict('continue')], [drop]]),
      want: 'drop 2',
    },
    {
      name: 'return at the base is the policy',
      given: inputChain([[giveBack], [accept]], { policy: 'drop' }),
      want: 'drop policy input',
    },
    {
      name: 'a rule without a verdict goes on',
      given: inputChain([[...dport(22)], [drop]]),
      want: 'drop 2',
    },
    {
      name: 'a dormant table is not met',
      given: ruleset({ a: { dormant: true, chains: { input: { base: {}, rules: [[drop]] } } } }),
      want: 'accept none',
    },
    {
      name: 'a table of the other family is not met',
      given: ruleset({ a: { family: 'ip6', chains: { input: { base: {}, rules: [[drop]] } } } }),
      want: 'accept none',
    },
  ])('$name', ({ given, want }) => {
    expect(told(ask(given))).toBe(want);
  });

  test.each([
    {
      name: 'jump comes back',
      rules: [[jump('sub')], [drop]],
      sub: [[...dport(23), accept]],
      want: 'drop 2',
    },
    {
      name: 'return comes back',
      rules: [[jump('sub')], [drop]],
      sub: [[giveBack], [accept]],
      want: 'drop 2',
    },
    {
      name: 'accept in it is final',
      rules: [[jump('sub')], [drop]],
      sub: [[accept]],
      want: 'accept 3',
    },
    {
      name: 'goto does not come back',
      rules: [[goto('sub')], [drop]],
      sub: [[...dport(23), drop]],
      want: 'accept policy input',
    },
  ])('$name', ({ rules, sub, want }) => {
    const given = ruleset({
      filter: { chains: { input: { base: {}, rules }, sub: { rules: sub } } },
    });
    expect(told(ask(given))).toBe(want);
  });

  test('goto in a jumped chain comes back to the jump', () => {
    const given = ruleset({
      filter: {
        chains: {
          input: { base: {}, rules: [[jump('a')], [drop]] },
          a: { rules: [[goto('b')], [accept]] },
          b: { rules: [] },
        },
      },
    });
    expect(told(ask(given))).toBe('drop 2');
  });

  test('an accept ends its own base chain only', () => {
    const given = ruleset({
      a: { chains: { input: { base: { priority: 0 }, rules: [[accept]] } } },
      b: { chains: { input: { base: { priority: 10 }, rules: [[drop]] } } },
    });
    expect(told(ask(given))).toBe('drop 2');
  });

  test('a loop of jumps ends in a drop, as the kernel does it at the seventeenth', () => {
    const given = ruleset({
      filter: {
        chains: { input: { base: {}, rules: [[jump('a')]] }, a: { rules: [[jump('a')]] } },
      },
    });
    expect(ask(given).verdict).toBe('drop');
  });

  test('a hostile fan of jumps ends', () => {
    const chains = Object.fromEntries(
      Array.from({ length: 15 }, (_, index) => [
        `c${index}`,
        { rules: Array.from({ length: 12 }, () => [limit, jump(`c${index + 1}`)]) },
      ]),
    );
    const given = ruleset({
      filter: {
        chains: {
          input: { base: {}, rules: [[jump('c0')]] },
          ...chains,
          c15: { rules: [[limit, drop]] },
        },
      },
    });
    expect(possible(ask(given))).toBe('accept drop');
  });
});

describe('what is not known', () => {
  test.each([
    { name: 'an open port may match', rules: [[...sport(53), drop]], want: 'accept drop' },
    {
      name: 'two ways to the same verdict are one',
      rules: [[...sport(53), accept], [accept]],
      want: 'accept',
    },
    { name: 'a limit may match', rules: [[limit, drop]], want: 'accept drop' },
    {
      name: 'a limit that only logs does not matter',
      rules: [[limit, { kind: 'log' as const }]],
      want: 'accept',
    },
    { name: 'a jump that may be taken', rules: [[limit, jump('sub')]], want: 'accept drop' },
    {
      name: 'a mark that may have been set',
      rules: [
        [limit, ...setMark(7)],
        [...mark(7), drop],
      ],
      want: 'accept drop',
    },
    {
      name: 'bits of a mark that was set either way',
      rules: [
        [limit, ...setMark(3)],
        [...mark(4), drop],
      ],
      want: 'accept',
    },
    {
      name: 'an opaque expression may do anything',
      rules: [[{ kind: 'opaque' as const, name: 'new', attributes: [] }]],
      want: 'accept drop',
    },
  ])('$name', ({ rules, want }) => {
    const given = ruleset({
      filter: { chains: { input: { base: {}, rules }, sub: { rules: [[drop]] } } },
    });
    const { sourcePort: _, ...packet } = { sourcePort: 0, direction: 'in' as const };
    const answer = ask(given, { ...packet, sourcePort: undefined as unknown as number });
    expect(possible(answer)).toBe(want);
    expect(answer.verdict).toBe(want.includes(' ') ? 'undetermined' : want);
  });

  test('a prefix matches what holds all of it, misses what holds none, and may match the rest', () => {
    const given = inputChain([[...saddr('10.0.0.9'), drop]]);
    expect(possible(ask(given, { source: '10.0.0.0/24' }))).toBe('accept drop');
    expect(possible(ask(given, { source: '10.0.1.0/24' }))).toBe('accept');
  });

  test('the reason is told', () => {
    const answer = ask(inputChain([[...l4proto(6), ...sport(1), drop]]), {
      sourcePort: undefined as unknown as number,
    });
    expect(answer.unknowns.map(({ why }) => why)).toEqual(['the source port is not known']);
  });

  test('every rule is in the path, with what it did', () => {
    const answer = ask(
      inputChain([[...setMark(5)], [...dport(23), drop], [limit, accept], [drop]]),
    );
    expect(answer.path.map(({ rule, matched, did }) => [rule.handle, matched, ...did])).toEqual([
      [1, 'yes', 'meta mark set 0x00000005'],
      [3, 'maybe', 'accept'],
      [4, 'maybe', 'drop'],
    ]);
  });
});

describe('conntrack', () => {
  test.each([
    { state: 'new', bits: 8, want: 'drop 1' },
    { state: 'established', bits: 6, want: 'drop 1' },
    { state: 'related', bits: 4, want: 'drop 1' },
    { state: 'invalid', bits: 1, want: 'drop 1' },
    { state: 'untracked', bits: 64, want: 'drop 1' },
    { state: 'new', bits: 6, want: 'accept policy input' },
    { state: 'established', bits: 8, want: 'accept policy input' },
  ] as const)('$state against $bits', ({ state, bits, want }) => {
    expect(told(ask(inputChain([[...ctState(bits), drop]]), { conntrack: state }))).toBe(want);
  });

  test('before conntrack has looked at it, a packet is invalid', () => {
    const raw = (bits: number) =>
      inputChain([[...ctState(bits), drop]], { hook: 'prerouting', priority: -300 });
    expect(told(ask(raw(1)))).toBe('drop 1');
    expect(told(ask(raw(8)))).toBe('accept policy input');
  });

  test('notrack in raw makes it untracked, later it is too late', () => {
    const given = (priority: number) =>
      ruleset({
        raw: {
          chains: {
            pre: { base: { hook: 'prerouting', priority }, rules: [[{ kind: 'notrack' }]] },
          },
        },
        filter: { chains: { input: { base: {}, rules: [[...ctState(64), drop]] } } },
      });
    expect(ask(given(-300)).verdict).toBe('drop');
    expect(ask(given(-100)).verdict).toBe('accept');
  });

  test('neighbour discovery is never tracked', () => {
    const packet = { family: 'ip6', protocol: 58, icmpType: 135 } as const;
    const {
      sourcePort: _a,
      destinationPort: _b,
      source: _c,
      destination: _d,
      ...rest
    } = {
      sourcePort: 1,
      destinationPort: 1,
      source: '',
      destination: '',
      ...packet,
    };
    expect(
      told(
        ask(inputChain([[...ctState(64), drop]]), {
          ...rest,
          source: 'fe80::1',
          destination: 'ff02::1',
        }),
      ),
    ).toBe('drop 1');
  });
});
