/** @module Establishes whether the kernel has a feature, without loading anything. */
import type { Feature } from '../rules/schema.ts';
import { type Answer, type Check, type Context, fail, pass, unknown } from './check.ts';
import { type Host, HostError } from './host/host.ts';
import { isListed } from './host/modules.ts';

/** One way to look. `yes` and `no` are certain; `hint` is a yes that only the kernel configuration gives. */
type Finding =
  | { readonly is: 'yes'; readonly evidence: string }
  | { readonly is: 'no'; readonly evidence: string }
  | undefined;

/**
 * Establishes whether the kernel has a feature. Evidence in this order, the first that is certain decides: a live
 * device, a loaded module, a built-in or loadable one, a file or mount, a try in a throw-away namespace (only
 * when asked for), the configuration that the kernel was built with.
 */
export const kernelFeature: Check<'kernel-feature'> = {
  kind: 'kernel-feature',
  summary: 'the kernel has a feature that the provider needs',
  scope: 'node',
  needs: [],

  async run({ feature: name }, _target, context) {
    const feature = context.features.get(name);
    if (feature === undefined) throw new RangeError(`no feature ${JSON.stringify(name)}`);
    return await judgeFeature(name, feature, context);
  },
};

async function judgeFeature(name: string, feature: Feature, context: Context): Promise<Answer> {
  const { host, signal, tryModules } = context;
  const unreadable: string[] = [];
  const look = async <T>(what: string, work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work();
    } catch (cause) {
      if (!(cause instanceof HostError)) throw cause;
      unreadable.push(what);
      return undefined;
    }
  };

  const present =
    (await look('links', () => findDevice(feature, host))) ??
    (await look('sys-module', () => findLoaded(feature, host)));
  if (present !== undefined) return answer(name, present);

  const release = (await host.osFacts()).kernel;
  const modules = await look('modules', () => findModule(feature, release, host));
  if (modules?.is === 'yes') return answer(name, modules);

  const files = await look('files', () => findFile(feature, host));
  if (files?.is === 'yes') return answer(name, files);

  if (tryModules && feature.tryLink !== undefined) {
    const tried = await host.tryLink(feature.tryLink, signal);
    if (tried !== undefined) return answer(name, { is: tried ? 'yes' : 'no', evidence: 'tried' });
  }

  const configured = await findConfiguration(feature, release, { host, look });
  // A module can be configured and not installed: distributions put the rarer ones into a package of their own.
  if (modules?.is === 'no') {
    const config = configured === undefined ? {} : { config: configured.evidence };
    return configured?.is === 'yes' && configured.evidence.endsWith('=y')
      ? answer(name, configured)
      : fail(
          'feature-missing',
          { feature: name, source: modules.evidence, ...config },
          { where: 'node', node: 'this' },
        );
  }
  if (configured?.is === 'yes') return answer(name, configured);
  if (configured?.is === 'no' && (await isWhole(feature, host))) return answer(name, configured);
  if (configured === undefined && files?.is === 'no') return answer(name, files);
  return unknown('feature-undetermined', {
    feature: name,
    ...(configured === undefined ? {} : { config: configured.evidence }),
    ...(unreadable.length === 0 ? {} : { unreadable: unreadable.join(',') }),
  });
}

function answer(name: string, finding: NonNullable<Finding>): Answer {
  const evidence = { feature: name, source: finding.evidence };
  return finding.is === 'yes'
    ? pass(evidence)
    : fail('feature-missing', evidence, { where: 'node', node: 'this' });
}

async function findDevice({ devices = [] }: Feature, host: Host): Promise<Finding> {
  if (devices.length === 0) return undefined;
  const link = (await host.links()).find(
    ({ kind }) => kind !== undefined && devices.includes(kind),
  );
  return link === undefined ? undefined : { is: 'yes', evidence: `device ${link.name}` };
}

async function findLoaded({ modules }: Feature, host: Host): Promise<Finding> {
  for (const module of modules) {
    const name = module.replaceAll('-', '_');
    if (await host.exists(`/sys/module/${name}`)) return { is: 'yes', evidence: `module ${name}` };
  }
  return undefined;
}

/** `no` only when both lists could be read: one alone does not hold every module. */
async function findModule({ modules }: Feature, release: string, host: Host): Promise<Finding> {
  if (modules.length === 0) return undefined;
  const builtin = await host.readText(`/lib/modules/${release}/modules.builtin`);
  const loadable = await host.readText(`/lib/modules/${release}/modules.dep`);
  for (const module of modules) {
    if (isListed(builtin ?? '', module)) return { is: 'yes', evidence: `built-in ${module}` };
    if (isListed(loadable ?? '', module)) return { is: 'yes', evidence: `loadable ${module}` };
  }
  if (builtin === undefined || loadable === undefined) return undefined;
  return { is: 'no', evidence: `/lib/modules/${release}` };
}

/**
 * `no` only where nothing else could prove it. A missing file is no proof about a module: the file comes when the
 * module is loaded. A missing mount is none about the kernel, and a container sees other mounts than its node.
 */
async function findFile(feature: Feature, host: Host): Promise<Finding> {
  const { files = [], mount, modules, config } = feature;
  for (const file of files) {
    if (await host.exists(file)) return { is: 'yes', evidence: `file ${file}` };
  }
  if (mount !== undefined) {
    const mounts = (await host.readText('/proc/1/mounts')) ?? (await host.readText('/proc/mounts'));
    for (const line of (mounts ?? '').split('\n')) {
      const [, at, type] = line.split(' ');
      if (type === mount) return { is: 'yes', evidence: `mount ${at ?? ''}` };
    }
    const isAllThereIs = files.length + modules.length + config.length === 0;
    if (!isAllThereIs || mounts === undefined || !(await seesNode(host))) return undefined;
    return { is: 'no', evidence: `no mount of ${mount}` };
  }
  if (files.length === 0 || modules.length > 0) return undefined;
  return { is: 'no', evidence: `no ${files.join(',')}` };
}

/** Whether process 1 is the node's own: its second process is then the kernel's thread that starts threads. */
async function seesNode(host: Host): Promise<boolean> {
  return (await host.readText('/proc/2/comm'))?.trim() === 'kthreadd';
}

interface Looking {
  readonly host: Host;
  readonly look: <T>(what: string, work: () => Promise<T>) => Promise<T | undefined>;
}

/** Every symbol must be y or m. One that is not named at all may have another name in this kernel: no answer. */
async function findConfiguration(
  { config }: Feature,
  release: string,
  { host, look }: Looking,
): Promise<Finding> {
  if (config.length === 0) return undefined;
  const places = ['/proc/config.gz', `/boot/config-${release}`, `/lib/modules/${release}/config`];
  for (const place of places) {
    const text = await look(place, () => host.readText(place));
    if (text === undefined) continue;
    const states = config.map((symbol) => ({ symbol, value: configured(text, symbol) }));
    const off = states.find(({ value }) => value === 'n');
    if (off !== undefined) return { is: 'no', evidence: `config ${off.symbol}=n` };
    if (states.some(({ value }) => value === undefined)) return undefined;
    const weakest = states.find(({ value }) => value === 'm') ?? states[0];
    return { is: 'yes', evidence: `config ${weakest?.symbol ?? ''}=${weakest?.value ?? ''}` };
  }
  return undefined;
}

/** The value of a symbol in a kernel configuration; undefined when it is not named. */
export function configured(text: string, symbol: string): 'y' | 'm' | 'n' | undefined {
  const name = symbol.replace(/^CONFIG_/, '');
  const match = new RegExp(`^CONFIG_${name}=([ym])\\b|^# CONFIG_${name} is not set$`, 'm').exec(
    text,
  );
  if (match === null) return undefined;
  return match[1] === 'y' || match[1] === 'm' ? match[1] : 'n';
}

/** Whether the configuration is the whole truth: a module from elsewhere (DKMS) needs a kernel that loads modules. */
async function isWhole({ modules }: Feature, host: Host): Promise<boolean> {
  if (modules.length === 0) return true;
  try {
    return !(await host.exists('/proc/modules')) && (await host.exists('/proc/self/status'));
  } catch (cause) {
    if (cause instanceof HostError) return false;
    throw cause;
  }
}
