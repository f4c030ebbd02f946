/** @module Network interfaces made of data. */
import type { Link } from '../../checks/host/host.ts';

let last = 0;

/** An interface that is up, with the next index. */
export function link(name: string, change: Partial<Link> = {}): Link {
  last += 1;
  return { index: last, name, mtu: 1500, up: true, loopback: false, ...change };
}
