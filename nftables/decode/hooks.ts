/** @module What hangs at a hook: netlink bytes -> entries. Pure. */
import type { Family, HookEntry } from '../model.ts';
import { AttributeReader, given } from './attributes.ts';
import { familyOf, generalBytes } from './messages.ts';
import { hookOf } from './objects.ts';

/**
 * NFNL_MSG_HOOK_GET (linux/netfilter/nfnetlink_hook.h): 1 hook, 2 priority, 3 device, 4 function, 5 module, 6 whose
 * { 1 description { 1 table, 2 family (u8), 3 chain }, 2 type: 1 is nf_tables }. `device` is the one that was asked for.
 */
export function decodeHook(payload: Uint8Array, device?: string): HookEntry | undefined {
  const family = familyOf(payload[0] ?? 0);
  if (family === undefined) return undefined;
  const attributes = new AttributeReader(payload.subarray(generalBytes));
  const number = attributes.maybeU32(1);
  const priority = attributes.maybeU32(2);
  const hook = number === undefined ? undefined : hookOf(family, number);
  if (hook === undefined || priority === undefined) return undefined;
  return {
    family,
    hook,
    priority: priority | 0,
    ...given({
      device: attributes.maybeText(3) ?? device,
      function: attributes.maybeText(4),
      module: attributes.maybeText(5),
      chain: chainOf(attributes.maybeNested(6)),
    }),
  };
}

function chainOf(
  info: AttributeReader | undefined,
): { readonly family: Family; readonly table: string; readonly name: string } | undefined {
  const description = info?.maybeU32(2) === 1 ? info.maybeNested(1) : undefined;
  const table = description?.maybeText(1);
  const family = familyOf(description?.maybeNumber(2, 1) ?? 0);
  const name = description?.maybeText(3);
  if (table === undefined || family === undefined || name === undefined) return undefined;
  return { family, table, name };
}
