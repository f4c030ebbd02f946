/** @module Whether a route leads into the overlay, past it, or somewhere else altogether. Pure. */
import type { Evidence } from '../check.ts';
import type { Route } from '../host/host.ts';

export interface Expected {
  /** Devices that the packets may leave by. */
  readonly devices: readonly string[];
  /** The route to the peer's node. */
  readonly underlay: Route | undefined;
  /** Addresses of the peer: a route by one of them needs no tunnel (direct routing, host-gw). */
  readonly peers: readonly string[];
}

export interface RouteProblem {
  readonly reason: 'overlay-route-missing' | 'pod-route-diverted';
  readonly evidence: Evidence;
}

/** What is wrong with a route to an address in the overlay; undefined where it leads there. */
export function judgeRoute(
  route: Route | undefined,
  { devices, underlay, peers }: Expected,
): RouteProblem | undefined {
  if (route === undefined) return { reason: 'overlay-route-missing', evidence: {} };
  const { type, interface: name, gateway, table } = route;
  const evidence: Evidence = {
    ...(name === '' ? {} : { interface: name }),
    ...(gateway === undefined ? {} : { gateway }),
    ...(table === undefined || table === mainTable || table === localTable ? {} : { table }),
    ...(type === 'unicast' ? {} : { routeType: type }),
  };
  if (type !== 'unicast') return { reason: 'pod-route-diverted', evidence };
  if (devices.includes(name)) return undefined;
  if (gateway !== undefined && peers.includes(gateway)) return undefined;
  // The default route, most often: nothing says any more that these addresses are in the overlay.
  if (name === underlay?.interface) return { reason: 'overlay-route-missing', evidence };
  return { reason: 'pod-route-diverted', evidence };
}

const mainTable = 254;
const localTable = 255;
