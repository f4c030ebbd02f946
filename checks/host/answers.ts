/** @module What the witness sends back: packets from raw sockets, the exact reverse of what it saw. */
import type { Family } from '../family.ts';
import { formatAddress } from '../packet/address.ts';
import { internetChecksum, pseudoHeaderSum } from '../packet/checksum.ts';
import { encodeEchoReply } from '../packet/icmp.ts';
import { encodeIpv4 } from '../packet/ipv4.ts';
import { encodeIpv6 } from '../packet/ipv6.ts';
import { encodeUdp, udpProtocol } from '../packet/udp.ts';
import type { IncomingEcho } from './echo-sockets.ts';
import { IPPROTO_RAW } from './libc.ts';
import type { LinuxNetwork } from './network-linux.ts';
import { icmpProtocol, socketAddress } from './sockets.ts';

const fixedTtl = 64;

/** The way back: source and destination, and their ports, of the answer. */
export interface Reverse extends Ends {
  readonly sourcePort: number;
  readonly destinationPort: number;
}

interface Ends {
  readonly family: Family;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
}

/** Sends answers. Stateful firewalls let them pass as replies, for each is the reverse of what came. */
export interface Answers {
  udp(reverse: Reverse, payload: Uint8Array): void;
  /** A second reply to an echo request: the kernel sends its own. */
  echo(request: IncomingEcho, data: Uint8Array): void;
  close(): void;
}

/** Opens a sending socket for each family when it is first needed. */
export function createAnswers(network: LinuxNetwork): Answers {
  const senders = new Map<Family, number>();

  function send(
    { family, source, destination }: Ends,
    protocol: number,
    payload: Uint8Array,
  ): void {
    let fd = senders.get(family);
    if (fd === undefined) {
      fd = network.openRaw(family, IPPROTO_RAW, { headerIncluded: true });
      senders.set(family, fd);
    }
    const packet =
      family === 'ipv4'
        ? encodeIpv4({
            source,
            destination,
            protocol,
            payload,
            identification: 0,
            dontFragment: false,
            ttl: fixedTtl,
          })
        : encodeIpv6({ source, destination, nextHeader: protocol, payload, hopLimit: fixedTtl });
    const failed = network.libc.sendto(fd, packet, socketAddress(formatAddress(destination), 0));
    if (failed !== undefined) network.options.onDropped('answer-refused');
  }

  return {
    udp: (reverse, payload) => {
      send(reverse, udpProtocol, encodeUdp({ ...reverse, payload }));
    },
    echo: (request, data) => {
      const { family } = request;
      const ends = { family, source: request.destination, destination: request.source };
      const reply = encodeEchoReply({ ...request, data });
      if (family === 'ipv6') fillIcmpv6Checksum(reply, ends);
      send(ends, icmpProtocol(family), reply);
    },
    close: () => {
      for (const fd of senders.values()) network.closeSocket(fd);
      senders.clear();
    },
  };
}

/** ICMPv6 checksum over the pseudo header (RFC 4443 section 2.3); the kernel leaves packets with an own header alone. */
function fillIcmpv6Checksum(
  icmp: Uint8Array,
  ends: { readonly source: Uint8Array; readonly destination: Uint8Array },
): void {
  const sum = pseudoHeaderSum({ ...ends, protocol: icmpProtocol('ipv6'), length: icmp.length });
  new DataView(icmp.buffer, icmp.byteOffset).setUint16(2, internetChecksum(icmp, sum));
}
