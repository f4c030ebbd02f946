/** @module Watches: raw sockets that count, for a few seconds, the packets of one asker that passed this node's INPUT hook. */
import { randomBytes } from 'node:crypto';
import type { Family } from '../family.ts';
import { formatAddress, parseAddress } from '../packet/address.ts';
import { decodeIpv4 } from '../packet/ipv4.ts';
import { decodeMessage } from '../packet/message.ts';
import { ipProbeHeaderBytes } from '../packet/probe.ts';
import { isConnectionAttempt } from '../packet/tcp.ts';
import { attachFilter, connectionAttempts } from './bpf.ts';
import { EPOLLIN, IPPROTO_TCP } from './libc.ts';
import type { LinuxNetwork } from './network-linux.ts';

/** A watch for packets of one asker. */
interface OpenWatch {
  /** Undefined once it has been asked what it saw: its socket costs the whole host a copy of every packet. */
  fd: number | undefined;
  readonly asker: string;
  readonly established: boolean | undefined;
  readonly timer: NodeJS.Timeout;
  seen: number;
}

const watchMs = 6000;
const maximumWatches = 64;
const maximumWatchesPerAsker = 8;
/** Watches whose numbers are kept, so that a question that is asked again gets the same answer. */
const maximumRemembered = 1024;

/** The watches of one witness. */
export interface Watches {
  /** Opens a watch; undefined when too many are open. Throws HostError `missing-net-raw` where raw sockets may not be had. */
  open(
    asker: { readonly address: string; readonly family: Family },
    what: { readonly protocol: 'tcp'; readonly port: number } | { readonly protocol: 4 | 50 },
    established: boolean | undefined,
  ): string | undefined;
  /** Ends a watch of this asker and says what it has seen; undefined when there is no such watch. */
  sighting(asker: string, id: string): { seen: number; established?: boolean } | undefined;
  /** Ends them all. */
  close(): void;
}

export function createWatches(network: LinuxNetwork): Watches {
  const watches = new Map<string, OpenWatch>();

  function stop(watch: OpenWatch): void {
    const { fd } = watch;
    if (fd === undefined) return;
    watch.fd = undefined;
    network.reactor.remove(fd);
    network.closeSocket(fd);
  }

  function forget(id: string): void {
    const watch = watches.get(id);
    if (watch === undefined) return;
    clearTimeout(watch.timer);
    watches.delete(id);
    stop(watch);
  }

  function isIpProbe(payload: Uint8Array): boolean {
    const decoded = decodeMessage(payload.subarray(ipProbeHeaderBytes), network.options.mac);
    if ('malformed' in decoded) {
      network.options.onDropped(decoded.malformed);
      return false;
    }
    return decoded.message.type === 'probe';
  }

  return {
    open(asker, what, established) {
      const open = [...watches.values()].filter(({ fd }) => fd !== undefined);
      const mine = open.filter((watch) => watch.asker === asker.address);
      if (open.length >= maximumWatches || mine.length >= maximumWatchesPerAsker) return undefined;
      if (watches.size >= maximumRemembered) return undefined;
      const protocol = what.protocol === 'tcp' ? IPPROTO_TCP : what.protocol;
      const fd = network.openRaw(asker.family, protocol);
      if (what.protocol === 'tcp') {
        attachFilter(
          network.libc,
          fd,
          connectionAttempts(asker.family === 'ipv4', what.port, sourceWord(asker)),
        );
      }
      // A check beside the agent is a second witness of this host, and must not answer for the agent's watch.
      const id = randomBytes(8).toString('hex');
      const timer = setTimeout(() => {
        forget(id);
      }, watchMs);
      const watch: OpenWatch = { fd, asker: asker.address, established, timer, seen: 0 };
      watches.set(id, watch);
      network.reactor.add(fd, EPOLLIN, () => {
        network.receiver.receive(fd, (received) => {
          if (formatAddress(received.source) !== asker.address) return;
          const payload =
            asker.family === 'ipv4' ? decodeIpv4(received.bytes)?.payload : received.bytes;
          if (payload === undefined) return;
          // Not the filter alone: segments of other connections may come before it is attached.
          const wanted =
            what.protocol === 'tcp' ? isConnectionAttempt(payload, what.port) : isIpProbe(payload);
          if (wanted) watch.seen++;
        });
      });
      return id;
    },
    sighting(asker, id) {
      const watch = watches.get(id);
      if (watch === undefined || watch.asker !== asker) return undefined;
      network.reactor.drain();
      stop(watch);
      const { seen, established } = watch;
      return { seen, ...(established === undefined ? {} : { established }) };
    },
    close() {
      for (const id of watches.keys()) forget(id);
    },
  };
}

function sourceWord({ address, family }: { address: string; family: Family }): number | undefined {
  const bytes = family === 'ipv4' ? parseAddress(address) : undefined;
  return bytes === undefined
    ? undefined
    : new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
}
