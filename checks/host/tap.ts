/**
 * @module Taps: packet sockets that see the packets of one flow at three stations of this host, whatever its firewall does with them.
 *
 * A socket for all protocols sees what leaves, behind postrouting and tc and netdev egress, and what comes in, before tc and netdev
 * ingress (__netif_receive_skb_core in net/core/dev.c: ptype_all); one for IP sees what comes in behind both, and before prerouting
 * (ptype_base). Neither sees what XDP drops.
 */
import type { Flow, IcmpError, Sight } from '../diagnosis/evidence.ts';
import { attachFilter } from './bpf.ts';
import { HostError, type Link } from './host.ts';
import { EPOLLIN } from './libc.ts';
import type { Tap, TapReport } from './network.ts';
import type { LinuxNetwork } from './network-linux.ts';
import { openPastInput } from './past-input.ts';
import { readLinks } from './rtnetlink.ts';
import {
  etherTypes,
  type LinkSide,
  listenToLink,
  packetOtherHost,
  packetOutgoing,
  type Received,
} from './sockets.ts';
import { flowFilter } from './tap-filter.ts';
import { type ReadyFlow, readyFlow, type Sighted, sight } from './tap-packet.ts';

const receiveBufferBytes = 256 << 10;
/** Packets that are told apart at one station; nobody sends so many while a tap is open, unless to fill the memory. */
const mostKeys = 256;
const mostErrors = 4;
const mostInterfaces = 4;

/** Opens both sockets. Throws HostError `missing-net-raw` where packet sockets may not be had. */
export function openTap(
  network: LinuxNetwork,
  flow: Flow,
  options: { readonly pastInput: boolean },
): Tap {
  const ready = readyFlow(flow);
  const stations: Stations = { out: newStation(), nic: newStation(), pastIngress: newStation() };
  const sockets: number[] = [];
  let lost = 0;
  let behind: ReturnType<typeof openPastInput> | undefined;
  try {
    if (options.pastInput) behind = openPastInput(network, flow);
    sockets.push(
      listen(network, flow, 'all', (received) => {
        const station = received.link?.type === packetOutgoing ? stations.out : stations.nic;
        note(station, ready, received);
      }),
      listen(network, flow, flow.family, (received) => {
        note(stations.pastIngress, ready, received);
      }),
    );
  } catch (error) {
    behind?.stop();
    void close();
    throw error;
  }

  async function close(): Promise<void> {
    await Promise.all(
      sockets.splice(0).map(async (fd) => {
        network.reactor.remove(fd);
        lost += network.libc.messagesDropped(fd);
        await network.closePacket(fd);
      }),
    );
  }

  let report: Promise<TapReport> | undefined;
  return {
    stop: async () => {
      report ??= (async () => {
        network.reactor.drain();
        const names = new Map(readLinks().map(({ index, name }) => [index, name]));
        const past = behind?.stop().seen;
        await close();
        return {
          ...seenAt(stations, flow, names),
          lost,
          ...(past === undefined ? {} : { pastInput: past }),
        };
      })();
      return await report;
    },
  };
}

/** A socket that hears from now on what the filter of the flow lets pass. */
function listen(
  network: LinuxNetwork,
  flow: Flow,
  etherType: keyof typeof etherTypes,
  handle: (received: Received) => void,
): number {
  const { libc, reactor, receiver } = network;
  const fd = network.openPacket(receiveBufferBytes);
  try {
    attachFilter(libc, fd, flowFilter(flow));
    const refused = listenToLink(libc, fd, etherTypes[etherType]);
    if (refused !== undefined) throw new HostError(refused, `a tap of ${etherType}: ${refused}`);
  } catch (error) {
    network.closeSocket(fd);
    throw error;
  }
  reactor.add(fd, EPOLLIN, () => {
    receiver.receive(fd, handle);
  });
  return fd;
}

interface Probe {
  /** Whether any frame of it was for this host. */
  isOurs: boolean;
  isBad: boolean;
}

interface Station {
  readonly probes: Map<string, Probe>;
  readonly answers: Set<string>;
  readonly fragments: Set<string>;
  readonly errors: Map<string, IcmpError>;
  readonly interfaces: Set<number>;
}

type Stations = Readonly<Record<'out' | 'nic' | 'pastIngress', Station>>;

function newStation(): Station {
  return {
    probes: new Map(),
    answers: new Set(),
    fragments: new Set(),
    errors: new Map(),
    interfaces: new Set(),
  };
}

/** A packet is counted once at a station, on however many interfaces of the host it shows. */
function note(station: Station, flow: ReadyFlow, { bytes, link }: Received): void {
  const seen = sight(flow, bytes);
  if (seen === undefined || link === undefined) return;
  if (seen.kind === 'error') {
    const { type, code, from } = seen.error;
    if (station.errors.size < mostErrors) station.errors.set(`${type} ${code} ${from}`, seen.error);
    return;
  }
  if (station.interfaces.size < mostInterfaces) station.interfaces.add(link.interface);
  if (seen.kind === 'probe') noteProbe(station, seen, link);
  else {
    const keys = seen.kind === 'answer' ? station.answers : station.fragments;
    if (keys.size < mostKeys) keys.add(seen.key);
  }
}

function noteProbe(
  { probes }: Station,
  { key, goodChecksum }: Extract<Sighted, { kind: 'probe' }>,
  { type, checksum }: LinkSide,
): void {
  let probe = probes.get(key);
  if (probe === undefined) {
    if (probes.size >= mostKeys) return;
    probe = { isOurs: false, isBad: false };
    probes.set(key, probe);
  }
  if (type !== packetOtherHost) probe.isOurs = true;
  // Where the kernel leaves the sum to a NIC, or has judged it, the bytes say nothing.
  if (checksum === 'unknown' && goodChecksum === false) probe.isBad = true;
}

function seenAt(
  { out, nic, pastIngress }: Stations,
  { protocol }: Flow,
  names: ReadonlyMap<Link['index'], string>,
): Pick<TapReport, 'out' | 'nic' | 'pastIngress'> {
  // A segment answers an attempt of ours only when it goes to the port of one.
  const attempts = new Set([out, nic, pastIngress].flatMap(({ probes }) => [...probes.keys()]));
  const say = (station: Station): Sight => {
    const probes = [...station.probes.values()];
    const answers = [...station.answers].filter((key) => protocol !== 6 || attempts.has(key));
    return {
      probes: probes.length,
      answers: answers.length,
      fragments: station.fragments.size,
      errors: [...station.errors.values()],
      otherHost: probes.filter(({ isOurs }) => !isOurs).length,
      badChecksums: probes.filter(({ isBad }) => isBad).length,
      interfaces: [...station.interfaces].flatMap((index) => names.get(index) ?? []),
    };
  };
  return { out: say(out), nic: say(nic), pastIngress: say(pastIngress) };
}
