import { expect, test } from 'vitest';
import { decodeMessages } from '../../../nftables/decode/messages.ts';
import { decodeChain, decodeTable } from '../../../nftables/decode/objects.ts';
import { decodeRule } from '../../../nftables/decode/rules.ts';

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

test('a table', () => {
  expect(decodeTable(table)).toEqual({
    backend: 'nf_tables',
    family: 'inet',
    name: 't',
    handle: 1,
    dormant: false,
  });
});

test('a base chain', () => {
  expect(decodeChain(chain)).toEqual({
    backend: 'nf_tables',
    family: 'inet',
    table: 't',
    name: 'pre',
    handle: 1,
    base: { hook: 'prerouting', priority: -150, policy: 'drop', type: 'filter', devices: [] },
  });
});

test('a rule, each expression', () => {
  expect(decodeRule(rule)).toEqual({
    backend: 'nf_tables',
    family: 'inet',
    table: 't',
    chain: 'pre',
    handle: 2,
    index: 1,
    expressions: [
      { kind: 'meta', key: 'l4proto', register: 0 },
      { kind: 'cmp', register: 0, comparison: 'eq', value: Uint8Array.of(17) },
      { kind: 'payload', base: 'transport', offset: 2, length: 2, register: 0 },
      { kind: 'cmp', register: 0, comparison: 'gte', value: Uint8Array.of(0x1f, 0x40) },
      { kind: 'cmp', register: 0, comparison: 'lte', value: Uint8Array.of(0x23, 0x28) },
      { kind: 'meta', key: 'mark', register: 0 },
      {
        kind: 'bitwise',
        operation: 'mask-xor',
        length: 4,
        source: 0,
        destination: 0,
        mask: Uint8Array.of(15, 0, 0, 0),
        xor: Uint8Array.of(0, 0, 0, 0),
      },
      { kind: 'cmp', register: 0, comparison: 'eq', value: Uint8Array.of(3, 0, 0, 0) },
      { kind: 'ct', key: 'state', register: 0 },
      {
        kind: 'bitwise',
        operation: 'mask-xor',
        length: 4,
        source: 0,
        destination: 0,
        mask: Uint8Array.of(8, 0, 0, 0),
        xor: Uint8Array.of(0, 0, 0, 0),
      },
      { kind: 'cmp', register: 0, comparison: 'neq', value: Uint8Array.of(0, 0, 0, 0) },
      { kind: 'immediate', register: 0, value: Uint8Array.of(0xc3, 0xa0) },
      { kind: 'tproxy', family: 'unspecified', portRegister: 0 },
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
