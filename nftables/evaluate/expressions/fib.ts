/** @module `fib` (nft_fib.c, nft_fib_ipv4.c, nft_fib_ipv6.c): questions to the routing table. */
import type { ExpressionOf } from '../../model.ts';
import { parsePrefix } from '../address.ts';
import { nameBytes } from '../host.ts';
import {
  type Device,
  type Machine,
  type Step,
  type StepResult,
  store,
  storeUnknown,
  storeWord,
} from '../machine.ts';
import { type Address, addressAt } from '../state.ts';
import { isEqual, maybe, no, type Ternary, yes } from '../ternary.ts';
import type { Route } from '../types.ts';

/** enum rtn_type */
const routeTypes: Readonly<Record<Route['type'], number>> = {
  unicast: 1,
  local: 2,
  broadcast: 3,
  anycast: 4,
  multicast: 5,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
  throw: 9,
  nat: 10,
};
const loopbackType = 772;

export function compileFib(expression: ExpressionOf<'fib'>): Step {
  const { result, flags, register } = expression;
  const origin = `the route is not known (fib ${result})`;
  if (result === 'type') {
    return (machine) => {
      const address = addressOf(machine, flags.daddr);
      const device = flags.iif ? machine.input : flags.oif ? machine.output : undefined;
      const type = addressType(machine, address, device);
      storeWord(machine, register, type ?? 0, type === undefined ? 0 : 0xffffffff, origin);
      return yes;
    };
  }
  return (machine): StepResult => {
    const found = outputOf(machine, flags);
    if (flags.present) {
      const known = found === undefined ? new Uint8Array(1) : undefined;
      store(
        machine,
        register,
        Uint8Array.of(found === undefined || found === 'none' ? 0 : 1),
        known,
        1,
        origin,
      );
      return yes;
    }
    if (result === 'oifname') {
      if (found === undefined || (found !== 'none' && found.name === undefined)) {
        storeUnknown(machine, register, 16, origin);
      } else {
        store(
          machine,
          register,
          found === 'none' ? new Uint8Array(16) : (found.name ?? new Uint8Array(16)),
          undefined,
          16,
          origin,
        );
      }
      return yes;
    }
    const index = found === 'none' ? 0 : found?.index;
    storeWord(machine, register, index ?? 0, index === undefined ? 0 : 0xffffffff, origin);
    return yes;
  };
}

export function addressOf(machine: Machine, destination: boolean): Address {
  const { family, bytes, known } = machine.state;
  if (family === 'ip') return addressAt(bytes, known, destination ? 16 : 12, 4);
  return addressAt(bytes, known, destination ? 24 : 8, 16);
}

/** inet_dev_addr_type: what an address is to this host, or to one device of it. Undefined: not known. */
export function addressType(
  machine: Machine,
  address: Address,
  device?: Device,
): number | undefined {
  const { family } = machine.state;
  const { value, known } = address;
  const first = value[0] ?? 0;
  const told = known[0] ?? 0;
  if (family === 'ip') {
    // ipv4_is_multicast, ipv4_is_zeronet, ipv4_is_lbcast come before the table.
    if ((told & 0xf0) === 0xf0 && (first & 0xf0) === 0xe0) return routeTypes.multicast;
    if (told === 255 && first === 0) return routeTypes.broadcast;
    if (isEqual(value, known, 0, Uint8Array.of(255, 255, 255, 255)) === yes)
      return routeTypes.broadcast;
  } else if (told === 255 && first === 0xff) return routeTypes.multicast;
  // Without `local` table entries of routes there are only the addresses of the devices.
  const route = machine.host.route(family, value, known);
  if (route === undefined) {
    const local = machine.host.isLocal(family, value, known);
    return local === yes && device === undefined ? routeTypes.local : undefined;
  }
  if (route === 'none') return family === 'ip' ? routeTypes.unicast : routeTypes.unreachable;
  if (family === 'ip6' && isAnycast(route, address)) return routeTypes.anycast;
  if (device === undefined) return routeTypes[route.type];
  if (family === 'ip') return onDevice(machine, route, device, routeTypes[route.type]);
  return route.type === 'local' ? undefined : routeTypes[route.type];
}

/** ipv6_anycast_destination: the first address of a net that is reached without a gateway is that of its routers. */
function isAnycast({ destination, gateway }: Route, { value, known }: Address): boolean {
  const prefix = parsePrefix(destination, 'ip6');
  if (gateway !== undefined || prefix === undefined) return false;
  const length = Number(destination.split('/')[1] ?? 128);
  return length < 127 && isEqual(value, known, 0, prefix.bytes) === yes;
}

/** Only the local table is asked with a device in mind, and its result counts if it is by this device; else it is unicast. */
function onDevice(
  machine: Machine,
  route: Route,
  device: Device,
  type: number,
): number | undefined {
  if (device.present !== yes) return device.present === no ? type : undefined;
  if (type !== routeTypes.local && type !== routeTypes.broadcast) return routeTypes.unicast;
  const by = isBy(machine, route, device);
  if (by === maybe) return undefined;
  return by === yes ? type : routeTypes.unicast;
}

function isBy(machine: Machine, route: Route, device: Device): Ternary {
  const { name } = device;
  if (name === undefined) return maybe;
  if (route.interfaces.length === 0) return maybe;
  const same = route.interfaces.some((text) =>
    nameBytes(text).every((byte, index) => byte === name[index]),
  );
  // Addresses of loopback's net are on lo; those of another device have their local route there too.
  void machine;
  return same ? yes : no;
}

/** The device that the answer would leave by. `none`: there is no such route, or not by the wanted device. */
export function outputOf(
  machine: Machine,
  flags: ExpressionOf<'fib'>['flags'],
): Device | 'none' | undefined {
  const { host, state, hook } = machine;
  const wanted = flags.oif ? machine.output : flags.iif ? machine.input : undefined;
  // nft_fib_is_loopback: what loops back is not looked up.
  if (hook === 'prerouting' && machine.input.type === loopbackType) return machine.input;
  if (hook === 'prerouting' && machine.input.type === undefined) return undefined;
  // The mark chooses a route only where rules of routing ask for it.
  const { value, known } = addressOf(machine, flags.daddr);
  const route = host.route(state.family, value, known);
  if (route === undefined) return undefined;
  if (route === 'none') return 'none';
  // fib_lookup fails for blackhole and its like; a local address is no way out.
  if (route.type !== 'unicast') {
    return route.type === 'broadcast' || route.type === 'multicast' || route.type === 'anycast'
      ? undefined
      : 'none';
  }
  const [only] = route.interfaces;
  if (wanted === undefined || wanted.present === no) {
    return only === undefined || route.interfaces.length > 1 ? undefined : host.device(only);
  }
  const by = isBy(machine, route, wanted);
  if (by === maybe) return undefined;
  // fib_info_nh_uses_dev looks through all ways of a multipath route; of IPv6 one of them is chosen.
  if (by === yes) return state.family === 'ip6' && route.interfaces.length > 1 ? undefined : wanted;
  return 'none';
}

/** xt_rpfilter: whether the way back to the source leads out by the device that the packet came in by. Undefined: not known. */
export function isReversePath(machine: Machine): boolean | undefined {
  const found = outputOf(machine, {
    saddr: true,
    daddr: false,
    mark: false,
    iif: true,
    oif: false,
    present: true,
  });
  return found === undefined ? undefined : found !== 'none';
}
