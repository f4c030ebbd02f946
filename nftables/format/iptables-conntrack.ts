/** @module The options of `-m conntrack`. */
import type { ConntrackMatch, InvertibleRange, MaskedAddress } from '../xt/types.ts';
import { bitNames, hostOrNetworkText, option, rangeText, words } from './iptables-words.ts';

export const stateNames = [
  [0x01, 'INVALID'],
  [0x08, 'NEW'],
  [0x04, 'RELATED'],
  [0x02, 'ESTABLISHED'],
  [0x100, 'UNTRACKED'],
  [0x40, 'SNAT'],
  [0x80, 'DNAT'],
] as const;

const statusNames = [
  [1, 'EXPECTED'],
  [2, 'SEEN_REPLY'],
  [4, 'ASSURED'],
  [8, 'CONFIRMED'],
] as const;

export function conntrackText(match: ConntrackMatch): string {
  const { states, protocol, status, direction } = match;
  const address = (name: string, value: MaskedAddress | undefined): string | false =>
    value !== undefined &&
    option(name, hostOrNetworkText(value.address, value.mask), value.inverted);
  const range = (name: string, value: InvertibleRange | undefined): string | false =>
    value !== undefined && option(name, rangeText(value), value.inverted);
  return words(
    states && option('ctstate', bitNames(states.mask, stateNames), states.inverted),
    protocol && option('ctproto', protocol.number, protocol.inverted),
    address('ctorigsrc', match.originalSource),
    address('ctorigdst', match.originalDestination),
    address('ctreplsrc', match.replySource),
    address('ctrepldst', match.replyDestination),
    range('ctorigsrcport', match.originalSourcePort),
    range('ctorigdstport', match.originalDestinationPort),
    range('ctreplsrcport', match.replySourcePort),
    range('ctrepldstport', match.replyDestinationPort),
    status && option('ctstatus', bitNames(status.mask, statusNames) || 'NONE', status.inverted),
    range('ctexpire', match.expires),
    direction && option('ctdir', direction.toUpperCase()),
  );
}
