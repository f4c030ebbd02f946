/** @module What a rule has counted so far. */
import { KernelError, type Rule, readRule } from 'node-nftables';
import type { FirewallPlace } from '../firewall-verdict.ts';

/** Packets that the first counter of a rule of nf_tables has met; undefined where there is none to be read. */
export async function readRuleCounter(
  { backend, family, table, chain, handle }: Omit<FirewallPlace, 'hook'>,
  root: string,
): Promise<number | undefined> {
  if (backend === 'iptables-legacy' || handle === undefined || !isFamily(family)) return undefined;
  try {
    const rule = await readRule({ family, table, chain, handle }, { root });
    const counter = rule?.expressions.find((expression) => expression.kind === 'counter');
    return counter?.kind === 'counter' ? counter.packets : undefined;
  } catch (cause) {
    if (cause instanceof KernelError) return undefined;
    throw cause;
  }
}

function isFamily(name: string): name is Rule['family'] {
  return ['ip', 'ip6', 'inet', 'arp', 'bridge', 'netdev'].includes(name);
}
