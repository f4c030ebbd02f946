/** @module Which base chains a packet meets at a hook, and in which order. */
import type { Chain, Hook, HookEntry } from '../model.ts';
import type { CompiledChain, Program } from './compile.ts';

/** Chains of one priority; their order is known if there is but one, or the kernel told it. */
export interface Group {
  readonly priority: number;
  readonly chains: readonly CompiledChain[];
  readonly ordered: boolean;
}

/** What happens at a hook besides the chains of filter and route: conntrack's look-up, and NAT with all its chains. */
export type Stage =
  | { readonly kind: 'chains'; readonly group: Group }
  | { readonly kind: 'conntrack' }
  | { readonly kind: 'nat'; readonly groups: readonly Group[] };

/** NF_IP_PRI_CONNTRACK */
const conntrackPriority = -200;
/** NF_IP_PRI_NAT_DST and NF_IP_PRI_NAT_SRC: all chains of type nat hang at one function, whatever their own priority is. */
const natPriorities: Readonly<Partial<Record<Hook, number>>> = {
  prerouting: -100,
  output: -100,
  input: 100,
  postrouting: 100,
};

export function stagesOf(
  program: Program,
  family: 'ip' | 'ip6',
  hook: Hook,
  device: string | undefined,
): readonly Stage[] {
  const seen = program.baseChains.filter(({ chain }) => isMet(chain, family, hook, device));
  const nat = seen.filter(({ chain }) => chain.base?.type === 'nat');
  const others = seen.filter(({ chain }) => chain.base?.type !== 'nat');
  const hooks = program.ruleset.hooks?.filter((entry) => isHookOf(entry, family, hook, device));
  const stages: { readonly priority: number; readonly stage: Stage }[] = group(others, hooks).map(
    (one) => ({ priority: one.priority, stage: { kind: 'chains', group: one } }),
  );
  const insert = (priority: number, stage: Stage, last: boolean): void => {
    const place = stages.findIndex((one) =>
      last ? one.priority > priority : one.priority >= priority,
    );
    stages.splice(place === -1 ? stages.length : place, 0, { priority, stage });
  };
  if (hook === 'prerouting' || hook === 'output')
    insert(conntrackPriority, { kind: 'conntrack' }, false);
  const natPriority = natPriorities[hook];
  if (natPriority !== undefined && nat.length > 0) {
    insert(natPriority, { kind: 'nat', groups: group(nat, undefined) }, false);
  }
  return stages.map(({ stage }) => stage);
}

function isMet(
  chain: Chain,
  family: 'ip' | 'ip6',
  hook: Hook,
  device: string | undefined,
): boolean {
  if (chain.base?.hook !== hook) return false;
  if (hook === 'ingress' || hook === 'egress') {
    if (chain.family !== 'netdev' && chain.family !== 'inet') return false;
    return chain.base.devices.some((pattern) => fits(pattern, device));
  }
  return chain.family === 'inet' || chain.family === family;
}

/** A device whose name is not known may be any. */
function fits(pattern: string, device: string | undefined): boolean {
  if (device === undefined) return true;
  return pattern.endsWith('*') ? device.startsWith(pattern.slice(0, -1)) : pattern === device;
}

function isHookOf(
  entry: HookEntry,
  family: 'ip' | 'ip6',
  hook: Hook,
  device: string | undefined,
): boolean {
  if (entry.hook !== hook) return false;
  if (hook === 'ingress' || hook === 'egress')
    return entry.device === undefined || entry.device === device;
  return entry.family === family || entry.family === 'inet';
}

function group(
  chains: readonly CompiledChain[],
  hooks: readonly HookEntry[] | undefined,
): readonly Group[] {
  const byPriority = new Map<number, CompiledChain[]>();
  // Newer ones come first among equals, and the kernel lists older ones first.
  for (const compiled of [...chains].reverse()) {
    const { priority = 0 } = compiled.chain.base ?? {};
    const list = byPriority.get(priority);
    if (list === undefined) byPriority.set(priority, [compiled]);
    else list.push(compiled);
  }
  return [...byPriority]
    .sort(([a], [b]) => a - b)
    .map(([priority, list]) => {
      if (list.length === 1) return { priority, chains: list, ordered: true };
      const places = list.map((compiled) => placeOf(compiled.chain, hooks));
      if (places.includes(-1)) return { priority, chains: list, ordered: false };
      const sorted = list
        .map((compiled, index) => ({ compiled, place: places[index] ?? 0 }))
        .sort((a, b) => a.place - b.place);
      return { priority, chains: sorted.map(({ compiled }) => compiled), ordered: true };
    });
}

function placeOf(chain: Chain, hooks: readonly HookEntry[] | undefined): number {
  if (hooks === undefined) return -1;
  return hooks.findIndex((entry) => {
    const named = entry.chain;
    if (named === undefined) {
      // Legacy tables are told by their function alone, and each has a priority of its own.
      return chain.backend === 'iptables-legacy' && entry.priority === chain.base?.priority;
    }
    return (
      chain.backend === 'nf_tables' &&
      named.family === chain.family &&
      named.table === chain.table &&
      named.name === chain.name
    );
  });
}
