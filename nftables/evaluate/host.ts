/** @module The environment, made ready for questions: devices by name, routes by prefix. */
import { type PartialBytes, parsePrefix } from './address.ts';
import type { Device } from './machine.ts';
import { isEqual, maybe, no, type Ternary, yes } from './ternary.ts';
import type { Environment, Route } from './types.ts';

export interface Host {
  readonly environment: Environment;
  device(name: string): Device;
  /** The bridge or VRF that a device belongs to. */
  masterOf(name: string | undefined): Device | undefined;
  /** Whether an address is one of this host (of type local). */
  isLocal(family: 'ip' | 'ip6', value: Uint8Array, known: Uint8Array): Ternary;
  /** The route to an address; `none` if there is none for sure, undefined if it cannot be told. */
  route(family: 'ip' | 'ip6', value: Uint8Array, known: Uint8Array): Route | 'none' | undefined;
  /** All addresses of a device. */
  addressesOf(name: string, family: 'ip' | 'ip6'): readonly Uint8Array[];
}

export const noDevice: Device = { present: no };
export const someDevice: Device = { present: yes };

interface ParsedRoute extends PartialBytes {
  readonly route: Route;
  readonly length: number;
}

/** Order of the policy rules 0, 32766 and 32767. */
const tables = ['local', 'main', 'default'] as const;

export function prepareHost(environment: Environment): Host {
  const devices = new Map<string, Device>();
  for (const { name, index, type, group, kind } of environment.interfaces ?? []) {
    devices.set(name, {
      present: yes,
      text: name,
      name: nameBytes(name),
      index,
      type,
      group,
      kind: kind ?? null,
    });
  }
  const routes = environment.routes === undefined ? undefined : sortRoutes(environment.routes);
  const addresses = {
    ip: localAddresses(environment, 'ip'),
    ip6: localAddresses(environment, 'ip6'),
  };

  /** The most special route that an address may have, table after table. */
  function find(
    family: 'ip' | 'ip6',
    value: Uint8Array,
    known: Uint8Array,
    names: readonly string[],
  ): Route | 'none' | undefined {
    for (const name of names) {
      for (const candidate of routes?.get(`${family} ${name}`) ?? []) {
        const match = covers(candidate, value, known);
        if (match === no) continue;
        if (match === maybe) return undefined;
        if (candidate.route.type === 'throw') break;
        return candidate.route;
      }
    }
    return 'none';
  }

  return {
    environment,
    device(name) {
      const device = devices.get(name) ?? { present: yes, text: name, name: nameBytes(name) };
      // Questions may name devices that are not there: a bounded number is kept.
      if (devices.size < 1000) devices.set(name, device);
      return device;
    },
    masterOf(name) {
      const master = environment.interfaces?.find((one) => one.name === name)?.master;
      return master === undefined ? undefined : this.device(master);
    },
    addressesOf: (name, family) =>
      (environment.interfaces ?? [])
        .filter((one) => one.name === name)
        .flatMap((one) => one.addresses)
        .flatMap((text) => parsePrefix(text.replace(/\/.*/, ''), family)?.bytes ?? []),
    isLocal(family, value, known) {
      if (routes !== undefined) {
        const route = find(family, value, known, ['local']);
        if (route !== undefined) return route !== 'none' && route.type === 'local' ? yes : no;
        return maybe;
      }
      if (environment.interfaces === undefined) return maybe;
      if (family === 'ip' && (known[0] ?? 0) === 255 && value[0] === 127) return yes;
      let result: Ternary = no;
      for (const address of addresses[family]) {
        const match = isEqual(value, known, 0, address);
        if (match === yes) return yes;
        if (match === maybe) result = maybe;
      }
      return result;
    },
    route(family, value, known) {
      if (routes === undefined) return undefined;
      const local = find(family, value, known, ['local']);
      if (local === undefined || local !== 'none') return local;
      if (environment.hasPolicyRouting === true) return undefined;
      return find(family, value, known, tables.slice(1));
    },
  };
}

export function nameBytes(name: string): Uint8Array {
  const bytes = new Uint8Array(16);
  bytes.set(new TextEncoder().encode(name).subarray(0, 15));
  return bytes;
}

function localAddresses(environment: Environment, family: 'ip' | 'ip6'): readonly Uint8Array[] {
  return (environment.interfaces ?? [])
    .flatMap((one) => one.addresses)
    .flatMap((text) => parsePrefix(text.replace(/\/.*/, ''), family)?.bytes ?? []);
}

/** Longest prefix first, then the smallest metric, by family and table. */
function sortRoutes(routes: readonly Route[]): ReadonlyMap<string, readonly ParsedRoute[]> {
  const sorted = new Map<string, ParsedRoute[]>();
  for (const route of routes) {
    const parsed = parsePrefix(route.destination, route.family);
    if (parsed === undefined) continue;
    const slash = route.destination.indexOf('/');
    const length =
      slash === -1 ? parsed.bytes.length * 8 : Number(route.destination.slice(slash + 1));
    const key = `${route.family} ${tableName(route.table)}`;
    const list = sorted.get(key) ?? [];
    list.push({ ...parsed, route, length });
    sorted.set(key, list);
  }
  for (const list of sorted.values()) {
    list.sort((a, b) => b.length - a.length || a.route.metric - b.route.metric);
  }
  return sorted;
}

/** rt_tables: 255 local, 254 main, 253 default. */
function tableName(table: Route['table']): string {
  if (table === 255) return 'local';
  if (table === 254) return 'main';
  return table === 253 ? 'default' : String(table);
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
