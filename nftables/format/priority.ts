/** @module Priorities of base chains by nft's names. */
import type { Family, Hook } from '../model.ts';

type Named = readonly (readonly [string, number, Hook?])[];

const usual: Named = [
  ['raw', -300],
  ['mangle', -150],
  ['dstnat', -100, 'prerouting'],
  ['filter', 0],
  ['security', 50],
  ['srcnat', 100, 'postrouting'],
];
const ofBridges: Named = [
  ['dstnat', -300, 'prerouting'],
  ['filter', -200],
  ['out', 100, 'output'],
  ['srcnat', 300, 'postrouting'],
];
const filterOnly: Named = [['filter', 0]];

/** `filter`, `dstnat - 1`; a number that is far from all of them stays one. */
export function writePriority(family: Family, hook: Hook, priority: number): string {
  const isPlain =
    family === 'arp' || family === 'netdev' || hook === 'ingress' || hook === 'egress';
  const named = family === 'bridge' ? ofBridges : isPlain ? filterOnly : usual;
  for (const [name, value, only] of named) {
    const distance = priority - value;
    if (Math.abs(distance) > 10 || (only !== undefined && only !== hook)) continue;
    if (distance === 0) return name;
    return `${name} ${distance < 0 ? '-' : '+'} ${Math.abs(distance)}`;
  }
  return String(priority);
}
