import { describe, expect, test } from 'vitest';
import type { Expression, NftSet } from '../../../../nftables/model.ts';
import {
  accept,
  address,
  ask,
  bytes,
  drop,
  limit,
  lookup,
  port,
  possible,
  ruleset,
  set,
  told,
} from './build.ts';

const source: Expression = { kind: 'payload', base: 'network', offset: 12, length: 4, register: 0 };
const destinationPort: Expression = {
  kind: 'payload',
  base: 'transport',
  offset: 2,
  length: 2,
  register: 1,
};

const withSet = (one: NftSet, rules: readonly (readonly Expression[])[]) =>
  ruleset({
    filter: { sets: [one], chains: { input: { base: {}, rules }, sub: { rules: [[drop]] } } },
  });

describe('sets', () => {
  const addresses = set({
    keyLength: 4,
    elements: [{ key: address('10.0.0.2') }, { key: address('10.0.0.4') }],
  });
  test.each([
    { name: 'an element', source: '10.0.0.2', want: 'drop 1' },
    { name: 'no element', source: '10.0.0.3', want: 'accept policy input' },
  ])('$name', ({ source: from, want }) => {
    expect(told(ask(withSet(addresses, [[source, lookup('s'), drop]]), { source: from }))).toBe(
      want,
    );
  });

  test('inverted', () => {
    const given = withSet(addresses, [[source, lookup('s', undefined, true), drop]]);
    expect(told(ask(given, { source: '10.0.0.3' }))).toBe('drop 1');
    expect(ask(given, { source: '10.0.0.2' }).verdict).toBe('accept');
  });

  const ranges = set({
    keyLength: 4,
    interval: true,
    elements: [
      { key: address('0.0.0.0'), intervalEnd: true },
      { key: address('10.1.0.0') },
      { key: address('10.2.0.0'), intervalEnd: true },
      { key: address('10.2.0.0') },
      { key: address('10.2.0.9'), intervalEnd: true },
      { key: address('255.0.0.0') },
    ],
  });
  test.each([
    { source: '10.1.0.0', want: 'drop' },
    { source: '10.1.255.255', want: 'drop' },
    { source: '10.0.255.255', want: 'accept' },
    { source: '10.2.0.0', want: 'drop' },
    { source: '10.2.0.8', want: 'drop' },
    { source: '10.2.0.9', want: 'accept' },
    { source: '255.255.255.255', want: 'drop' },
    { source: '10.1.0.0/16', want: 'drop' },
    { source: '10.1.128.0/17', want: 'drop' },
    { source: '10.0.0.0/8', want: 'accept drop' },
    { source: '11.0.0.0/8', want: 'accept' },
  ])('an interval and $source', ({ source: from, want }) => {
    expect(possible(ask(withSet(ranges, [[source, lookup('s'), drop]]), { source: from }))).toBe(
      want,
    );
  });

  const pairs = set({
    keyLength: 8,
    fieldLengths: [4, 2],
    interval: true,
    elements: [
      { key: bytes(10, 0, 0, 0, 0, 80, 0, 0), keyEnd: bytes(10, 0, 0, 255, 0, 90, 0, 0) },
      { key: bytes(10, 0, 1, 1, 0, 22, 0, 0), keyEnd: bytes(10, 0, 1, 1, 0, 22, 0, 0) },
    ],
  });
  test.each([
    { source: '10.0.0.7', port: 85, want: 'drop' },
    { source: '10.0.0.7', port: 91, want: 'accept' },
    { source: '10.0.2.7', port: 85, want: 'accept' },
    { source: '10.0.1.1', port: 22, want: 'drop' },
    { source: '10.0.0.0/24', port: 85, want: 'drop' },
    { source: '10.0.0.0/23', port: 22, want: 'accept drop' },
  ])('a concatenation of ranges with $source and $port', ({ source: from, port: to, want }) => {
    const given = withSet(pairs, [[source, destinationPort, lookup('s'), drop]]);
    expect(possible(ask(given, { source: from, destinationPort: to }))).toBe(want);
  });

  test('an element that expires may be gone', () => {
    const given = withSet(
      set({ keyLength: 4, elements: [{ key: address('10.0.0.2'), expiresMs: 5000 }] }),
      [[source, lookup('s'), drop]],
    );
    expect(possible(ask(given))).toBe('accept drop');
    expect(possible(ask(given, { source: '10.0.0.3' }))).toBe('accept');
  });

  test('a set that rules add to may hold anything, but what stays in it is found', () => {
    const adds: Expression = {
      kind: 'dynset',
      set: 's',
      operation: 'add',
      keyRegister: 0,
      inverted: false,
      expressions: [],
    };
    const given = withSet(
      set({ keyLength: 4, dynamic: true, elements: [{ key: address('10.0.0.2') }] }),
      [
        [source, lookup('s'), drop],
        [source, adds],
      ],
    );
    expect(possible(ask(given, { source: '10.0.0.3' }))).toBe('accept drop');
    expect(possible(ask(given))).toBe('drop');
  });

  test('a limit in an element may not match', () => {
    const given = withSet(
      set({ keyLength: 4, elements: [{ key: address('10.0.0.2'), expressions: [limit] }] }),
      [[source, lookup('s'), drop]],
    );
    expect(possible(ask(given))).toBe('accept drop');
  });

  test('the catch-all element is for what nothing else is for', () => {
    const verdicts = set({
      keyLength: 4,
      data: { kind: 'verdict' },
      elements: [
        { key: address('10.0.0.2'), verdict: { code: 'accept' } },
        { verdict: { code: 'drop' } },
      ],
    });
    const given = withSet(verdicts, [[source, lookup('s', 'verdict')]]);
    expect(told(ask(given))).toBe('accept 1');
    expect(told(ask(given, { source: '10.0.0.3' }))).toBe('drop 1');
  });
});

describe('maps', () => {
  const verdicts = set({
    keyLength: 2,
    data: { kind: 'verdict' },
    elements: [
      { key: port(22), verdict: { code: 'accept' } },
      { key: port(23), verdict: { code: 'jump', chain: 'sub' } },
      { key: port(24), verdict: { code: 'continue' } },
    ],
  });
  const load: Expression = {
    ...destinationPort,
    kind: 'payload',
    base: 'transport',
    offset: 2,
    length: 2,
    register: 0,
  };
  test.each([
    { port: 22, want: 'accept 1' },
    { port: 23, want: 'drop 3' },
    { port: 24, want: 'drop 2' },
    { port: 25, want: 'drop 2' },
  ])('the verdict for $port', ({ port: to, want }) => {
    const given = withSet(verdicts, [[load, lookup('s', 'verdict')], [drop]]);
    expect(told(ask(given, { destinationPort: to }))).toBe(want);
  });

  test('all verdicts that an open key may have', () => {
    const given = withSet(verdicts, [[load, lookup('s', 'verdict')], [accept]]);
    const answer = ask(given, { destinationPort: undefined as unknown as number });
    expect(possible(answer)).toBe('accept drop');
    expect(answer.path.find(({ rule }) => rule.handle === 1)?.did).toEqual([
      'accept',
      'jump sub',
      'continue',
    ]);
  });

  test('every number that a generator may give', () => {
    const numbers = set({
      keyLength: 4,
      data: { kind: 'verdict' },
      elements: [
        { key: bytes(0, 0, 0, 0), verdict: { code: 'accept' } },
        { key: bytes(1, 0, 0, 0), verdict: { code: 'accept' } },
      ],
    });
    const generator = (modulus: number): Expression => ({
      kind: 'numgen',
      type: 'random',
      register: 0,
      modulus,
      offset: 0,
    });
    const given = (modulus: number) =>
      withSet(numbers, [[generator(modulus), lookup('s', 'verdict')], [drop]]);
    expect(possible(ask(given(2)))).toBe('accept');
    expect(possible(ask(given(4)))).toBe('accept drop');
  });

  test('a value is known where all that are possible agree', () => {
    const marks = set({
      keyLength: 2,
      data: { kind: 'value', type: 19, length: 4 },
      elements: [
        { key: port(22), value: bytes(1, 0, 0, 0) },
        { key: port(23), value: bytes(3, 0, 0, 0) },
      ],
    });
    const rule = (mask: number, value: number): readonly Expression[] => [
      load,
      lookup('s', { register: 0 }),
      {
        kind: 'bitwise',
        operation: 'mask-xor',
        source: 0,
        destination: 0,
        length: 4,
        mask: bytes(mask, 0, 0, 0),
        xor: bytes(0, 0, 0, 0),
      },
      { kind: 'cmp', register: 0, comparison: 'eq', value: bytes(value, 0, 0, 0) },
      drop,
    ];
    const open = { destinationPort: undefined as unknown as number };
    expect(possible(ask(withSet(marks, [rule(4, 4)]), open))).toBe('accept');
    expect(possible(ask(withSet(marks, [rule(1, 1)]), { destinationPort: 23 }))).toBe('drop');
    expect(possible(ask(withSet(marks, [rule(2, 2)]), open))).toBe('accept drop');
  });
});
