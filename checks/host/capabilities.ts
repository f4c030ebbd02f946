/** @module What this process may do. */
import { readFileSync } from 'node:fs';
import type { Capabilities } from './host.ts';

// linux/capability.h
const CAP_NET_ADMIN = 12n;
const CAP_NET_RAW = 13n;

/** Reads CapEff of this process; without /proc it counts as allowed nothing. */
export function readCapabilities(): Capabilities {
  try {
    return parseCapabilities(readFileSync('/proc/self/status', 'utf8'));
  } catch {
    return { netRaw: false, netAdmin: false };
  }
}

/** Takes CapEff from the text of /proc/PID/status: 16 hexadecimal digits, bit n is capability n. */
export function parseCapabilities(status: string): Capabilities {
  const match = /^CapEff:\s*([0-9a-fA-F]{1,16})$/m.exec(status);
  const effective = BigInt(`0x${match?.[1] ?? '0'}`);
  return {
    netRaw: ((effective >> CAP_NET_RAW) & 1n) === 1n,
    netAdmin: ((effective >> CAP_NET_ADMIN) & 1n) === 1n,
  };
}
