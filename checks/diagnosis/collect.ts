/** @module Both halves of the evidence for one failed way: opens the own stations, asks the peer to look out, sends three probes, asks what came. */
import type { Payload } from '../../rules/schema.ts';
import type { Family } from '../family.ts';
import { type Host, HostError, type Route } from '../host/host.ts';
import type { Observation, Path } from '../host/network.ts';
import { readReversePathFilter } from '../host/reverse-path.ts';
import { openStations, type Stations } from '../host/stations.ts';
import { icmpProtocol } from '../packet/icmp.ts';
import type { Observed, PeerChannel } from '../peer-channel.ts';
import { pause, withDeadline } from '../time.ts';
import type { Flow, Missing, PathEvidence, ReceiverEvidence, SenderEvidence } from './evidence.ts';
import { noteCounts, rulesOf } from './rules.ts';

/** What is sent, as the failed test sent it. */
export type DiagnosedProbe =
  | {
      readonly transport: 'udp';
      readonly port: number;
      readonly payload: Payload;
      readonly totalBytes?: number;
    }
  | { readonly transport: 'tcp'; readonly port: number }
  | { readonly transport: 'icmp' }
  | { readonly transport: 'ip'; readonly protocol: 4 | 50 };

export interface CollectInput {
  readonly host: Host;
  readonly peer: PeerChannel;
  readonly address: string;
  readonly family: Family;
  /** The own address that talks to the peers, where no route says one. */
  readonly ownAddress: string | undefined;
  readonly probe: DiagnosedProbe;
  readonly signal: AbortSignal;
}

const probes = 3;
/** Probe, look-out and answer each have their share of the four seconds that a diagnosis may take. */
const probeMs = 900;
const openMs = 1500;
const askMs = 1400;
/** The last packets are still under way when the last probe has timed out or was answered. */
const settleMs = 40;
const betweenMs = 20;

/** Collects the evidence. Undefined where this node may not look (no CAP_NET_RAW), or has no address to send from. */
export async function collectEvidence(input: CollectInput): Promise<PathEvidence | undefined> {
  const { host, address, family, ownAddress, probe } = input;
  const route = await orUndefined(() => host.route(address));
  const source = route?.source ?? ownAddress;
  if (source === undefined) return undefined;
  const flow = flowOf(probe, { family, source, destination: address });
  const reading = await host.firewall();
  const rules = reading.readable ? rulesOf(reading.view, flow, 'sender') : undefined;
  const counts = rules === undefined ? undefined : await noteCounts(host, rules);
  let stations: Stations;
  try {
    stations = await openStations(host, flow);
  } catch (error) {
    if (error instanceof HostError) return undefined;
    throw error;
  }
  try {
    const opened = await withDeadline(openMs, input.signal, (signal) =>
      input.peer.observe(observedOf(probe), signal),
    );
    const sent = await sendProbes(input);
    await pause(settleMs, input.signal);
    const isTold = await isRouteTold(host, family);
    const neighbour = isTold ? await orUndefined(() => host.neighbour(address, source)) : undefined;
    const report = await stations.stop();
    const receiver = await receiverOf(opened, input);
    if (input.signal.aborted) return undefined;
    const cameIn = report.nic.interfaces[0] ?? route?.interface;
    const filter =
      family === 'ipv4' && cameIn !== undefined
        ? await readReversePathFilter(host, cameIn)
        : undefined;
    const grown = rules === undefined ? undefined : await counts?.grown(rules);
    return {
      flow,
      sender: {
        ...sent,
        stations: report,
        ...(grown === undefined ? {} : { rules: grown }),
        ...(route === undefined || !isTold ? {} : { route: routeOf(route) }),
        ...(neighbour === undefined ? {} : { neighbour: neighbour.state }),
        ...(filter === undefined ? {} : { reversePathFilter: filter }),
      },
      receiver,
    };
  } finally {
    await stations.stop();
  }
}

function flowOf(
  probe: DiagnosedProbe,
  ends: Pick<Flow, 'family' | 'source' | 'destination'>,
): Flow {
  switch (probe.transport) {
    case 'udp':
      return { ...ends, protocol: 17, port: probe.port };
    case 'tcp':
      return { ...ends, protocol: 6, port: probe.port };
    case 'icmp':
      return { ...ends, protocol: icmpProtocol[ends.family] };
    case 'ip':
      return { ...ends, protocol: probe.protocol };
  }
}

function observedOf(probe: DiagnosedProbe): Observed {
  switch (probe.transport) {
    case 'udp':
      return { protocol: 17, port: probe.port };
    case 'tcp':
      return { protocol: 6, port: probe.port };
    case 'icmp':
      return { protocol: 'icmp' };
    case 'ip':
      return { protocol: probe.protocol };
  }
}

async function receiverOf(
  opened: Awaited<ReturnType<PeerChannel['observe']>>,
  { peer, signal }: CollectInput,
): Promise<ReceiverEvidence | Missing> {
  if (opened === 'busy') return 'refused';
  if (opened === 'unable') return 'unable';
  const nobody = peer.keyMismatch() ? 'key-mismatch' : 'no-agent';
  if (opened === undefined) return nobody;
  const evidence = await withDeadline(askMs, signal, (deadline) =>
    peer.observed(opened.id, deadline),
  );
  return evidence ?? nobody;
}

type Sent = Pick<
  SenderEvidence,
  'sent' | 'sendErrors' | 'errors' | 'answered' | 'refused' | 'stalled'
>;

async function sendProbes({ host, address, family, probe, signal }: CollectInput): Promise<Sent> {
  const path: Path = { family, destination: address };
  const { network } = host;
  const times = Array.from({ length: probes });
  switch (probe.transport) {
    case 'udp': {
      const { transport: _, ...datagram } = probe;
      const seen = await Promise.all(times.map(() => network.udp(path, datagram, probeMs, signal)));
      return sentOf(seen, {
        answered: seen.filter(({ witnessed }) => witnessed !== undefined).length,
      });
    }
    case 'tcp': {
      const seen = await Promise.all(
        times.map(() => network.tcp(path, probe.port, probeMs, signal)),
      );
      const answered = seen.filter(({ result }) => result === 'connected').length;
      const refused = answered === 0 && seen.some(({ result }) => result === 'refused');
      // Without an ICMP error it was the own stack that said no.
      const own = seen.flatMap(({ result, errno, errors }) =>
        result === 'error' && errno !== undefined && errors.every(({ type }) => type === undefined)
          ? [errno]
          : [],
      );
      return { ...sentOf(seen, { answered }), refused, sendErrors: own };
    }
    case 'icmp': {
      const seen = await Promise.all(times.map(() => network.echo(path, {}, probeMs, signal)));
      return sentOf(seen, { answered: seen.filter(({ replied }) => replied).length });
    }
    case 'ip': {
      const seen: Observation[] = [];
      for (const _ of times)
        seen.push(await network.ipProtocol(path, probe.protocol, betweenMs, signal));
      await pause(probeMs / 3, signal);
      return sentOf(seen, { answered: 0 });
    }
  }
}

function sentOf(seen: readonly Observation[], { answered }: { readonly answered: number }): Sent {
  return {
    sent: seen.length,
    sendErrors: seen.flatMap(({ sendError }) => sendError ?? []),
    errors: seen.flatMap(({ errors }) => errors),
    answered,
    refused: false,
    stalled: seen.some(({ stalled }) => stalled),
  };
}

/** Whether the addresses alone decide the route: policy rules may ask for ports or users, which the kernel is not asked with. */
async function isRouteTold(host: Host, family: Family): Promise<boolean> {
  const rules = (await orUndefined(() => host.rules())) ?? [];
  return rules.every((rule) => rule.family !== family || rule.others.length === 0);
}

function routeOf({ interface: name, gateway, type }: Route): NonNullable<SenderEvidence['route']> {
  return { interface: name, type, ...(gateway === undefined ? {} : { gateway }) };
}

async function orUndefined<T>(look: () => Promise<T | undefined>): Promise<T | undefined> {
  try {
    return await look();
  } catch (error) {
    if (error instanceof HostError) return undefined;
    throw error;
  }
}
