/**
 * @module Two network namespaces: the host under test, and everything outside of it behind four veth pairs.
 *
 * The outside has no address and answers nothing: what it is sent is only recorded. Neighbours are static, so no packet waits for
 * another one. The host takes whole networks as its own (AnyIP), so that rules may ask for any local address.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import type { Environment, Interface, Route } from '../evaluate/types.ts';
import { enterNetwork, newNetwork } from './system.ts';

export const interfaces = ['eth0', 'eth1', 'wan0', 'wan1'] as const;
export type InterfaceName = (typeof interfaces)[number];

export interface Arena {
  readonly host: number;
  readonly outside: number;
  /** Index of the outer end of each pair, by the name of the inner one. */
  readonly outsideIndex: ReadonlyMap<string, number>;
  readonly environment: Environment;
  /** Runs a program in the host's namespace; what it printed. */
  readonly run: (file: string, options: readonly string[], input?: string) => string;
}

export const hostMac = (index: number): string => `02:00:00:00:01:0${index}`;
export const outsideMac = (index: number): string => `02:00:00:00:02:0${index}`;

/** What each interface leads to. Everything else goes to wan0. */
export const networks = {
  eth0: { ip: '10.1.0.0/16', ip6: 'fd01::/32' },
  eth1: { ip: '10.2.0.0/16', ip6: 'fd02::/32' },
  wan0: { ip: '198.18.0.0/16', ip6: 'fd03::/32' },
  wan1: { ip: '198.19.0.0/16', ip6: 'fd04::/32' },
} as const;
/** The host's own, beside the addresses of its interfaces. */
export const localNetwork = { ip: '10.9.0.0/16', ip6: 'fd09::/32' } as const;

const sysctls: readonly (readonly [string, string])[] = [
  ['ipv4/ip_forward', '1'],
  ['ipv6/conf/all/forwarding', '1'],
  ['ipv4/conf/all/rp_filter', '0'],
  ['ipv4/conf/default/rp_filter', '0'],
  ['ipv4/conf/all/send_redirects', '0'],
  ['ipv4/conf/default/send_redirects', '0'],
  ['ipv4/icmp_ratelimit', '0'],
  ['ipv4/icmp_msgs_per_sec', '1000000'],
  ['ipv4/icmp_msgs_burst', '1000000'],
  ['ipv4/icmp_echo_ignore_all', '1'],
  ['ipv6/icmp/echo_ignore_all', '1'],
  ['ipv6/conf/all/accept_dad', '0'],
  ['ipv6/conf/default/accept_dad', '0'],
  ['ipv6/conf/default/accept_ra', '0'],
  ['ipv6/conf/default/router_solicitations', '0'],
  ['ipv6/conf/default/addr_gen_mode', '1'],
  ['netfilter/nf_conntrack_tcp_be_liberal', '1'],
];

/** Makes it. The namespaces live as long as this process. */
export function createArena(): Arena {
  const outside = newNetwork();
  set([
    ['ipv6/conf/all/disable_ipv6', '1'],
    ['ipv6/conf/default/disable_ipv6', '1'],
  ]);
  const host = newNetwork();
  set(sysctls);
  const commands = ['link set lo up'];
  for (const [index, name] of interfaces.entries()) {
    commands.push(
      `link add ${name} address ${hostMac(index)} type veth peer name ${name} address ${outsideMac(index)} netns /proc/${process.pid}/fd/${outside}`,
      `addr add 10.0.${index}.1/24 dev ${name}`,
      `addr add fd00:0:0:${index}::1/64 dev ${name} nodad`,
      `link set ${name} up`,
    );
  }
  // Device groups, for `meta iifgroup`.
  commands.push('link set wan0 group 7', 'link set wan1 group 7');
  run('ip', ['-batch', '-'], `${commands.join('\n')}\n`);
  enterNetwork(outside);
  run('ip', ['-batch', '-'], interfaces.map((name) => `link set ${name} up\n`).join(''));
  const outsideIndex = new Map(readLinks().map((one) => [one.name, one.index]));
  enterNetwork(host);
  const routes: string[] = [];
  for (const [index, name] of interfaces.entries()) {
    const gateway = `10.0.${index}.2`;
    const gateway6 = `fd00:0:0:${index}::2`;
    routes.push(
      `neigh replace ${gateway} lladdr ${outsideMac(index)} dev ${name} nud permanent`,
      `neigh replace ${gateway6} lladdr ${outsideMac(index)} dev ${name} nud permanent`,
      `route add ${networks[name].ip} via ${gateway} dev ${name}`,
      `route add ${networks[name].ip6} via ${gateway6} dev ${name}`,
    );
  }
  routes.push(
    'route add default via 10.0.2.2 dev wan0',
    'route add default via fd00:0:0:2::2 dev wan0',
    `route add local ${localNetwork.ip} dev lo table local`,
    `route add local ${localNetwork.ip6} dev lo table local`,
  );
  run('ip', ['-batch', '-'], `${routes.join('\n')}\n`);
  return {
    host,
    outside,
    outsideIndex,
    environment: {
      interfaces: readLinks(),
      routes: [...readRoutes('ip'), ...readRoutes('ip6')],
      now: { unixSeconds: Math.floor(Date.now() / 1000), offsetMinutes: 0 },
    },
    run,
  };
}

function set(values: readonly (readonly [string, string])[]): void {
  for (const [name, value] of values) {
    const path = `/proc/sys/net/${name}`;
    if (existsSync(path)) writeFileSync(path, value);
  }
}

function run(file: string, options: readonly string[], input = ''): string {
  return execFileSync(file, options, {
    input,
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'pipe'],
    maxBuffer: 1 << 28,
  });
}

interface LinkJson {
  readonly ifname: string;
  readonly ifindex: number;
  readonly link_type: string;
  readonly group?: string;
  readonly linkinfo?: { readonly info_kind?: string };
  readonly addr_info: readonly { readonly local: string; readonly prefixlen: number }[];
}

function readLinks(): Interface[] {
  const links: LinkJson[] = JSON.parse(run('ip', ['-j', '-d', 'addr', 'show']));
  return links.map((link) => ({
    name: link.ifname,
    index: link.ifindex,
    type: link.link_type === 'loopback' ? 772 : 1,
    group: link.group === undefined || link.group === 'default' ? 0 : Number(link.group),
    ...(link.linkinfo?.info_kind === undefined ? {} : { kind: link.linkinfo.info_kind }),
    addresses: link.addr_info.map(({ local, prefixlen }) => `${local}/${prefixlen}`),
  }));
}

interface RouteJson {
  readonly dst: string;
  readonly type?: Route['type'];
  readonly table?: string;
  readonly metric?: number;
  readonly dev?: string;
  readonly gateway?: string;
}

function readRoutes(family: 'ip' | 'ip6'): Route[] {
  const text = run('ip', ['-j', family === 'ip' ? '-4' : '-6', 'route', 'show', 'table', 'all']);
  const routes: RouteJson[] = JSON.parse(text);
  const all = family === 'ip' ? '0.0.0.0/0' : '::/0';
  const bits = family === 'ip' ? 32 : 128;
  return routes.map((route) => ({
    family,
    destination:
      route.dst === 'default' ? all : route.dst.includes('/') ? route.dst : `${route.dst}/${bits}`,
    type: route.type ?? 'unicast',
    table: route.table === 'local' ? 'local' : 'main',
    metric: route.metric ?? 0,
    interfaces: route.dev === undefined ? [] : [route.dev],
    ...(route.gateway === undefined ? {} : { gateway: route.gateway }),
  }));
}
