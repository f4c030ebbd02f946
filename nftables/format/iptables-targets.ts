/** @module A target as iptables-save writes it behind `-j`. */
import type { IpSet } from '../model.ts';
import type { XtFamily, XtNatRange, XtTarget, XtTargetOf } from '../xt/types.ts';
import { setReferenceText } from './iptables-matches.ts';
import {
  addressText,
  bitNames,
  flag,
  hex,
  hexByte,
  networkText,
  option,
  quoted,
  words,
} from './iptables-words.ts';

type Sets = ReadonlyMap<number, IpSet>;

/** The target's name and its options. `name` is the one in the rule. */
export function targetText(
  name: string,
  target: XtTarget,
  { sets, family }: { readonly sets: Sets; readonly family: XtFamily },
): string {
  switch (target.kind) {
    case 'standard':
      return target.verdict.code.toUpperCase();
    case 'ct':
      return target.isNotrackAlias ? 'NOTRACK' : words(name, ctText(target));
    case 'notrack':
    case 'trace':
      return name;
    case 'reject':
      return words(name, option('reject-with', target.word));
    case 'mark':
      return words(name, option('set-xmark', `${hex(target.value)}/${hex(target.mask)}`));
    case 'connmark':
      return words(name, connmarkText(target));
    case 'log':
      return words(
        name,
        target.prefix !== '' && option('log-prefix', quoted(target.prefix)),
        target.level !== 4 && option('log-level', target.level),
        ...logFlags.map(([bit, option_]) => (target.flags & bit) !== 0 && flag(option_)),
      );
    case 'nflog':
      return words(name, nflogText(target));
    case 'dnat':
      return words(name, natText('to-destination', target.range));
    case 'snat':
      return words(name, natText('to-source', target.range));
    case 'masquerade':
    case 'redirect':
      return words(
        name,
        target.range.portFirst !== undefined && option('to-ports', portsText(target.range)),
        natFlags(target.range.flags),
      );
    case 'netmap':
      return words(name, netmapText(target.range));
    case 'tproxy':
      return words(name, tproxyText(target, family));
    case 'set':
      return words(name, setText(target, sets));
    case 'tcpmss':
      return words(
        name,
        target.mss === undefined ? flag('clamp-mss-to-pmtu') : option('set-mss', target.mss),
      );
    case 'classify': {
      const digits = target.priority.toString(16).padStart(8, '0');
      return words(name, option('set-class', `${digits.slice(0, 4)}:${digits.slice(4)}`));
    }
    case 'checksum':
      return words(name, flag('checksum-fill'));
    case 'dscp':
      return words(name, option('set-dscp', hexByte(target.dscp)));
    case 'tos':
      return words(name, option('set-tos', `${hexByte(target.value)}/${hexByte(target.mask)}`));
    case 'ttl':
    case 'hl':
      return words(name, option(`${target.kind}-${target.mode}`, target.value));
    case 'nfqueue':
      return words(name, queueText(target));
    case 'audit':
      return words(name, option('type', target.type));
  }
}

const logFlags = [
  [0x01, 'log-tcp-sequence'],
  [0x02, 'log-tcp-options'],
  [0x04, 'log-ip-options'],
  [0x08, 'log-uid'],
  [0x20, 'log-macdecode'],
] as const;

export function nflogText(target: Omit<XtTargetOf<'nflog'>, 'kind'>): string {
  const { group, threshold, length, hasLength, prefix } = target;
  return words(
    prefix !== '' && option('nflog-prefix', quoted(prefix)),
    group !== 0 && option('nflog-group', group),
    hasLength ? option('nflog-size', length) : length !== 0 && option('nflog-range', length),
    threshold !== 0 && option('nflog-threshold', threshold),
  );
}

function connmarkText(target: XtTargetOf<'connmark'>): string {
  const { mode, mark, connectionMask, packetMask, shift } = target;
  const masks = `--nfmask ${hex(packetMask)} --ctmask ${hex(connectionMask)}`;
  return words(
    mode === 'set' ? option('set-xmark', `${hex(mark)}/${hex(connectionMask)}`) : `--${mode}-mark`,
    mode !== 'set' && masks,
    shift && option(`${shift.direction}-shift-mark`, shift.bits),
  );
}

function portsText({ portFirst, portLast, portBase }: XtNatRange): string {
  const ports = portFirst === portLast ? `${portFirst}` : `${portFirst}-${portLast}`;
  return portBase === undefined ? ports : `${ports}/${portBase}`;
}

function natText(name: string, range: XtNatRange): string {
  const { addressFirst, addressLast, portFirst, flags } = range;
  let to = '';
  if (addressFirst !== undefined && addressLast !== undefined) {
    const [first, last] = [addressText(addressFirst), addressText(addressLast)];
    to = first === last ? first : `${first}-${last}`;
    if (portFirst !== undefined && addressFirst.length === 16) to = `[${to}]`;
  }
  if (portFirst !== undefined) to += `:${portsText(range)}`;
  return words(option(name, to), natFlags(flags));
}

// NF_NAT_RANGE_*
const RANDOM = 4;
const PERSISTENT = 8;
const FULLY_RANDOM = 16;

function natFlags(flags: number): string {
  return words(
    (flags & RANDOM) !== 0 && flag('random'),
    (flags & FULLY_RANDOM) !== 0 && flag('random-fully'),
    (flags & PERSISTENT) !== 0 && flag('persistent'),
  );
}

/** A network as its first and last address. */
function netmapText({ addressFirst, addressLast }: XtNatRange): string {
  if (addressFirst === undefined || addressLast === undefined) return '';
  const mask = addressFirst.map((byte, index) => ~(byte ^ (addressLast[index] ?? 0)) & 0xff);
  return option('to', networkText(addressFirst, mask));
}

/** enum ip_conntrack_events and ip_conntrack_expect_events */
const events = [
  'new',
  'related',
  'destroy',
  'reply',
  'assured',
  'protoinfo',
  'helper',
  'mark',
  'natseqinfo',
  'secmark',
].map((name, index) => [1 << index, name] as const);
const expectationEvents = [[1, 'new']] as const;

function ctText(target: XtTargetOf<'ct'>): string {
  const direction = { original: '-orig', reply: '-reply' } as const;
  const suffix = target.zoneDirection === undefined ? '' : direction[target.zoneDirection];
  const hasZone = target.zone !== 0 || target.zoneFromMark || suffix !== '';
  return words(
    target.notrack && flag('notrack'),
    target.helper !== '' && option('helper', target.helper),
    target.timeout !== '' && option('timeout', target.timeout),
    target.events !== 0 && option('ctevents', bitNames(target.events, events)),
    target.expectationEvents !== 0 &&
      option('expevents', bitNames(target.expectationEvents, expectationEvents)),
    hasZone && option(`zone${suffix}`, target.zoneFromMark ? 'mark' : target.zone),
  );
}

const anyAddress = { ip: '0.0.0.0', ip6: '::' } as const;

function tproxyText({ address, port, mark }: XtTargetOf<'tproxy'>, family: XtFamily): string {
  return words(
    option('on-port', port),
    option('on-ip', address === undefined ? anyAddress[family] : addressText(address)),
    option('tproxy-mark', `${hex(mark.value)}/${hex(mark.mask)}`),
  );
}

function setText(target: XtTargetOf<'set'>, sets: Sets): string {
  const { add, remove, map } = target;
  return words(
    add && option('add-set', setReferenceText(add, sets)),
    target.exist && flag('exist'),
    target.timeoutSeconds !== undefined && option('timeout', target.timeoutSeconds),
    remove && option('del-set', setReferenceText(remove, sets)),
    map && option('map-set', setReferenceText(map, sets)),
    target.mapMark && flag('map-mark'),
    target.mapPriority && flag('map-prio'),
    target.mapQueue && flag('map-queue'),
  );
}

function queueText({ number, total, bypass, cpuFanout }: XtTargetOf<'nfqueue'>): string {
  return words(
    total > 1
      ? option('queue-balance', `${number}:${number + total - 1}`)
      : option('queue-num', number),
    bypass && flag('queue-bypass'),
    cpuFanout && flag('queue-cpu-fanout'),
  );
}
