/**
 * @module Whether the kernel has a part, told without asking the kernel for that part.
 *
 * Asking is not harmless: a netlink request for a family that nobody serves makes the kernel run modprobe
 * (request_module in net/core/sock_diag.c, net/netfilter/nfnetlink.c, net/netlink/af_netlink.c), and the
 * host would be changed.
 */
import { release } from 'node:os';
import type { Files } from './files.ts';
import { HostError } from './host.ts';

/** Whether asking for what this module serves can load nothing: it is there, or no module can be loaded. */
export async function isSafeToAsk(files: Files, module: string): Promise<boolean> {
  try {
    // Without /proc/modules the kernel was built without CONFIG_MODULES; but only if /proc is there at all.
    if (!(await files.exists('/proc/modules'))) return await files.exists('/proc/self/status');
    if (await files.exists(`/sys/module/${module}`)) return true;
    return isListed(
      (await files.readText(`/lib/modules/${release()}/modules.builtin`)) ?? '',
      module,
    );
  } catch (cause) {
    if (cause instanceof HostError) return false;
    throw cause;
  }
}

/**
 * Whether a listing of kmod(8) names a module. Each line of modules.builtin, and of modules.dep up to its
 * colon, is a path such as `kernel/drivers/net/vxlan/vxlan.ko.zst`; `-` and `_` are the same in a name.
 */
export function isListed(listing: string, module: string): boolean {
  const wanted = module.replaceAll('-', '_');
  for (const match of listing.matchAll(
    /^(?:[^\s:]*\/)?([^\s:/]+)\.ko(?:\.[a-z0-9]+)?(?=\s*(?::|$))/gm,
  )) {
    if (match[1]?.replaceAll('-', '_') === wanted) return true;
  }
  return false;
}
