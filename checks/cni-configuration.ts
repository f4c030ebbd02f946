/** @module The CNI configuration that the container runtime of this node takes, and what it calls. */
import type { Context } from './check.ts';

/** Where runtimes look for configurations: everybody, and k3s. */
const directories = ['/var/lib/rancher/k3s/agent/etc/cni/net.d', '/etc/cni/net.d'] as const;

/** What a configuration says that concerns the host. */
export interface ActiveConfiguration {
  readonly file: string;
  /** Names of the programs that it calls. */
  readonly plugins: readonly string[];
  /** The plugin that calls iptables, if one does. */
  readonly callsIptables: string | undefined;
  /** Files with credentials for the API server. */
  readonly kubeconfigs: readonly string[];
}

/** The configuration of the chosen provider; undefined while there is none. Whether it is the one that is taken is what `cni-files` says. */
export async function readActive(
  context: Pick<Context, 'host' | 'facts' | 'knownConfigurations'>,
): Promise<ActiveConfiguration | undefined> {
  const own = context.knownConfigurations.get(context.facts.provider) ?? [];
  for (const directory of directories) {
    const names = (await context.host.listDirectory(directory)) ?? [];
    const name = own.find((one) => names.includes(one));
    if (name === undefined) continue;
    const file = `${directory}/${name}`;
    return parseConfiguration(file, (await context.host.readText(file)) ?? '');
  }
  return undefined;
}

/** Takes what is called out of a `.conflist` or `.conf` (CNI specification, section 1); undefined when it is neither. */
export function parseConfiguration(file: string, text: string): ActiveConfiguration | undefined {
  let root: unknown;
  try {
    root = JSON.parse(text);
  } catch {
    return undefined;
  }
  const listed = property(root, 'plugins');
  const plugins: readonly unknown[] = Array.isArray(listed) ? listed : [root];
  const called = plugins.flatMap(programsOf);
  if (called.length === 0) return undefined;
  return {
    file,
    plugins: [...new Set(called)],
    callsIptables: plugins.map(iptablesUser).find((name) => name !== undefined),
    kubeconfigs: plugins.flatMap((plugin) => {
      const path = property(property(plugin, 'kubernetes'), 'kubeconfig');
      return typeof path === 'string' && path.startsWith('/') ? [path] : [];
    }),
  };
}

/** A plugin, its address management, and the plugin to which it delegates: `flannel` to `bridge` unless it is told otherwise. */
function programsOf(plugin: unknown): readonly string[] {
  const type = nameAt(plugin, 'type');
  if (type === undefined) return [];
  const delegate = property(plugin, 'delegate');
  const delegates = type === 'flannel' ? [nameAt(delegate, 'type') ?? 'bridge', 'host-local'] : [];
  return [type, nameAt(property(plugin, 'ipam'), 'type') ?? type, ...delegates];
}

/** `portmap` writes by iptables unless it is told otherwise, `bridge` and `ptp` do for masquerading. */
function iptablesUser(plugin: unknown): string | undefined {
  const type = nameAt(plugin, 'type');
  if (type === 'portmap') return property(plugin, 'backend') === 'nftables' ? undefined : type;
  const masquerades = property(plugin, 'ipMasq') === true;
  const byNftables = property(plugin, 'ipMasqBackend') === 'nftables';
  return (type === 'bridge' || type === 'ptp') && masquerades && !byNftables ? type : undefined;
}

/** Names of programs, not of paths. */
function nameAt(value: unknown, key: string): string | undefined {
  const name = property(value, key);
  return typeof name === 'string' && /^[A-Za-z0-9._-]{1,64}$/.test(name) ? name : undefined;
}

function property(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return Object.getOwnPropertyDescriptor(value, name)?.value;
}
