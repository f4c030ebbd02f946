/** @module The only door to the machine, as checks see it. Tests hand in a fake one. */
import type { FirewallPlace } from '../firewall-verdict.ts';
import type { DriverFacts } from './ethtool.ts';
import type { FirewallReading } from './firewall.ts';
import type { IncomingPacket } from './input-route.ts';
import type { Network } from './network.ts';
import type { TrafficFilter } from './packet-programs.ts';

/** What the machine refused to show; the runner turns it into `unknown`. */
export class HostError extends Error {
  readonly code: string;
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'HostError';
    this.code = code;
  }
}

/** A network interface, from RTM_GETLINK (linux/if_link.h). */
export interface Link {
  readonly index: number;
  readonly name: string;
  readonly mtu: number;
  readonly up: boolean;
  readonly loopback: boolean;
  /** IFLA_INFO_KIND: `vxlan`, `veth`, `bridge` …; absent for hardware. */
  readonly kind?: string;
  /** VXLAN and Geneve: destination port, VNI, collect-metadata flag, local address, learning. */
  readonly port?: number;
  readonly vni?: number;
  readonly external?: boolean;
  readonly local?: string;
  readonly learning?: boolean;
  /** VXLAN: whether a program is told of far ends that are not known, and so may add them when they are needed. */
  readonly asksForEntries?: boolean;
  /** Link-layer address, six bytes in lower case; absent for devices without one. */
  readonly mac?: string;
}

/** Who has an overlay address, as the neighbour table of a tunnel device says. */
export interface TunnelNeighbour {
  readonly address: string;
  /** Absent while it is not resolved. */
  readonly mac?: string;
  /** Made by a program, and kept until one removes it. */
  readonly permanent: boolean;
}

/** To which node a VXLAN device sends what is for a link-layer address. */
export interface ForwardingEntry {
  readonly mac: string;
  readonly destination: string;
}

/** An address of an interface, from RTM_GETADDR. */
export interface InterfaceAddress {
  readonly index: number;
  readonly interface: string;
  readonly address: string;
  readonly prefixLength: number;
  readonly family: 'ipv4' | 'ipv6';
  /** RT_SCOPE_UNIVERSE is `global`. */
  readonly scope: 'global' | 'site' | 'link' | 'host' | 'nowhere';
}

/** The way out to a destination, from RTM_GETROUTE. */
export interface Route {
  readonly interface: string;
  readonly index: number;
  /** Preferred source address. */
  readonly source?: string;
  readonly gateway?: string;
  /** RTN_UNICAST is `unicast`; also `local`, `blackhole`, `unreachable`, `prohibit`. */
  readonly type: string;
  /** The routing table that had it: 254 is main, 255 local; absent where the kernel says only why there is none. */
  readonly table?: number;
}

/** One way of a route. */
export interface NextHop {
  readonly interface: string;
  readonly index: number;
  readonly gateway?: string;
  /** Whether the gateway is taken for a neighbour though no route says so (`ip route … onlink`). */
  readonly onlink: boolean;
}

/** A route of any table, from a dump of RTM_GETROUTE. */
export interface ListedRoute {
  readonly family: 'ipv4' | 'ipv6';
  /** In CIDR notation: `0.0.0.0/0`, `10.244.1.0/24`. */
  readonly destination: string;
  /** As in `Route`. */
  readonly type: string;
  readonly table: number;
  /** Who made it (RTPROT_*): 2 the kernel, 3 boot, 4 static, 12 BIRD, 16 DHCP, 80 Felix. */
  readonly protocol: number;
  readonly metric: number;
  /** Preferred source address. */
  readonly source?: string;
  /** More than one for multipath; none for one that refuses, such as `blackhole`. */
  readonly hops: readonly NextHop[];
}

/** A rule that says which table is asked, from RTM_GETRULE. */
export interface PolicyRule {
  readonly family: 'ipv4' | 'ipv6';
  readonly priority: number;
  readonly action:
    | 'lookup'
    | 'goto'
    | 'nop'
    | 'blackhole'
    | 'unreachable'
    | 'prohibit'
    | `action-${number}`;
  readonly table: number;
  /** Who made it (RTPROT_*): 2 the kernel. */
  readonly protocol: number;
  /** Whether it is about the packets that its selectors do not match (`not`). */
  readonly inverted: boolean;
  /** Selectors, in CIDR notation where they are prefixes. */
  readonly source?: string;
  readonly destination?: string;
  readonly inInterface?: string;
  readonly outInterface?: string;
  readonly mark?: { readonly value: number; readonly mask: number };
  /** Routes of at most this prefix length do not count: 0 leaves out default routes. */
  readonly suppressPrefixLength?: number;
  /** Priority of the rule that is next. */
  readonly goto?: number;
  /** Names of further selectors: `uid-range`, `ip-protocol`, `tos` … */
  readonly others: readonly string[];
}

/** Whom packets to an address are handed to on the link, from RTM_GETNEIGH. */
export interface Neighbour {
  /** The next hop. */
  readonly address: string;
  readonly interface: string;
  /** NUD_*, lower case: `reachable`, `stale`, `failed`, `incomplete`, `permanent` … */
  readonly state: string;
  readonly linkAddress?: string;
}

/** Who listens on a port. */
export interface PortOwner {
  readonly transport: 'udp' | 'tcp';
  readonly family: 'ipv4' | 'ipv6';
  /** Local address, `0.0.0.0` or `::` for all. */
  readonly address: string;
  readonly port: number;
  readonly inode: number;
  /**
   * Whether it is a socket of the kernel itself (VXLAN, Geneve, WireGuard, OVS); absent when that cannot be
   * told. Its inode is not zero: sock_create_kern allocates one (seen on Linux 6.18).
   */
  readonly kernel?: boolean;
  readonly uid: number;
  /** Process name and pid where /proc shows them; an owner that cannot be named is evidence, not a fault. */
  readonly process?: string;
  readonly pid?: number;
}

/** What the operating system is. */
export interface OsFacts {
  /** `uname -r`. */
  readonly kernel: string;
  /** e.g. `Debian GNU/Linux 12 (bookworm)`. */
  readonly os: string;
  /** ID of os-release, e.g. `debian`, `rhel`. */
  readonly id: string;
  /** ID_LIKE of os-release, e.g. `rhel fedora`. */
  readonly idLike: string;
  readonly versionId: string;
  readonly architecture: string;
  readonly hostname: string;
}

/** What this process may do, from CapEff of /proc/self/status. */
export interface Capabilities {
  readonly netRaw: boolean;
  readonly netAdmin: boolean;
}

/** The only door to the machine. */
export interface Host {
  readonly capabilities: Capabilities;
  /** The sockets. */
  readonly network: Network;
  /** The whole file (at most 8 MiB; `.gz` is unpacked), undefined when there is none. Rejects with HostError EACCES when it may not be read. */
  readText(path: string): Promise<string | undefined>;
  /** The whole lines within the last bytes of a file; otherwise as `readText`. */
  readTail(path: string, bytes: number): Promise<string | undefined>;
  /** Names in a directory, undefined when there is none. Rejects with HostError EACCES. */
  listDirectory(path: string): Promise<readonly string[] | undefined>;
  /** Whether a path exists. Rejects with HostError EACCES when that cannot be told. */
  exists(path: string): Promise<boolean>;
  osFacts(): Promise<OsFacts>;
  links(): Promise<readonly Link[]>;
  addresses(): Promise<readonly InterfaceAddress[]>;
  /** The route to an address, of a packet with this source address where one is given; undefined when there is none. Does not create a cache entry. */
  route(address: string, from?: string): Promise<Route | undefined>;
  /** The routes of every table. Rejects with HostError EMSGSIZE where they are too many to be read at once. */
  routes(): Promise<readonly ListedRoute[]>;
  /** The policy rules, in the order in which the kernel asks them. */
  rules(): Promise<readonly PolicyRule[]>;
  /** The neighbour that packets to an address, from this one where one is given, go to; undefined when the kernel has no entry, or none is needed. */
  neighbour(address: string, from?: string): Promise<Neighbour | undefined>;
  /** Whether the kernel would take this packet of IPv4 if it came in, or refuse it for its source; undefined when it drops it anyway. */
  incoming(packet: IncomingPacket): Promise<'taken' | 'refused' | undefined>;
  /** The driver of an interface and what it leaves to the hardware; undefined where there is none that tells. */
  driver(name: string): Promise<DriverFacts | undefined>;
  /** The neighbours on one device, by its index. */
  tunnelNeighbours(index: number): Promise<readonly TunnelNeighbour[]>;
  /** The forwarding database of one VXLAN device, by its index. */
  forwardingDatabase(index: number): Promise<readonly ForwardingEntry[]>;
  /** Filters of tc on the interfaces of this network namespace. */
  trafficFilters(): Promise<readonly TrafficFilter[]>;
  /** Every socket that owns this port: listening (TCP) or bound (UDP). */
  portOwners(transport: 'udp' | 'tcp', port: number): Promise<readonly PortOwner[]>;
  /**
   * Whether conntrack would take a packet of this protocol (without ports) from source to destination for ESTABLISHED:
   * it holds the flow in the other direction, or has seen a reply. Undefined when it could not look.
   */
  conntrackEstablishes(flow: {
    protocol: number;
    source: string;
    destination: string;
  }): Promise<boolean | undefined>;
  /** conntrack entries and their limit; undefined where conntrack is not in use or may not be read. */
  conntrackUsage(): Promise<{ readonly count: number; readonly limit: number } | undefined>;
  /** Whether a rule of any firewall of this node might hand a UDP or TCP packet to this port to a transparent proxy. */
  tproxyPossible(transport: 'udp' | 'tcp', port: number): Promise<boolean | undefined>;
  /** What the counter of one rule says now; undefined where it has none, is gone, or cannot be read by itself (legacy iptables, policies). */
  ruleCounter(place: Omit<FirewallPlace, 'hook'>): Promise<number | undefined>;
  /** The rules of every packet filter of this network namespace, as the kernel has them now. */
  firewall(): Promise<FirewallReading>;
  /** Creates a link of this kind in a throw-away namespace and removes it: only for `--try-modules`. */
  tryLink(kind: string, signal: AbortSignal): Promise<boolean | undefined>;
  /** GET of an http(s) URL: status code and a bounded body, or the code of what went wrong. Certificates are not judged. */
  httpGet(
    url: string,
    signal: AbortSignal,
  ): Promise<{ readonly status: number; readonly body: string } | { readonly error: string }>;
}
