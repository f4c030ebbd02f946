/** @module Packets for rules: one that a rule matches, and those beside it by one step in one field. */
import type { ConntrackState } from '../evaluate/types.ts';
import { interfaces } from './arena.ts';
import { type Draft, type Field, solve, type Value } from './constraint.ts';
import type { Aim } from './generate.ts';
import { usualFlags } from './matches.ts';
import { drawDestination, drawPort, drawSource, wayTo } from './pools.ts';
import type { Random } from './random.ts';
import { hasPorts, isIcmp, type Shot, tagLength } from './shot.ts';

/** Packets aimed at one rule: `tries` that should match, and `neighbours` that should just not, or only just. */
export function shotsAt(random: Random, aim: Aim, tries: number, neighbours: number): Shot[] {
  const out: Shot[] = [];
  const keep = (shot: Shot | undefined): void => {
    if (shot !== undefined) out.push(shot);
  };
  for (let i = 0; i < tries; i++) {
    const draft = solve(random, aim.constraints);
    if (draft !== undefined) keep(shotOf(random, aim, draft));
  }
  const edged = aim.constraints.filter(({ edges }) => edges.length > 0);
  for (let i = 0; i < neighbours && edged.length > 0; i++) {
    const draft = solve(random, aim.constraints);
    if (draft === undefined) continue;
    const { field, edges } = random.pick(edged);
    keep(shotOf(random, aim, new Map([...draft, [field, random.pick(edges)]])));
  }
  return out;
}

/** A packet whose every field may come from another rule's matches. */
export function mixedShot(random: Random, aims: readonly Aim[]): Shot | undefined {
  const aim = random.pick(aims);
  const draft = new Map<Field, Value>();
  for (let i = 0; i < 3; i++) {
    const other = random.pick(aims);
    if (other.family !== aim.family || other.direction !== aim.direction) continue;
    for (const { field, values, edges } of other.constraints) {
      const choice = random.chance(0.7) ? values : edges;
      if (choice.length > 0 && random.chance(0.6)) draft.set(field, random.pick(choice));
    }
  }
  return shotOf(random, { ...aim, protocol: random.chance(0.8) ? aim.protocol : 17 }, draft);
}

const noBytes = new Uint8Array(0);

/** Undefined where no such packet can come that way. */
function shotOf(random: Random, aim: Aim, draft: Draft): Shot | undefined {
  const { direction, family } = aim;
  const number = (field: Field, otherwise: () => number): number => {
    const value = draft.get(field);
    return typeof value === 'number' ? value : otherwise();
  };
  const text = (field: Field): string | undefined => {
    const value = draft.get(field);
    return typeof value === 'string' ? value : undefined;
  };
  const address = (field: Field, otherwise: () => bigint): bigint => {
    const value = draft.get(field);
    return typeof value === 'bigint' ? value : otherwise();
  };
  const protocol = number('protocol', () => aim.protocol);
  if (family === 'ip' ? protocol === 58 : protocol === 1) return undefined;
  const source = address('source', () => drawSource(random, direction, family));
  const destination = address('destination', () =>
    drawDestination(random, direction, family, text('outInterface')),
  );
  const way = wayTo(destination, family);
  const sourceWay = wayTo(source, family);
  if (way === undefined || sourceWay === undefined) return undefined;
  if ((direction === 'in') !== (way === 'in')) return undefined;
  // The host takes no packet from outside that claims its own address.
  if ((direction === 'out') !== (sourceWay === 'in')) return undefined;
  const wantedOut = text('outInterface');
  if (way !== 'in' && wantedOut !== undefined && wantedOut !== way) return undefined;
  const mark = number('mark', () => 0);
  if (direction !== 'out' && mark !== 0) return undefined;
  const ttl = number('ttl', () => 64);
  if (ttl < 3 || ttl > 255) return undefined;
  const connection = connectionOf(random, draft, protocol, aim);
  const icmpType = number('icmpType', () => echo(protocol, connection));
  const isTracked = connection !== undefined && (!isIcmp(protocol) || isEcho(protocol, icmpType));
  const tcpFlags = number('tcpFlags', () =>
    isTracked ? 16 : random.chance(0.9) ? 2 : random.pick(usualFlags),
  );
  if (tcpFlags < 0 || tcpFlags > 63) return undefined;
  const mss = protocol === 6 ? number('mss', () => (random.chance(0.2) ? 1460 : 0)) : 0;
  const tcpOptions = mss === 0 ? noBytes : Uint8Array.of(2, 4, mss >> 8, mss & 255);
  const headers =
    (family === 'ip' ? 20 : 40) +
    (protocol === 6 ? 20 + tcpOptions.length : hasPorts(protocol) || isIcmp(protocol) ? 8 : 0);
  const length = number('length', () => headers + tagLength + 8 + random.below(40));
  const payload = new Uint8Array(Math.max(0, length - headers - tagLength));
  if (length < headers + tagLength || length > 1400) return undefined;
  if (payload.length >= 4) {
    new DataView(payload.buffer).setUint32(
      0,
      number('word', () => random.u32()),
    );
  }
  return {
    direction,
    family,
    protocol,
    source,
    destination,
    sourcePort: number('sourcePort', () => random.between(1024, 65535)),
    destinationPort: number('destinationPort', () => drawPort(random)),
    icmpType,
    icmpCode: number('icmpCode', () => 0),
    icmpId: random.between(1, 65535),
    tcpFlags,
    ...(direction === 'out' ? {} : { inInterface: text('inInterface') ?? random.pick(interfaces) }),
    ...(way === 'in' ? {} : { outInterface: way }),
    conntrack: isTracked ? 'established' : stateOf(protocol, tcpFlags, icmpType),
    ...(isTracked ? { connection } : {}),
    connectionMark: isTracked ? number('connectionMark', () => random.below(16)) : 0,
    mark,
    ttl,
    dscp: number('dscp', () => (random.chance(0.8) ? 0 : random.below(64))),
    payload,
    tcpOptions,
  };
}

function connectionOf(
  random: Random,
  draft: Draft,
  protocol: number,
  aim: Aim,
): 'original' | 'reply' | undefined {
  const value = draft.get('connection');
  if (!isConnected(protocol)) return undefined;
  // With flags or types of its own a packet may be one that no connection has.
  if (draft.has('tcpFlags') || draft.has('icmpType')) return undefined;
  if (value === 'original' || value === 'reply') return value;
  if (value !== undefined) return undefined;
  // Packets of what is known go past nat rules: not many of them where one aims at these.
  return random.chance(aim.kinds.includes('nat') ? 0.02 : 0.06)
    ? random.pick(['original', 'reply'] as const)
    : undefined;
}

function echo(protocol: number, connection: 'original' | 'reply' | undefined): number {
  if (protocol === 58) return connection === 'reply' ? 129 : 128;
  return connection === 'reply' ? 0 : 8;
}

const isEcho = (protocol: number, type: number): boolean =>
  protocol === 1 ? type === 8 || type === 0 : type === 128 || type === 129;

/** What conntrack takes a first packet for (nf_conntrack_proto_tcp.c, _icmp.c, _icmpv6.c; nf_conntrack_tcp_loose is on). */
export function stateOf(protocol: number, tcpFlags: number, icmpType: number): ConntrackState {
  if (protocol === 6) {
    // PSH counts for nothing. SYN alone begins, ACK alone is picked up midway.
    const flags = tcpFlags & ~8;
    return flags === 2 || flags === 34 || flags === 16 || flags === 48 ? 'new' : 'invalid';
  }
  if (protocol === 1) return [8, 13, 15, 17].includes(icmpType) ? 'new' : 'invalid';
  if (protocol === 58) {
    if (icmpType === 128 || icmpType === 139) return 'new';
    const isNeighbourOrGroup = (icmpType >= 130 && icmpType <= 136) || icmpType === 143;
    return isNeighbourOrGroup ? 'untracked' : 'invalid';
  }
  return 'new';
}

const isConnected = (protocol: number): boolean =>
  protocol === 6 || protocol === 17 || isIcmp(protocol);

/** Two packets of one connection must not stand in one batch: the second would find the first one's entry. */
export function connectionKey(shot: Shot): string {
  const { protocol, source, destination } = shot;
  const rest = !isConnected(protocol)
    ? ''
    : hasPorts(protocol)
      ? `${shot.sourcePort} ${shot.destinationPort}`
      : `${shot.icmpId}`;
  return `${protocol} ${source} ${destination} ${rest}`;
}
