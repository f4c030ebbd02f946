/** @module Which of our probes the peers say that they have heard; bounded, and only of the last two rounds. */

/** What was sent, and what was reported of it. */
export interface Reports {
  sent(nonce: bigint, destination: string, port: number): void;
  /** Only the node that a probe was sent to can report it. */
  heard(address: string, nonces: readonly bigint[]): void;
  /** Whether the peer has reported one of the last probes to this port. */
  has(destination: string, port: number): boolean;
}

interface Sent {
  readonly nonce: bigint;
  readonly at: number;
  reported: boolean;
}

const maximumWays = 4096;
/**
 * Two rounds that failed: three probes each. The peer tells in its round what it heard in ours, so what it tells is of
 * our last round, and a way that has died meanwhile reads as open for no more than one.
 */
const lastProbes = 6;
/** An agent that has not probed for so long has no last round. */
const rememberMs = 90_000;

export function createReports(now: () => number = () => performance.now()): Reports {
  /** By destination and port. */
  const ways = new Map<string, Sent[]>();
  return {
    sent(nonce, destination, port) {
      const key = `${destination} ${port}`;
      const probes = [...(ways.get(key) ?? []), { nonce, at: now(), reported: false }];
      ways.delete(key);
      ways.set(key, probes.slice(-lastProbes));
      if (ways.size <= maximumWays) return;
      const oldest = ways.keys().next();
      if (oldest.done !== true) ways.delete(oldest.value);
    },
    heard(address, nonces) {
      const wanted = new Set(nonces);
      for (const [key, probes] of ways) {
        if (!key.startsWith(`${address} `)) continue;
        for (const probe of probes) if (wanted.has(probe.nonce)) probe.reported = true;
      }
    },
    has: (destination, port) =>
      (ways.get(`${destination} ${port}`) ?? []).some(
        ({ reported, at }) => reported && now() - at < rememberMs,
      ),
  };
}
