/** @module What a fault is to the matrix: how it is made, and what is true of it. */
import type { CulpritPlace } from '../../checks/check.ts';
import type { Family } from '../../checks/family.ts';
import type { LabNode, Place } from '../support/lab.ts';
import type { Random } from './random.ts';
import type { World } from './world.ts';

export const protocols = ['icmp', 'udp', 'tcp', 'vxlan', 'ipip'] as const;
export type Protocol = (typeof protocols)[number];

/** Requirements of the matrix's own provider: one a protocol, and those that need more than one packet. */
export type Topic = Protocol | 'mtu' | 'size' | 'overlay' | 'agreement';

/** Where a fault is to be made, and between whom. */
export interface Scene {
  readonly world: World;
  readonly sender: LabNode;
  readonly receiver: LabNode;
  /** A third node, of which nothing is wrong. */
  readonly other: LabNode;
  readonly family: Family;
  readonly protocol: Protocol;
  readonly udpPort: number;
  readonly tcpPort: number;
  /** Of UDP, TCP and VXLAN. */
  readonly port: number | undefined;
  /** Every port that the checks of the scene ask about, and those that agents talk by: no other rule may touch them. */
  readonly spared: readonly number[];
  readonly random: Random;
  /** Remembers how a place becomes what it was; the last comes first. */
  undo(step: () => Promise<unknown>): void;
}

/** A rule or a policy, as the one who wrote it knows it. */
export interface TrueRule {
  readonly backend: 'nf_tables' | 'iptables-nft' | 'iptables-legacy';
  readonly family: string;
  readonly table: string;
  readonly chain: string;
  readonly handle?: number;
  readonly number?: number;
  readonly policy?: string;
}

/** Which paths a fault may take along: `this` is the one from sender to receiver. */
export type Paths = 'this' | 'pair' | 'into-receiver' | 'out-of-sender' | 'receiver' | 'sender';

export interface Spread {
  readonly paths: Paths;
  readonly topics: readonly Topic[] | 'all';
}

export type Whose = 'sender' | 'receiver' | 'path';

/** What is true of the path from sender to receiver. */
export type Truth =
  | { readonly outcome: 'pass'; readonly topic?: Topic; readonly spread?: Spread }
  | {
      readonly outcome: 'fail';
      /** What is asked about; the protocol's own requirement unless told. */
      readonly topic?: Topic;
      readonly where: readonly CulpritPlace[];
      /** Whose fault it is. */
      readonly node: Whose;
      /** Whose it may be said to be as well: both would be right. */
      readonly orNode?: Whose;
      readonly reasons: readonly string[];
      readonly rule?: TrueRule;
      /** Two causes look the same from both ends: to say so is right. */
      readonly ambiguous?: boolean;
      /** Some of the probes may pass: then that it works is right, too. */
      readonly mayPass?: boolean;
      readonly spread: Spread;
    };

/** One class of faults. */
export interface Fault {
  readonly name: string;
  /** One line for the table. */
  readonly about: string;
  readonly protocols: readonly Protocol[];
  readonly families?: readonly Family[];
  inject(scene: Scene): Promise<Truth>;
}

/** What fails with a protocol because it is made of it. */
export function topicsOf(protocol: Protocol): readonly Topic[] {
  if (protocol === 'vxlan') return ['vxlan', 'size', 'overlay'];
  return protocol === 'icmp' ? ['icmp', 'mtu'] : [protocol];
}

/** The address of a node in the family of the scene. */
export function addressOf(node: LabNode, family: Family): string {
  return family === 'ipv4' ? node.address4 : node.address6;
}

/** Matches the probes of the scene, in nft's words. */
export function nftMatch({
  protocol,
  family,
  port,
}: Pick<Scene, 'protocol' | 'family' | 'port'>): string {
  switch (protocol) {
    case 'icmp':
      return family === 'ipv4' ? 'icmp type echo-request' : 'icmpv6 type echo-request';
    case 'udp':
    case 'vxlan':
      return `udp dport ${port ?? 0}`;
    case 'tcp':
      return `tcp dport ${port ?? 0}`;
    case 'ipip':
      return 'ip protocol 4';
  }
}

/** Matches what the receiver answers, in nft's words. */
export function nftAnswerMatch({
  protocol,
  family,
  port,
}: Pick<Scene, 'protocol' | 'family' | 'port'>): string {
  switch (protocol) {
    case 'icmp':
      return family === 'ipv4' ? 'icmp type echo-reply' : 'icmpv6 type echo-reply';
    case 'udp':
    case 'vxlan':
      return `udp sport ${port ?? 0}`;
    case 'tcp':
      return `tcp sport ${port ?? 0}`;
    case 'ipip':
      return 'ip protocol 4';
  }
}

/** `ip` or `ip6`: nft's word for an address of this family. */
export function nftFamily(family: Family): 'ip' | 'ip6' {
  return family === 'ipv4' ? 'ip' : 'ip6';
}

/** A table of one chain; all rules of the place go when the scene does. */
export async function chainUntilUndone(
  scene: Scene,
  place: Place,
  ...chain: Parameters<Place['chain']>
): Promise<void> {
  await place.chain(...chain);
  scene.undo(async () => {
    await place.flush();
  });
}
