/** @module Evidence of both ends for tests of the diagnosis: a way that works as far as a station, and what a test changes of it. */
import type {
  Flow,
  PathEvidence,
  ReceiverEvidence,
  RulesVerdict,
  SenderEvidence,
  Sight,
  StationReport,
} from '../../checks/diagnosis/evidence.ts';
import { type Station, stations } from '../../checks/diagnosis/facts.ts';
import type { Family } from '../../checks/family.ts';
import type { FirewallPlace } from '../../checks/firewall-verdict.ts';

export type FlowKind = 'udp' | 'tcp' | 'icmp' | 'other';
export const flowKinds: readonly FlowKind[] = ['udp', 'tcp', 'icmp', 'other'];

export interface EvidenceChange {
  readonly kind?: FlowKind;
  readonly family?: Family;
  /** The last station that sees the packets; the send call when absent. */
  readonly last?: Station;
  readonly sender?: Partial<SenderEvidence>;
  readonly receiver?: Partial<ReceiverEvidence> | PathEvidence['receiver'];
  /** Laid over the taps of either end. */
  readonly senderTaps?: ReportChange;
  readonly receiverTaps?: ReportChange;
}

export interface ReportChange {
  readonly out?: Partial<Sight>;
  readonly nic?: Partial<Sight>;
  readonly pastIngress?: Partial<Sight>;
  readonly counters?: StationReport['counters'];
  readonly lost?: number;
}

const sent = 3;
const addresses = {
  ipv4: { source: '10.0.0.1', destination: '10.0.0.2' },
  ipv6: { source: 'fd00::1', destination: 'fd00::2' },
} as const;

export function flowOf(kind: FlowKind, family: Family): Flow {
  const protocol = { udp: 17, tcp: 6, icmp: family === 'ipv4' ? 1 : 58, other: 50 }[kind];
  const port = { udp: 8472, tcp: 179, icmp: undefined, other: undefined }[kind];
  return { family, ...addresses[family], protocol, ...(port === undefined ? {} : { port }) };
}

/** Rules that let everything pass, or what a test makes of them. */
export function verdict(change: Partial<RulesVerdict> = {}): RulesVerdict {
  return {
    verdict: 'accept',
    candidates: [],
    undetermined: [],
    programs: [],
    remedies: [],
    ...change,
  };
}

/** A rule of a hook that takes the packet, and its cure. */
export function taking(
  hook: string,
  change: Partial<RulesVerdict> & { readonly family?: string } = {},
): RulesVerdict {
  const { family = hook === 'ingress' || hook === 'egress' ? 'netdev' : 'inet', ...rest } = change;
  return verdict({
    verdict: 'drop',
    place: placeAt(hook, family),
    remedies: [{ manager: 'nftables', commands: [`nft insert rule ${family} fw ${hook} accept`] }],
    ...rest,
  });
}

export function placeAt(hook: string, family = 'inet'): FirewallPlace {
  return { backend: 'nf_tables', family, table: 'fw', chain: hook, hook, handle: 12, rule: 'drop' };
}

const nothing: Sight = {
  probes: 0,
  answers: 0,
  fragments: 0,
  errors: [],
  otherHost: 0,
  badChecksums: 0,
  interfaces: [],
};

/** Both halves. */
export function pathEvidence(change: EvidenceChange = {}): PathEvidence {
  const { kind = 'udp', family = 'ipv4', last } = change;
  const reached = last === undefined ? -1 : stations.indexOf(last);
  const at = (station: Station): number => (stations.indexOf(station) <= reached ? sent : 0);
  const probesAt = (station: Station): Partial<Sight> =>
    at(station) === 0 ? {} : { probes: sent, interfaces: ['eth0'] };
  const answersAt = (station: Station): Partial<Sight> =>
    at(station) === 0 || kind === 'other' ? {} : { answers: sent, interfaces: ['eth0'] };
  const counters = {
    reversePathFilter: 0,
    conntrackDrop: 0,
    tcpListenDrops: 0,
    tcpInCsumErrors: 0,
    deviceReceiveDrops: 0,
    ipOutNoRoutes: 0,
  };
  const report = (
    own: {
      readonly out: Partial<Sight>;
      readonly nic: Partial<Sight>;
      readonly pastIngress: Partial<Sight>;
    },
    over: ReportChange = {},
  ): StationReport => ({
    out: { ...nothing, ...own.out, ...over.out },
    nic: { ...nothing, ...own.nic, ...over.nic },
    pastIngress: { ...nothing, ...own.pastIngress, ...over.pastIngress },
    counters: { ...counters, ...over.counters },
    lost: over.lost ?? 0,
  });
  const sender: SenderEvidence = {
    sent,
    sendErrors: [],
    errors: [],
    answered: kind === 'other' ? 0 : at('answered'),
    refused: false,
    stations: report(
      {
        out: probesAt('left'),
        nic: answersAt('answer-arrived'),
        pastIngress: answersAt('answer-past-ingress'),
      },
      change.senderTaps,
    ),
    rules: { probe: verdict(), answer: verdict() },
    route: { interface: 'eth0', gateway: '10.0.0.254', type: 'unicast' },
    neighbour: 'reachable',
    reversePathFilter: 0,
    stalled: false,
    ...change.sender,
  };
  const half: ReceiverEvidence = {
    ...(kind === 'icmp' ? {} : { witnessed: at('past-input') }),
    stations: report(
      {
        out: answersAt('answer-left'),
        nic: probesAt('arrived'),
        pastIngress: probesAt('past-ingress'),
      },
      change.receiverTaps,
    ),
    rules: { probe: verdict(), answer: verdict() },
    owner: 'process',
    ownsDestination: true,
    interfaceToSender: 'eth0',
    reversePathFilter: 0,
    echoIgnored: false,
  };
  const { receiver = {} } = change;
  return {
    flow: flowOf(kind, family),
    sender,
    receiver: typeof receiver === 'string' ? receiver : { ...half, ...receiver },
  };
}

/** The same without what a test names: with exactOptionalPropertyTypes a property cannot be set to undefined. */
export function without<T extends object, K extends keyof T>(
  value: T,
  ...keys: readonly K[]
): Omit<T, K> {
  const entries = Object.entries(value).filter(([key]) => !keys.some((one) => one === key));
  return Object.fromEntries(entries) as Omit<T, K>;
}

/** Evidence of which the receiver's half lacks some parts. */
export function withoutOfReceiver(
  evidence: PathEvidence,
  ...keys: readonly ('stations' | 'rules' | 'witnessed' | 'interfaceToSender')[]
): PathEvidence {
  if (typeof evidence.receiver === 'string') return evidence;
  return { ...evidence, receiver: without(evidence.receiver, ...keys) };
}

/** Evidence of which the sender's half lacks some parts. */
export function withoutOfSender(
  evidence: PathEvidence,
  ...keys: readonly ('stations' | 'rules' | 'route' | 'neighbour')[]
): PathEvidence {
  return { ...evidence, sender: without(evidence.sender, ...keys) };
}
