/** What targets of x_tables do with a packet, by the rules that it meets behind them. */
import { describe, expect, test } from 'vitest';
import { compile } from '../../../../nftables/evaluate/index.ts';
import type { Packet } from '../../../../nftables/evaluate/types.ts';
import type { Chain, Expression, IpSet, Rule, Ruleset } from '../../../../nftables/model.ts';
import { accept, ask, bytes, dport, drop, mark, possible, tcp, told, word } from './build.ts';

type Given = readonly (Expression | readonly Expression[])[];

type Extension = Extract<Expression, { readonly kind: 'match' | 'target' }>;

function target(name: string, revision: number, ...parts: readonly Uint8Array[]): Extension {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const info = new Uint8Array((length + 7) & ~7);
  let at = 0;
  for (const part of parts) {
    info.set(part, at);
    at += part.length;
  }
  return { kind: 'target', name, revision, info };
}

const match = (name: string, revision: number, ...parts: readonly Uint8Array[]): Extension => ({
  ...target(name, revision, ...parts),
  kind: 'match',
});

interface Stage {
  readonly hook: 'prerouting' | 'input';
  readonly priority: number;
  readonly type?: 'nat';
  readonly rules: readonly Given[];
}

function ruleset(stages: readonly Stage[], ipsets: readonly IpSet[] = []): Ruleset {
  const chains: Chain[] = [];
  const rules: Rule[] = [];
  let handle = 0;
  for (const [index, { hook, priority, type = 'filter', rules: own }] of stages.entries()) {
    const place = { backend: 'nf_tables', family: 'ip', table: `t${index}` } as const;
    const base = { type, hook, priority, policy: 'accept', devices: [] } as const;
    chains.push({ ...place, name: 'c', handle: 1, base });
    for (const [at, expressions] of own.entries()) {
      handle++;
      rules.push({ ...place, chain: 'c', handle, index: at + 1, expressions: expressions.flat() });
    }
  }
  const tables = chains.map(({ backend, family, table }) => ({
    backend,
    family,
    name: table,
    handle: 1,
    dormant: false,
  }));
  return { tables, chains, rules, sets: [], objects: [], flowtables: [], ipsets };
}

const input = (...rules: readonly Given[]): Ruleset =>
  ruleset([{ hook: 'input', priority: 0, rules }]);

const setMark = (value: number, mask: number): Extension =>
  target('MARK', 2, word(value), word(mask));
const connmark = (mode: number, value: number, ctmask: number, nfmask: number): Expression =>
  target('CONNMARK', 1, word(value), word(ctmask), word(nfmask), bytes(mode));
const hasConnmark = (value: number): Expression =>
  match('connmark', 1, word(value), word(0xffffffff), bytes(0));
const isState = (mask: number): Expression => {
  const info = new Uint8Array(168);
  // match_flags: the state; then its mask.
  info.set([1, 0, 0, 0, mask & 255, mask >> 8], 146);
  return { kind: 'match', name: 'conntrack', revision: 3, info };
};
const untracked = 0x100;
const isNew = 8;

describe('marks', () => {
  test.each<[string, readonly Given[], Partial<Packet>, string]>([
    ['MARK sets all bits', [[setMark(5, 0xffffffff)], [...mark(5), drop]], { mark: 9 }, 'drop 2'],
    ['MARK keeps bits', [[setMark(4, 6)], [...mark(13), drop]], { mark: 11 }, 'drop 2'],
    ['MARK is not another', [[setMark(4, 6)], [...mark(4), drop]], { mark: 11 }, 'accept policy c'],
    [
      'CONNMARK sets, and restores',
      [[connmark(0, 7, 0xffffffff, 0xffffffff)], [connmark(2, 0, 7, 0xff)], [...mark(7), drop]],
      {},
      'drop 3',
    ],
    [
      'CONNMARK saves under its masks',
      [[connmark(1, 0, 0xff, 0x0f)], [hasConnmark(0x0a), drop]],
      { mark: 0x5a },
      'drop 2',
    ],
    ['CONNMARK of a fresh connection is 0', [[hasConnmark(0), drop]], {}, 'drop 1'],
  ])('%s', (_name, rules, packet, want) => {
    expect(told(ask(input(...rules), packet))).toBe(want);
  });

  test('what the mark is stays open if its bits do', () => {
    const rules = input([setMark(4, 6)], [...mark(5), drop]);
    const { mark: _mark, ...packet } = tcp;
    expect(possible(compile(rules, {}).evaluate(packet))).toBe('accept drop');
  });
});

describe('verdicts', () => {
  test('REJECT says with what', () => {
    const answer = ask(input([target('REJECT', 0, word(3))]));
    expect(answer).toMatchObject({ verdict: 'reject', reject: { with: 'icmp', code: 3 } });
    const reset = ask(input([target('REJECT', 0, word(7))]));
    expect(reset).toMatchObject({ verdict: 'reject', reject: { with: 'tcp-reset' } });
  });

  test('LOG, TCPMSS and their like let the packet go on', () => {
    const log = target('LOG', 0, new Uint8Array(32));
    const checksum = target('CHECKSUM', 0, bytes(1));
    expect(
      told(ask(input([log], [checksum], [target('TCPMSS', 0, bytes(255, 255))], [drop]))),
    ).toBe('drop 4');
  });

  test('what is not known may do anything', () => {
    const unknown: Expression = { kind: 'target', name: 'STRANGE', revision: 0, info: bytes() };
    expect(possible(ask(input([unknown])))).toBe('accept drop');
    expect(possible(ask(input([setMark(1, 1)], [{ ...setMark(1, 1), revision: 1 }])))).toBe(
      'accept drop',
    );
  });

  test('NFQUEUE hands the packet to a program that may do anything', () => {
    expect(possible(ask(input([target('NFQUEUE', 0, bytes(3, 0))])))).toBe('accept drop queue');
  });
});

describe('connections', () => {
  const raw = (expression: Expression, states: number): Ruleset =>
    ruleset([
      { hook: 'prerouting', priority: -300, rules: [[expression]] },
      { hook: 'input', priority: 0, rules: [[isState(states), drop]] },
    ]);
  const notrack = target('CT', 2, bytes(1, 0, 0, 0), new Uint8Array(68));

  test('CT --notrack makes it untracked', () => {
    expect(told(ask(raw(notrack, untracked)))).toBe('drop 2');
    expect(told(ask(raw(notrack, isNew)))).toBe('accept policy c');
  });

  test('without it the packet is new', () => {
    const log = target('LOG', 0, new Uint8Array(32));
    expect(told(ask(raw(log, isNew)))).toBe('drop 2');
    expect(told(ask(raw(log, untracked)))).toBe('accept policy c');
  });
});

describe('translations', () => {
  const translated = (expression: Expression, port: number): Ruleset =>
    ruleset([
      { hook: 'prerouting', priority: -100, type: 'nat', rules: [[expression]] },
      { hook: 'input', priority: 0, rules: [[...dport(port), drop], [accept]] },
    ]);
  /** struct nf_nat_ipv4_multi_range_compat: ports alone, in network order. */
  const redirect = target(
    'REDIRECT',
    0,
    word(1),
    word(2),
    new Uint8Array(8),
    bytes(0x1f, 0x90, 0x1f, 0x90),
  );

  test('REDIRECT gives another port', () => {
    const answer = ask(translated(redirect, 8080), { destinationPort: 80 });
    expect(told(answer)).toBe('drop 2');
    expect(answer).toMatchObject({ rewrites: [{ kind: 'redirect', port: 8080 }] });
  });

  test('and the old one is gone', () => {
    const answer = ask(translated(redirect, 80), { destinationPort: 80 });
    expect(answer.verdict).toBe('accept');
    expect(answer.arrives).not.toBe('as-asked');
  });
});

describe('sets of ip_set', () => {
  const set: IpSet = {
    name: 's',
    index: 3,
    type: 'hash:ip',
    revision: 6,
    family: 'ip',
    hasTimeouts: false,
    hasCounters: false,
    isUnderstood: true,
    entries: [{ address: bytes(10, 0, 0, 2), noMatch: false }],
  };
  /** Index, one dimension, which is the source. */
  const isIn = match('set', 1, bytes(3, 0, 1, 2));
  const rules = (changes: readonly Given[], one: IpSet = set): Ruleset =>
    ruleset([{ hook: 'input', priority: 0, rules: [...changes, [isIn, drop]] }], [one]);

  test.each([
    ['10.0.0.2', 'drop'],
    ['10.0.0.3', 'accept'],
    ['10.0.0.0/24', 'accept drop'],
    ['10.0.1.0/24', 'accept'],
  ])('a packet from %s: %s', (source, want) => {
    expect(possible(ask(rules([]), { source }))).toBe(want);
  });

  test('a set that rules change, that expires, or that is not understood may hold anything', () => {
    const add = target(
      'SET',
      3,
      bytes(3, 0, 1, 2, 255, 255, 0, 0, 255, 255, 0, 0),
      word(0),
      word(-1),
    );
    for (const source of ['10.0.0.2', '10.0.0.3']) {
      expect(possible(ask(rules([[add]]), { source }))).toBe('accept drop');
      expect(possible(ask(rules([], { ...set, isUnderstood: false }), { source }))).toBe(
        'accept drop',
      );
    }
    const [entry] = set.entries;
    const entries = entry === undefined ? [] : [{ ...entry, timeoutSeconds: 5 }];
    expect(possible(ask(rules([], { ...set, entries }), { source: '10.0.0.2' }))).toBe(
      'accept drop',
    );
    expect(possible(ask(rules([], { ...set, entries }), { source: '10.0.0.3' }))).toBe('accept');
  });

  test('a set that is not there may hold anything', () => {
    expect(possible(ask(rules([], { ...set, index: 4 }), {}))).toBe('accept drop');
  });
});
