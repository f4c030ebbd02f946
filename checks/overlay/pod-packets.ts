/** @module Packets between a pod of this node and one of another node, as this node's routes and devices would carry them. Pure. */
import type { Packet, Route } from 'node-nftables';
import type { Family } from '../family.ts';
import type { Surroundings } from '../host/surroundings.ts';
import { addressIn, parsePrefix } from '../packet/prefix.ts';
import { matchesDevice } from './devices.ts';

/** Devices by name; a trailing `*` matches any ending. */
export interface PodDevices {
  readonly tunnels: readonly string[];
  readonly pods: readonly string[];
}

/** The two ends of pods' packets of one family: an address, and the device that leads to it. */
export interface PodWay {
  readonly family: Family;
  readonly here: PodEnd;
  readonly there: PodEnd;
}

export interface PodEnd {
  readonly device: string;
  /** What a rule would name: the tunnel, or all devices of pods, which come and go. */
  readonly pattern: string;
  readonly address: string;
}

/** One way for each family that has both ends; undefined where the routes are not known. */
export function podWays(
  { routes }: Pick<Surroundings, 'routes'>,
  { tunnels, pods }: PodDevices,
): readonly PodWay[] | undefined {
  if (routes === undefined) return undefined;
  return (['ipv4', 'ipv6'] as const).flatMap((family) => {
    const ends = routes.filter((route) => isToPods(route, family));
    const tunnel = firstEnd(ends, tunnels);
    const there = tunnel === undefined ? undefined : { ...tunnel, pattern: tunnel.device };
    const here = firstEnd(ends, pods);
    return there === undefined || here === undefined ? [] : [{ family, here, there }];
  });
}

/** Not those of the link itself (fe80::/64) and of multicast, which the kernel makes on every device. */
function isToPods({ family, type, table, destination }: Route, wanted: Family): boolean {
  if (type !== 'unicast' || table !== 'main') return false;
  if (family !== (wanted === 'ipv4' ? 'ip' : 'ip6')) return false;
  return !/^(fe[89ab]|ff|169\.254\.|::\/0|0\.0\.0\.0\/0)/.test(destination);
}

/** The third address of a prefix: the first two are of the tunnel and of the bridge. A prefix of one address is that of one pod. */
function firstEnd(routes: readonly Route[], patterns: readonly string[]): PodEnd | undefined {
  for (const { destination, interfaces } of routes) {
    const device = interfaces.find((name) => matchesDevice(patterns, name));
    const prefix = parsePrefix(destination);
    if (device === undefined || prefix === undefined) continue;
    const address = addressIn(prefix, 2) ?? addressIn(prefix, 0);
    const pattern = patterns.find((one) => matchesDevice([one], device)) ?? device;
    if (address !== undefined) return { device, pattern, address };
  }
  return undefined;
}

/** What is asked of the rules in the name of all pods: services of three kinds. */
const services = [
  { protocol: 6, destinationPort: 8080 },
  { protocol: 6, destinationPort: 443 },
  { protocol: 17, destinationPort: 53 },
] as const;

/** New connections between the two, in the direction that is asked for. */
export function podPackets({ family, here, there }: PodWay, direction: 'in' | 'out'): Packet[] {
  const [from, to] = direction === 'in' ? [there, here] : [here, there];
  return services.map((service) => ({
    direction: 'forward',
    family: family === 'ipv4' ? 'ip' : 'ip6',
    ...service,
    source: from.address,
    destination: to.address,
    inInterface: from.device,
    outInterface: to.device,
    conntrack: 'new',
    mark: 0,
  }));
}
