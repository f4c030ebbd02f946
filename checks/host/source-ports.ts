/** @module Source ports: a fresh one for every probe, and never one that a CNI may want. */
import { randomInt } from 'node:crypto';

/** Hands out source ports, each as long as possible after its last use. */
export interface SourcePorts {
  next(): number;
  /** Keeps off these ports from now on, besides those that were excluded before. */
  exclude(ports: Iterable<number>): void;
}

/**
 * Walks through the range in a pseudo-random order that visits every port once before it comes round.
 * The kernel's own choice would do neither: it may take 51820 (WireGuard's port lies in the default range,
 * and a device could then not come up), and it may soon take a port again that a firewall still knows as ESTABLISHED.
 *
 * @param range `net.ipv4.ip_local_port_range`.
 * @param excluded Ports of every provider in the catalogue, and `ip_local_reserved_ports`.
 */
export function createSourcePorts(
  range: { readonly first: number; readonly last: number },
  excluded: ReadonlySet<number>,
): SourcePorts {
  const size = range.last - range.first + 1;
  const stride = coprimeStride(size);
  const avoided = new Set(excluded);
  let at = randomInt(size);
  return {
    next() {
      for (let tries = 0; tries < size; tries++) {
        at = (at + stride) % size;
        const port = range.first + at;
        if (!avoided.has(port)) return port;
      }
      throw new Error('every local port is excluded');
    },
    exclude(ports) {
      for (const port of ports) avoided.add(port);
    },
  };
}

/** Reads `ip_local_port_range`; Linux' default where it is unreadable. */
export function parsePortRange(text: string | undefined): { first: number; last: number } {
  const [first, last] = (text ?? '').trim().split(/\s+/).map(Number);
  if (first === undefined || last === undefined || !(first >= 1 && last >= first && last <= 65535))
    return { first: 32768, last: 60999 };
  return { first, last };
}

/** Reads `ip_local_reserved_ports`: `8080,9000-9010`. */
export function parseReservedPorts(text: string | undefined): Set<number> {
  const ports = new Set<number>();
  for (const part of (text ?? '').trim().split(',')) {
    const [first, last = first] = part.split('-').map(Number);
    if (first === undefined || last === undefined || !(first >= 1 && last <= 65535)) continue;
    for (let port = first; port <= last; port++) ports.add(port);
  }
  return ports;
}

function coprimeStride(size: number): number {
  let stride = Math.max(1, Math.floor(size * 0.381966));
  while (greatestCommonDivisor(stride, size) !== 1) stride++;
  return stride;
}

function greatestCommonDivisor(first: number, second: number): number {
  let [a, b] = [first, second];
  while (b !== 0) [a, b] = [b, a % b];
  return a;
}
