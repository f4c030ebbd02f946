import { expect, test } from 'vitest';
import { decodeMessages } from '../../../nftables/decode/messages.ts';
import { decodeChain, decodeTable } from '../../../nftables/decode/objects.ts';
import { decodeRule } from '../../../nftables/decode/rules.ts';
import { chain, rule, table } from './captured.ts';

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
