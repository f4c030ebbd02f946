/**
 * @module Matches that nft adds by itself: `tcp dport 22` loads as `meta l4proto tcp` and the port. What nft would add is left out of
 * the text, and nothing else: the text loads as the very same expressions.
 */
import type { Family } from '../model.ts';

/** Protocols that the matches so far have told. */
export interface Context {
  readonly link?: 'ether' | 'vlan';
  readonly network?: 'ip' | 'ip6' | 'arp';
  /** IP protocol. */
  readonly transport?: number;
  readonly icmpType?: number;
}

/** A protocol that an expression reads. */
export type Need =
  | { readonly layer: 'link'; readonly protocol: 'ether' | 'vlan' }
  | {
      readonly layer: 'network';
      readonly protocol: 'ip' | 'ip6' | 'arp';
      /** Fields of the header itself; extension headers and ICMP ask in another way in bridges. */
      readonly isField: boolean;
    }
  | {
      readonly layer: 'transport';
      readonly protocol: number;
      readonly icmpTypes?: readonly number[];
    };

const etherTypes = { ip: 0x0800, ip6: 0x86dd, arp: 0x0806 } as const;
const nfprotos = { ip: 2, ip6: 10 } as const;
const vlanType = 0x8100;

/** What a table's family tells before any match. */
export function initialContext(family: Family): Context {
  if (family === 'ip' || family === 'ip6' || family === 'arp') return { network: family };
  return family === 'bridge' ? { link: 'ether' } : {};
}

/** Reads a match for equality, written as `meta l4proto 6`: what it tells about protocols. */
export function learn(context: Context, family: Family, match: string): Context {
  const at = match.lastIndexOf(' ');
  const value = Number(match.slice(at + 1));
  if (Number.isNaN(value)) return context;
  switch (match.slice(0, at)) {
    case 'meta iiftype':
      return value === 1 && context.link === undefined ? { ...context, link: 'ether' } : context;
    case 'meta nfproto':
      if (family !== 'inet' || context.network !== undefined) return context;
      return withNetwork(context, value === 2 ? 'ip' : value === 10 ? 'ip6' : undefined);
    case 'meta protocol':
      if (family !== 'netdev' && family !== 'bridge') return context;
      return withNetwork(context, networkOf(value));
    case 'ether type':
      if (value === vlanType) return { ...context, link: 'vlan' };
      return withNetwork(context, networkOf(value));
    case 'vlan type':
      return withNetwork(context, networkOf(value));
    case 'meta l4proto':
    case 'ip protocol':
    case 'ip6 nexthdr':
      return context.transport === undefined ? { ...context, transport: value } : context;
    case 'icmp type':
    case 'icmpv6 type':
      return context.icmpType === undefined ? { ...context, icmpType: value } : context;
    default:
      return context;
  }
}

function networkOf(etherType: number): Context['network'] {
  for (const name of ['ip', 'ip6', 'arp'] as const) {
    if (etherTypes[name] === etherType) return name;
  }
  return undefined;
}

function withNetwork(context: Context, network: Context['network']): Context {
  return network === undefined || context.network !== undefined ? context : { ...context, network };
}

/**
 * The matches that nft adds in front of an expression with these needs, in order, and the context behind them; undefined where nft
 * would refuse.
 */
export function addedMatches(
  start: Context,
  family: Family,
  needs: readonly Need[],
): { readonly matches: readonly string[]; readonly context: Context } | undefined {
  let context = start;
  const matches: string[] = [];
  const add = (match: string): void => {
    matches.push(match);
    context = learn(context, family, match);
  };
  const needNetwork = (protocol: 'ip' | 'ip6' | 'arp', isField: boolean): boolean => {
    if (context.network !== undefined) return context.network === protocol;
    const type = etherTypes[protocol];
    if (context.link === 'vlan') add(`vlan type ${type}`);
    else if (family === 'bridge') {
      add(isField && protocol !== 'arp' ? `meta protocol ${type}` : `ether type ${type}`);
    } else if (context.link === 'ether') add(`ether type ${type}`);
    else if (family === 'netdev') add(`meta protocol ${type}`);
    else if (family === 'inet' && protocol !== 'arp') add(`meta nfproto ${nfprotos[protocol]}`);
    return context.network === protocol;
  };
  for (const need of needs) {
    if (need.layer === 'link') {
      if (context.link === undefined) add('meta iiftype 1');
      if (need.protocol === 'vlan' && context.link !== 'vlan') add(`ether type ${vlanType}`);
    } else if (need.layer === 'network') {
      if (!needNetwork(need.protocol, need.isField)) return undefined;
    } else if (!needTransport(need.protocol, need.icmpTypes)) return undefined;
  }
  return { matches, context };

  function needTransport(protocol: number, icmpTypes: readonly number[] | undefined): boolean {
    if (context.transport === undefined) {
      if (context.network === undefined && (protocol === 1 || protocol === 2)) {
        needNetwork('ip', false);
      }
      if (context.network === undefined && protocol === 58) needNetwork('ip6', false);
      add(`meta l4proto ${protocol}`);
    }
    if (context.transport !== protocol) return false;
    if (icmpTypes === undefined) return true;
    if (context.icmpType === undefined) {
      const name = protocol === 1 ? 'icmp' : 'icmpv6';
      matches.push(`${name} type ${icmpTypes.join(',')}`);
      const [type] = icmpTypes;
      // A match of a set of types is none for equality: nft does not remember it.
      if (icmpTypes.length === 1 && type !== undefined) context = { ...context, icmpType: type };
      return true;
    }
    return icmpTypes.includes(context.icmpType);
  }
}
