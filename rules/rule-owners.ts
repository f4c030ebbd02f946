/** @module Whose rules the firewall of a node may hold, and who takes them away: the shape of `rules/rule-owners.yaml`. */
import type { Static } from 'typebox';
import { Condition } from './schema.ts';
import { Type } from './type.ts';
import { applies } from './when.ts';

const object = <P extends Parameters<typeof Type.Object>[0]>(properties: P) =>
  Type.Object(properties, { additionalProperties: false });
const Words = Type.Array(Type.String({ minLength: 1 }));
const Sources = Type.Array(Type.String(), { minItems: 1 });

/** The name under which a condition here may ask for the provider, beside its options and the distribution. */
export const providerName = 'provider';

/** A program that writes rules of its own, and cannot do its work without them. */
export const RuleOwner = object({
  /** How people call it. */
  title: Type.String(),
  /** Begins of the names of its chains in tables of iptables. */
  chains: Words,
  /** Begins of the names of its own tables in nf_tables. */
  tables: Words,
  /** Begins of process names (as in /proc/PID/comm) under which it removes its own rules. */
  processes: Words,
  /** Begins of the names of the programs that it changes its rules with: the kernel names them, and not who started them. */
  tools: Words,
  /** For which providers, distributions and options a node needs them. */
  when: Type.Optional(Condition),
  unless: Type.Optional(Condition),
  /** What to type so that it writes them again; the first whose condition holds. NODE stands for the node's name. */
  restore: Type.Array(
    object({
      when: Type.Optional(Condition),
      unless: Type.Optional(Condition),
      commands: Type.Array(Type.String({ minLength: 1 }), { minItems: 1 }),
    }),
    { minItems: 1 },
  ),
  source: Sources,
});
export type RuleOwner = Static<typeof RuleOwner>;

/** A program that takes away rules of others when it loads its own. */
export const RuleRemover = object({
  /** Begins of its process names. */
  processes: Type.Array(Type.String({ minLength: 1 }), { minItems: 1 }),
  /** How to keep it from doing so. */
  advice: Type.String({ minLength: 1 }),
  source: Sources,
});
export type RuleRemover = Static<typeof RuleRemover>;

/** `rules/rule-owners.yaml`: both by name. */
export const RuleOwnersFile = object({
  owners: Type.Optional(Type.Record(Type.String(), RuleOwner)),
  removers: Type.Optional(Type.Record(Type.String(), RuleRemover)),
});

export interface RuleOwners {
  readonly owners: ReadonlyMap<string, RuleOwner>;
  readonly removers: ReadonlyMap<string, RuleRemover>;
}

/** What runs on a node, as far as conditions ask for it. */
export interface Surrounding {
  readonly provider: string;
  readonly distribution: string;
  readonly options: Readonly<Record<string, string | number | boolean>>;
}

/** Whether a node like this needs the rules of an owner. */
export function isNeeded(owner: RuleOwner, node: Surrounding): boolean {
  return applies(owner, valueIn(node));
}

/** The name of whose chain this is, by its own name or that of its table. */
export function ruleOwnerOf(
  { owners }: RuleOwners,
  chain: { readonly name: string; readonly table: string },
): string | undefined {
  const found = [...owners].find(
    ([, { chains, tables }]) =>
      chains.some((start) => chain.name.startsWith(start)) ||
      tables.some((start) => chain.table.startsWith(start)),
  );
  return found?.[0];
}

/** What to type on a node like this so that an owner writes its rules again. */
export function restoringCommands(owner: RuleOwner, node: Surrounding): readonly string[] {
  return owner.restore.find((way) => applies(way, valueIn(node)))?.commands ?? [];
}

/** How to keep the process of this name from taking away what is not its own; undefined where nothing is known of it. */
export function adviceAgainst(process: string, { removers }: RuleOwners): string | undefined {
  const known = [...removers.values()].find(({ processes }) =>
    processes.some((start) => process.startsWith(start)),
  );
  return known?.advice;
}

function valueIn({ provider, distribution, options }: Surrounding) {
  return (name: string): string | number | boolean => {
    if (name === providerName) return provider;
    if (name === 'distribution') return distribution;
    return Object.hasOwn(options, name) ? (options[name] ?? '') : '';
  };
}
