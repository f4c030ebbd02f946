import { describe, expect, test } from 'vitest';
import {
  type Chain,
  decodeChain,
  decodeMessages,
  decodeRule,
  decodeTable,
  type Expression,
  type Rule,
} from '../../../nftables/decode.ts';
import { judgeTproxy } from '../../../nftables/tproxy.ts';

// Captured from Linux 6.18: `table inet t`, `chain pre { type filter hook prerouting priority -150; policy drop; }`.
const table = Buffer.from(
  '01000004060001007400000008000300000000010c00040000000000000000010800020000000000',
  'hex',
);
const chain = Buffer.from(
  [
    '01000004',
    '0600010074000000', // table t
    '08000300',
    '70726500', // pre
    '0c0002000000000000000001', // handle 1
    '14000400', // hook
    '0800010000000000', // prerouting
    '08000200ffffff6a', // priority -150
    '0800050000000000', // NF_DROP
    '0b00070066696c7465720000', // filter
    '08000a0000000001',
    '0800060000000001',
  ].join(''),
  'hex',
);
// `meta l4proto udp udp dport 8000-9000 meta mark and 0xf == 3 ct state new tproxy to :50080`, one expression a line
const rule = Buffer.from(
  [
    '0100000406000100740000000800020070726500',
    '0c0003000000000000000002',
    '64020400',
    '24000100090001006d657461000000001400020008000200000000100800010000000001',
    '2c00010008000100636d700020000200080001000000000108000200000000000c0003000500010011000000',
    '340001000c0001007061796c6f61640024000200080001000000000108000200000000020800030000000002' +
      '0800040000000002',
    '2c00010008000100636d700020000200080001000000000108000200000000050c000300060001001f400000',
    '2c00010008000100636d700020000200080001000000000108000200000000030c0003000600010023280000',
    '24000100090001006d6574610000000014000200080002000000000308000100000000014c0001000c0001006269747769736500' +
      '3c00020008000100000000010800020000000001080003000000000408000600000000000c000400080001000f000000' +
      '0c0005000800010000000000',
    '2c00010008000100636d700020000200080001000000000108000200000000000c0003000800010003000000',
    '2000010007000100637400001400020008000200000000000800010000000001',
    '4c0001000c00010062697477697365003c00020008000100000000010800020000000001080003000000000408000600' +
      '000000000c00040008000100080000000c0005000800010000000000',
    '2c00010008000100636d700020000200080001000000000108000200000000010c0003000800010000000000',
    '2c0001000e000100696d6d6564696174650000001800020008000100000000010c00020006000100c3a00000',
    '240001000b0001007470726f787900001400020008000100000000000800030000000001',
  ].join(''),
  'hex',
);

describe('decoding', () => {
  test('a table', () => {
    expect(decodeTable(table)).toEqual({
      backend: 'nf_tables',
      family: 'inet',
      name: 't',
      dormant: false,
    });
  });

  test('a base chain', () => {
    expect(decodeChain(chain)).toEqual({
      backend: 'nf_tables',
      family: 'inet',
      table: 't',
      name: 'pre',
      handle: 1n,
      base: { hook: 'prerouting', priority: -150, policy: 'drop', type: 'filter', devices: [] },
    });
  });

  test('a rule, each expression', () => {
    expect(decodeRule(rule)).toEqual({
      backend: 'nf_tables',
      family: 'inet',
      table: 't',
      chain: 'pre',
      handle: 2n,
      expressions: [
        { kind: 'meta-load', key: 16, register: 0 },
        { kind: 'compare', register: 0, comparison: 'eq', value: Buffer.of(17) },
        { kind: 'payload', base: 'transport', offset: 2, length: 2, register: 0 },
        { kind: 'compare', register: 0, comparison: 'gte', value: Buffer.of(0x1f, 0x40) },
        { kind: 'compare', register: 0, comparison: 'lte', value: Buffer.of(0x23, 0x28) },
        { kind: 'meta-load', key: 3, register: 0 },
        {
          kind: 'bitwise',
          source: 0,
          destination: 0,
          mask: Buffer.of(15, 0, 0, 0),
          xor: Buffer.of(0, 0, 0, 0),
        },
        { kind: 'compare', register: 0, comparison: 'eq', value: Buffer.of(3, 0, 0, 0) },
        { kind: 'opaque', name: 'ct' },
        {
          kind: 'bitwise',
          source: 0,
          destination: 0,
          mask: Buffer.of(8, 0, 0, 0),
          xor: Buffer.of(0, 0, 0, 0),
        },
        { kind: 'compare', register: 0, comparison: 'neq', value: Buffer.of(0, 0, 0, 0) },
        { kind: 'load', register: 0, value: Buffer.of(0xc3, 0xa0) },
        { kind: 'tproxy' },
      ],
    });
  });

  test('no truncation throws, nor a damaged byte', () => {
    for (const whole of [table, chain, rule]) {
      for (let at = 0; at < whole.length; at++) {
        const damaged = Uint8Array.from(whole);
        damaged[at] = 0xff;
        for (const given of [whole.subarray(0, at), damaged]) {
          expect(() => {
            decodeTable(given);
            decodeChain(given);
            decodeRule(given);
            decodeMessages(given);
          }).not.toThrow();
        }
      }
    }
  });
});

describe('the mark', () => {
  const place = { backend: 'nf_tables', family: 'ip', table: 't' } as const;
  const base = { priority: 0, policy: 'accept', type: 'filter', devices: [] } as const;
  const pre: Chain = { ...place, name: 'pre', handle: 1n, base: { ...base, hook: 'prerouting' } };
  const out: Chain = { ...place, name: 'out', handle: 2n, base: { ...base, hook: 'output' } };
  const little = (value: number): Uint8Array => new Uint8Array(new Uint32Array([value]).buffer);
  const ruleOf = (chainName: string, ...expressions: Expression[]): Rule => ({
    ...place,
    chain: chainName,
    handle: 1n,
    expressions,
  });
  const take = (value: number): Rule =>
    ruleOf(
      'pre',
      { kind: 'meta-load', key: 3, register: 0 },
      { kind: 'compare', register: 0, comparison: 'eq', value: little(value) },
      { kind: 'tproxy' },
    );
  const xmark = (value: number, mask: number): Expression => ({
    kind: 'target',
    name: 'MARK',
    revision: 2,
    info: Buffer.concat([little(value), little(mask)]),
  });
  const set = (chainName: string, value: number): Rule =>
    ruleOf(
      chainName,
      { kind: 'load', register: 0, value: little(value) },
      { kind: 'meta-set', key: 3, register: 0 },
    );
  /** Twice 64 marks: more than are followed one by one. */
  const manyBits = Array.from({ length: 7 }, (_, bit) => ruleOf('pre', xmark(1 << bit, 1 << bit)));

  test.each([
    { name: 'nobody sets it', rules: [take(7)], want: 'none' },
    { name: 'zero is what it is at first', rules: [take(0)], want: 'possible' },
    { name: 'a rule sets it', rules: [set('pre', 7), take(7)], want: 'possible' },
    { name: 'it is set in another hook', rules: [set('out', 7), take(7)], want: 'none' },
    { name: 'a rule sets another', rules: [set('pre', 6), take(7)], want: 'none' },
    {
      name: 'two rules set its bits',
      rules: [ruleOf('pre', xmark(1, 1)), ruleOf('pre', xmark(6, 6)), take(7)],
      want: 'possible',
    },
    { name: 'there are too many to follow', rules: [...manyBits, take(0x8000)], want: 'possible' },
    {
      name: 'a target sets what is not known',
      rules: [
        ruleOf('pre', { kind: 'target', name: 'CONNMARK', revision: 1, info: little(0) }),
        take(7),
      ],
      want: 'possible',
    },
    {
      name: 'user space may set it',
      rules: [ruleOf('pre', { kind: 'opaque', name: 'queue' }), take(7)],
      want: 'possible',
    },
  ])('$name: $want', ({ rules, want }) => {
    const tables = [{ ...place, name: 't', dormant: false }];
    const ruleset = { tables, chains: [pre, out], rules };
    expect(judgeTproxy(ruleset, { transport: 'udp', port: 8472 })).toBe(want);
  });
});
