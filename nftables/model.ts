/**
 * @module What the kernel runs, as data: tables, chains, rules and their expressions, sets, named objects. Pure types and names.
 *
 * Register contents and set keys are bytes as the kernel holds them: packet fields in network byte order, `meta mark` and other
 * integers of the kernel in host byte order (little-endian on every machine that Node and koffi support together).
 * Registers are counted in 32-bit words, 0 to 15 (NFT_REG32_00 to NFT_REG32_15); a value of n bytes fills ceil(n / 4) of them.
 * One object may stand in many rules: the reader makes equal expressions one object. Treat everything as read-only.
 */

/** Address family of a table: enum nfproto. */
export type Family = 'inet' | 'ip' | 'ip6' | 'arp' | 'netdev' | 'bridge';

/** Who serves the rules. iptables-nft's rules are nf_tables rules with `match` and `target` expressions in them. */
export type Backend = 'nf_tables' | 'iptables-legacy';

/** A table of nf_tables, or one of the five of legacy iptables. */
export interface Table {
  readonly backend: Backend;
  readonly family: Family;
  readonly name: string;
  readonly handle: number;
  /** NFT_TABLE_F_DORMANT: its base chains are not registered, no packet meets them. */
  readonly dormant: boolean;
  /** NFT_TABLE_F_OWNER: bound to the netlink socket of one program; its port id. */
  readonly owner?: number;
  readonly comment?: string;
}

/** Where a base chain hangs. `ingress` and `egress` are of the netdev family (and `ingress` of inet). */
export type Hook =
  | 'prerouting'
  | 'input'
  | 'forward'
  | 'output'
  | 'postrouting'
  | 'ingress'
  | 'egress';

/** What makes a chain a base chain: the hook at which packets come to it, and what becomes of those that no rule decides. */
export interface BaseChain {
  readonly type: 'filter' | 'nat' | 'route';
  readonly hook: Hook;
  readonly priority: number;
  readonly policy: 'accept' | 'drop';
  /** Of ingress and egress chains: the devices that they are bound to. */
  readonly devices: readonly string[];
}

/** A list of rules: packets come to it from a hook (`base`) or by `jump` and `goto` of other rules. */
export interface Chain {
  readonly backend: Backend;
  readonly family: Family;
  readonly table: string;
  readonly name: string;
  readonly handle: number;
  /** Only of a base chain. */
  readonly base?: BaseChain;
  readonly comment?: string;
}

/** One rule: expressions that run in order until one of them does not match or gives a verdict. */
export interface Rule {
  readonly backend: Backend;
  readonly family: Family;
  readonly table: string;
  readonly chain: string;
  /** What `nft -a` shows and `nft insert rule … position N` takes. Legacy iptables has none: 0. */
  readonly handle: number;
  /** Place in its chain, from 1: the number that `iptables -L --line-numbers` shows. */
  readonly index: number;
  readonly expressions: readonly Expression[];
  readonly comment?: string;
}

/** Type of a set's key or data as `nft` numbers it (datatype.h); concatenations hold six bits a component, the last lowest. */
export type DataType = number;

/** NFT_SET_* of a set. */
export interface SetFlags {
  readonly anonymous: boolean;
  readonly constant: boolean;
  readonly interval: boolean;
  readonly map: boolean;
  readonly timeout: boolean;
  /** NFT_SET_EVAL: rules may add to it (`flags dynamic`). */
  readonly dynamic: boolean;
  /** A map to named objects. */
  readonly object: boolean;
  readonly concatenation: boolean;
}

/** A set, map or verdict map. */
export interface NftSet {
  readonly family: Family;
  readonly table: string;
  /** Anonymous ones are `__set0`, `__map1`. */
  readonly name: string;
  readonly handle: number;
  readonly flags: SetFlags;
  readonly keyType: DataType;
  readonly keyLength: number;
  /** Bytes of each component of a concatenation, unpadded; each fills whole registers in the key. */
  readonly fieldLengths?: readonly number[];
  /** Of a map: the type of what it gives, or `verdict`, or `object`. */
  readonly data?:
    | { readonly kind: 'value'; readonly type: DataType; readonly length: number }
    | { readonly kind: 'verdict' }
    | { readonly kind: 'object'; readonly objectType: number };
  /** Default of its elements. */
  readonly timeoutMs?: number;
  readonly gcIntervalMs?: number;
  readonly size?: number;
  readonly policy?: 'performance' | 'memory';
  /** Byte order of the key as nft noted it in the set's user data: needed to print integers. */
  readonly keyByteOrder?: 'host' | 'big';
  readonly dataByteOrder?: 'host' | 'big';
  readonly comment?: string;
  /** `auto-merge` as nft noted it. */
  readonly autoMerge?: boolean;
  /** Statements that each element carries: counter, limit … */
  readonly expressions?: readonly Expression[];
  readonly elements: ElementList;
}

/** Elements in the kernel's order. Large sets are stored packed and made into objects while one walks over them. */
export interface ElementList extends Iterable<SetElement> {
  readonly length: number;
}

/** One element of a set, or one entry of a map. */
export interface SetElement {
  /** Absent only for the catch-all element `*`. */
  readonly key?: Uint8Array;
  /** Inclusive end of a range, in sets with concatenated intervals (pipapo). Absent: the key alone. */
  readonly keyEnd?: Uint8Array;
  /**
   * In interval sets without concatenation (rbtree) a range is two elements: its start, and the first key behind it with this flag.
   * A start without an end reaches to the last key.
   */
  readonly intervalEnd: boolean;
  readonly value?: Uint8Array;
  readonly verdict?: Verdict;
  /** Name of the named object that it gives. */
  readonly object?: string;
  readonly timeoutMs?: number;
  readonly expiresMs?: number;
  readonly expressions?: readonly Expression[];
  readonly comment?: string;
}

/** A named object: counter, quota, limit, ct helper, ct timeout, ct expectation, synproxy, tunnel, secmark. */
export interface NamedObject {
  readonly family: Family;
  readonly table: string;
  readonly name: string;
  readonly handle: number;
  /** NFT_OBJECT_COUNTER … as a word; an unknown one is `type-N`. */
  readonly type: string;
  /** The same as the expression of that name where there is one (counter, quota, limit, synproxy); else its raw attributes. */
  readonly expression: Expression;
  readonly comment?: string;
}

/** A flowtable: connections in it bypass the hooks behind its own. */
export interface Flowtable {
  readonly family: Family;
  readonly table: string;
  readonly name: string;
  readonly handle: number;
  readonly hook: Hook;
  readonly priority: number;
  readonly devices: readonly string[];
}

/** A set of ip_set, which `match set` and `target SET` name by `index`. */
export interface IpSet {
  readonly name: string;
  readonly index: number;
  /** `hash:ip`, `hash:net,port`, `bitmap:port`, `list:set` … */
  readonly type: string;
  readonly revision: number;
  readonly family: 'ip' | 'ip6' | 'unspecified';
  readonly hasTimeouts: boolean;
  readonly hasCounters: boolean;
  /** `netmask`: so many leading bits of the packet's addresses are looked up. */
  readonly netmask?: number;
  /** `bitmask`: these bits of the packet's address are. */
  readonly bitmask?: Uint8Array;
  /** Of types with a mark: these bits of it are. */
  readonly markMask?: number;
  /** False where the kernel says something of it or of an entry that is not known here. */
  readonly isUnderstood: boolean;
  /** Of hash:net types: `nomatch` entries make exceptions. */
  readonly entries: readonly IpSetEntry[];
}

/** One entry of a set of ip_set. Which fields it has, follows from the type of the set. */
export interface IpSetEntry {
  /** Network byte order, 4 or 16 bytes. */
  readonly address?: Uint8Array;
  /** Inclusive, of bitmap ranges. */
  readonly addressEnd?: Uint8Array;
  readonly prefix?: number;
  readonly address2?: Uint8Array;
  readonly prefix2?: number;
  readonly protocol?: number;
  readonly port?: number;
  readonly portEnd?: number;
  readonly interface?: string;
  /** `wildcard`: the name is only the beginning. */
  readonly interfaceWildcard?: boolean;
  readonly physicalInterface?: boolean;
  readonly mac?: Uint8Array;
  readonly mark?: number;
  /** Member of a list:set. */
  readonly set?: string;
  readonly noMatch: boolean;
  readonly timeoutSeconds?: number;
  readonly comment?: string;
}

/** One function that hangs at a hook, in the order in which packets meet it (NFNL_SUBSYS_HOOK). */
export interface HookEntry {
  readonly family: 'ip' | 'ip6' | 'arp' | 'bridge' | 'netdev' | 'inet';
  readonly hook: Hook;
  readonly priority: number;
  readonly device?: string;
  /** The kernel function and its module, where it tells: `ipt_do_table`, `nf_nat_ipv4_in` … */
  readonly function?: string;
  readonly module?: string;
  /** Of nf_tables: whose chain it is. */
  readonly chain?: { readonly family: Family; readonly table: string; readonly name: string };
}

/** A consistent picture of every packet filter of this network namespace. */
export interface Ruleset {
  /** nf_tables' generation id; absent where the kernel has no nf_tables. */
  readonly generation?: number;
  readonly tables: readonly Table[];
  readonly chains: readonly Chain[];
  /** Those of one chain stand together and in order. */
  readonly rules: readonly Rule[];
  readonly sets: readonly NftSet[];
  readonly objects: readonly NamedObject[];
  readonly flowtables: readonly Flowtable[];
  readonly ipsets: readonly IpSet[];
  /** In packet order; absent where the kernel does not tell. Then base chains of equal priority have no known order. */
  readonly hooks?: readonly HookEntry[];
}

/** enum nft_cmp_ops. Bytes are compared in memory order (memcmp). */
export type Comparison = 'eq' | 'neq' | 'lt' | 'lte' | 'gt' | 'gte';

/** What an nf_tables rule does with the packet. `stolen`: an expression keeps it. */
export type Verdict =
  | { readonly code: 'accept' | 'drop' | 'continue' | 'break' | 'return' }
  | { readonly code: 'jump' | 'goto'; readonly chain: string }
  | { readonly code: 'queue'; readonly number: number; readonly bypass: boolean }
  | { readonly code: 'stolen' };

/** enum nft_meta_keys in order, by nft's words. */
export const metaKeys = [
  'length',
  'protocol',
  'priority',
  'mark',
  'iif',
  'oif',
  'iifname',
  'oifname',
  'iiftype',
  'oiftype',
  'skuid',
  'skgid',
  'nftrace',
  'rtclassid',
  'secmark',
  'nfproto',
  'l4proto',
  'ibrname',
  'obrname',
  'pkttype',
  'cpu',
  'iifgroup',
  'oifgroup',
  'cgroup',
  'random',
  'ipsec',
  'iifkind',
  'oifkind',
  'ibrpvid',
  'ibrvproto',
  'time',
  'day',
  'hour',
  'sdif',
  'sdifname',
  'broute',
  'ibrhwaddr',
] as const;
/** A key that is not among them is `key-N`. */
export type MetaKey = (typeof metaKeys)[number] | `key-${number}`;

/** enum nft_ct_keys in order, by nft's words. */
export const ctKeys = [
  'state',
  'direction',
  'status',
  'mark',
  'secmark',
  'expiration',
  'helper',
  'l3proto',
  'src',
  'dst',
  'protocol',
  'proto-src',
  'proto-dst',
  'label',
  'packets',
  'bytes',
  'avgpkt',
  'zone',
  'event',
  'src-ip',
  'dst-ip',
  'src-ip6',
  'dst-ip6',
  'id',
] as const;
/** A key that is not among them is `key-N`. */
export type CtKey = (typeof ctKeys)[number] | `key-${number}`;

/** enum nft_rt_keys in order, by nft's words. */
export const rtKeys = ['classid', 'nexthop4', 'nexthop6', 'tcpmss', 'ipsec'] as const;
/** A key that is not among them is `key-N`. */
export type RtKey = (typeof rtKeys)[number] | `key-${number}`;

/** enum nft_payload_bases: from which header on the offset of a load counts. */
export type PayloadBase = 'link' | 'network' | 'transport' | 'inner' | 'tunnel';

/** What `reject` answers: an ICMP or ICMPv6 code of the family, an `icmpx` code of inet and bridge, or a TCP reset. */
export type Reject =
  | { readonly with: 'icmp'; readonly code: number }
  | {
      readonly with: 'icmpx';
      readonly code: 'no-route' | 'port-unreachable' | 'host-unreachable' | 'admin-prohibited';
    }
  | { readonly with: 'tcp-reset' };

/** Registers that hold a range of addresses and of ports to translate to, and the flags of it. */
export interface NatRange {
  readonly addressFirst?: number;
  readonly addressLast?: number;
  readonly portFirst?: number;
  readonly portLast?: number;
  /** NF_NAT_RANGE_*: 1 map ips, 2 proto specified, 4 random, 8 persistent, 16 fully-random, 32 port offset, 64 netmap. */
  readonly flags: number;
}

/** One step of a rule. */
export type Expression =
  | {
      readonly kind: 'payload';
      readonly base: PayloadBase;
      readonly offset: number;
      readonly length: number;
      readonly register: number;
    }
  | {
      readonly kind: 'payload-set';
      readonly base: PayloadBase;
      readonly offset: number;
      readonly length: number;
      /** Source. */
      readonly register: number;
      readonly checksumType: number;
      readonly checksumOffset: number;
      readonly checksumFlags: number;
    }
  | {
      /** NFT_INNER: a payload or meta expression applied behind a tunnel header. */
      readonly kind: 'inner';
      /** enum nft_inner_type: 0 unspecified, 1 vxlan, 2 geneve. */
      readonly type: number;
      readonly headerSize: number;
      /** 1 header size given, 2 link layer, 4 network, 8 transport. */
      readonly flags: number;
      readonly expression: Expression;
    }
  | { readonly kind: 'meta'; readonly key: MetaKey; readonly register: number }
  | { readonly kind: 'meta-set'; readonly key: MetaKey; readonly register: number }
  | {
      readonly kind: 'cmp';
      readonly register: number;
      readonly comparison: Comparison;
      readonly value: Uint8Array;
    }
  | {
      readonly kind: 'range';
      readonly register: number;
      readonly comparison: 'eq' | 'neq';
      readonly first: Uint8Array;
      readonly last: Uint8Array;
    }
  | {
      /** `mask-xor`: destination = (source & mask) ^ xor. */
      readonly kind: 'bitwise';
      readonly operation: 'mask-xor';
      readonly source: number;
      readonly destination: number;
      readonly length: number;
      readonly mask: Uint8Array;
      readonly xor: Uint8Array;
    }
  | {
      readonly kind: 'bitwise';
      /** Over the 32-bit words in host order, as the kernel does (nft_bitwise_eval_lshift). */
      readonly operation: 'shift-left' | 'shift-right';
      readonly source: number;
      readonly destination: number;
      readonly length: number;
      readonly bits: number;
    }
  | {
      /** With a second register, or with immediate data (kernel 6.13 and later). */
      readonly kind: 'bitwise';
      readonly operation: 'and' | 'or' | 'xor';
      readonly source: number;
      readonly destination: number;
      readonly length: number;
      readonly source2?: number;
      readonly data?: Uint8Array;
    }
  | {
      readonly kind: 'byteorder';
      readonly operation: 'ntoh' | 'hton';
      readonly source: number;
      readonly destination: number;
      readonly length: number;
      /** Bytes of each number: 2, 4 or 8. */
      readonly size: number;
    }
  | { readonly kind: 'immediate'; readonly register: number; readonly value: Uint8Array }
  | { readonly kind: 'verdict'; readonly verdict: Verdict }
  | {
      readonly kind: 'lookup';
      readonly set: string;
      readonly register: number;
      readonly inverted: boolean;
      /** What a map gives: a verdict, or data into a register; absent for a plain set. */
      readonly gives?: 'verdict' | { readonly register: number };
    }
  | {
      readonly kind: 'ct';
      readonly key: CtKey;
      readonly direction?: 'original' | 'reply';
      readonly register: number;
    }
  | {
      readonly kind: 'ct-set';
      readonly key: CtKey;
      readonly direction?: 'original' | 'reply';
      readonly register: number;
    }
  | {
      readonly kind: 'fib';
      readonly result: 'oif' | 'oifname' | 'type';
      readonly flags: {
        readonly saddr: boolean;
        readonly daddr: boolean;
        readonly mark: boolean;
        readonly iif: boolean;
        readonly oif: boolean;
        /** Gives one byte: whether there is a result. */
        readonly present: boolean;
      };
      readonly register: number;
    }
  | {
      readonly kind: 'exthdr';
      readonly protocol: 'ipv6' | 'tcp-option' | 'ipv4-option' | 'sctp' | 'dccp';
      /** Header or option number. */
      readonly type: number;
      readonly offset: number;
      readonly length: number;
      /** Gives one byte: whether the header is there. */
      readonly present: boolean;
      readonly register: number;
    }
  | {
      readonly kind: 'exthdr-set';
      readonly protocol: 'ipv6' | 'tcp-option' | 'ipv4-option' | 'sctp' | 'dccp';
      readonly type: number;
      readonly offset: number;
      readonly length: number;
      /** Source; absent for `reset tcp option`, which strips the option. */
      readonly register?: number;
    }
  | { readonly kind: 'counter'; readonly packets: number; readonly bytes: number }
  | {
      readonly kind: 'limit';
      readonly rate: number;
      /** Seconds of the rate's unit. */
      readonly unitSeconds: number;
      readonly burst: number;
      readonly type: 'packets' | 'bytes';
      /** `over`: matches when the limit is exceeded. */
      readonly over: boolean;
    }
  | {
      readonly kind: 'quota';
      readonly bytes: number;
      readonly usedBytes: number;
      readonly over: boolean;
      readonly depleted: boolean;
    }
  | { readonly kind: 'connlimit'; readonly count: number; readonly over: boolean }
  | {
      readonly kind: 'log';
      readonly prefix?: string;
      readonly group?: number;
      readonly snaplen?: number;
      readonly queueThreshold?: number;
      readonly level?: number;
      readonly flags?: number;
    }
  | { readonly kind: 'reject'; readonly reject: Reject }
  | {
      readonly kind: 'nat';
      readonly type: 'snat' | 'dnat';
      /** `unspecified`: of a table of inet, and translates ports alone. */
      readonly family: 'ip' | 'ip6' | 'unspecified';
      readonly range: NatRange;
    }
  | { readonly kind: 'masq'; readonly range: NatRange }
  | { readonly kind: 'redir'; readonly range: NatRange }
  | {
      readonly kind: 'tproxy';
      readonly family: 'ip' | 'ip6' | 'unspecified';
      readonly addressRegister?: number;
      readonly portRegister?: number;
    }
  | {
      readonly kind: 'queue';
      readonly number: number;
      readonly total: number;
      readonly bypass: boolean;
      readonly fanout: boolean;
      /** Instead of `number`. */
      readonly register?: number;
    }
  | { readonly kind: 'dup'; readonly addressRegister?: number; readonly deviceRegister?: number }
  | {
      readonly kind: 'fwd';
      readonly deviceRegister: number;
      readonly addressRegister?: number;
      readonly family?: 'ip' | 'ip6';
    }
  | { readonly kind: 'notrack' }
  | {
      readonly kind: 'dynset';
      readonly set: string;
      readonly operation: 'add' | 'update' | 'delete';
      readonly keyRegister: number;
      readonly dataRegister?: number;
      readonly timeoutMs?: number;
      readonly inverted: boolean;
      readonly expressions: readonly Expression[];
    }
  | {
      /** A named object by its name, or by a map from a key. */
      readonly kind: 'objref';
      readonly object?: { readonly type: string; readonly name: string };
      readonly map?: { readonly set: string; readonly register: number };
    }
  | {
      readonly kind: 'hash';
      readonly type: 'jenkins' | 'symmetric';
      readonly register: number;
      readonly source?: number;
      readonly length?: number;
      readonly modulus: number;
      readonly seed?: number;
      readonly offset: number;
    }
  | {
      readonly kind: 'numgen';
      readonly type: 'incremental' | 'random';
      readonly register: number;
      readonly modulus: number;
      readonly offset: number;
    }
  | {
      readonly kind: 'socket';
      readonly key: 'transparent' | 'mark' | 'wildcard' | 'cgroupv2';
      readonly level?: number;
      readonly register: number;
    }
  | {
      readonly kind: 'osf';
      readonly register: number;
      readonly ttl: number;
      readonly flags: number;
    }
  | { readonly kind: 'rt'; readonly key: RtKey; readonly register: number }
  | {
      readonly kind: 'xfrm';
      /** enum nft_xfrm_keys. */
      readonly key: 'daddr4' | 'daddr6' | 'saddr4' | 'saddr6' | 'reqid' | 'spi' | `key-${number}`;
      readonly direction: 'in' | 'out';
      readonly spnum: number;
      readonly register: number;
    }
  | {
      readonly kind: 'tunnel';
      readonly key: 'path' | 'id' | `key-${number}`;
      readonly mode: number;
      readonly register: number;
    }
  | {
      readonly kind: 'synproxy';
      readonly mss: number;
      readonly wscale: number;
      readonly flags: number;
    }
  | { readonly kind: 'flow-offload'; readonly table: string }
  | { readonly kind: 'last'; readonly setMs: number; readonly isSet: boolean }
  | {
      /** An x_tables extension, iptables-nft's or an entry of legacy iptables: `decodeMatch` and `decodeTarget` of `xt` read it. */
      readonly kind: 'match' | 'target';
      readonly name: string;
      readonly revision: number;
      readonly info: Uint8Array;
    }
  /** Anything that is not decoded: it may match or not, and do anything. Kept with its attributes, by number. */
  | {
      readonly kind: 'opaque';
      readonly name: string;
      readonly attributes: readonly (readonly [number, Uint8Array])[];
    };

/** The `kind` of an expression. */
export type ExpressionKind = Expression['kind'];
/** The expression of one kind: `ExpressionOf<'cmp'>`. */
export type ExpressionOf<K extends ExpressionKind> = Extract<Expression, { readonly kind: K }>;
