/** @module Rates of `-m limit` and `-m hashlimit`: the kernel holds the time between two packets, the user wrote packets in a time. */
import type { HashLimit } from '../xt/types.ts';
import { flag, option, words } from './iptables-words.ts';

const units = [
  ['day', 86_400],
  ['hour', 3600],
  ['min', 60],
  ['sec', 1],
] as const;

/** The shortest unit in which the rate is a whole number, or nearly. `scale` is ticks a second. */
export function rateText(
  period: number,
  scale: number,
): { readonly text: string; readonly unitSeconds: number } {
  if (period === 0) return { text: 'inf', unitSeconds: 0 };
  let [name, seconds]: readonly [string, number] = units[0];
  for (const [shorter, shorterSeconds] of units.slice(1)) {
    const ticks = shorterSeconds * scale;
    if (period > ticks || Math.floor(ticks / period) < ticks % period) break;
    [name, seconds] = [shorter, shorterSeconds];
  }
  return { text: `${Math.floor((seconds * scale) / period)}/${name}`, unitSeconds: seconds };
}

const DEFAULT_GC_MS = 1000;
/** Entries of a limit in bytes live 15 s, with a burst 60 s. */
const BYTES_EXPIRE_MS = 15_000;
const BYTES_BURST_EXPIRE_MS = 60_000;

export function hashlimitText(limit: HashLimit): string {
  const isWide = limit.destinationPrefix > 32 || limit.sourcePrefix > 32;
  const { text, expireMs } = limit.bytes ? bytesText(limit) : packetsText(limit);
  const prefix = (name: string, length: number): string | false =>
    length !== 32 && length !== 128 && option(name, length);
  return words(
    `${flag(limit.over ? 'hashlimit-above' : 'hashlimit-upto')} ${text}`,
    limit.keys.length > 0 && option('hashlimit-mode', limit.keys.join(',')),
    option('hashlimit-name', limit.name),
    limit.size !== 0 && option('hashlimit-htable-size', limit.size),
    limit.max !== 0 && option('hashlimit-htable-max', limit.max),
    limit.gcIntervalMs !== DEFAULT_GC_MS &&
      option('hashlimit-htable-gcinterval', limit.gcIntervalMs),
    limit.expireMs !== expireMs && option('hashlimit-htable-expire', limit.expireMs),
    isWide && limit.sourcePrefix === 32
      ? option('hashlimit-srcmask', 32)
      : prefix('hashlimit-srcmask', limit.sourcePrefix),
    isWide && limit.destinationPrefix === 32
      ? option('hashlimit-dstmask', 32)
      : prefix('hashlimit-dstmask', limit.destinationPrefix),
    limit.rateMatch && flag('hashlimit-rate-match'),
    limit.rateMatch &&
      limit.interval !== undefined &&
      limit.interval !== 1 &&
      option('hashlimit-rate-interval', limit.interval),
  );
}

interface RateText {
  readonly text: string;
  /** How long entries live when the user did not say. */
  readonly expireMs: number;
}

function packetsText({ average, burst, revision }: HashLimit): RateText {
  const { text, unitSeconds } = rateText(average, revision === 1 ? 10_000 : 1_000_000);
  return { text: words(text, option('hashlimit-burst', burst)), expireMs: unitSeconds * 1000 };
}

const maximumU32 = 0xffff_ffff;
const byteUnits = [
  ['m', 1 << 20],
  ['k', 1 << 10],
] as const;

/** XT_HASHLIMIT_BYTE_SHIFT: a rate in bytes is counted in pieces of 16, and held as the cost of one piece. */
function bytesText({ average, burst }: HashLimit): RateText {
  const pieces = average === 0 ? maximumU32 : Math.floor(maximumU32 / average);
  const bytes = (pieces - 1) * 16;
  const costOf = (rate: number): number => Math.floor(maximumU32 / (Math.floor(rate / 16) + 1));
  const unit = byteUnits.find(
    ([, size]) => bytes >= size && costOf(bytes - (bytes % size)) === average,
  );
  const rate = `${Math.floor(bytes / (unit?.[1] ?? 1))}${unit?.[0] ?? ''}b/s`;
  if (burst === 0) return { text: rate, expireMs: BYTES_EXPIRE_MS };
  const whole = bytes * burst;
  const burstUnit = byteUnits.find(([, size]) => whole >= size);
  const size = `${Math.floor(whole / (burstUnit?.[1] ?? 1))}${burstUnit?.[0] ?? ''}b`;
  return {
    text: words(rate, option('hashlimit-burst', size)),
    expireMs: BYTES_BURST_EXPIRE_MS,
  };
}
