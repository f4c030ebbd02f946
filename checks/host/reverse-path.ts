/** @module The reverse path filter in force (net.ipv4.conf.*.rp_filter). There is none for IPv6. */
import type { Files } from './files.ts';
import { HostError } from './host.ts';

/**
 * Reads what an interface is judged by: the larger of `all` and its own (IN_DEV_RPFILTER in linux/inetdevice.h). Undefined where it cannot
 * be read.
 */
export async function readReversePathFilter(
  files: Pick<Files, 'readText'>,
  name: string,
): Promise<0 | 1 | 2 | undefined> {
  // A name that would lead elsewhere is none of the kernel's.
  if (!/^[^/\s]{1,15}$/.test(name) || name === '.' || name === '..') return undefined;
  try {
    const texts = await Promise.all(
      ['all', name].map((one) => files.readText(`/proc/sys/net/ipv4/conf/${one}/rp_filter`)),
    );
    const values = texts.map((text) => Number(text?.trim() || Number.NaN));
    const value = Math.max(...values);
    return value === 0 || value === 1 || value === 2 ? value : undefined;
  } catch (cause) {
    if (cause instanceof HostError) return undefined;
    throw cause;
  }
}
