/** @module The stations of one flow on this host: its taps, and the kernel's counters before and after. */
import type { Flow, StationReport } from '../diagnosis/evidence.ts';
import { counterDeltas, readCounters } from './counters.ts';
import { type Host, HostError } from './host.ts';

/** Stations that are open. */
export interface Stations {
  /** Closes the taps, reads the counters again, and says what was seen; asked again, it says the same. */
  stop(): Promise<StationsReport>;
}

export interface StationsReport extends StationReport {
  /** Probes that passed this host's INPUT hook; where that was asked for. */
  readonly pastInput?: number;
}

/**
 * Opens the stations of a flow; what is sent from here on is seen. Throws HostError `missing-net-raw` where packet sockets may not be had.
 * Whoever opens them has to stop them, whatever happens in between: all packets of the host pass their filter.
 */
export async function openStations(
  host: Pick<Host, 'network' | 'readText' | 'route'>,
  flow: Flow,
  options: { readonly pastInput: boolean } = { pastInput: false },
): Promise<Stations> {
  const ways = await interfacesTo(host, [flow.source, flow.destination]);
  const before = await readCounters(host, flow.family);
  const tap = host.network.tap(flow, options);
  async function report(): Promise<StationsReport> {
    const seen = await tap.stop();
    const after = await readCounters(host, flow.family);
    const { out, nic, pastIngress } = seen;
    const shown = [out, nic, pastIngress].flatMap((sight) => sight.interfaces);
    return { ...seen, counters: counterDeltas(before, after, [...ways, ...shown]) };
  }
  let stopped: Promise<StationsReport> | undefined;
  return {
    stop: async () => {
      stopped ??= report();
      return await stopped;
    },
  };
}

/** One of the two ends is this host, and the way to it is none. */
async function interfacesTo(
  host: Pick<Host, 'route'>,
  addresses: readonly string[],
): Promise<readonly string[]> {
  const interfaces: string[] = [];
  for (const address of addresses) {
    try {
      const route = await host.route(address);
      if (route?.type === 'unicast') interfaces.push(route.interface);
    } catch (error) {
      if (!(error instanceof HostError)) throw error;
    }
  }
  return interfaces;
}
