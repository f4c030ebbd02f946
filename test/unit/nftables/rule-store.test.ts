import { expect, test } from 'vitest';
import { RuleStore } from '../../../nftables/decode/rule-store.ts';
import { decodeRule } from '../../../nftables/decode/rules.ts';
import type { Rule } from '../../../nftables/model.ts';
import { rule as captured } from './captured.ts';
import { attribute, expression, number, ruleMessage, text } from './encode.ts';

const cmp = (...value: readonly number[]): Uint8Array =>
  expression('cmp', number(1, 1), number(2, 0), attribute(3, attribute(1, Uint8Array.from(value))));
const counter = (bytes: bigint, packets: bigint): Uint8Array =>
  expression('counter', attribute(1, big(bytes)), attribute(2, big(packets)));
const accept = expression('immediate', number(1, 0), attribute(2, attribute(2, number(1, 1))));

function big(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value);
  return bytes;
}

/** As the reader does: every message lies in the same buffer. */
function addAll(messages: readonly Uint8Array[]): readonly (Rule | undefined)[] {
  const store = new RuleStore();
  const buffer = new Uint8Array(8192);
  const rules = messages.map((message, index) => {
    buffer.fill(0xee);
    buffer.set(message, 16);
    return store.add(buffer.subarray(16, 16 + message.length), index + 1);
  });
  buffer.fill(0xee);
  store.seal();
  return rules;
}

test('a rule is the same as if it had been decoded at once', () => {
  const [kept] = addAll([captured]);
  expect(kept).toEqual(decodeRule(captured));
  expect({ ...kept }).toEqual(decodeRule(captured));
});

test.each([
  { name: 'one byte', value: [6], other: [17] },
  { name: 'a port', value: [0, 22], other: [0, 80] },
  { name: 'three bytes', value: [1, 2, 3], other: [1, 2, 4] },
  { name: 'an IPv4 address', value: [10, 0, 0, 1], other: [10, 0, 0, 2] },
  { name: 'six bytes', value: [1, 2, 3, 4, 5, 6], other: [1, 2, 3, 4, 5, 7] },
  {
    name: 'an IPv6 address',
    value: Array.from({ length: 16 }, (_, at) => at),
    other: Array.from({ length: 16 }, (_, at) => at + 1),
  },
])('comparisons with $name keep their own values', ({ value, other }) => {
  const messages = [value, other, value].map((bytes, at) =>
    ruleMessage('t', 'c', at + 1, cmp(...bytes), accept),
  );
  const rules = addAll(messages);
  expect(rules).toEqual(messages.map((message, at) => decodeRule(message, at + 1)));
  expect(rules[0]?.expressions[1]).toBe(rules[1]?.expressions[1]);
});

test('counters that differ stay apart', () => {
  const messages = [counter(0n, 0n), counter(7n, 1n), counter(8n, 1n), counter(0n, 0n)].map(
    (one, at) => ruleMessage('t', 'c', at + 1, one),
  );
  expect(addAll(messages).map((rule) => rule?.expressions[0])).toEqual([
    { kind: 'counter', packets: 0, bytes: 0 },
    { kind: 'counter', packets: 1, bytes: 7 },
    { kind: 'counter', packets: 1, bytes: 8 },
    { kind: 'counter', packets: 0, bytes: 0 },
  ]);
});

test('names are those of the rule’s own chain', () => {
  const places = [
    ['t', 'c1'],
    ['t', 'c10'],
    ['t', 'c1'],
    ['t2', 'c1'],
  ] as const;
  const rules = addAll(places.map(([table, chain], at) => ruleMessage(table, chain, at, accept)));
  expect(rules.map((rule) => [rule?.table, rule?.chain])).toEqual(places);
});

test('2,500 different expressions are kept, and found again', () => {
  const messages = Array.from({ length: 5000 }, (_, at) =>
    ruleMessage('t', 'c', at, expression('meta', number(1, 1), number(2, at % 2500))),
  );
  const rules = addAll(messages);
  expect(rules[3456]?.expressions).toEqual([{ kind: 'meta', key: 'key-956', register: 0 }]);
  expect(rules[4999]?.expressions).toEqual(rules[2499]?.expressions);
});

test('a list whose lengths lie gives what fits, and throws nothing', () => {
  const message = ruleMessage('t', 'c', 1, accept, cmp(1));
  for (let at = 0; at < message.length; at++) {
    for (const byte of [0, 1, 0x7f, 0xff]) {
      const damaged = Uint8Array.from(message);
      damaged[at] = byte;
      expect(() => addAll([damaged])[0]?.expressions).not.toThrow();
    }
  }
});

test('a text longer than the fast way reads is read whole', () => {
  const name = 'n'.repeat(200);
  expect(addAll([ruleMessage(name, 'c', 1, accept)])[0]?.table).toBe(name);
  expect(text(1, name).length).toBe(208);
});
