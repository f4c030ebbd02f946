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
/** A report tells of the peer's round before; three rounds of the default interval. */
const rememberMs = 90_000;

export function createReports(now: () => number = () => performance.now()): Reports {
  const sent = new Map<bigint, { readonly destination: string; readonly port: number }>();
  const reported = new Map<string, number>();
  return {
    sent(nonce, destination, port) {
      sent.set(nonce, { destination, port });
      forgetOldest(sent, maximumSent);
    },
    heard(address, nonces) {
      for (const nonce of nonces) {
        const probe = sent.get(nonce);
        if (probe === undefined || probe.destination !== address) continue;
        const key = `${address} ${probe.port}`;
        reported.delete(key);
        reported.set(key, now());
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
