/** @module Tells whether the kernel has counted more of a kind of loss than now and then. */
import { type Check, fail, pass, skip } from './check.ts';
import { counterOf } from './kernel-table.ts';

/** Where each is: the file of /proc/net/stat, and its column. */
const places = {
  'conntrack-insert-failed': ['nf_conntrack', 'insert_failed'],
  'conntrack-drop': ['nf_conntrack', 'drop'],
  'neighbour-full-ipv4': ['arp_cache', 'table_fulls'],
  'neighbour-full-ipv6': ['ndisc_cache', 'table_fulls'],
} as const;

/** Compares a counter's average since the boot with what is usual: a hint, for it says nothing of today. */
export const kernelCounter: Check<'kernel-counter'> = {
  kind: 'kernel-counter',
  summary: 'the kernel has lost few packets of one kind since it booted',
  scope: 'node',
  needs: [],

  async run({ counter, perHour }, _target, { host }) {
    const [file, column] = places[counter];
    const value = await counterOf(host, file, column);
    const seconds = Number((await host.readText('/proc/uptime'))?.split(' ')[0]);
    if (value === undefined || !Number.isFinite(seconds))
      return skip('not-applicable', { counter });
    // In the first hour a single burst would be a rate.
    const rate = value / Math.max(1, seconds / 3600);
    const evidence = { counter, value, perHour: Math.round(rate * 10) / 10, usual: perHour };
    return rate > perHour
      ? fail('counter-high', evidence, { where: 'node', node: 'this' })
      : pass(evidence);
  },
};
