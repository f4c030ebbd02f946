/** @module What meta, ct, fib, socket, osf, rt and xfrm load, in nft's words. */
import type { CtKey, Expression, ExpressionOf, Family, MetaKey } from '../model.ts';
import { type DataFormat, types } from './datatypes.ts';

interface Said {
  readonly text: string;
  readonly type: DataFormat;
}

const metaTypes: Partial<Record<MetaKey, DataFormat>> = {
  protocol: types.etherType,
  priority: types.classid,
  mark: types.mark,
  iif: types.interface,
  oif: types.interface,
  iifname: types.interfaceName,
  oifname: types.interfaceName,
  iiftype: types.deviceType,
  oiftype: types.deviceType,
  skuid: types.user,
  skgid: types.group,
  rtclassid: types.realm,
  nfproto: types.nfproto,
  l4proto: types.protocol,
  ibrname: types.interfaceName,
  obrname: types.interfaceName,
  pkttype: types.packetType,
  iifgroup: types.deviceGroup,
  oifgroup: types.deviceGroup,
  random: types.integer,
  ipsec: types.boolean,
  iifkind: types.interfaceName,
  oifkind: types.interfaceName,
  ibrvproto: types.etherType,
  time: types.date,
  day: types.day,
  hour: types.hour,
  sdif: types.interface,
  sdifname: types.interfaceName,
  ibrhwaddr: types.ether,
};

/** Keys that nft writes without `meta` before them. */
const bareKeys: readonly MetaKey[] = ['iif', 'oif', 'iifname', 'oifname', 'iifgroup', 'oifgroup'];

export function sayMeta(key: MetaKey): Said | undefined {
  if (key.startsWith('key-')) return undefined;
  const text = bareKeys.includes(key) ? key : `meta ${key}`;
  return { text, type: metaTypes[key] ?? types.hostInteger };
}

const ctTypes: Partial<Record<CtKey, DataFormat>> = {
  state: types.ctState,
  direction: types.ctDirection,
  status: types.ctStatus,
  mark: types.mark,
  expiration: types.time,
  helper: types.string,
  l3proto: types.nfproto,
  'src-ip': types.ipv4,
  'dst-ip': types.ipv4,
  'src-ip6': types.ipv6,
  'dst-ip6': types.ipv6,
  protocol: types.protocol,
  'proto-src': types.service,
  'proto-dst': types.service,
  label: types.ctLabel,
  event: types.ctEvent,
  id: types.integer,
};

const ctWords: Partial<Record<CtKey, string>> = {
  src: 'saddr',
  dst: 'daddr',
  'src-ip': 'ip saddr',
  'dst-ip': 'ip daddr',
  'src-ip6': 'ip6 saddr',
  'dst-ip6': 'ip6 daddr',
};

export function sayCt(
  { key, direction }: Pick<ExpressionOf<'ct'>, 'key' | 'direction'>,
  family: Family,
): Said | undefined {
  if (key.startsWith('key-')) return undefined;
  const isAddress = key === 'src' || key === 'dst';
  const type = isAddress
    ? { ip: types.ipv4, ip6: types.ipv6 }[family as 'ip' | 'ip6']
    : (ctTypes[key] ?? types.hostInteger);
  if (type === undefined) return undefined;
  const side = direction === undefined ? '' : ` ${direction}`;
  return { text: `ct${side} ${ctWords[key] ?? key}`, type };
}

function sayFib({ flags, result }: ExpressionOf<'fib'>): Said {
  const inputs = (['saddr', 'daddr', 'mark', 'iif', 'oif'] as const).filter((name) => flags[name]);
  const type = flags.present
    ? types.boolean
    : { oif: types.interface, oifname: types.interfaceName, type: types.fibType }[result];
  return { text: `fib ${inputs.join(' . ')} ${result}`, type };
}

function saySocket({ key, level }: ExpressionOf<'socket'>): Said | undefined {
  // nft takes the path of a control group, which only the host of the rule could tell.
  if (key === 'cgroupv2') return undefined;
  if (level !== undefined && level !== 0) return undefined;
  return { text: `socket ${key}`, type: key === 'mark' ? types.mark : types.hostInteger };
}

/** nfnetlink_osf.h: NF_OSF_TTL_TRUE 0, _LESS 1 (`loose`), _NOCHECK 2 (`skip`); NFT_OSF_F_VERSION 1. */
function sayOsf({ ttl, flags }: ExpressionOf<'osf'>): Said | undefined {
  const check = ['', ' ttl loose', ' ttl skip'][ttl];
  if (check === undefined || flags > 1) return undefined;
  return { text: `osf${check} ${flags === 1 ? 'version' : 'name'}`, type: types.string };
}

function sayRt({ key }: ExpressionOf<'rt'>): Said | undefined {
  switch (key) {
    case 'classid':
      return { text: 'rt classid', type: types.realm };
    case 'nexthop4':
      return { text: 'rt ip nexthop', type: types.ipv4 };
    case 'nexthop6':
      return { text: 'rt ip6 nexthop', type: types.ipv6 };
    case 'tcpmss':
      return { text: 'rt mtu', type: types.hostInteger };
    case 'ipsec':
      return { text: 'rt ipsec', type: types.boolean };
    default:
      return undefined;
  }
}

function sayXfrm({ key, direction, spnum }: ExpressionOf<'xfrm'>): Said | undefined {
  const words: Record<string, readonly [string, DataFormat]> = {
    daddr4: ['ip daddr', types.ipv4],
    daddr6: ['ip6 daddr', types.ipv6],
    saddr4: ['ip saddr', types.ipv4],
    saddr6: ['ip6 saddr', types.ipv6],
    reqid: ['reqid', types.hostInteger],
    spi: ['spi', types.integer],
  };
  const found = words[key];
  if (found === undefined) return undefined;
  const number = spnum === 0 ? '' : ` spnum ${spnum}`;
  return { text: `ipsec ${direction}${number} ${found[0]}`, type: found[1] };
}

export function describeLoad(load: Expression, family: Family): Said | undefined {
  switch (load.kind) {
    case 'meta':
      return sayMeta(load.key);
    case 'ct':
      return sayCt(load, family);
    case 'fib':
      return sayFib(load);
    case 'socket':
      return saySocket(load);
    case 'osf':
      return sayOsf(load);
    case 'rt':
      return sayRt(load);
    case 'xfrm':
      return sayXfrm(load);
    default:
      return undefined;
  }
}
