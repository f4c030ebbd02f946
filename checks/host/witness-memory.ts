/** @module What the witness remembers of its peers: bounded, oldest forgotten first. */

/** A log of what was heard, by source address and nonce. */
export interface HeardLog<T> {
  set(source: string, nonce: bigint, value: T): void;
  get(source: string, nonce: bigint): T | undefined;
  /** The newest nonces of a source, oldest first. */
  latest(source: string, count: number): readonly bigint[];
}

/** Keeps the last `perSource` entries of the last `sources` sources, and no more than `entries` of all of them together. */
export function createLog<T>(bounds: {
  readonly sources: number;
  readonly perSource: number;
  readonly entries: number;
}): HeardLog<T> {
  const bySource = new Map<string, Map<bigint, T>>();
  let entries = 0;

  function forgetSource(): void {
    const oldest = bySource.entries().next();
    if (oldest.done === true) return;
    const [source, log] = oldest.value;
    entries -= log.size;
    bySource.delete(source);
  }

  return {
    set(source, nonce, value) {
      const log = bySource.get(source) ?? new Map<bigint, T>();
      bySource.delete(source);
      bySource.set(source, log);
      entries -= log.size;
      log.set(nonce, value);
      forgetOldest(log, bounds.perSource);
      entries += log.size;
      while (bySource.size > bounds.sources || (entries > bounds.entries && bySource.size > 1))
        forgetSource();
    },
    get: (source, nonce) => bySource.get(source)?.get(nonce),
    latest: (source, count) => [...(bySource.get(source)?.keys() ?? [])].slice(-count),
  };
}

/**
 * One log for the peers and a smaller one for strangers, whoever they pretend to be: however many there are, they push out nothing that
 * a peer will ask for. Some 80 bytes an entry: 5 MB and 1 MB when full.
 */
export function createHeardLog<T>(isPeer: (source: string) => boolean): HeardLog<T> {
  const peers = createLog<T>({ sources: 4096, perSource: 256, entries: 65_536 });
  const strangers = createLog<T>({ sources: 1024, perSource: 64, entries: 16_384 });
  return {
    set: (source, nonce, value) => {
      (isPeer(source) ? peers : strangers).set(source, nonce, value);
    },
    // A stranger of a moment ago may be a peer by now, and the other way round.
    get: (source, nonce) => peers.get(source, nonce) ?? strangers.get(source, nonce),
    latest: (source, count) => {
      const known = peers.latest(source, count);
      return known.length > 0 ? known : strangers.latest(source, count);
    },
  };
}

/** Token buckets by source address. */
export interface Buckets {
  take(source: string): boolean;
}

/** Lets each source take `perSecond` tokens a second, `burst` at once. */
export function createBuckets(
  bounds: { readonly sources: number; readonly perSecond: number; readonly burst: number },
  now: () => number = () => performance.now(),
): Buckets {
  const bySource = new Map<string, { tokens: number; at: number }>();
  return {
    take(source) {
      const at = now();
      const bucket = bySource.get(source) ?? { tokens: bounds.burst, at };
      bySource.delete(source);
      bySource.set(source, bucket);
      forgetOldest(bySource, bounds.sources);
      const earned = ((at - bucket.at) / 1000) * bounds.perSecond;
      bucket.tokens = Math.min(bounds.burst, bucket.tokens + earned);
      bucket.at = at;
      if (bucket.tokens < 1) return false;
      bucket.tokens--;
      return true;
    },
  };
}

/** Accepts every nonce of a session once. */
export interface ReplayGuard {
  accept(source: string, session: bigint, nonce: bigint): boolean;
}

interface Window {
  newest: bigint;
  /** Bit n says that `newest - n` has been seen. */
  seen: bigint;
}

/**
 * A sliding window over the nonces of each session (RFC 4303 section 3.4.3 is the model): newer ones move it, older ones
 * count once while they are inside, everything older is refused. A session that was forgotten can be replayed once more;
 * what that yields is an answer no larger than the replay.
 */
export function createReplayGuard(bounds: {
  readonly sessions: number;
  readonly window: number;
}): ReplayGuard {
  const sessions = new Map<string, Window>();
  const size = BigInt(bounds.window);
  const mask = (1n << size) - 1n;
  return {
    accept(source, session, nonce) {
      const key = `${source} ${session}`;
      const window = sessions.get(key);
      if (window === undefined) {
        sessions.set(key, { newest: nonce, seen: 1n });
        forgetOldest(sessions, bounds.sessions);
        return true;
      }
      sessions.delete(key);
      sessions.set(key, window);
      if (nonce > window.newest) {
        const moved = nonce - window.newest;
        window.seen = moved >= size ? 1n : ((window.seen << moved) | 1n) & mask;
        window.newest = nonce;
        return true;
      }
      const age = window.newest - nonce;
      if (age >= size) return false;
      const bit = 1n << age;
      if ((window.seen & bit) !== 0n) return false;
      window.seen |= bit;
      return true;
    },
  };
}

function forgetOldest(map: Map<unknown, unknown>, limit: number): void {
  if (map.size <= limit) return;
  const oldest = map.keys().next();
  if (oldest.done !== true) map.delete(oldest.value);
}
