/** @module Which reverse-path filter is in force for packets that come in on an interface. Pure. */

/** 0: none; 1: strict (RFC 3704), the way back must be the interface itself; 2: loose, there must be a way back at all. */
export type ReversePathFilter = 0 | 1 | 2;

/** IN_DEV_RPFILTER of the kernel (linux/inetdevice.h): the larger of `conf/all` and the interface's own. */
export function reversePathInForce(all: number, own: number): ReversePathFilter {
  const larger = Math.max(all, own);
  return larger >= 2 ? 2 : larger === 1 ? 1 : 0;
}
