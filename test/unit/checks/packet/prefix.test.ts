import { expect, test } from 'vitest';
import {
  addressIn,
  isInside,
  overlap,
  type Prefix,
  parsePrefix,
  prefixText,
} from '../../../../checks/packet/prefix.ts';

function read(text: string): Prefix {
  const prefix = parsePrefix(text);
  if (prefix === undefined) throw new Error(`${text} is no prefix`);
  return prefix;
}

test.each([
  ['10.244.1.77/24', '10.244.1.0/24'],
  ['10.244.1.77/32', '10.244.1.77/32'],
  ['10.244.1.77', '10.244.1.77/32'],
  ['10.255.255.255/9', '10.128.0.0/9'],
  ['0.0.0.0/0', '0.0.0.0/0'],
  ['fd00:1:2:3:4::5/60', 'fd00:1:2::/60'],
])('%s is %s', (text, want) => {
  expect(prefixText(read(text))).toBe(want);
});

test.each([
  '',
  '10.244.1.0/33',
  '10.244.1.0/-1',
  '10.244.1.0/24/24',
  'fd00::/129',
  '10.244/16',
  '10.0.0.0/x',
])('%j is none', (text) => {
  expect(parsePrefix(text)).toBeUndefined();
});

test.each([
  ['10.244.1.0/24', '10.244.0.0/16', true],
  ['10.244.1.0/24', '10.244.1.0/24', true],
  ['10.244.0.0/16', '10.244.1.0/24', false],
  ['10.244.1.0/24', '10.244.2.0/24', false],
  ['10.244.1.0/24', 'fd00::/8', false],
  ['fd00:1::/64', 'fd00::/8', true],
] as const)('%s in %s: %s', (inner, outer, want) => {
  expect(isInside(read(inner), read(outer))).toBe(want);
  expect(overlap(read(inner), read(outer))).toBe(want || isInside(read(outer), read(inner)));
});

test.each([
  ['10.244.1.0/24', 0, '10.244.1.0'],
  ['10.244.1.0/24', 255, '10.244.1.255'],
  ['10.244.1.0/24', 256, undefined],
  ['10.244.0.0/16', 258, '10.244.1.2'],
  ['10.244.1.7/32', 0, '10.244.1.7'],
  ['10.244.1.7/32', 1, undefined],
  ['0.0.0.0/0', 65_536, '0.1.0.0'],
  ['fd00::/64', 2, 'fd00::2'],
] as const)('%s, %i on: %s', (text, offset, want) => {
  expect(addressIn(read(text), offset)).toBe(want);
});
