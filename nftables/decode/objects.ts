/** @module Tables, chains, named objects, flowtables and the generation: netlink bytes -> objects. Pure. */
import type { Chain, Family, Flowtable, Hook, NamedObject, Table } from '../model.ts';
import { AttributeReader, given, splitAttributes, textOf } from './attributes.ts';
import { decodeExpressionData, opaque } from './expressions.ts';
import { familyOf, generalBytes } from './messages.ts';
import { objectTypeOf } from './operations.ts';
import { commentOf } from './userdata.ts';

const inetHooks = ['prerouting', 'input', 'forward', 'output', 'postrouting'] as const;
/** enum nf_inet_hooks, nf_arp_hooks, nf_dev_hooks; inet has NF_INET_INGRESS behind the others. */
const hooks: Readonly<Record<Family, readonly Hook[]>> = {
  inet: [...inetHooks, 'ingress'],
  ip: inetHooks,
  ip6: inetHooks,
  bridge: inetHooks,
  arp: ['input', 'output', 'forward'],
  netdev: ['ingress', 'egress'],
};

/** The hook of a number, which means another in each family. */
export function hookOf(family: Family, number: number): Hook | undefined {
  return hooks[family][number];
}

/** Opens a message: its family and its attributes. */
export function openMessage(
  payload: Uint8Array,
): { readonly family: Family; readonly attributes: AttributeReader } | undefined {
  const family = familyOf(payload[0] ?? 0);
  if (family === undefined) return undefined;
  return { family, attributes: new AttributeReader(payload.subarray(generalBytes)) };
}

/** NFT_MSG_NEWTABLE: 1 name, 2 flags (1 dormant, 2 owner), 4 handle, 6 user data, 7 owner. */
export function decodeTable(payload: Uint8Array): Table | undefined {
  const message = openMessage(payload);
  if (message === undefined) return undefined;
  const { family, attributes } = message;
  const name = attributes.maybeText(1);
  if (name === undefined) return undefined;
  const flags = attributes.maybeU32(2) ?? 0;
  return {
    backend: 'nf_tables',
    family,
    name,
    handle: attributes.maybeU64(4) ?? 0,
    dormant: (flags & 1) !== 0,
    ...given({ owner: attributes.maybeU32(7), comment: commentOf(attributes.maybeBytes(6)) }),
  };
}

/**
 * NFT_MSG_NEWCHAIN: 1 table, 2 handle, 3 name, 4 hook { 1 number, 2 priority, 3 device, 4 devices }, 5 policy, 7 type, 12 user data.
 * A base chain at a hook that is not known cannot be told: undefined.
 */
export function decodeChain(payload: Uint8Array): Chain | undefined {
  const message = openMessage(payload);
  if (message === undefined) return undefined;
  const { family, attributes } = message;
  const table = attributes.maybeText(1);
  const name = attributes.maybeText(3);
  if (table === undefined || name === undefined) return undefined;
  const chain = {
    backend: 'nf_tables',
    family,
    table,
    name,
    handle: attributes.maybeU64(2) ?? 0,
    ...given({ comment: commentOf(attributes.maybeBytes(12)) }),
  } as const;
  const place = attributes.maybeNested(4);
  if (place === undefined) return chain;
  const hook = hookOf(family, place.u32(1));
  const type = chainTypeOf(attributes.maybeText(7));
  if (hook === undefined || type === undefined) return undefined;
  return {
    ...chain,
    base: {
      type,
      hook,
      priority: place.u32(2) | 0,
      policy: attributes.maybeU32(5) === 0 ? 'drop' : 'accept',
      devices: devicesOf(place.maybeBytes(3), place.maybeBytes(4)),
    },
  };
}

function chainTypeOf(text: string | undefined): 'filter' | 'nat' | 'route' | undefined {
  return text === 'filter' || text === 'nat' || text === 'route' ? text : undefined;
}

/** One device, or a list of them: 1 name, 2 the beginning of names. A chain with a list repeats its only device. */
function devicesOf(
  single: Uint8Array | undefined,
  list: Uint8Array | undefined,
): readonly string[] {
  const devices = new Set(single === undefined ? [] : [textOf(single)]);
  for (const [type, value] of splitAttributes(list ?? new Uint8Array()).attributes) {
    if (type === 1) devices.add(textOf(value));
    else if (type === 2) devices.add(`${textOf(value)}*`);
  }
  return [...devices];
}

/** NFT_MSG_NEWOBJ: 1 table, 2 name, 3 type, 4 data, 6 handle, 8 user data. */
export function decodeObject(payload: Uint8Array): NamedObject | undefined {
  const message = openMessage(payload);
  if (message === undefined) return undefined;
  const { family, attributes } = message;
  const table = attributes.maybeText(1);
  const name = attributes.maybeText(2);
  const number = attributes.maybeU32(3);
  if (table === undefined || name === undefined || number === undefined) return undefined;
  const type = objectTypeOf(number);
  const data = attributes.maybeBytes(4) ?? new Uint8Array();
  // An expression may have the name of an object that is something else: a tunnel.
  const isLikeExpression = likeExpressions.has(type);
  const expression = isLikeExpression ? decodeExpressionData(type, data) : undefined;
  return {
    family,
    table,
    name,
    handle: attributes.maybeU64(6) ?? 0,
    type,
    expression: expression ?? opaque(type, data),
    ...given({ comment: commentOf(attributes.maybeBytes(8)) }),
  };
}

const likeExpressions: ReadonlySet<string> = new Set([
  'counter',
  'quota',
  'limit',
  'connlimit',
  'synproxy',
]);

/** NFT_MSG_NEWFLOWTABLE: 1 table, 2 name, 3 hook { 1 number, 2 priority, 3 devices }, 5 handle. */
export function decodeFlowtable(payload: Uint8Array): Flowtable | undefined {
  const message = openMessage(payload);
  if (message === undefined) return undefined;
  const { family, attributes } = message;
  const table = attributes.maybeText(1);
  const name = attributes.maybeText(2);
  const place = attributes.maybeNested(3);
  if (table === undefined || name === undefined || place === undefined) return undefined;
  // Whatever its table's family, a flowtable hangs at a device's hook: NF_NETDEV_INGRESS is 0.
  const hook = hookOf('netdev', place.u32(1));
  if (hook === undefined) return undefined;
  return {
    family,
    table,
    name,
    handle: attributes.maybeU64(5) ?? 0,
    hook,
    priority: place.u32(2) | 0,
    devices: devicesOf(undefined, place.maybeBytes(3)),
  };
}

export interface Generation {
  readonly id: number;
  /** Of events: who changed it. */
  readonly process?: { readonly pid: number; readonly name: string };
}

/** NFT_MSG_NEWGEN: 1 generation id, 2 process id, 3 its name. */
export function decodeGeneration(payload: Uint8Array): Generation | undefined {
  const attributes = new AttributeReader(payload.subarray(generalBytes));
  const id = attributes.maybeU32(1);
  if (id === undefined) return undefined;
  const pid = attributes.maybeU32(2);
  const name = attributes.maybeText(3);
  return pid === undefined || name === undefined ? { id } : { id, process: { pid, name } };
}
