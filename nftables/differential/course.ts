/** @module A packet's course as the kernel traced it: how each base chain ended, and which rules matched. */
import type { Chain, Rule } from '../model.ts';
import type { LegacyEvent } from './legacy-trace.ts';
import type { Observation } from './oracle.ts';
import { endTable } from './scaffold.ts';
import type { TraceEvent } from './trace.ts';

/** `family table chain`. */
export type ChainKey = string;
/** `family table chain handle`. */
export type RuleKey = string;

export const chainKey = (one: {
  readonly family: string;
  readonly table: string;
  readonly chain: string;
}): ChainKey => `${one.family} ${one.table} ${one.chain}`;

/** Rules of legacy iptables have no handle: their place in the chain. */
export const ruleKeyOf = (rule: Rule): RuleKey =>
  rule.backend === 'iptables-legacy'
    ? `legacy ${chainKey(rule)} #${rule.index}`
    : `${chainKey(rule)} ${rule.handle}`;

export const chainKeyOf = (chain: Chain): ChainKey =>
  `${chain.backend === 'iptables-legacy' ? 'legacy ' : ''}${chain.family} ${chain.table} ${chain.name}`;

/** How one base chain ended. */
export interface Ended {
  readonly base: ChainKey;
  readonly verdict: 'accept' | 'drop' | 'stolen' | 'queue';
  /** The rule; absent: the policy. */
  readonly rule?: RuleKey;
}

export interface Course {
  readonly ended: readonly Ended[];
  readonly matched: readonly RuleKey[];
  /** The events fit together; false where the last base chain has no end. */
  readonly isWhole: boolean;
}

export function courseOf(seen: Observation): Course {
  const nft = nftCourse(seen.events);
  if (seen.legacy.length === 0) return nft;
  const last = nft.ended.at(-1);
  const goesOn =
    last !== undefined && (last.verdict !== 'accept' || last.base.split(' ')[1] === endTable);
  const legacy = legacyCourse(seen.legacy, goesOn ? 'accept' : 'drop');
  return {
    ended: goesOn ? [...legacy.ended, ...nft.ended] : [...nft.ended, ...legacy.ended],
    matched: [...nft.matched, ...legacy.matched],
    isWhole: nft.isWhole,
  };
}

function nftCourse(events: readonly TraceEvent[]): Course {
  const ended: Ended[] = [];
  const matched: RuleKey[] = [];
  let base: ChainKey | undefined;
  for (const event of events) {
    // The mark at the end of a chain is traced like a rule.
    if (event.type !== 'policy' && event.handle === 0) continue;
    base ??= chainKey(event);
    if (event.type === 'policy') {
      ended.push({ base, verdict: event.verdict === 'drop' ? 'drop' : 'accept' });
      base = undefined;
      continue;
    }
    const rule = `${chainKey(event)} ${event.handle}`;
    if (event.type === 'rule') matched.push(rule);
    const verdict = finalVerdict(event);
    if (verdict !== undefined) {
      ended.push({ base, verdict, rule });
      base = undefined;
    }
  }
  return { ended, matched, isWhole: base === undefined };
}

interface Walk {
  readonly base: ChainKey;
  /** The last that matched, unless the policy was met behind it. */
  rule?: RuleKey;
}

const builtIn = new Set(['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING']);

/**
 * Legacy iptables tells which rules matched, and a policy, but no verdict. A walk that another follows let the packet go on; of the
 * last one `lastVerdict` says it.
 */
function legacyCourse(events: readonly LegacyEvent[], lastVerdict: 'accept' | 'drop'): Course {
  const matched: RuleKey[] = [];
  const walks: Walk[] = [];
  for (const event of events) {
    const chain = `legacy ${chainKey(event)}`;
    const current = walks.at(-1);
    const walk: Walk =
      current === undefined || (builtIn.has(event.chain) && chain !== current.base)
        ? { base: chain }
        : current;
    if (walk !== current) walks.push(walk);
    if (event.type === 'policy') delete walk.rule;
    if (event.type !== 'rule') continue;
    walk.rule = `${chain} #${event.index}`;
    matched.push(walk.rule);
  }
  const ended = walks.map(
    ({ base, rule }, index): Ended => ({
      base,
      verdict: index === walks.length - 1 ? lastVerdict : 'accept',
      ...(rule === undefined ? {} : { rule }),
    }),
  );
  return { ended, matched, isWhole: true };
}

function finalVerdict({ verdict }: TraceEvent): Ended['verdict'] | undefined {
  const isFinal =
    verdict === 'accept' || verdict === 'drop' || verdict === 'stolen' || verdict === 'queue';
  return isFinal ? verdict : undefined;
}
