/** @module The opening as the kernel would hold it: expressions of an accepting rule. Pure. */
import type { Expression, Family } from 'node-nftables';
import { maskOf, type Opening, type Prefix } from './opening.ts';

/** Which parts of the opening a rule says; a manager that cannot say one leaves it out, and so opens more. */
export interface Parts {
  readonly family: boolean;
}

const NFPROTO_IPV4 = 2;
const NFPROTO_IPV6 = 10;
/** linux/if_ether.h, in network order. */
const etherTypes = { ip: [0x08, 0x00], ip6: [0x86, 0xdd] } as const;
/** Offset and length of the addresses in the IP header (RFC 791 section 3.1, RFC 8200 section 3). */
const addressFields = {
  ip: { source: 12, destination: 16, length: 4 },
  ip6: { source: 8, destination: 24, length: 16 },
} as const;

/** An accepting rule for the opening, in a table of this family. */
export function acceptExpressions(
  opening: Opening,
  table: Family,
  parts: Parts = { family: true },
): readonly Expression[] {
  const { family, protocol, devices, source, destination, port, icmpType, established } = opening;
  const fields = addressFields[family];
  const namesFamily = parts.family && table !== 'ip' && table !== 'ip6';
  return [
    ...(namesFamily ? familyMatch(family, table) : []),
    ...(devices === undefined
      ? []
      : [
          ...deviceMatch('iifname', devices.inInterface),
          ...deviceMatch('oifname', devices.outInterface),
        ]),
    ...(source === undefined ? [] : addressMatch(source, fields.source)),
    ...(destination === undefined ? [] : addressMatch(destination, fields.destination)),
    ...(protocol === undefined
      ? []
      : [{ kind: 'meta', key: 'l4proto', register: 0 } as const, equal([protocol])]),
    ...(port === undefined ? [] : transportMatch(2, [port >> 8, port & 0xff])),
    ...(icmpType === undefined ? [] : transportMatch(0, [icmpType])),
    ...(established?.sourcePort === undefined
      ? []
      : transportMatch(0, [established.sourcePort >> 8, established.sourcePort & 0xff])),
    // Connections are not tracked yet where netdev chains are.
    ...(established === undefined || table === 'netdev' ? [] : establishedMatch),
    { kind: 'verdict', verdict: { code: 'accept' } },
  ];
}

/** NF_CT_STATE_BIT(IP_CT_ESTABLISHED), in host order: of all machines that Node.js runs on the lowest byte comes first. */
const establishedBit = Uint8Array.of(2, 0, 0, 0);
const establishedMatch: readonly Expression[] = [
  { kind: 'ct', key: 'state', register: 0 },
  {
    kind: 'bitwise',
    operation: 'mask-xor',
    source: 0,
    destination: 0,
    length: 4,
    mask: establishedBit,
    xor: new Uint8Array(4),
  },
  { kind: 'cmp', register: 0, comparison: 'neq', value: new Uint8Array(4) },
];

/** Where chains of one family see all packets, nfproto is that family: there the EtherType tells (nft_meta_get_eval in net/netfilter). */
function familyMatch(family: 'ip' | 'ip6', table: Family): readonly Expression[] {
  if (table === 'netdev' || table === 'bridge')
    return [{ kind: 'meta', key: 'protocol', register: 0 }, equal(etherTypes[family])];
  return [
    { kind: 'meta', key: 'nfproto', register: 0 },
    equal([family === 'ip' ? NFPROTO_IPV4 : NFPROTO_IPV6]),
  ];
}

/** A name is compared with its zero byte and what follows it; where any ending will do, without them. */
export function deviceMatch(key: 'iifname' | 'oifname', name: string): readonly Expression[] {
  const bytes = new TextEncoder().encode(name.replace(/\*$/, ''));
  const whole = new Uint8Array(interfaceNameBytes);
  whole.set(bytes);
  return [{ kind: 'meta', key, register: 0 }, equal([...(name.endsWith('*') ? bytes : whole)])];
}

/** IFNAMSIZ (linux/if.h). */
const interfaceNameBytes = 16;

function addressMatch({ bytes, length }: Prefix, offset: number): readonly Expression[] {
  const load: Expression = {
    kind: 'payload',
    base: 'network',
    offset,
    length: bytes.length,
    register: 0,
  };
  if (length === bytes.length * 8) return [load, equal([...bytes])];
  const mask: Expression = {
    kind: 'bitwise',
    operation: 'mask-xor',
    source: 0,
    destination: 0,
    length: bytes.length,
    mask: maskOf(length, bytes.length),
    xor: new Uint8Array(bytes.length),
  };
  return [load, mask, equal([...bytes])];
}

function transportMatch(offset: number, value: readonly number[]): readonly Expression[] {
  return [
    { kind: 'payload', base: 'transport', offset, length: value.length, register: 0 },
    equal(value),
  ];
}

function equal(value: readonly number[]): Expression {
  return { kind: 'cmp', register: 0, comparison: 'eq', value: Uint8Array.from(value) };
}
