/** @module What x_tables matches and targets say, decoded. Pure types. */
import type { Reject, Verdict } from '../model.ts';

/** Both ends belong to it. */
export interface NumberRange {
  readonly first: number;
  readonly last: number;
}

/** A range that is asked for, or whose outside is (`!`). */
export interface InvertibleRange extends NumberRange {
  readonly inverted: boolean;
}

/** `value & mask` is compared. */
export interface Masked {
  readonly value: number;
  readonly mask: number;
}

/** The address under the mask is compared; 4 or 16 bytes in network byte order. */
export interface MaskedAddress {
  readonly address: Uint8Array;
  readonly mask: Uint8Array;
  readonly inverted: boolean;
}

/** Both ends belong to it; 4 or 16 bytes in network byte order. */
export interface AddressRange {
  readonly first: Uint8Array;
  readonly last: Uint8Array;
  readonly inverted: boolean;
}

/** A name of which only the bytes under the mask count: `eth+` has none for the rest. */
export interface MaskedInterface {
  readonly name: Uint8Array;
  readonly mask: Uint8Array;
  readonly inverted: boolean;
}

/** Bits that `conntrack` and `state` compare (XT_CONNTRACK_STATE_BIT). */
export const conntrackStates = {
  invalid: 1,
  established: 2,
  related: 4,
  new: 8,
  snat: 0x40,
  dnat: 0x80,
  untracked: 0x100,
} as const;

/** Which set of ip_set, by its number, and which part of the packet is each dimension of the key. */
export interface SetReference {
  readonly index: number;
  readonly dimensions: readonly ('src' | 'dst')[];
  readonly inverted: boolean;
}

/** Compares a counter of a set's entry. */
export interface SetCounter {
  readonly comparison: 'eq' | 'neq' | 'lt' | 'gt';
  readonly value: number;
}

/** `-m hashlimit`: a rate for each value of the keys. */
export interface HashLimit {
  readonly name: string;
  readonly revision: 1 | 2 | 3;
  /** Above the rate (`--hashlimit-above`), not up to it. */
  readonly over: boolean;
  readonly bytes: boolean;
  readonly rateMatch: boolean;
  readonly keys: readonly ('srcip' | 'srcport' | 'dstip' | 'dstport')[];
  /** In the kernel's units: time between two packets, 10,000ths of a second (revision 1) or millionths; with `bytes` another. */
  readonly average: number;
  readonly burst: number;
  readonly size: number;
  readonly max: number;
  readonly gcIntervalMs: number;
  readonly expireMs: number;
  /** Seconds, of `rateMatch`. */
  readonly interval?: number;
  readonly sourcePrefix: number;
  readonly destinationPrefix: number;
}

/** `-m conntrack`, and `-m state` as iptables-nft writes it. What is absent is not asked. */
export interface ConntrackMatch {
  readonly kind: 'conntrack';
  readonly states?: { readonly mask: number; readonly inverted: boolean };
  /** Written by the user as `-m state`. */
  readonly isStateAlias: boolean;
  readonly protocol?: { readonly number: number; readonly inverted: boolean };
  readonly originalSource?: MaskedAddress;
  readonly originalDestination?: MaskedAddress;
  readonly replySource?: MaskedAddress;
  readonly replyDestination?: MaskedAddress;
  readonly originalSourcePort?: InvertibleRange;
  readonly originalDestinationPort?: InvertibleRange;
  readonly replySourcePort?: InvertibleRange;
  readonly replyDestinationPort?: InvertibleRange;
  /** Bits: 1 expected, 2 seen reply, 4 assured, 8 confirmed; a mask of 0 is NONE. */
  readonly status?: { readonly mask: number; readonly inverted: boolean };
  readonly expires?: InvertibleRange;
  readonly direction?: 'original' | 'reply';
}

/** What a match of x_tables asks of a packet. */
export type XtMatch =
  | {
      readonly kind: 'tcp';
      readonly sourcePorts: InvertibleRange;
      readonly destinationPorts: InvertibleRange;
      readonly flags: Masked & { readonly inverted: boolean };
      /** 0: any. */
      readonly option: number;
      readonly optionInverted: boolean;
    }
  | {
      readonly kind: 'udp';
      readonly sourcePorts: InvertibleRange;
      readonly destinationPorts: InvertibleRange;
    }
  | {
      /** A type of 255 is any, in IPv4 alone. */
      readonly kind: 'icmp' | 'icmp6';
      readonly type: number;
      readonly codes: NumberRange;
      readonly inverted: boolean;
    }
  | {
      readonly kind: 'multiport';
      readonly side: 'source' | 'destination' | 'either';
      readonly ports: readonly NumberRange[];
      readonly inverted: boolean;
    }
  | ConntrackMatch
  | { readonly kind: 'state'; readonly mask: number }
  | ({ readonly kind: 'mark' | 'connmark'; readonly inverted: boolean } & Masked)
  | {
      /** Bit n is the route type n (enum rtn_type). 0: not asked. */
      readonly kind: 'addrtype';
      readonly revision: 0 | 1;
      readonly source: number;
      readonly destination: number;
      readonly sourceInverted: boolean;
      readonly destinationInverted: boolean;
      readonly limitToInput: boolean;
      readonly limitToOutput: boolean;
    }
  | { readonly kind: 'comment'; readonly comment: string }
  | {
      readonly kind: 'set';
      readonly revision: 1 | 2 | 3 | 4;
      readonly set: SetReference;
      readonly returnNoMatch: boolean;
      readonly updateCounters: boolean;
      readonly updateSubcounters: boolean;
      readonly packets?: SetCounter;
      readonly bytes?: SetCounter;
    }
  /** Ten-thousandths of a second between two packets. */
  | { readonly kind: 'limit'; readonly average: number; readonly burst: number }
  | { readonly kind: 'hashlimit'; readonly limit: HashLimit }
  | { readonly kind: 'mac'; readonly address: Uint8Array; readonly inverted: boolean }
  | {
      readonly kind: 'iprange';
      readonly source?: AddressRange;
      readonly destination?: AddressRange;
    }
  | {
      readonly kind: 'physdev';
      readonly input?: MaskedInterface;
      readonly output?: MaskedInterface;
      readonly isInput?: boolean;
      readonly isOutput?: boolean;
      readonly isBridged?: boolean;
    }
  | {
      readonly kind: 'statistic';
      readonly inverted: boolean;
      /** Of 2^31. */
      readonly probability?: number;
      readonly nth?: { readonly every: number; readonly packet: number };
    }
  | {
      readonly kind: 'owner';
      readonly user?: InvertibleRange;
      readonly group?: InvertibleRange;
      readonly supplementaryGroups: boolean;
      readonly socketExists?: boolean;
    }
  | {
      readonly kind: 'socket';
      readonly revision: 1 | 2 | 3;
      readonly transparent: boolean;
      readonly noWildcard: boolean;
      readonly restoreMark: boolean;
    }
  | { readonly kind: 'dscp'; readonly dscp: number; readonly inverted: boolean }
  | ({ readonly kind: 'tos'; readonly inverted: boolean } & Masked)
  | ({ readonly kind: 'length' } & InvertibleRange)
  | { readonly kind: 'pkttype'; readonly type: number; readonly inverted: boolean }
  | {
      readonly kind: 'rpfilter';
      readonly loose: boolean;
      readonly validMark: boolean;
      readonly acceptLocal: boolean;
      readonly inverted: boolean;
    }
  | ({ readonly kind: 'esp' } & InvertibleRange)
  | ({
      readonly kind: 'ah';
      /** IPv6 alone. */
      readonly headerLength?: { readonly value: number; readonly inverted: boolean };
      readonly reservedIsZero?: boolean;
    } & InvertibleRange)
  | {
      /** A list of addresses that rules write to, each with the times at which it came. */
      readonly kind: 'recent';
      readonly action: 'check' | 'set' | 'update' | 'remove';
      /** Seconds; 0: none. */
      readonly seconds: number;
      readonly hitCount: number;
      readonly reap: boolean;
      readonly sameTtl: boolean;
      readonly name: string;
      readonly side: 'source' | 'destination';
      /** Since revision 1. */
      readonly mask?: Uint8Array;
      readonly inverted: boolean;
    }
  | {
      /** A routing header of IPv6: only its type is read. */
      readonly kind: 'rt';
      readonly type?: number;
      readonly inverted: boolean;
    }
  | { readonly kind: 'cpu'; readonly cpu: number; readonly inverted: boolean }
  | {
      /** `ttl` of IPv4, `hl` of IPv6. */
      readonly kind: 'ttl' | 'hl';
      readonly comparison: 'eq' | 'neq' | 'lt' | 'gt';
      readonly value: number;
    };

/** The `kind` of a match. */
export type XtMatchKind = XtMatch['kind'];
/** The match of one kind: `XtMatchOf<'tcp'>`. */
export type XtMatchOf<K extends XtMatchKind> = Extract<XtMatch, { readonly kind: K }>;

/** A range to translate to. Flags are NF_NAT_RANGE_*, as in the model's NatRange. */
export interface XtNatRange {
  readonly flags: number;
  readonly addressFirst?: Uint8Array;
  readonly addressLast?: Uint8Array;
  readonly portFirst?: number;
  readonly portLast?: number;
  readonly portBase?: number;
}

/** What a target of x_tables does with a packet. */
export type XtTarget =
  /** The standard target as iptables-nft never writes it: a plain verdict. */
  | { readonly kind: 'standard'; readonly verdict: Verdict }
  | {
      readonly kind: 'reject';
      readonly reject: Reject;
      /** iptables' word for it: `icmp-port-unreachable`, `icmp6-adm-prohibited`, `tcp-reset`. */
      readonly word: string;
    }
  /** mark = (mark & ~mask) ^ value. */
  | ({ readonly kind: 'mark' } & Masked)
  | {
      readonly kind: 'connmark';
      readonly revision: 1 | 2;
      readonly mode: 'set' | 'save' | 'restore';
      readonly mark: number;
      readonly connectionMask: number;
      readonly packetMask: number;
      readonly shift?: { readonly direction: 'left' | 'right'; readonly bits: number };
    }
  | {
      readonly kind: 'log';
      readonly level: number;
      readonly flags: number;
      readonly prefix: string;
    }
  | {
      readonly kind: 'nflog';
      readonly group: number;
      readonly threshold: number;
      readonly length: number;
      readonly hasLength: boolean;
      readonly prefix: string;
    }
  | { readonly kind: 'dnat' | 'snat'; readonly revision: 0 | 1 | 2; readonly range: XtNatRange }
  | { readonly kind: 'masquerade' | 'redirect'; readonly range: XtNatRange }
  | { readonly kind: 'netmap'; readonly range: XtNatRange }
  | {
      readonly kind: 'ct';
      readonly notrack: boolean;
      /** Written by the user as `-j NOTRACK`. */
      readonly isNotrackAlias: boolean;
      readonly zone: number;
      readonly zoneDirection?: 'original' | 'reply';
      readonly zoneFromMark: boolean;
      readonly events: number;
      readonly expectationEvents: number;
      readonly helper: string;
      readonly timeout: string;
    }
  | { readonly kind: 'notrack' }
  | {
      readonly kind: 'tproxy';
      /** Absent: the address that the packet came in by. */
      readonly address?: Uint8Array;
      /** 0: the packet's own. */
      readonly port: number;
      /** mark = (mark & ~mask) ^ value. */
      readonly mark: Masked;
    }
  | {
      readonly kind: 'set';
      readonly add?: SetReference;
      readonly remove?: SetReference;
      readonly map?: SetReference;
      readonly exist: boolean;
      readonly timeoutSeconds?: number;
      readonly mapMark: boolean;
      readonly mapPriority: boolean;
      readonly mapQueue: boolean;
    }
  /** Absent: clamped to the path's MTU. */
  | { readonly kind: 'tcpmss'; readonly mss?: number }
  | { readonly kind: 'classify'; readonly priority: number }
  | { readonly kind: 'checksum' }
  | { readonly kind: 'dscp'; readonly dscp: number }
  /** tos = (tos & ~mask) ^ value. */
  | ({ readonly kind: 'tos' } & Masked)
  | { readonly kind: 'ttl' | 'hl'; readonly mode: 'set' | 'inc' | 'dec'; readonly value: number }
  | {
      readonly kind: 'nfqueue';
      readonly number: number;
      readonly total: number;
      readonly bypass: boolean;
      readonly cpuFanout: boolean;
    }
  | { readonly kind: 'trace' }
  | { readonly kind: 'audit'; readonly type: 'accept' | 'drop' | 'reject' };

/** The `kind` of a target. */
export type XtTargetKind = XtTarget['kind'];
/** The target of one kind: `XtTargetOf<'dnat'>`. */
export type XtTargetOf<K extends XtTargetKind> = Extract<XtTarget, { readonly kind: K }>;

/** An extension as the model has it, and as the decoders take it. */
export interface XtBlob {
  readonly name: string;
  readonly revision: number;
  readonly info: Uint8Array;
}

/** Some structures differ between the two. */
export type XtFamily = 'ip' | 'ip6';
