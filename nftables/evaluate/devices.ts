/** @module The devices that a packet may come in and go out by. */
import { type Host, someDevice } from './host.ts';
import type { Device } from './machine.ts';
import { destinationOf, type PacketState, sourceOf } from './state.ts';
import { no, yes } from './ternary.ts';
import type { Journey } from './traverse.ts';
import type { Interface } from './types.ts';

const loopbackType = 772;

/** The device that was named; else what all have in common that it may be. Nothing comes over loopback but from this host. */
export function inputOf({ packet, machine }: Journey): Device {
  if (packet.inInterface !== undefined) return machine.host.device(packet.inInterface);
  const { value, known } = sourceOf(machine.state);
  const foreign =
    packet.direction === 'forward' || machine.host.isLocal(packet.family, value, known) === no;
  return foreign ? anyForeignDevice(machine.host) : anyDevice(machine.host);
}

/** The device that was named, or that the route to the packet's destination leads to. */
export function outputOf({ packet, machine }: Journey, state: PacketState): Device {
  const { host } = machine;
  if (packet.outInterface !== undefined && state.redirected === no) {
    return host.device(packet.outInterface);
  }
  const { value, known } = destinationOf(state);
  const route = host.route(state.family, value, known);
  if (route !== undefined && route !== 'none' && route.type === 'local') return host.device('lo');
  const leads = route === undefined || route === 'none' ? [] : route.interfaces;
  const [only] = leads;
  if (only !== undefined && leads.length === 1) return host.device(only);
  if (leads.length > 1) return inCommon(host, ({ name }) => leads.includes(name));
  const local = host.isLocal(state.family, value, known);
  return local === no ? anyForeignDevice(host) : anyDevice(host);
}

/** What all devices have in common: worked out once for all questions. */
export const anyDevice = remembered((host) => inCommon(host, () => true));
/** What all have in common by which something may come from another host. */
const anyForeignDevice = remembered((host) =>
  inCommon(host, ({ type }: Interface) => type !== loopbackType),
);

function remembered(find: (host: Host) => Device): (host: Host) => Device {
  const known = new WeakMap<Host, Device>();
  return (host) => {
    const before = known.get(host);
    if (before !== undefined) return before;
    const device = find(host);
    known.set(host, device);
    return device;
  };
}

function inCommon(host: Host, isMeant: (one: Interface) => boolean): Device {
  const all = host.environment.interfaces?.filter(isMeant).map(({ name }) => host.device(name));
  const [first, ...others] = all ?? [];
  if (first === undefined) return someDevice;
  if (others.length === 0) return first;
  const { name, nameKnown } = commonName([first, ...others]);
  const same = <K extends 'type' | 'group' | 'kind'>(key: K): Partial<Device> =>
    others.every((other) => other[key] === first[key]) ? { [key]: first[key] } : {};
  return { present: yes, name, nameKnown, ...same('type'), ...same('group'), ...same('kind') };
}

function commonName(devices: readonly Device[]): { name: Uint8Array; nameKnown: Uint8Array } {
  const name = devices[0]?.name ?? new Uint8Array(16);
  const nameKnown = new Uint8Array(16).fill(255);
  for (const device of devices) {
    for (let index = 0; index < 16; index++) {
      const difference = (name[index] ?? 0) ^ (device.name?.[index] ?? 0);
      nameKnown[index] = (nameKnown[index] ?? 0) & ~difference;
    }
  }
  return { name, nameKnown };
}
