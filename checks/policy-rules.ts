/** @module Policy rules as one reads them, and which packets they are about. Pure. */

import type { AnswerRemedy } from './check.ts';
import type { Family } from './family.ts';
import type { PolicyRule } from './host/host.ts';
import { isInside, parsePrefix } from './packet/prefix.ts';

export const localTable = 255;
export const mainTable = 254;
const tableNames = new Map([
  [localTable, 'local'],
  [mainTable, 'main'],
  [253, 'default'],
]);

/** `ip` for one family. */
export function ipOf(family: Family): string {
  return family === 'ipv6' ? 'ip -6' : 'ip';
}

/** A rule in the words of `ip rule`, as far as it is one of the common ones. */
export function ruleText(rule: PolicyRule): string {
  const { priority, source, destination, mark, inInterface, outInterface, inverted } = rule;
  const marked = mark === undefined ? '' : `fwmark 0x${mark.value.toString(16)}${maskText(mark)}`;
  const words = [
    inverted ? 'not' : '',
    `from ${source ?? 'all'}`,
    destination === undefined ? '' : `to ${destination}`,
    marked,
    inInterface === undefined ? '' : `iif ${inInterface}`,
    outInterface === undefined ? '' : `oif ${outInterface}`,
    ...rule.others,
    rule.action === 'lookup' ? `lookup ${tableNames.get(rule.table) ?? rule.table}` : rule.action,
    rule.suppressPrefixLength === undefined
      ? ''
      : `suppress_prefixlength ${rule.suppressPrefixLength}`,
  ];
  return `${priority}: ${words.filter((word) => word !== '').join(' ')}`;
}

function maskText({ mask }: { readonly mask: number }): string {
  return mask === 0xffff_ffff ? '' : `/0x${mask.toString(16)}`;
}

/**
 * Whether the rule is about every packet that this host sends without a mark, to whatever address: from the given source, or from none yet where
 * the kernel is still to choose it. False also where it depends on something else.
 */
export function takesAll(rule: PolicyRule, source: string | undefined): boolean {
  const { destination, inInterface, outInterface, others, mark } = rule;
  const isNarrow = destination !== undefined || outInterface !== undefined || others.length > 0;
  // Packets of this host come in through `lo`.
  if (rule.action !== 'lookup' || isNarrow || (inInterface ?? 'lo') !== 'lo') return false;
  const isFrom =
    rule.source === undefined || (source !== undefined && isWithin(source, rule.source));
  const isUnmarked = mark === undefined || (mark.value & mark.mask) === 0;
  return rule.inverted ? !(isFrom && isUnmarked) : isFrom && isUnmarked;
}

/** Whether an address lies in a prefix. */
export function isWithin(address: string, prefix: string): boolean {
  const [inner, outer] = [parsePrefix(address), parsePrefix(prefix)];
  return inner !== undefined && outer !== undefined && isInside(inner, outer);
}

/** Tables and priorities that nm-cloud-setup uses: 30200 and on for addresses, 30400 and on for interfaces. */
export function isOfCloudSetup({ table }: PolicyRule): boolean {
  return table >= 30_200 && table < 30_600;
}

/** What keeps packets to this prefix out of the table of a rule: with nm-cloud-setup the program goes, else a rule before it comes. */
export function remedyAgainst(rule: PolicyRule, prefix: string): AnswerRemedy {
  const ip = ipOf(rule.family);
  if (isOfCloudSetup(rule))
    return {
      manager: 'iproute2',
      commands: [
        'systemctl disable --now nm-cloud-setup.service nm-cloud-setup.timer',
        `${ip} rule del pref ${rule.priority}`,
        `${ip} route flush table ${rule.table}`,
      ],
    };
  const before = Math.max(1, rule.priority - 1);
  return {
    manager: 'iproute2',
    commands: [`${ip} rule add pref ${before} to ${prefix} lookup main`],
  };
}
