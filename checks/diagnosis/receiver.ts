/** @module The receiver's half of the evidence: what this host sees and knows of packets that another one sends to it. */
import type { FirewallView } from '../host/firewall.ts';
import { type Host, HostError } from '../host/host.ts';
import { readReversePathFilter } from '../host/reverse-path.ts';
import { openStations, type Stations, type StationsReport } from '../host/stations.ts';
import { icmpProtocol } from '../packet/icmp.ts';
import type { Flow, ReceiverEvidence } from './evidence.ts';
import { noteCounts, rulesOf } from './rules.ts';

/** A look-out that is open. */
export interface Lookout {
  /** Closes it and says what it saw; asked again, it says the same. */
  stop(): Promise<ReceiverEvidence>;
}

/** Opens the stations of a flow that comes to this host. Without CAP_NET_RAW there are none, and the rest is said all the same. */
export async function openLookout(host: Host, flow: Flow): Promise<Lookout> {
  const view = await readView(host);
  const rules = view === undefined ? undefined : rulesOf(view, flow, 'receiver');
  const counts = rules === undefined ? undefined : await noteCounts(host, rules);
  const stations = await stationsOf(host, flow);

  async function say(): Promise<ReceiverEvidence> {
    const seen = await stations?.stop();
    const [grown, around] = [
      rules === undefined ? undefined : await counts?.grown(rules),
      await surroundingsOf(host, flow, seen),
    ];
    return {
      ...(seen === undefined ? {} : halves(seen)),
      ...(grown === undefined ? {} : { rules: grown }),
      ...around,
    };
  }

  let said: Promise<ReceiverEvidence> | undefined;
  return {
    stop: async () => {
      said ??= say();
      return await said;
    },
  };
}

function halves({ pastInput, ...stations }: StationsReport): Partial<ReceiverEvidence> {
  return { ...(pastInput === undefined ? {} : { witnessed: pastInput }), stations };
}

async function stationsOf(host: Host, flow: Flow): Promise<Stations | undefined> {
  try {
    return await openStations(host, flow, { pastInput: true });
  } catch (error) {
    if (error instanceof HostError && error.code === 'missing-net-raw') return undefined;
    throw error;
  }
}

async function readView(host: Pick<Host, 'firewall'>): Promise<FirewallView | undefined> {
  const reading = await host.firewall();
  return reading.readable ? reading.view : undefined;
}

type Around = Pick<
  ReceiverEvidence,
  'owner' | 'ownsDestination' | 'interfaceToSender' | 'reversePathFilter' | 'echoIgnored'
>;

async function surroundingsOf(
  host: Host,
  flow: Flow,
  report: StationsReport | undefined,
): Promise<Around> {
  const route = await orUnknown(() => host.route(flow.source, flow.destination));
  const addresses = await orUnknown(() => host.addresses());
  const arrivedOn = report?.nic.interfaces.find((name) => name !== 'lo') ?? route?.interface;
  const filter =
    flow.family === 'ipv4' && arrivedOn !== undefined
      ? await readReversePathFilter(host, arrivedOn)
      : undefined;
  const ignored = await echoIgnored(host, flow);
  return {
    owner: await ownerOf(host, flow),
    ownsDestination: addresses?.some(({ address }) => address === flow.destination) ?? true,
    ...(route?.type === 'unicast' ? { interfaceToSender: route.interface } : {}),
    ...(filter === undefined ? {} : { reversePathFilter: filter }),
    ...(ignored === undefined ? {} : { echoIgnored: ignored }),
  };
}

async function ownerOf(host: Host, flow: Flow): Promise<ReceiverEvidence['owner']> {
  const { protocol, port, family } = flow;
  if (protocol === icmpProtocol[family]) return 'kernel';
  const transport = protocol === 17 ? 'udp' : protocol === 6 ? 'tcp' : undefined;
  if (transport === undefined || port === undefined) return 'unknown';
  const all = await orUnknown(() => host.portOwners(transport, port));
  if (all === undefined) return 'unknown';
  // A socket of `::` takes IPv4 too, unless it says otherwise, which no list shows.
  const owners = all.filter(
    ({ address }) => address === flow.destination || address === '0.0.0.0' || address === '::',
  );
  if (owners.length === 0) return 'nobody';
  if (owners.some(({ kernel }) => kernel === true)) return 'kernel';
  return owners.some(({ kernel }) => kernel === false) ? 'process' : 'unknown';
}

/** Whether a sysctl keeps the kernel from answering echo requests. */
async function echoIgnored(host: Host, { family, protocol }: Flow): Promise<boolean | undefined> {
  if (protocol !== icmpProtocol[family]) return undefined;
  const path =
    family === 'ipv4'
      ? '/proc/sys/net/ipv4/icmp_echo_ignore_all'
      : '/proc/sys/net/ipv6/icmp/echo_ignore_all';
  const text = (await orUnknown(() => host.readText(path)))?.trim();
  return text === '0' ? false : text === '1' ? true : undefined;
}

async function orUnknown<T>(look: () => Promise<T>): Promise<T | undefined> {
  try {
    return await look();
  } catch (error) {
    if (error instanceof HostError) return undefined;
    throw error;
  }
}
