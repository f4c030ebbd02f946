/** @module Values that packets in this arena can have: addresses that are routed the way a rule is asked about. */

import type { Direction } from '../evaluate/types.ts';
import { type IpFamily, type Network, parseNetwork } from './address.ts';
import { type InterfaceName, interfaces, localNetwork, networks } from './arena.ts';
import type { Random } from './random.ts';

const strangers = {
  ip: parseNetwork('172.16.0.0/12'),
  ip6: parseNetwork('2001:db8::/32'),
} as const;
const local = { ip: parseNetwork(localNetwork.ip), ip6: parseNetwork(localNetwork.ip6) } as const;
const peers = new Map(
  interfaces.map((name) => [
    name,
    { ip: parseNetwork(networks[name].ip), ip6: parseNetwork(networks[name].ip6) },
  ]),
);

/** In small parts of a network, so that packets of one rule come near those of another. */
export function drawAddress(random: Random, network: Network): bigint {
  const span = network.last - network.first;
  if (random.chance(0.8))
    return network.first + BigInt(random.below(8) * 256 + random.between(1, 40));
  return network.first + (((BigInt(random.u32()) << 32n) | BigInt(random.u32())) % span);
}

export function drawSource(random: Random, direction: Direction, family: IpFamily): bigint {
  if (direction === 'out') return drawAddress(random, local[family]);
  return drawAddress(
    random,
    random.chance(0.4) ? strangers[family] : peerNetwork(random.pick(interfaces), family),
  );
}

export function drawDestination(
  random: Random,
  direction: Direction,
  family: IpFamily,
  through?: string,
): bigint {
  if (direction === 'in') return drawAddress(random, local[family]);
  const name = interfaces.find((one) => one === through) ?? random.pick(interfaces);
  return drawAddress(random, peerNetwork(name, family));
}

export const peerNetwork = (name: InterfaceName, family: IpFamily): Network => {
  const both = peers.get(name);
  if (both === undefined) throw new Error(`no network behind ${name}`);
  return both[family];
};

/** Where a packet to this address goes: `in`, or the interface that it leaves by; undefined where it would not go at all. */
export function wayTo(address: bigint, family: IpFamily): 'in' | InterfaceName | undefined {
  const inside = ({ first: a, last: b }: Network): boolean => address >= a && address <= b;
  if (inside(local[family])) return 'in';
  for (const [name, both] of peers) if (inside(both[family])) return name;
  if (inside(strangers[family])) return 'wan0';
  return undefined;
}

const likelyPorts = [22, 53, 80, 123, 179, 443, 4789, 6443, 8080, 8472, 10250, 30000, 32767];

export function drawPort(random: Random): number {
  return random.chance(0.7)
    ? random.pick(likelyPorts) + random.between(0, 3)
    : random.between(1, 65535);
}
