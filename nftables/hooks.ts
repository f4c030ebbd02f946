/** @module Which functions hang at which hook, in the order in which packets meet them. */
import { decodeHook } from './decode/hooks.ts';
import { familyNumber } from './decode/messages.ts';
import { KernelError } from './errors.ts';
import type { Chain, Family, HookEntry } from './model.ts';
import { encodeAttribute, encodeText, type NetfilterSocket } from './netlink.ts';
import { isPresent } from './present.ts';

/** NFNL_MSG_HOOK_GET of NFNL_SUBSYS_HOOK (12). */
const NFNL_MSG_HOOK_GET = 0xc00;

/** How many hooks each family has that hang at no device. */
const counts: Readonly<Partial<Record<Family, number>>> = { ip: 5, ip6: 5, arp: 3, bridge: 5 };

/** One hook to ask for. */
interface Place {
  readonly family: Family;
  readonly number: number;
  readonly device?: string;
}

/** All that hangs at hooks that these chains could hang at. Undefined where the kernel does not tell: Linux before 5.14, or built without. */
export async function readHooks(
  socket: NetfilterSocket,
  chains: readonly Chain[],
  root: string,
): Promise<readonly HookEntry[] | undefined> {
  if ((await isPresent('nfnetlink_hook', root)) !== 'yes') return undefined;
  const entries: HookEntry[] = [];
  for (const place of placesOf(chains)) {
    try {
      await dumpPlace(socket, place, entries);
    } catch (cause) {
      const code = cause instanceof KernelError ? cause.code : undefined;
      // No such subsystem.
      if (code === 'EINVAL') return undefined;
      // No such hook in this kernel, or the device is gone.
      if (code !== 'EOPNOTSUPP' && code !== 'ENOENT' && code !== 'ENODEV') throw cause;
    }
  }
  return entries;
}

async function dumpPlace(
  socket: NetfilterSocket,
  { family, number, device }: Place,
  entries: HookEntry[],
): Promise<void> {
  const hook = encodeAttribute(1, Uint8Array.of(0, 0, 0, number));
  const attributes = device === undefined ? [hook] : [hook, encodeText(3, device)];
  const request = { type: NFNL_MSG_HOOK_GET, family: familyNumber(family), attributes };
  await socket.dump(request, ({ payload }) => {
    const entry = decodeHook(payload, device);
    if (entry !== undefined) entries.push(entry);
  });
}

/** Chains of inet hang at the hooks of ip and ip6, or of a device: there, 0 is ingress and 1 egress. */
function placesOf(chains: readonly Chain[]): readonly Place[] {
  const places: Place[] = [];
  for (const family of ['ip', 'ip6', 'arp', 'bridge'] as const) {
    for (let number = 0; number < (counts[family] ?? 0); number++) places.push({ family, number });
  }
  const devices = new Set(chains.flatMap(({ base }) => base?.devices ?? []));
  for (const device of devices) {
    for (const number of [0, 1]) places.push({ family: 'netdev', number, device });
  }
  return places;
}
