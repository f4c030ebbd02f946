/** @module Whether what the active CNI configuration calls is on this host: plugins, and iptables where a plugin needs it. */
import { type Answer, type Check, type Context, fail, pass, skip, unknown } from './check.ts';
import { type ActiveConfiguration, readActive } from './cni-configuration.ts';
import type { Host } from './host/host.ts';
import { seesHostFiles } from './services/state.ts';

/** Where container runtimes look for plugins unless they are told otherwise: upstream, Debian, Fedora, k3s. */
const usualDirectories = [
  '/opt/cni/bin',
  '/usr/lib/cni',
  '/usr/libexec/cni',
  '/usr/local/libexec/cni',
  '/var/lib/rancher/k3s/data/cni',
  '/var/lib/rancher/k3s/data/current/bin',
] as const;
const runtimeFiles = [
  '/etc/containerd/config.toml',
  '/var/lib/rancher/rke2/agent/etc/containerd/config.toml',
  '/var/lib/rancher/k3s/agent/etc/containerd/config.toml',
  '/etc/crio/crio.conf',
] as const;
/** Where runtimes find iptables; k3s and RKE2 bring their own. */
const commandDirectories = [
  '/usr/sbin',
  '/sbin',
  '/usr/bin',
  '/bin',
  '/usr/local/sbin',
  '/usr/local/bin',
  '/opt/bin',
  '/run/current-system/sw/bin',
  '/var/lib/rancher/k3s/data/current/bin',
  '/var/lib/rancher/k3s/data/current/bin/aux',
] as const;

/** Whether what the active CNI configuration calls is on this host. */
export const cniPlugins: Check<'cni-plugins'> = {
  kind: 'cni-plugins',
  summary: 'every plugin and command that the CNI configuration calls is on this host',
  scope: 'node',
  needs: [],

  async run({ need }, _target, context) {
    const active = await readActive(context);
    if (active === undefined) return skip('not-applicable', { configured: 'nothing yet' });
    return need === 'plugins'
      ? await judgePlugins(active, context.host)
      : await judgeCommand(active, context);
  },
};

async function judgePlugins(active: ActiveConfiguration, host: Host): Promise<Answer> {
  const runtime = await readRuntime(host);
  const lists = await Promise.all(
    runtime.directories.map(async (path) => ({ path, names: await host.listDirectory(path) })),
  );
  const visible = lists.filter(({ names }) => names !== undefined);
  const wanted = runtime.ownLoopback ? active.plugins : [...active.plugins, 'loopback'];
  const missing = [...new Set(wanted)].filter(
    (plugin) => !visible.some(({ names }) => names?.includes(plugin) === true),
  );
  const directories = visible.map(({ path }) => path).join(',');
  if (missing.length === 0) return pass({ file: active.file, plugins: wanted.join(',') });
  // In a container not every directory of the host need be there.
  if (!(await seesHostFiles(host)))
    return unknown('permission-denied', { file: active.file, unreadable: '/opt/cni/bin' });
  return fail(
    'cni-plugin-missing',
    {
      file: active.file,
      missing: missing.join(','),
      directories: directories === '' ? (runtime.directories[0] ?? '') : directories,
    },
    { where: 'node', node: 'this' },
  );
}

interface Runtime {
  readonly directories: readonly string[];
  /** Whether containerd brings up `lo` itself. */
  readonly ownLoopback: boolean;
}

/** What runtimes are told beside the usual directories: `bin_dir`, `bin_dirs` of containerd, `plugin_dirs` of CRI-O. */
async function readRuntime(host: Host): Promise<Runtime> {
  const texts = await Promise.all(runtimeFiles.map((path) => host.readText(path)));
  const named = texts.flatMap((text) =>
    [
      ...(text ?? '').matchAll(/^\s*(?:bin_dirs?|plugin_dirs)\s*=\s*(\[[^\]]*\]|"[^"]*")/gm),
    ].flatMap(([, value = '']) => [...value.matchAll(/"(\/[^"]*)"/g)].map(([, path = '']) => path)),
  );
  const told = named.map((path) => path.replace(/\/+$/, ''));
  return {
    directories: [...new Set([...told, ...usualDirectories])],
    ownLoopback: texts.some((text) => /^\s*use_internal_loopback\s*=\s*true/m.test(text ?? '')),
  };
}

async function judgeCommand(active: ActiveConfiguration, { host }: Context): Promise<Answer> {
  if (active.callsIptables === undefined) return skip('not-applicable', { file: active.file });
  const found: string[] = [];
  for (const directory of commandDirectories)
    if (await host.exists(`${directory}/iptables`)) found.push(directory);
  const evidence = { file: active.file, plugin: active.callsIptables };
  if (found[0] !== undefined) return pass({ ...evidence, command: `${found[0]}/iptables` });
  if (!(await seesHostFiles(host)) || (await hasBundle(host)))
    return unknown('permission-denied', { ...evidence, unreadable: '/usr/sbin/iptables' });
  return fail('iptables-missing', evidence, { where: 'node', node: 'this' });
}

/** RKE2 keeps its programs in a directory that has the version in its name. */
async function hasBundle(host: Host): Promise<boolean> {
  return await host.exists('/var/lib/rancher/rke2/data');
}
