/** @module The environment, made ready for questions: devices by name, routes by prefix. */
import { parsePrefix } from './address.ts';
import type { Device } from './machine.ts';
import { routeTables } from './routes.ts';
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

/** Order of the policy rules 0, 32766 and 32767. */
const localTable = ['local'] as const;
const otherTables = ['main', 'default'] as const;

export function prepareHost(environment: Environment): Host {
  const devices = new Map<string, Device>();
  const masters = new Map<string, string>();
  for (const { name, index, type, group, kind, master } of environment.interfaces ?? []) {
    if (master !== undefined) masters.set(name, master);
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
  const routes =
    environment.routes === undefined
      ? undefined
      : { ip: routeTables(environment.routes, 'ip'), ip6: routeTables(environment.routes, 'ip6') };
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
      const route = routes?.[family].get(name)?.find(value, known);
      if (route !== undefined) return route === 'unknown' ? undefined : route;
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
      const master = name === undefined ? undefined : masters.get(name);
      return master === undefined ? undefined : this.device(master);
    },
    addressesOf: (name, family) =>
      (environment.interfaces ?? [])
        .filter((one) => one.name === name)
        .flatMap((one) => one.addresses)
        .flatMap((text) => parsePrefix(text.replace(/\/.*/, ''), family)?.bytes ?? []),
    isLocal(family, value, known) {
      if (routes !== undefined) {
        const route = find(family, value, known, localTable);
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
      const local = find(family, value, known, localTable);
      if (local === undefined || local !== 'none') return local;
      if (environment.hasPolicyRouting === true) return undefined;
      return find(family, value, known, otherTables);
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
