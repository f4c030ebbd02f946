/** @module Which of our probes the peers say that they have heard; bounded, and forgotten after a while. */

/** What was sent, and what was reported of it. */
export interface Reports {
  sent(nonce: bigint, destination: string, port: number): void;
  /** Only the node that a probe was sent to can report it. */
  heard(address: string, nonces: readonly bigint[]): void;
  has(destination: string, port: number): boolean;
}

const maximumSent = 8192;
const maximumReported = 8192;
/**
 * Three rounds of the default interval, since the probe was sent: a peer repeats the last nonces that it heard for as long
 * as it hears no newer ones, which tells nothing of now.
 */
const rememberMs = 90_000;

export function createReports(now: () => number = () => performance.now()): Reports {
  const sent = new Map<
    bigint,
    { readonly destination: string; readonly port: number; readonly at: number }
  >();
  /** When the newest probe left that was reported, by destination and port. */
  const reported = new Map<string, number>();
  return {
    sent(nonce, destination, port) {
      sent.set(nonce, { destination, port, at: now() });
      forgetOldest(sent, maximumSent);
    },
    heard(address, nonces) {
      for (const nonce of nonces) {
        const probe = sent.get(nonce);
        if (probe === undefined || probe.destination !== address) continue;
        const key = `${address} ${probe.port}`;
        const known = reported.get(key) ?? Number.NEGATIVE_INFINITY;
        reported.delete(key);
        reported.set(key, Math.max(known, probe.at));
        forgetOldest(reported, maximumReported);
      }
    },
    has(destination, port) {
      const at = reported.get(`${destination} ${port}`);
      return at !== undefined && now() - at < rememberMs;
    },
  };
}

function forgetOldest(map: Map<unknown, unknown>, limit: number): void {
  if (map.size <= limit) return;
  const oldest = map.keys().next();
  if (oldest.done !== true) map.delete(oldest.value);
}
