/** @module A match as iptables-save writes it behind `-m name`. */
import type { IpSet } from '../model.ts';
import type { AddressRange, SetReference, XtMatch, XtMatchOf } from '../xt/types.ts';
import { conntrackText, stateNames } from './iptables-conntrack.ts';
import { hashlimitText, rateText } from './iptables-rates.ts';
import {
  addressText,
  bitNames,
  flag,
  hex,
  hexByte,
  maskedInterfaceText,
  option,
  quoted,
  rangeText,
  words,
} from './iptables-words.ts';

type Sets = ReadonlyMap<number, IpSet>;

/** `name` is what follows `-m`. */
export interface MatchText {
  readonly name: string;
  readonly options: string;
}

export function matchText(match: XtMatch, sets: Sets): MatchText {
  if (match.kind === 'conntrack' && match.isStateAlias && match.states !== undefined) {
    const { mask, inverted } = match.states;
    return { name: 'state', options: option('state', bitNames(mask, stateNames), inverted) };
  }
  return { name: match.kind, options: optionsOf(match, sets) };
}

function optionsOf(match: XtMatch, sets: Sets): string {
  switch (match.kind) {
    case 'tcp':
      return tcpText(match);
    case 'udp':
      return portsText(match);
    case 'icmp':
    case 'icmp6':
      return icmpText(match);
    case 'multiport': {
      const name = { source: 'sports', destination: 'dports', either: 'ports' }[match.side];
      return option(name, match.ports.map(rangeText).join(','), match.inverted);
    }
    case 'conntrack':
      return conntrackText(match);
    case 'state':
      return option('state', bitNames(match.mask, stateNames));
    case 'mark':
    case 'connmark':
      return markText(match.value, match.mask, match.inverted);
    case 'addrtype':
      return addrtypeText(match);
    case 'comment':
      return option('comment', quoted(match.comment));
    case 'set':
      return setText(match, sets);
    case 'limit':
      return words(
        option('limit', rateText(match.average, 10_000).text),
        match.burst !== 5 && option('limit-burst', match.burst),
      );
    case 'hashlimit':
      return hashlimitText(match.limit);
    case 'mac':
      return option('mac-source', macText(match.address), match.inverted);
    case 'iprange':
      return words(
        match.source && addressRangeText('src-range', match.source),
        match.destination && addressRangeText('dst-range', match.destination),
      );
    case 'physdev':
      return physdevText(match);
    case 'statistic':
      return statisticText(match);
    case 'owner':
      return ownerText(match);
    case 'socket':
      return words(
        match.transparent && flag('transparent'),
        match.noWildcard && flag('nowildcard'),
        match.restoreMark && flag('restore-skmark'),
      );
    case 'dscp':
      return option('dscp', hexByte(match.dscp), match.inverted);
    case 'tos':
      return option('tos', `${hexByte(match.value)}/${hexByte(match.mask)}`, match.inverted);
    case 'length':
      return option('length', rangeText(match), match.inverted);
    case 'pkttype':
      return option(
        'pkt-type',
        ['unicast', 'broadcast', 'multicast'][match.type] ?? match.type,
        match.inverted,
      );
    case 'rpfilter':
      return words(
        match.loose && flag('loose'),
        match.validMark && flag('validmark'),
        match.acceptLocal && flag('accept-local'),
        match.inverted && flag('invert'),
      );
    case 'esp':
      return indexText('espspi', match);
    case 'ah':
      return words(
        indexText('ahspi', match),
        match.headerLength !== undefined &&
          (match.headerLength.value !== 0 || match.headerLength.inverted) &&
          option('ahlen', match.headerLength.value, match.headerLength.inverted),
        match.reservedIsZero && flag('ahres'),
      );
    case 'recent':
      return recentText(match);
    case 'rt':
      return match.type === undefined ? '' : option('rt-type', match.type, match.inverted);
    case 'cpu':
      return option('cpu', match.cpu, match.inverted);
    case 'ttl':
    case 'hl': {
      const { kind, comparison, value } = match;
      const isInverted = comparison === 'neq';
      return option(`${kind}-${isInverted ? 'eq' : comparison}`, value, isInverted);
    }
  }
}

function recentText(match: XtMatchOf<'recent'>): string {
  return words(
    `${match.inverted ? '! ' : ''}--${match.action === 'check' ? 'rcheck' : match.action}`,
    match.seconds !== 0 && option('seconds', match.seconds),
    match.reap && flag('reap'),
    match.hitCount !== 0 && option('hitcount', match.hitCount),
    match.sameTtl && flag('rttl'),
    match.name !== '' && option('name', match.name),
    match.mask !== undefined && option('mask', addressText(match.mask)),
    flag(match.side === 'source' ? 'rsource' : 'rdest'),
  );
}

const tcpFlags = [
  [1, 'FIN'],
  [2, 'SYN'],
  [4, 'RST'],
  [8, 'PSH'],
  [16, 'ACK'],
  [32, 'URG'],
] as const;

function tcpFlagsText(bits: number): string {
  return bits === 0 ? 'NONE' : bitNames(bits, tcpFlags);
}

function tcpText(match: XtMatchOf<'tcp'>): string {
  const { flags } = match;
  const isFlagsAsked = flags.mask !== 0 || flags.value !== 0 || flags.inverted;
  return words(
    portsText(match),
    (match.option !== 0 || match.optionInverted) &&
      option('tcp-option', match.option, match.optionInverted),
    isFlagsAsked &&
      option(
        'tcp-flags',
        `${tcpFlagsText(flags.mask)} ${tcpFlagsText(flags.value)}`,
        flags.inverted,
      ),
  );
}

function portsText({
  sourcePorts,
  destinationPorts,
}: Pick<XtMatchOf<'udp'>, 'sourcePorts' | 'destinationPorts'>): string {
  return words(
    ...(
      [
        ['sport', sourcePorts],
        ['dport', destinationPorts],
      ] as const
    ).map(([name, ports]) => {
      const isAny = ports.first === 0 && ports.last === 0xffff && !ports.inverted;
      return !isAny && option(name, rangeText(ports), ports.inverted);
    }),
  );
}

function icmpText({ kind, type, codes, inverted }: XtMatchOf<'icmp' | 'icmp6'>): string {
  const name = kind === 'icmp' ? 'icmp-type' : 'icmpv6-type';
  if (kind === 'icmp' && type === 255) return option(name, 'any', inverted);
  const isAnyCode = codes.first === 0 && codes.last === 255;
  return option(name, isAnyCode ? type : `${type}/${codes.first}`, inverted);
}

export function markText(value: number, mask: number, inverted: boolean): string {
  const isWhole = mask === 0xffff_ffff;
  return option('mark', isWhole ? hex(value) : `${hex(value)}/${hex(mask)}`, inverted);
}

/** enum rtn_type */
const addressTypes = [
  'UNSPEC',
  'UNICAST',
  'LOCAL',
  'BROADCAST',
  'ANYCAST',
  'MULTICAST',
  'BLACKHOLE',
  'UNREACHABLE',
  'PROHIBIT',
  'THROW',
  'NAT',
  'XRESOLVE',
].map((name, type) => [1 << type, name] as const);

function addrtypeText(match: XtMatchOf<'addrtype'>): string {
  const { source, destination } = match;
  return words(
    source !== 0 && option('src-type', bitNames(source, addressTypes), match.sourceInverted),
    destination !== 0 &&
      option('dst-type', bitNames(destination, addressTypes), match.destinationInverted),
    match.limitToInput && flag('limit-iface-in'),
    match.limitToOutput && flag('limit-iface-out'),
  );
}

/** A set that is gone, or was not read, has its number instead of a name. */
export function setReferenceText({ index, dimensions }: SetReference, sets: Sets): string {
  return `${sets.get(index)?.name ?? `#${index}`} ${dimensions.join(',')}`;
}

function setText(match: XtMatchOf<'set'>, sets: Sets): string {
  const counter = (name: 'packets' | 'bytes'): string | false => {
    const found = match[name];
    if (found === undefined) return false;
    const isInverted = found.comparison === 'neq';
    const operator = isInverted ? 'eq' : found.comparison;
    return option(`${name}-${operator}`, found.value, isInverted);
  };
  return words(
    option('match-set', setReferenceText(match.set, sets), match.set.inverted),
    match.returnNoMatch && flag('return-nomatch'),
    !match.updateCounters && flag('update-counters', true),
    !match.updateSubcounters && flag('update-subcounters', true),
    counter('packets'),
    counter('bytes'),
  );
}

function macText(address: Uint8Array): string {
  return [...address].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

function addressRangeText(name: string, { first, last, inverted }: AddressRange): string {
  return option(name, `${addressText(first)}-${addressText(last)}`, inverted);
}

function physdevText(match: XtMatchOf<'physdev'>): string {
  const { input, output, isInput, isOutput, isBridged } = match;
  return words(
    isInput !== undefined && flag('physdev-is-in', !isInput),
    input && option('physdev-in', maskedInterfaceText(input.name, input.mask), input.inverted),
    isOutput !== undefined && flag('physdev-is-out', !isOutput),
    output && option('physdev-out', maskedInterfaceText(output.name, output.mask), output.inverted),
    isBridged !== undefined && flag('physdev-is-bridged', !isBridged),
  );
}

function statisticText({ inverted, probability, nth }: XtMatchOf<'statistic'>): string {
  if (nth !== undefined) {
    return words(
      option('mode', 'nth'),
      option('every', nth.every + 1, inverted),
      option('packet', nth.packet),
    );
  }
  const share = ((probability ?? 0) / 2 ** 31).toFixed(11);
  return words(option('mode', 'random'), option('probability', share, inverted));
}

function ownerText({ user, group, supplementaryGroups, socketExists }: XtMatchOf<'owner'>): string {
  const ids = ({ first, last }: { readonly first: number; readonly last: number }): string =>
    first === last ? `${first}` : `${first}-${last}`;
  return words(
    socketExists !== undefined && flag('socket-exists', !socketExists),
    user && option('uid-owner', ids(user), user.inverted),
    group && option('gid-owner', ids(group), group.inverted),
    supplementaryGroups && flag('suppl-groups'),
  );
}

function indexText(
  name: string,
  range: { readonly first: number; readonly last: number; readonly inverted: boolean },
): string {
  const isAny = range.first === 0 && range.last === 0xffff_ffff && !range.inverted;
  return isAny ? '' : option(name, rangeText(range), range.inverted);
}
