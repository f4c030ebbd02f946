/** @module Matches and targets of x_tables, read from the blobs that iptables-nft and legacy iptables load. */
export { decodeMatch } from './matches.ts';
export { decodeTarget } from './targets.ts';
export * from './types.ts';
