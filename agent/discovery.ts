/** @module Who the peers are, besides those that the configuration names. */
import { lookup } from 'node:dns/promises';
import { isIPv4 } from 'node:net';
import type { Configuration } from './config.ts';
import { type Peer, withoutOwn } from './peer-list.ts';

/** Finds the peers of now. */
export interface Discovery {
  /** The peers; names that cannot be resolved keep the addresses that they had. */
  find(): Promise<readonly Peer[]>;
}

/** More peers than any cluster has nodes: a wrong name must not fill the memory. */
const maximumPeers = 10_000;

/** Static peers, and with `--discover dns` every address of every name, asked anew each time. */
export function createDiscovery(
  values: Pick<Configuration, 'peers' | 'discover' | 'discoverName'>,
  options: {
    readonly ownAddresses: () => Promise<readonly string[]>;
    readonly onProblem: (name: string, error: unknown) => void;
    readonly resolve?: (name: string) => Promise<readonly string[]>;
  },
): Discovery {
  const resolve = options.resolve ?? resolveName;
  const last = new Map<string, readonly string[]>();
  return {
    async find() {
      if (values.discover !== 'dns') return values.peers;
      const found: Peer[] = [...values.peers];
      const known = new Set(found.flatMap(({ addresses }) => Object.values(addresses)));
      for (const name of values.discoverName) {
        try {
          last.set(name, await resolve(name));
        } catch (error) {
          options.onProblem(name, error);
        }
        const fresh = (last.get(name) ?? []).filter((address) => !known.has(address));
        for (const address of fresh) known.add(address);
        found.push(...peersOfName(name, fresh));
      }
      const others = withoutOwn(found, await options.ownAddresses());
      return others.peers.slice(0, maximumPeers);
    },
  };
}

/** A name of one node names it; a name of many nodes (a headless service) leaves them their addresses. */
function peersOfName(name: string, addresses: readonly string[]): Peer[] {
  const ipv4 = addresses.filter((address) => isIPv4(address));
  const ipv6 = addresses.filter((address) => !isIPv4(address));
  const [one4] = ipv4;
  const [one6] = ipv6;
  if (ipv4.length <= 1 && ipv6.length <= 1 && addresses.length > 0) {
    return [
      {
        name,
        addresses: {
          ...(one4 === undefined ? {} : { ipv4: one4 }),
          ...(one6 === undefined ? {} : { ipv6: one6 }),
        },
      },
    ];
  }
  return [
    ...ipv4.map((address) => ({ name: address, addresses: { ipv4: address } })),
    ...ipv6.map((address) => ({ name: address, addresses: { ipv6: address } })),
  ];
}

async function resolveName(name: string): Promise<readonly string[]> {
  const all = await lookup(name, { all: true, verbatim: true });
  return [...new Set(all.map(({ address }) => address))].sort();
}
