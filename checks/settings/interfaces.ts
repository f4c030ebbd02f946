/** @module The interfaces of this node that its pods' packets come in on. */
import { matchesName } from '../../rules/detect.ts';
import type { Context } from '../check.ts';

/** Names of interfaces, the provider's own apart from those of the underlay. */
export interface PodInterfaces {
  /** Those of the provider that are up. Ports of a bridge are left out: it is the bridge that a packet comes in on. */
  readonly own: readonly string[];
  readonly underlay: readonly string[];
}

/** Looks which of them there are. */
export async function findPodInterfaces({
  host,
  interfaces,
  underlay,
}: Pick<Context, 'host' | 'interfaces' | 'underlay'>): Promise<PodInterfaces> {
  const own: string[] = [];
  for (const { name, up } of await host.links()) {
    if (!up || !interfaces.some((pattern) => matchesName(pattern, name))) continue;
    if (await host.exists(`/sys/class/net/${name}/master`)) continue;
    own.push(name);
  }
  const others = new Set(underlay.map(({ interface: name }) => name));
  return { own, underlay: [...others].filter((name) => !own.includes(name)) };
}

/** A number from /proc/sys; undefined where there is no such setting. */
export async function readSetting(
  host: Pick<Context['host'], 'readText'>,
  key: string,
): Promise<number | undefined> {
  const text = (await host.readText(`/proc/sys/${key}`))?.trim();
  return text === undefined || !/^-?\d+$/.test(text) ? undefined : Number(text);
}

/** A few names of many, for evidence. */
export function fewOf(names: readonly string[]): string {
  const shown = names.slice(0, 8).join(',');
  return names.length > 8 ? `${shown} and ${names.length - 8} more` : shown;
}
