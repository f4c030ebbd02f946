import { describe, expect, test } from 'vitest';
import type { Condition, OptionValue } from '../../../rules/schema.ts';
import { applies } from '../../../rules/when.ts';

const values = new Map<string, OptionValue>([
  ['encapsulation', 'vxlan'],
  ['bgp', false],
  ['vni', 1],
]);

function valueOfOption(name: string): OptionValue {
  const value = values.get(name);
  if (value === undefined) throw new Error(`nobody asked for ${name}`);
  return value;
}

describe('applies', () => {
  test.each<{ name: string; when?: Condition; unless?: Condition; want: boolean }>([
    { name: 'no condition always holds', want: true },
    { name: 'one value that is in force', when: { encapsulation: 'vxlan' }, want: true },
    { name: 'one value that is not', when: { encapsulation: 'ipip' }, want: false },
    { name: 'one of several values', when: { encapsulation: ['ipip', 'vxlan'] }, want: true },
    { name: 'none of several values', when: { encapsulation: ['ipip', 'none'] }, want: false },
    { name: 'every option must hold', when: { encapsulation: 'vxlan', bgp: true }, want: false },
    { name: 'false is a value like any other', when: { bgp: false }, want: true },
    { name: 'a number is not its digits', when: { vni: '1' }, want: false },
    { name: 'unless turns it round', unless: { encapsulation: 'vxlan' }, want: false },
    {
      name: 'unless needs all of it to hold',
      unless: { encapsulation: 'vxlan', bgp: true },
      want: true,
    },
    { name: 'both are asked', when: { vni: 1 }, unless: { bgp: false }, want: false },
  ])('$name', ({ when, unless, want }) => {
    expect(applies({ when, unless }, valueOfOption)).toBe(want);
  });
});
