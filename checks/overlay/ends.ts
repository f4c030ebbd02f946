/** @module What a node tells its peers of its end of the overlay: read from its devices, once a round. */
import type { Family } from '../family.ts';
import { judge } from '../firewall-verdict.ts';
import type { FirewallView } from '../host/firewall.ts';
import { type Host, HostError, type InterfaceAddress, type Link } from '../host/host.ts';
import { addressIn, isInside, overlap, parsePrefix, prefixText } from '../packet/prefix.ts';
import type { OverlayEnds, TunnelEnd } from '../peer-channel.ts';
import { agentPort } from '../peer-client.ts';
import { matchesDevice } from './devices.ts';

/** The devices of a provider that belong to the overlay, by name. */
export interface OverlayDevices {
  /** Those that carry packets to other nodes. */
  readonly tunnels: readonly string[];
  /** Those that pods are behind, with an address of the pods' own prefix. */
  readonly bridges: readonly string[];
  /** Files with lines `FLANNEL_SUBNET=10.244.1.1/24`. */
  readonly subnetFiles: readonly string[];
}

export const noOverlayDevices: OverlayDevices = { tunnels: [], bridges: [], subnetFiles: [] };
export const noOverlayEnds: OverlayEnds = {
  overlay: {},
  answers: [],
  tunnels: {},
  down: [],
  podSubnets: [],
};

type Machine = Pick<Host, 'links' | 'addresses' | 'routes' | 'readText' | 'firewall'>;

/** Peers tell the difference between families by the address; more than so many entries fit into no response. */
const mostEntries = 8;
const mostTunnels = 4;

/** Reads this node's end of the overlay. */
export async function readOverlayEnds(
  host: Machine,
  devices: OverlayDevices,
): Promise<OverlayEnds> {
  const names = [...devices.tunnels, ...devices.bridges];
  const all = (await host.links()).filter(({ name }) => names.includes(name));
  const addresses = await host.addresses();
  const own = addresses
    .filter(({ interface: name, scope }) => names.includes(name) && scope === 'global')
    .slice(0, mostEntries);
  const links = all.filter(({ name }) => devices.tunnels.includes(name));
  if (own.length === 0 && links.length === 0) return noOverlayEnds;
  return {
    overlay: Object.fromEntries(own.map((one) => [nameOf(one), one.address])),
    answers: await openAddresses(host, own, links),
    tunnels: Object.fromEntries(
      links.slice(0, mostTunnels).map((link) => [link.name, endOf(link, addresses)]),
    ),
    down: all
      .filter(({ up }) => !up)
      .map(({ name }) => name)
      .slice(0, mostTunnels),
    podSubnets: await podSubnets(host, addresses, devices),
  };
}

function nameOf({ interface: name, family }: InterfaceAddress): string {
  return `${name}/${family}`;
}

function endOf({ mac, local }: Link, addresses: readonly InterfaceAddress[]): TunnelEnd {
  return {
    ...(mac === undefined ? {} : { mac }),
    ...(local === undefined ? {} : { local }),
    ...(isStray(local, addresses) ? { stray: true } : {}),
  };
}

/** Whether a tunnel sends from an address that this node does not have. */
export function isStray(
  local: string | undefined,
  addresses: readonly Pick<InterfaceAddress, 'address'>[],
): boolean {
  return local !== undefined && !addresses.some(({ address }) => address === local);
}

/** Prefixes of the own pods: those of the bridges, and what flanneld has written down. */
export async function podSubnets(
  { readText }: Pick<Host, 'readText'>,
  addresses: readonly InterfaceAddress[],
  { bridges, subnetFiles }: OverlayDevices,
): Promise<readonly string[]> {
  const found = new Set<string>();
  for (const { interface: name, address, prefixLength, scope } of addresses) {
    if (!matchesDevice(bridges, name) || scope !== 'global') continue;
    const prefix = parsePrefix(`${address}/${prefixLength}`);
    if (prefix !== undefined) found.add(prefixText(prefix));
  }
  for (const path of subnetFiles) {
    const text = await readable(async () => await readText(path));
    for (const value of settings(text ?? '', /^FLANNEL_(?:IPV6_)?SUBNET=(\S+)$/gm))
      found.add(value);
  }
  return [...found].slice(0, mostEntries);
}

/** The prefixes of all pods of the cluster, where a file tells them. */
export async function podNetworks(
  { readText }: Pick<Host, 'readText'>,
  { subnetFiles }: Pick<OverlayDevices, 'subnetFiles'>,
): Promise<readonly string[]> {
  const texts = await Promise.all(
    subnetFiles.map(async (path) => await readable(async () => await readText(path))),
  );
  return texts.flatMap((text) => settings(text ?? '', /^FLANNEL_(?:IPV6_)?NETWORK=(\S+)$/gm));
}

/** Prefixes in values, several of which a comma may part. */
function settings(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)]
    .flatMap(([, value = '']) => value.split(','))
    .flatMap((value) => {
      const prefix = parsePrefix(value);
      return prefix === undefined ? [] : [prefixText(prefix)];
    });
}

/** Those addresses where the own rules certainly let in what a peer's agent sends through the tunnel. */
async function openAddresses(
  host: Machine,
  own: readonly InterfaceAddress[],
  links: readonly Link[],
): Promise<readonly string[]> {
  const reading = await host.firewall();
  if (!reading.readable) return [];
  const { view } = reading;
  const sources = await farAddresses(host, links);
  return own
    .filter((one) => {
      const through = links.find(({ name }) => name === one.interface) ?? links[0];
      const source = sources.find(({ family }) => family === one.family);
      return source !== undefined && lets(view, one, source.address, through?.name);
    })
    .map(nameOf);
}

function lets(
  view: FirewallView,
  { address, family }: InterfaceAddress,
  source: string,
  inInterface: string | undefined,
): boolean {
  const packet = {
    direction: 'in',
    protocol: 17,
    family: family === 'ipv4' ? 'ip' : 'ip6',
    source,
    destination: address,
    destinationPort: agentPort,
    ...(inInterface === undefined ? {} : { inInterface }),
    conntrack: 'new',
    mark: 0,
  } as const;
  const answer = view.evaluate(packet);
  return judge(packet, answer, view.programsFor(packet), view.ruleset).verdict === 'accept';
}

/** One address of a far end in each family: the first of a prefix that is routed through a tunnel. */
async function farAddresses(
  { routes }: Pick<Host, 'routes'>,
  links: readonly Link[],
): Promise<readonly { readonly family: Family; readonly address: string }[]> {
  const names = new Set(links.map(({ name }) => name));
  const all = (await readable(routes)) ?? [];
  return (['ipv4', 'ipv6'] as const).flatMap((family) => {
    const route = all.find(
      (one) =>
        one.family === family &&
        one.type === 'unicast' &&
        one.hops.some((hop) => names.has(hop.interface)) &&
        // The kernel's own are of multicast and of the link.
        one.protocol !== 2,
    );
    const prefix = route === undefined ? undefined : parsePrefix(route.destination);
    const address = prefix === undefined ? undefined : addressIn(prefix, 0);
    return address === undefined ? [] : [{ family, address }];
  });
}

/** What may not be looked at is not known; it is no reason to say nothing at all. */
async function readable<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof HostError) return undefined;
    throw error;
  }
}

/** Own and foreign prefixes of pods that share addresses. */
export function sharedSubnet(
  own: readonly string[],
  theirs: readonly string[],
): readonly [string, string] | undefined {
  for (const one of own) {
    const prefix = parsePrefix(one);
    for (const other of theirs) {
      const otherPrefix = parsePrefix(other);
      if (prefix !== undefined && otherPrefix !== undefined && overlap(prefix, otherPrefix))
        return [one, other];
    }
  }
  return undefined;
}

/** Whether an address lies in one of these prefixes. */
export function subnetWith(address: string, subnets: readonly string[]): string | undefined {
  const wanted = parsePrefix(address);
  return wanted === undefined
    ? undefined
    : subnets.find((text) => {
        const prefix = parsePrefix(text);
        return prefix !== undefined && isInside(wanted, prefix);
      });
}
