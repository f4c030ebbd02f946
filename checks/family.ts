/** @module The two versions of IP. */

export type Family = 'ipv4' | 'ipv6';
