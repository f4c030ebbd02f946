/** @module Sends packets through the host under test, and hears from the kernel what became of each. */

import { bytesOf, macBytes } from './address.ts';
import type { Arena } from './arena.ts';
import { hostMac, interfaces, outsideMac } from './arena.ts';
import { decodeLegacyTraces, type LegacyEvent, openLegacyTraces } from './legacy-trace.ts';
import { openNetfilter } from './netlink.ts';
import { endTable, startTable } from './scaffold.ts';
import { bytesOfShot, isIcmp, type Shot, tagOf } from './shot.ts';
import {
  AF_INET,
  AF_INET6,
  AF_PACKET,
  bindSocket,
  enterNetwork,
  openSocket,
  receive,
  SOCK_RAW,
  sendTo,
  setMark,
  setOption,
  setReceiveBuffer,
} from './system.ts';
import { decodeTraces, NFNLGRP_NFTRACE, type TraceEvent } from './trace.ts';

/** What the kernel did with one packet. */
export interface Observation {
  /** In order; without those of the chains of the scaffold that come first. */
  readonly events: readonly TraceEvent[];
  /** Of legacy iptables, in order too. */
  readonly legacy: readonly LegacyEvent[];
  /** The host's own stack got it. */
  readonly delivered: boolean;
  /** Interfaces that it left by. */
  readonly left: readonly string[];
  /** An ICMP error about it came back: its type and code. */
  readonly error?: { readonly type: number; readonly code: number };
  /** sendto failed. */
  readonly refusal?: string;
}

interface Watched {
  readonly shot: Shot;
  readonly events: TraceEvent[];
  readonly legacy: LegacyEvent[];
  delivered: boolean;
  readonly left: string[];
  error?: { type: number; code: number };
  refusal?: string;
  ended: 'no' | 'dropped' | 'arrives';
}

export interface Oracle {
  /** One after the other. Throws when the kernel lost a trace. */
  readonly fire: (shots: readonly Shot[]) => Observation[];
}

/** Protocols that the host's stack hands to a raw socket, so that a packet behind the input hook is seen. */
export const protocols = {
  ip: [1, 2, 4, 6, 17, 50, 89, 112, 253],
  ip6: [58, 6, 17, 89, 112, 253],
} as const;

const SOL_PACKET = 263;
const PACKET_IGNORE_OUTGOING = 23;
const ETH_P_ALL = 3;
const IPPROTO_RAW = 255;
const chunkLength = 32;
const patienceMs = 60;
/** Ids are taken again by later packets: only this many of the last are kept in mind. */
const receiveBytes = 32 << 20;

export function createOracle(arena: Arena): Oracle {
  const buffer = Buffer.alloc(1 << 17);
  enterNetwork(arena.outside);
  const sender = openSocket(AF_PACKET, SOCK_RAW, 0);
  const catchers = interfaces.map((name) => {
    const fd = openSocket(AF_PACKET, SOCK_RAW, 0);
    setOption(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
    setReceiveBuffer(fd, 4 << 20);
    bindSocket(fd, linkAddress(arena.outsideIndex.get(name) ?? 0, ETH_P_ALL));
    return { name, fd };
  });
  enterNetwork(arena.host);
  const raw = {
    ip: openSocket(AF_INET, SOCK_RAW, IPPROTO_RAW),
    ip6: openSocket(AF_INET6, SOCK_RAW, IPPROTO_RAW),
  };
  const ears = (['ip', 'ip6'] as const).flatMap((family) =>
    protocols[family].map((protocol) => ({
      protocol,
      fd: openSocket(family === 'ip' ? AF_INET : AF_INET6, SOCK_RAW, protocol),
    })),
  );
  for (const { fd } of ears) setReceiveBuffer(fd, 1 << 20);
  const traces = openNetfilter([NFNLGRP_NFTRACE], receiveBytes);
  const legacyTraces = openLegacyTraces(receiveBytes);

  let epoch = 0;
  let watched = new Map<number, Watched>();
  const byId = new Map<number, Watched>();
  const take = (event: TraceEvent): void => {
    if (event.tag !== undefined) {
      const named = watched.get(event.tag);
      if (named !== undefined) byId.set(event.id, named);
    }
    const one = byId.get(event.id);
    if (one === undefined) return;
    if (event.table !== startTable) one.events.push(event);
    if (event.verdict === 'drop' || event.verdict === 'stolen') one.ended = 'dropped';
    else if (event.table === endTable) one.ended = 'arrives';
  };
  const drainTraces = (): void => {
    for (;;) {
      const length = receive(traces, buffer);
      if (length < 0) return;
      decodeTraces(buffer, length, take);
    }
  };
  const drainLegacy = (): void => {
    for (;;) {
      const length = receive(legacyTraces, buffer);
      if (length < 0) return;
      decodeLegacyTraces(buffer, length, (event) => {
        watched.get(event.tag)?.legacy.push(event);
      });
    }
  };
  const find = (bytes: Buffer): Watched | undefined => {
    const tag = tagOf(bytes);
    return tag === undefined || tag >>> 16 !== epoch ? undefined : watched.get(tag & 0xffff);
  };
  const drainArrivals = (): void => {
    for (const { protocol, fd } of ears) {
      for (;;) {
        const length = receive(fd, buffer);
        if (length < 0) break;
        const bytes = buffer.subarray(0, length);
        const one = find(bytes);
        if (one === undefined) continue;
        // IPv6 gives what is behind its header.
        const error = protocol === 58 ? errorOf(bytes, 0, 1) : icmpError(bytes);
        if (error === undefined || isSame(one.shot, error.type)) one.delivered = true;
        else one.error = error;
      }
    }
    for (const { name, fd } of catchers) {
      for (;;) {
        const length = receive(fd, buffer);
        if (length < 0) break;
        const frame = buffer.subarray(14, length);
        const one = find(frame);
        if (one === undefined) continue;
        const error = icmpError(frame);
        if (error === undefined || isSame(one.shot, error.type)) one.left.push(name);
        else one.error = error;
      }
    }
  };
  const send = (shot: Shot, tag: number): string | undefined => {
    const bytes = bytesOfShot(shot, tag);
    if (shot.direction !== 'out') {
      const name = shot.inInterface ?? 'eth0';
      const index = interfaces.findIndex((one) => one === name);
      const frame = new Uint8Array(14 + bytes.length);
      frame.set(macBytes(hostMac(index)), 0);
      frame.set(macBytes(outsideMac(index)), 6);
      frame.set(shot.family === 'ip' ? [8, 0] : [0x86, 0xdd], 12);
      frame.set(bytes, 14);
      return sendTo(sender, frame, linkAddress(arena.outsideIndex.get(name) ?? 0, 0));
    }
    setMark(raw[shot.family], shot.mark);
    return sendTo(raw[shot.family], bytes, socketAddress(shot));
  };
  const isDone = (one: Watched): boolean =>
    one.ended === 'dropped' ||
    (one.ended === 'arrives' && (one.delivered || one.left.length > 0)) ||
    (one.refusal !== undefined && one.refusal !== 'EPERM');
  return {
    fire: (shots) => {
      epoch = (epoch + 1) & 0x7fff;
      byId.clear();
      const all: Watched[] = [];
      watched = new Map();
      drainTraces();
      drainLegacy();
      drainArrivals();
      for (let start = 0; start < shots.length; start += chunkLength) {
        const chunk: Watched[] = [];
        for (const shot of shots.slice(start, start + chunkLength)) {
          const one: Watched = {
            shot,
            events: [],
            legacy: [],
            delivered: false,
            left: [],
            ended: 'no',
          };
          all.push(one);
          // Not zero: the kernel would choose an identification.
          const tag = all.length;
          watched.set(tag, one);
          chunk.push(one);
          const refusal = send(shot, ((epoch << 16) | tag) >>> 0);
          if (refusal !== undefined) one.refusal = refusal;
        }
        drainTraces();
        drainLegacy();
        drainArrivals();
        const end = performance.now() + patienceMs;
        // A drop by legacy iptables has no mark of its own: nothing more is heard of the packet.
        let calm = 0;
        while (!chunk.every((one) => isDone(one) || (calm > 2 && one.legacy.length > 0))) {
          if (performance.now() > end) break;
          sleep(1);
          calm += 1;
          drainTraces();
          drainLegacy();
          drainArrivals();
        }
      }
      return all;
    },
  };
}

const sleeper = new Int32Array(new SharedArrayBuffer(4));
function sleep(ms: number): void {
  Atomics.wait(sleeper, 0, 0, ms);
}

/** struct sockaddr_ll: u16 family, be16 protocol, s32 index, u16 hardware type, u8 packet type, u8 length, 8 bytes. */
function linkAddress(index: number, protocol: number): Buffer {
  const bytes = Buffer.alloc(20);
  bytes.writeUInt16LE(AF_PACKET);
  bytes.writeUInt16BE(protocol, 2);
  bytes.writeInt32LE(index, 4);
  return bytes;
}

/** struct sockaddr_in (u16 family, be16 port, address) or sockaddr_in6 (with a flow label before and a scope behind). */
function socketAddress(shot: Shot): Buffer {
  const bytes = Buffer.alloc(shot.family === 'ip' ? 16 : 28);
  bytes.writeUInt16LE(shot.family === 'ip' ? AF_INET : AF_INET6);
  bytes.set(bytesOf(shot.destination, shot.family), shot.family === 'ip' ? 4 : 8);
  return bytes;
}

/** Type and code of an ICMP error (destination unreachable), or undefined for every other packet. */
function icmpError(packet: Buffer): { type: number; code: number } | undefined {
  const isIp = packet.readUInt8(0) >> 4 === 4;
  const protocol = packet.readUInt8(isIp ? 9 : 6);
  if (!isIcmp(protocol) || isIp !== (protocol === 1)) return undefined;
  return errorOf(packet, isIp ? (packet.readUInt8(0) & 15) * 4 : 40, isIp ? 3 : 1);
}

function errorOf(
  packet: Buffer,
  at: number,
  wanted: number,
): { type: number; code: number } | undefined {
  if (packet.length < at + 8) return undefined;
  const type = packet.readUInt8(at);
  return type === wanted ? { type, code: packet.readUInt8(at + 1) } : undefined;
}

const isSame = (shot: Shot, type: number): boolean =>
  isIcmp(shot.protocol) && shot.icmpType === type;
