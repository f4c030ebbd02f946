/**
 * @module The socket filter of one flow: of all packets of this host it lets those pass that are ours, between exactly two addresses, and
 * the ICMP errors about them. What passes is looked at again (tap-packet.ts); this only keeps a busy tunnel's packets out.
 */
import type { Flow } from '../diagnosis/evidence.ts';
import { parseAddress } from '../packet/address.ts';
import { viewOf } from '../packet/bytes.ts';
import { echoTypes, icmpProtocol } from '../packet/icmp.ts';
import { magic, magicOffset, messageTypes, preambleBytes, typeOffset } from '../packet/message.ts';
import { echoMarkOffset, ipProbeHeaderBytes } from '../packet/probe.ts';
import { udpProtocol } from '../packet/udp.ts';
import {
  and,
  anyOf,
  type Condition,
  headerLengthToX,
  type Instruction,
  loadByte,
  loadByteAtX,
  loadHalf,
  loadHalfAtX,
  loadWord,
  loadWordAtX,
  setX,
} from './bpf.ts';
import { HostError } from './host.ts';

/** So much of a packet is looked at: all of those that are not larger than most interfaces carry. */
export const snapBytes = 2048;

export const tcpProtocol = 6;
export const ipv6FragmentHeader = 44;

/** Types of ICMP errors that may quote a probe (a redirect is none: the packet went on). */
export const errorTypes = { ipv4: [3, 4, 11, 12], ipv6: [1, 2, 3, 4] } as const;

/** The filter of a flow, for packets that start at their IP header. */
export function flowFilter(flow: Flow): readonly Instruction[] {
  const ends = { source: words(flow.source, flow), destination: words(flow.destination, flow) };
  const back = { source: ends.destination, destination: ends.source };
  const there = marks(flow, 'probe');
  const answer = marks(flow, 'answer');
  const alternatives =
    flow.family === 'ipv4'
      ? [
          [...ipv4(ends, flow.protocol), ...unfragmented, ...there],
          [...ipv4(back, flow.protocol), ...unfragmented, ...answer],
          [...ipv4(ends, flow.protocol), { load: fragmentOffset, isNot: 0 }],
          errorsIpv4(ends, flow.protocol),
        ]
      : [
          [...ipv6(ends, flow.protocol), at(40), ...there],
          [...ipv6(back, flow.protocol), at(40), ...answer],
          [...firstFragment(ends, flow.protocol), at(48), ...there],
          [...firstFragment(back, flow.protocol), at(48), ...answer],
          [...laterFragment(ends, flow.protocol)],
          errorsIpv6(ends, flow.protocol),
        ];
  return anyOf(alternatives, snapBytes);
}

/**
 * The filter of a raw socket behind the INPUT hook, for probes of a flow to wherever a rule may have sent them. IPv4 packets start at their
 * IP header there, those of IPv6 at the transport header.
 */
export function pastInputFilter(flow: Flow): readonly Instruction[] {
  const isIpv4 = flow.family === 'ipv4';
  const from = isIpv4 ? wordsAre(12, words(flow.source, flow)) : [];
  const where: Condition = isIpv4 ? { load: [headerLengthToX(0)] } : at(0);
  const ours =
    flow.protocol === udpProtocol ? messageAt(8 + preambleBytes, 'probe') : marks(flow, 'probe');
  return anyOf([[...from, where, ...ours]], snapBytes);
}

interface Ends {
  readonly source: readonly number[];
  readonly destination: readonly number[];
}

function words(address: string, { family }: Flow): readonly number[] {
  const bytes = parseAddress(address);
  if (bytes?.length !== (family === 'ipv4' ? 4 : 16))
    throw new HostError('EINVAL', `${address} is no address of ${family}`);
  const view = viewOf(bytes);
  return Array.from({ length: bytes.length / 4 }, (_, index) => view.getUint32(index * 4));
}

const byteIs = (offset: number, ...is: readonly number[]): Condition => ({
  load: [loadByte(offset)],
  is,
});
const wordsAre = (offset: number, values: readonly number[]): readonly Condition[] =>
  values.map((value, index) => ({ load: [loadWord(offset + index * 4)], is: [value] }));
const wordsAtX = (offset: number, values: readonly number[]): readonly Condition[] =>
  values.map((value, index) => ({ load: [loadWordAtX(offset + index * 4)], is: [value] }));
const isVersion = (version: number): Condition => ({
  load: [loadByte(0), and(0xf0)],
  is: [version << 4],
});
/** Sets X to where the transport header starts. */
const at = (offset: number): Condition => ({ load: [setX(offset)] });

// IPv4: fragment offset at 6, protocol at 9, source at 12, destination at 16.
const fragmentOffset = [loadHalf(6), and(0x1fff)];
const unfragmented: readonly Condition[] = [
  { load: fragmentOffset, is: [0] },
  { load: [headerLengthToX(0)] },
];

function ipv4({ source, destination }: Ends, protocol: number): readonly Condition[] {
  return [isVersion(4), byteIs(9, protocol), ...wordsAre(12, source), ...wordsAre(16, destination)];
}

// IPv6: next header at 6, source at 8, destination at 24; a fragment header (next header 1, reserved 1, offset and flags 2, id 4) at 40.
function ipv6({ source, destination }: Ends, nextHeader: number): readonly Condition[] {
  return [
    isVersion(6),
    byteIs(6, nextHeader),
    ...wordsAre(8, source),
    ...wordsAre(24, destination),
  ];
}

const fragmentOffsetIpv6 = [loadHalf(42), and(0xfff8)];

function firstFragment(ends: Ends, protocol: number): readonly Condition[] {
  return [
    ...ipv6(ends, ipv6FragmentHeader),
    byteIs(40, protocol),
    { load: fragmentOffsetIpv6, is: [0] },
  ];
}

function laterFragment(ends: Ends, protocol: number): readonly Condition[] {
  return [
    ...ipv6(ends, ipv6FragmentHeader),
    byteIs(40, protocol),
    { load: fragmentOffsetIpv6, isNot: 0 },
  ];
}

/** To the source, from anybody, about a packet of the flow: eight bytes of ICMP, then the quoted header. */
function errorsIpv4({ source, destination }: Ends, protocol: number): readonly Condition[] {
  return [
    isVersion(4),
    byteIs(9, icmpProtocol.ipv4),
    ...wordsAre(16, source),
    ...unfragmented,
    { load: [loadByteAtX(0)], is: errorTypes.ipv4 },
    { load: [loadByteAtX(8 + 9)], is: [protocol] },
    ...wordsAtX(8 + 12, source),
    ...wordsAtX(8 + 16, destination),
  ];
}

function errorsIpv6({ source, destination }: Ends, protocol: number): readonly Condition[] {
  return [
    isVersion(6),
    byteIs(6, icmpProtocol.ipv6),
    ...wordsAre(24, source),
    byteIs(40, ...errorTypes.ipv6),
    byteIs(48 + 6, protocol, ipv6FragmentHeader),
    ...wordsAre(48 + 8, source),
    ...wordsAre(48 + 24, destination),
  ];
}

/** What tells a packet of ours, from where X points to. */
function marks(
  { family, protocol, port = 0 }: Flow,
  what: 'probe' | 'answer',
): readonly Condition[] {
  const isProbe = what === 'probe';
  const portIs: Condition = { load: [loadHalfAtX(isProbe ? 2 : 0)], is: [port] };
  switch (protocol) {
    case udpProtocol:
      return [portIs, ...messageAt(isProbe ? 8 + preambleBytes : 8, what)];
    case tcpProtocol:
      return isProbe
        ? [portIs, { load: [loadByteAtX(13), and(0x12)], is: [0x02] }]
        : [portIs, { load: [loadByteAtX(13), and(0x06)], isNot: 0 }];
    case icmpProtocol[family]:
      return [
        { load: [loadByteAtX(0)], is: [echoTypes[family][isProbe ? 'request' : 'reply']] },
        ...wordsAtX(8 + echoMarkOffset, [magic]),
      ];
    default:
      return wordsAtX(ipProbeHeaderBytes, [magic]);
  }
}

function messageAt(offset: number, type: 'probe' | 'answer'): readonly Condition[] {
  return [
    ...wordsAtX(offset + magicOffset, [magic]),
    { load: [loadByteAtX(offset + typeOffset)], is: [messageTypes[type]] },
  ];
}
