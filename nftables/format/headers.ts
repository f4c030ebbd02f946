/**
 * @module Protocol headers by field: what `payload` loads, in nft's words. Offsets and lengths in bits, in the order of the header.
 */
import { type DataFormat, types } from './datatypes.ts';

export interface Field {
  readonly name: string;
  readonly offset: number;
  readonly length: number;
  readonly type: DataFormat;
  /** Types of ICMP that have this field: nft matches one of them before it. */
  readonly icmpTypes?: readonly number[];
}

export interface Header {
  readonly name: string;
  readonly fields: readonly Field[];
  /** Bytes from the start of the header to its checksum, which `payload set` mends. */
  readonly checksum?: number;
}

const field = (
  name: string,
  offset: number,
  length: number,
  type: DataFormat = types.integer,
  icmpTypes?: readonly number[],
): Field => ({ name, offset, length, type, ...(icmpTypes === undefined ? {} : { icmpTypes }) });

const ports = [field('sport', 0, 16, types.service), field('dport', 16, 16, types.service)];
const echo = [0, 8];
const echo6 = [128, 129];

export const ether: Header = {
  name: 'ether',
  fields: [
    field('daddr', 0, 48, types.ether),
    field('saddr', 48, 48, types.ether),
    field('type', 96, 16, types.etherType),
  ],
};

/** Behind the 14 bytes of Ethernet. */
export const vlan: Header = {
  name: 'vlan',
  fields: [
    field('pcp', 112, 3),
    field('dei', 115, 1),
    field('id', 116, 12),
    field('type', 128, 16, types.etherType),
  ],
};

/** RFC 826. */
const arp: Header = {
  name: 'arp',
  fields: [
    field('htype', 0, 16),
    field('ptype', 16, 16, types.etherType),
    field('hlen', 32, 8),
    field('plen', 40, 8),
    field('operation', 48, 16, types.arpOperation),
    field('saddr ether', 64, 48, types.ether),
    field('saddr ip', 112, 32, types.ipv4),
    field('daddr ether', 144, 48, types.ether),
    field('daddr ip', 192, 32, types.ipv4),
  ],
};

/** RFC 791. */
const ip: Header = {
  name: 'ip',
  checksum: 10,
  fields: [
    field('version', 0, 4),
    field('hdrlength', 4, 4),
    field('dscp', 8, 6, types.dscp),
    field('ecn', 14, 2, types.ecn),
    field('length', 16, 16),
    field('id', 32, 16),
    field('frag-off', 48, 16),
    field('ttl', 64, 8),
    field('protocol', 72, 8, types.protocol),
    field('checksum', 80, 16),
    field('saddr', 96, 32, types.ipv4),
    field('daddr', 128, 32, types.ipv4),
  ],
};

/** RFC 8200. */
const ip6: Header = {
  name: 'ip6',
  fields: [
    field('version', 0, 4),
    field('dscp', 4, 6, types.dscp),
    field('ecn', 10, 2, types.ecn),
    field('flowlabel', 12, 20),
    field('length', 32, 16),
    field('nexthdr', 48, 8, types.protocol),
    field('hoplimit', 56, 8),
    field('saddr', 64, 128, types.ipv6),
    field('daddr', 192, 128, types.ipv6),
  ],
};

export const network: Readonly<Record<'ip' | 'ip6' | 'arp', Header>> = { ip, ip6, arp };

/** Where the transport protocol is not known, nft still knows ports. */
export const anyTransport: Header = { name: 'th', fields: ports };

/** By IP protocol. */
export const transport: ReadonlyMap<number, Header> = new Map<number, Header>([
  [
    1,
    {
      name: 'icmp',
      checksum: 2,
      fields: [
        field('type', 0, 8, types.icmpType),
        field('code', 8, 8, types.icmpCode),
        field('checksum', 16, 16),
        field('id', 32, 16, types.integer, echo),
        field('sequence', 48, 16, types.integer, echo),
        field('gateway', 32, 32, types.integer, [5]),
        field('mtu', 48, 16, types.integer, [3]),
      ],
    },
  ],
  [
    2,
    {
      name: 'igmp',
      checksum: 2,
      fields: [
        field('type', 0, 8, types.igmpType),
        field('mrt', 8, 8),
        field('checksum', 16, 16),
        field('group', 32, 32),
      ],
    },
  ],
  [
    6,
    {
      name: 'tcp',
      checksum: 16,
      fields: [
        ...ports,
        field('sequence', 32, 32),
        field('ackseq', 64, 32),
        field('doff', 96, 4),
        field('reserved', 100, 4),
        field('flags', 104, 8, types.tcpFlag),
        field('window', 112, 16),
        field('checksum', 128, 16),
        field('urgptr', 144, 16),
      ],
    },
  ],
  [
    17,
    {
      name: 'udp',
      checksum: 6,
      fields: [...ports, field('length', 32, 16), field('checksum', 48, 16)],
    },
  ],
  [
    33,
    {
      name: 'dccp',
      fields: [...ports, field('type', 67, 4, types.dccpType)],
    },
  ],
  [50, { name: 'esp', fields: [field('spi', 0, 32), field('sequence', 32, 32)] }],
  [
    51,
    {
      name: 'ah',
      fields: [
        field('nexthdr', 0, 8, types.protocol),
        field('hdrlength', 8, 8),
        field('reserved', 16, 16),
        field('spi', 32, 32),
        field('sequence', 64, 32),
      ],
    },
  ],
  [
    58,
    {
      name: 'icmpv6',
      checksum: 2,
      fields: [
        field('type', 0, 8, types.icmpv6Type),
        field('code', 8, 8, types.icmpv6Code),
        field('checksum', 16, 16),
        field('mtu', 32, 32, types.integer, [2]),
        field('id', 32, 16, types.integer, echo6),
        field('sequence', 48, 16, types.integer, echo6),
        field('max-delay', 32, 16, types.integer, [130]),
      ],
    },
  ],
  [
    108,
    {
      name: 'comp',
      fields: [
        field('nexthdr', 0, 8, types.protocol),
        field('flags', 8, 8, types.raw),
        field('cpi', 16, 16),
      ],
    },
  ],
  [132, { name: 'sctp', fields: [...ports, field('vtag', 32, 32), field('checksum', 64, 32)] }],
  [
    136,
    {
      name: 'udplite',
      checksum: 6,
      fields: [...ports, field('csumcov', 32, 16), field('checksum', 48, 16)],
    },
  ],
]);

export const protocolNumbers = { icmp: 1, igmp: 2, tcp: 6, udp: 17, icmpv6: 58 } as const;
