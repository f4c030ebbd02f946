/** @module The entries of a set of ip_set by prefix and address, so that a packet is compared with few of them. */
import type { IpSet, IpSetEntry } from '../model.ts';
import { maskOf } from './address.ts';

export type SetField = 'ip' | 'net' | 'port' | 'iface' | 'mac' | 'mark';
const fieldNames: ReadonlySet<string> = new Set(['ip', 'net', 'port', 'iface', 'mac', 'mark']);

export interface IndexedSet {
  readonly set: IpSet;
  /** What of the packet each dimension is. */
  readonly fields: readonly SetField[];
  /** Longest prefix first: the first that matches decides. */
  readonly sorted: readonly IpSetEntry[];
  /** Of the first address: prefix length, then the address's bytes with dots between. */
  readonly byPrefix: ReadonlyMap<number, ReadonlyMap<string, readonly IpSetEntry[]>>;
}

const indexes = new WeakMap<IpSet, IndexedSet>();

/** Undefined for a type that is not known. */
export function indexSet(set: IpSet): IndexedSet | undefined {
  const known = indexes.get(set);
  if (known !== undefined) return known;
  const [, list = ''] = set.type.split(':');
  const fields = list.split(',').filter(isField);
  if (fields.length !== list.split(',').length) return undefined;
  const sorted = set.entries.toSorted(
    (one, other) =>
      prefixOf(other) - prefixOf(one) || (other.prefix2 ?? 128) - (one.prefix2 ?? 128),
  );
  const byPrefix = new Map<number, Map<string, IpSetEntry[]>>();
  for (const entry of sorted) {
    const { address } = entry;
    if (address === undefined) continue;
    const prefix = prefixOf(entry);
    const mask = maskOf(prefix, address.length);
    const key = address.map((byte, index) => byte & (mask[index] ?? 0)).join('.');
    const byAddress = byPrefix.get(prefix) ?? new Map<string, IpSetEntry[]>();
    byPrefix.set(prefix, byAddress);
    const entries = byAddress.get(key);
    if (entries === undefined) byAddress.set(key, [entry]);
    else entries.push(entry);
  }
  const indexed = { set, fields, sorted, byPrefix };
  indexes.set(set, indexed);
  return indexed;
}

function isField(name: string): name is SetField {
  return fieldNames.has(name);
}

function prefixOf({ address, prefix }: IpSetEntry): number {
  return prefix ?? (address?.length ?? 0) * 8;
}
