/** @module Look-outs that peers ask for: few at once, short, and each for packets from the asker's own address alone. */
import type { Flow, ReceiverEvidence } from './diagnosis/evidence.ts';
import type { Lookout } from './diagnosis/receiver.ts';
import { createBuckets } from './host/witness-memory.ts';

/** A look-out ends by itself after so long. */
const openMs = 3000;
/** What it saw is kept so much longer, for the question may have to be asked again. */
const keptMs = 7000;
/** So many are open on a node at once; each costs a copy of our own packets, and of nothing else. */
export const maximumOpen = 16;
/** What one asker may open: two a second, sixteen at once. */
const askers = { sources: 4096, perSecond: 2, burst: 16 };
const maximumKept = 256;

export interface StationWatches {
  /** Opens one; the asker names it, so that a question that came twice opens one. False when there are too many. */
  open(asker: string, id: string, flow: Flow): Promise<boolean>;
  /** Ends it and says what it saw; undefined when this asker has none of that name. */
  observed(asker: string, id: string): Promise<ReceiverEvidence | undefined>;
  /** Ends them all. */
  close(): Promise<void>;
}

interface Watch {
  readonly lookout: Promise<Lookout>;
  isOpen: boolean;
  timer: NodeJS.Timeout | undefined;
}

export function createStationWatches(
  open: (flow: Flow) => Promise<Lookout>,
  now?: () => number,
): StationWatches {
  const watches = new Map<string, Watch>();
  const buckets = createBuckets(askers, now);
  let isClosed = false;

  async function stop(watch: Watch): Promise<ReceiverEvidence> {
    const lookout = await watch.lookout;
    try {
      return await lookout.stop();
    } finally {
      watch.isOpen = false;
    }
  }

  function forget(key: string, watch: Watch): void {
    clearTimeout(watch.timer);
    if (watches.get(key) === watch) watches.delete(key);
  }

  return {
    async open(asker, id, flow) {
      const key = `${asker} ${id}`;
      const known = watches.get(key);
      if (known !== undefined) {
        await known.lookout;
        return true;
      }
      const running = [...watches.values()].filter(({ isOpen }) => isOpen).length;
      if (isClosed || running >= maximumOpen || watches.size >= maximumKept) return false;
      if (!buckets.take(asker)) return false;
      const watch: Watch = { lookout: open(flow), isOpen: true, timer: undefined };
      watches.set(key, watch);
      try {
        await watch.lookout;
      } catch (error) {
        forget(key, watch);
        throw error;
      }
      if (isClosed) return false;
      watch.timer = setTimeout(() => {
        stop(watch).catch(() => undefined);
        watch.timer = setTimeout(() => {
          forget(key, watch);
        }, keptMs);
      }, openMs);
      return true;
    },
    async observed(asker, id) {
      const watch = watches.get(`${asker} ${id}`);
      return watch === undefined ? undefined : await stop(watch);
    },
    async close() {
      isClosed = true;
      await Promise.all(
        [...watches].map(async ([key, watch]) => {
          forget(key, watch);
          await stop(watch).catch(() => undefined);
        }),
      );
    },
  };
}
