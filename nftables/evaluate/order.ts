/** @module Which base chains a packet meets at a hook, and in which order. */
import type { Chain, Hook, HookEntry } from '../model.ts';
import type { CompiledChain, Program } from './compile.ts';

/** What hangs at a hook: a chain, conntrack's look-up, or NAT with all its chains. */
export type Item =
  | { readonly kind: 'chain'; readonly compiled: CompiledChain }
  | { readonly kind: 'conntrack' }
  | { readonly kind: 'nat'; readonly chains: readonly CompiledChain[] };

/** What hangs at one priority; its order is known if it is but one, or the kernel told it. */
export interface Stage {
  readonly priority: number;
  readonly items: readonly Item[];
  readonly ordered: boolean;
}

/** NF_IP_PRI_CONNTRACK */
const conntrackPriority = -200;
/** NF_IP_PRI_NAT_DST and NF_IP_PRI_NAT_SRC: all chains of type nat hang at one function, whatever their own priority is. */
const natPriorities: Readonly<Partial<Record<Hook, number>>> = {
  prerouting: -100,
  output: -100,
  input: 100,
  postrouting: 100,
};

export type ProtocolFamily = 'ip' | 'ip6' | 'bridge';

export function stagesOf(
  program: Program,
  family: ProtocolFamily,
  hook: Hook,
  device: string | undefined,
): readonly Stage[] {
  const seen = program.baseChains.filter(({ chain }) => isMet(chain, family, hook, device));
  const hooks = program.ruleset.hooks?.filter((entry) => isHookOf(entry, family, hook, device));
  const items = new Map<number, Item[]>();
  const add = (priority: number, item: Item): void => {
    const list = items.get(priority);
    if (list === undefined) items.set(priority, [item]);
    else list.push(item);
  };
  const nat: CompiledChain[] = [];
  // Newer ones come first among equals, and the kernel lists older ones first.
  for (const compiled of seen.toReversed()) {
    const { base } = compiled.chain;
    if (base?.type === 'nat') nat.push(compiled);
    else add(base?.priority ?? 0, { kind: 'chain', compiled });
  }
  const natPriority = natPriorities[hook];
  if (nat.length > 0 && natPriority !== undefined && family !== 'bridge') {
    // The sort is stable: equals stay newest first.
    const chains = nat.sort((a, b) => priorityOf(a) - priorityOf(b));
    add(natPriority, { kind: 'nat', chains });
  }
  const tracked = family !== 'bridge' && program.tracks(family);
  if (tracked && (hook === 'prerouting' || hook === 'output')) {
    add(conntrackPriority, { kind: 'conntrack' });
  }
  return [...items]
    .sort(([a], [b]) => a - b)
    .map(([priority, list]) => arrange(priority, list, hooks));
}

function priorityOf({ chain }: CompiledChain): number {
  return chain.base?.priority ?? 0;
}

function isMet(
  chain: Chain,
  family: ProtocolFamily,
  hook: Hook,
  device: string | undefined,
): boolean {
  if (chain.base?.hook !== hook) return false;
  if (hook === 'ingress' || hook === 'egress') {
    if (chain.family !== 'netdev' && chain.family !== 'inet') return false;
    return chain.base.devices.some((pattern) => fits(pattern, device));
  }
  return chain.family === family || (chain.family === 'inet' && family !== 'bridge');
}

/** A device whose name is not known may be any. */
function fits(pattern: string, device: string | undefined): boolean {
  if (device === undefined) return true;
  return pattern.endsWith('*') ? device.startsWith(pattern.slice(0, -1)) : pattern === device;
}

function isHookOf(
  entry: HookEntry,
  family: ProtocolFamily,
  hook: Hook,
  device: string | undefined,
): boolean {
  if (entry.hook !== hook) return false;
  if (hook === 'ingress' || hook === 'egress') {
    return entry.device === undefined || entry.device === device;
  }
  return entry.family === family || entry.family === 'inet';
}

function arrange(
  priority: number,
  items: readonly Item[],
  hooks: readonly HookEntry[] | undefined,
): Stage {
  if (items.length === 1) return { priority, items, ordered: true };
  const places = items.map((item) => placeOf(item, priority, hooks));
  if (places.includes(-1)) return { priority, items, ordered: false };
  const sorted = items
    .map((item, index) => ({ item, place: places[index] ?? 0 }))
    .sort((a, b) => a.place - b.place);
  return { priority, items: sorted.map(({ item }) => item), ordered: true };
}

function placeOf(item: Item, priority: number, hooks: readonly HookEntry[] | undefined): number {
  if (hooks === undefined) return -1;
  const named = (entry: HookEntry, part: string): boolean =>
    entry.priority === priority && entry.function?.includes(part) === true;
  switch (item.kind) {
    case 'conntrack':
      return hooks.findIndex((entry) => named(entry, 'conntrack'));
    case 'nat':
      return hooks.findIndex((entry) => named(entry, 'nat'));
    case 'chain':
      return hooks.findIndex((entry) => isOf(entry, item.compiled.chain));
  }
}

function isOf(entry: HookEntry, chain: Chain): boolean {
  // Legacy tables are told by their function alone, and each has a priority of its own.
  if (chain.backend === 'iptables-legacy') {
    return (
      entry.priority === chain.base?.priority && entry.function?.includes('t_do_table') === true
    );
  }
  return (
    entry.chain?.family === chain.family &&
    entry.chain.table === chain.table &&
    entry.chain.name === chain.name
  );
}
