/** @module Packets for a ruleset that nobody generated: of the addresses and ports that stand in it, and of others. */
import { parseAddress } from '../../../nftables/differential/address.ts';
import { connectionKey, stateOf } from '../../../nftables/differential/aim.ts';
import { interfaces } from '../../../nftables/differential/arena.ts';
import {
  drawDestination,
  drawPort,
  drawSource,
  wayTo,
} from '../../../nftables/differential/pools.ts';
import type { Random } from '../../../nftables/differential/random.ts';
import { hasPorts, isIcmp, type Shot } from '../../../nftables/differential/shot.ts';

/** What the text of a ruleset names. */
export interface Named {
  readonly ports: readonly number[];
  readonly addresses: readonly bigint[];
}

export function namedIn(text: string): Named {
  const ports = new Set<number>();
  const lists = [...text.matchAll(/[sd]ports? (?:!= )?(?:vmap )?(\{[^}]*\}|\S+)/g)];
  for (const [, list = ''] of [...lists, ...text.matchAll(/ elements = (\{[^}]*\})/g)]) {
    for (const [word] of list.matchAll(/(?<![\d.])\d{2,5}(?![\d.])/g)) {
      const port = Number(word);
      if (port < 65_535) for (const near of [port - 1, port, port, port, port + 1]) ports.add(near);
    }
  }
  const addresses = new Set<bigint>();
  for (const [word] of text.matchAll(/\b(?:10|172|198)\.\d+\.\d+\.\d+\b/g)) {
    const address = parseAddress(word);
    for (const near of [address, address + 1n, address + 2n, address + 300n]) addresses.add(near);
  }
  return { ports: [...ports], addresses: [...addresses] };
}

/** So many packets, no two of one connection. */
export function drawShots(random: Random, named: Named, count: number): readonly Shot[] {
  const shots = new Map<string, Shot>();
  for (let tries = 0; shots.size < count && tries < 100 * count; tries++) {
    const shot = drawShot(random, named);
    if (shot !== undefined) shots.set(connectionKey(shot), shot);
  }
  return [...shots.values()];
}

function drawShot(random: Random, { ports, addresses }: Named): Shot | undefined {
  const family = random.chance(0.75) ? 'ip' : 'ip6';
  const direction = random.weigh([
    [5, 'in'],
    [3, 'forward'],
    [2, 'out'],
  ] as const);
  const isNamed = family === 'ip' && addresses.length > 0;
  const source =
    isNamed && random.chance(0.5) ? random.pick(addresses) : drawSource(random, direction, family);
  const destination =
    isNamed && random.chance(0.5)
      ? random.pick(addresses)
      : drawDestination(random, direction, family);
  const way = wayTo(destination, family);
  const sourceWay = wayTo(source, family);
  if (way === undefined || sourceWay === undefined) return undefined;
  if ((direction === 'in') !== (way === 'in') || (direction === 'out') !== (sourceWay === 'in')) {
    return undefined;
  }
  const icmp = family === 'ip' ? 1 : 58;
  const protocol = random.weigh([
    [10, 6],
    [6, 17],
    [3, icmp],
    [1, 4],
  ] as const);
  if (protocol === 4 && family === 'ip6') return undefined;
  // From where it would be answered, mostly: hosts that check the way back drop the others.
  const inInterface =
    random.chance(0.8) && sourceWay !== 'in' ? sourceWay : random.pick(interfaces);
  const isKnown = protocol !== 4 && random.chance(0.12);
  const icmpType = drawType(random, icmp, isKnown);
  const tcpFlags = isKnown ? 16 : random.chance(0.9) ? 2 : random.pick([16, 18, 4, 1, 0]);
  const connection = isKnown ? random.pick(['original', 'reply'] as const) : undefined;
  const pickPort = (): number =>
    ports.length > 0 && random.chance(0.8) ? random.pick(ports) : drawPort(random);
  return {
    direction,
    family,
    protocol,
    source,
    destination,
    sourcePort: random.chance(0.9) ? random.between(1024, 65_000) : pickPort(),
    destinationPort: pickPort(),
    icmpType: connection === 'reply' ? answerTo(icmpType) : icmpType,
    icmpCode: 0,
    icmpId: random.between(1, 65_535),
    tcpFlags,
    ...(direction === 'out' ? {} : { inInterface }),
    ...(way === 'in' ? {} : { outInterface: way }),
    conntrack: isKnown ? 'established' : stateOf(protocol, tcpFlags, icmpType),
    ...(connection === undefined ? {} : { connection }),
    connectionMark: 0,
    mark: 0,
    ttl: random.chance(0.95) ? 64 : 4,
    dscp: 0,
    payload: new Uint8Array(16).map(() => random.below(256)),
    tcpOptions: new Uint8Array(0),
  };
}

function drawType(random: Random, protocol: number, isEcho: boolean): number {
  const echo = protocol === 1 ? 8 : 128;
  if (isEcho || random.chance(0.6)) return echo;
  return random.pick(protocol === 1 ? [3, 11, 13, 17] : [1, 3, 129, 139]);
}

function answerTo(type: number): number {
  return type === 8 ? 0 : type === 128 ? 129 : type;
}

/** For a person who reads that an answer was wrong. */
export function shotText(shot: Shot): string {
  const { direction, family, protocol, inInterface = '', outInterface = '' } = shot;
  const ends = [shot.source, shot.destination].map((address) => address.toString(16)).join(' > ');
  const ports = hasPorts(protocol) ? `${shot.sourcePort} > ${shot.destinationPort}` : '';
  const type = isIcmp(protocol) ? `type ${shot.icmpType}` : '';
  const flags = protocol === 6 ? `flags ${shot.tcpFlags}` : '';
  return `${direction} ${family} protocol ${protocol} ${ends} ${ports}${type} ${flags} ${inInterface}>${outInterface} ${shot.conntrack}`;
}
