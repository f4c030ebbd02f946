/** @module Routes made ready for questions: by table, and in it by prefix. */
import { type PartialBytes, parsePrefix } from './address.ts';
import { keyOf } from './expressions/sets.ts';
import { isKnown, maybe, no, type Ternary, yes } from './ternary.ts';
import type { Route } from './types.ts';

/** Of one family and table. */
export interface RouteTable {
  /**
   * The most special route that an address may have. Undefined: none. `unknown`: of the address too little is known. A route of type `throw` says
   * that this table has none.
   */
  find(value: Uint8Array, known: Uint8Array): Route | 'unknown' | undefined;
}

interface ParsedRoute extends PartialBytes {
  readonly route: Route;
  readonly length: number;
}

/** The routes of one prefix length. */
interface Level {
  readonly known: Uint8Array;
  readonly byPrefix: Map<number | string, Route>;
}

export function routeTables(
  routes: readonly Route[],
  family: 'ip' | 'ip6',
): ReadonlyMap<string, RouteTable> {
  const parsed = new Map<string, ParsedRoute[]>();
  for (const route of routes) {
    if (route.family !== family) continue;
    const prefix = parsePrefix(route.destination, family);
    if (prefix === undefined) continue;
    const slash = route.destination.indexOf('/');
    const length =
      slash === -1 ? prefix.bytes.length * 8 : Number(route.destination.slice(slash + 1));
    const name = tableName(route.table);
    const list = parsed.get(name) ?? [];
    list.push({ ...prefix, route, length });
    parsed.set(name, list);
  }
  return new Map([...parsed].map(([name, list]) => [name, createTable(list)]));
}

/** rt_tables: 255 local, 254 main, 253 default. */
function tableName(table: Route['table']): string {
  if (table === 255) return 'local';
  if (table === 254) return 'main';
  return table === 253 ? 'default' : String(table);
}

/** Longest prefix first, then the smallest metric. A node has a route for each other one, so a known address is looked up and not searched. */
function createTable(routes: readonly ParsedRoute[]): RouteTable {
  const sorted = routes.toSorted((a, b) => b.length - a.length || a.route.metric - b.route.metric);
  const levels: Level[] = [];
  let last = -1;
  for (const { bytes, known, length, route } of sorted) {
    if (length !== last) levels.push({ known, byPrefix: new Map() });
    last = length;
    const byPrefix = levels.at(-1)?.byPrefix;
    const key = maskedKey(bytes, known);
    if (byPrefix?.has(key) === false) byPrefix.set(key, route);
  }
  return {
    find(value, known) {
      if (isKnown(known, 0, value.length)) {
        for (const level of levels) {
          const route = level.byPrefix.get(maskedKey(value, level.known));
          if (route !== undefined) return route.type === 'throw' ? undefined : route;
        }
        return undefined;
      }
      for (const candidate of sorted) {
        const match = covers(candidate, value, known);
        if (match === no) continue;
        if (match === maybe) return 'unknown';
        return candidate.route.type === 'throw' ? undefined : candidate.route;
      }
      return undefined;
    },
  };
}

const scratch = new Uint8Array(16);

function maskedKey(bytes: Uint8Array, mask: Uint8Array): number | string {
  for (let index = 0; index < bytes.length; index++) {
    scratch[index] = (bytes[index] ?? 0) & (mask[index] ?? 0);
  }
  return keyOf(scratch, 0, bytes.length);
}

function covers(route: ParsedRoute, value: Uint8Array, known: Uint8Array): Ternary {
  let result: Ternary = yes;
  for (let index = 0; index < route.known.length; index++) {
    const mask = route.known[index] ?? 0;
    if (mask === 0) break;
    const told = (known[index] ?? 0) & mask;
    if ((((value[index] ?? 0) ^ (route.bytes[index] ?? 0)) & told) !== 0) return no;
    if (told !== mask) result = maybe;
  }
  return result;
}
