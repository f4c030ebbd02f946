/** @module What a node's network looks like, so that two moments can be compared. */
import type { Place } from './lab.ts';

/** Text by topic; compare two with `toEqual`. */
export type HostSnapshot = Readonly<Record<string, string>>;

/**
 * Reads everything that a program could change about a node's network. Left out: neighbours, counters, the conntrack table and its
 * count, for packets of any kind move them. Nothing here changes the host: no command loads a module or asks for a legacy table.
 */
export async function snapshotHost(
  place: Place,
  peerAddresses: readonly string[],
): Promise<HostSnapshot> {
  const commands: Record<string, readonly [string, ...string[]]> = {
    'routes, IPv4': ['ip', 'route', 'show', 'table', 'all'],
    'routes, IPv6': ['ip', '-6', 'route', 'show', 'table', 'all'],
    'route cache, IPv4': ['ip', 'route', 'show', 'cache'],
    'route cache, IPv6': ['ip', '-6', 'route', 'show', 'cache'],
    'rules, IPv4': ['ip', 'rule'],
    'rules, IPv6': ['ip', '-6', 'rule'],
    links: ['ip', '-d', 'link'],
    addresses: ['ip', 'addr'],
    'multicast groups': ['ip', 'maddr'],
    'forwarding database': ['bridge', 'fdb', 'show'],
    'queueing disciplines': ['tc', 'qdisc', 'show'],
    sysctls: ['sysctl', '-a', '--pattern', '^net\\.'],
    'nft ruleset': ['nft', '--stateless', '--handle', 'list', 'ruleset'],
    ipsets: ['ipset', 'save'],
    'iptables tables': ['cat', '/proc/net/ip_tables_names'],
    'ip6tables tables': ['cat', '/proc/net/ip6_tables_names'],
    modules: ['sh', '-c', 'test ! -e /proc/modules || cut -d" " -f1 /proc/modules | sort'],
    'network namespaces': ['ls', '/run/netns'],
  };
  for (const address of peerAddresses) {
    commands[`route to ${address}`] = ['ip', 'route', 'get', address];
  }
  const topics = await Promise.all(
    Object.entries(commands).map(async ([topic, [command, ...args]]) => {
      // sysctl cannot read some keys and says so with its exit code; ipset has nothing to show where the kernel lacks it.
      const { stdout } = await place.exec(command, args, {
        expectExit: [0, 1, 255],
      });
      return [topic, stable(topic, stdout)] as const;
    }),
  );
  return Object.fromEntries(topics);
}

function stable(topic: string, text: string): string {
  if (topic === 'sysctls')
    return text.replaceAll(/^net\.netfilter\.nf_conntrack_count = .*\n/gm, '');
  // Labs of other test files come and go at the same time; see createLab.
  if (topic === 'network namespaces') return text.replaceAll(/^lab-[0-9a-f]{6}-.*\n/gm, '');
  return text;
}
