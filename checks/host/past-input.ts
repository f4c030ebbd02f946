/** @module The station behind the INPUT hook: a raw socket that counts the probes of one flow, as the witness sees them. */
import type { Flow } from '../diagnosis/evidence.ts';
import { sameAddress } from '../packet/address.ts';
import { decodeIpv4 } from '../packet/ipv4.ts';
import { attachFilter } from './bpf.ts';
import { EPOLLIN } from './libc.ts';
import type { LinuxNetwork } from './network-linux.ts';
import { pastInputFilter } from './tap-filter.ts';
import { keyPastInput, readyFlow } from './tap-packet.ts';

/** More than anybody sends while it is open, unless to fill the memory. */
const mostKeys = 256;

/** Throws HostError `missing-net-raw` where raw sockets may not be had. What it saw is undefined where it had no room for something. */
export function openPastInput(
  network: LinuxNetwork,
  flow: Flow,
): { stop(): { readonly seen: number | undefined } } {
  const { libc, reactor, receiver } = network;
  const ready = readyFlow(flow);
  const keys = new Set<string>();
  const fd = network.openRaw(flow.family, flow.protocol);
  attachFilter(libc, fd, pastInputFilter(flow));
  reactor.add(fd, EPOLLIN, () => {
    receiver.receive(fd, ({ bytes, source }) => {
      // Not the filter alone: packets of others may come before it is attached.
      if (!sameAddress(source, ready.source) || keys.size >= mostKeys) return;
      const payload = flow.family === 'ipv4' ? decodeIpv4(bytes)?.payload : bytes;
      const key = payload === undefined ? undefined : keyPastInput(ready, payload);
      if (key !== undefined) keys.add(key);
    });
  });
  return {
    stop: () => {
      reactor.remove(fd);
      const lost = libc.messagesDropped(fd);
      network.closeSocket(fd);
      return { seen: lost > 0 && keys.size === 0 ? undefined : keys.size };
    },
  };
}
