/** @module How far the packets came: the evidence of both ends put into the order of their way. Pure. */
import type { IcmpError, PathEvidence, ReceiverEvidence, StationReport } from './evidence.ts';

/** Where packets are looked for, in the order of their way. Before the first one stands the send call. */
export const stations = [
  'left',
  'arrived',
  'past-ingress',
  'past-input',
  'answer-left',
  'answer-arrived',
  'answer-past-ingress',
  'answered',
] as const;
export type Station = (typeof stations)[number];

/** `unknown`: nobody looked, or whoever did may have missed it. */
export type Seen = 'yes' | 'no' | 'unknown';

/** The part of the way that ends at each station, by the same index. */
export const segments = [
  'sending',
  'way',
  'ingress',
  'input',
  'answering',
  'way-back',
  'ingress-back',
  'input-back',
] as const;
export type Segment = (typeof segments)[number];

/** Whose each part of the way is. */
export const ownerOfSegment: Readonly<Record<Segment, 'this' | 'peer' | 'path'>> = {
  'sending': 'this',
  'way': 'path',
  'ingress': 'peer',
  'input': 'peer',
  'answering': 'peer',
  'way-back': 'path',
  'ingress-back': 'this',
  'input-back': 'this',
};

/** The evidence, with what every cause asks of it. */
export interface Facts extends PathEvidence {
  readonly kind: 'udp' | 'tcp' | 'icmp' | 'other';
  /** The receiver's half; undefined where it is missing. */
  readonly peer: ReceiverEvidence | undefined;
  readonly seen: Readonly<Record<Station, Seen>>;
  /** Where the packets are known to have been last; -1 for the send call. */
  readonly last: number;
  /** The parts of the way in one of which they vanished; empty where nothing did. */
  readonly lostIn: readonly Segment[];
  /** ICMP errors about the probes that reached the sender, its own kernel's among them. */
  readonly errors: readonly IcmpError[];
  /** A station that saw them stands behind one that says that it did not. */
  readonly contradictory: boolean;
}

/** Puts the evidence in order. */
export function factsOf(evidence: PathEvidence): Facts {
  const kind = kindOf(evidence);
  const peer = typeof evidence.receiver === 'string' ? undefined : evidence.receiver;
  const seen = seenOf(evidence, kind, peer);
  const at = stations.map((station) => seen[station]);
  const last = at.lastIndexOf('yes');
  // A datagram needs no answer: it has arrived when it has passed INPUT.
  const end = kind === 'tcp' || kind === 'icmp' ? stations.length - 1 : pastInput;
  const firstNo = at.findIndex((word, index) => index > last && index <= end && word === 'no');
  return {
    ...evidence,
    kind,
    peer,
    seen,
    last,
    lostIn: last >= end ? [] : segments.slice(last + 1, (firstNo < 0 ? end : firstNo) + 1),
    errors: errorsOf(evidence),
    contradictory: at.slice(0, Math.max(0, last)).includes('no'),
  };
}

const pastInput = stations.indexOf('past-input');

function kindOf({ flow }: PathEvidence): Facts['kind'] {
  if (flow.protocol === 17) return 'udp';
  if (flow.protocol === 6) return 'tcp';
  return flow.protocol === 1 || flow.protocol === 58 ? 'icmp' : 'other';
}

function seenOf(
  { sender }: PathEvidence,
  kind: Facts['kind'],
  peer: ReceiverEvidence | undefined,
): Facts['seen'] {
  const allRefused = sender.sent > 0 && sender.sendErrors.length >= sender.sent;
  const left = allRefused ? 'no' : seenBy(sender.stations, ({ out }) => out.probes, sender.sent);
  const input = peer?.witnessed === undefined ? 'unknown' : peer.witnessed > 0 ? 'yes' : 'no';
  // A reset that is no answer of the host behind its INPUT tells of a rejection, and not how far the probe came.
  const mayBeRejection = kind === 'tcp' && input !== 'yes' && sender.answered === 0;
  const answer = (report: StationReport | undefined, place: 'out' | 'nic' | 'pastIngress'): Seen =>
    // A protocol without ports has no answers: what comes the other way is the receiver's own probe.
    kind === 'other' || (mayBeRejection && (input === 'no' || sender.refused))
      ? 'unknown'
      : seenBy(report, (one) => one[place].answers, sender.sent);
  return {
    'left': left,
    'arrived': seenBy(peer?.stations, ({ nic }) => nic.probes, sender.sent),
    'past-ingress': seenBy(peer?.stations, ({ pastIngress }) => pastIngress.probes, sender.sent),
    'past-input': input,
    'answer-left': answer(peer?.stations, 'out'),
    'answer-arrived': answer(sender.stations, 'nic'),
    'answer-past-ingress': answer(sender.stations, 'pastIngress'),
    'answered': answeredOf(sender, kind, input),
  };
}

/** A station that saw some of them saw them; one that saw none says so only if it missed nothing. */
function seenBy(
  report: StationReport | undefined,
  count: (report: StationReport) => number,
  sent: number,
): Seen {
  if (report === undefined || sent === 0) return 'unknown';
  if (count(report) > 0) return 'yes';
  return report.lost > 0 ? 'unknown' : 'no';
}

function answeredOf(
  { answered, refused, stalled, sent }: PathEvidence['sender'],
  kind: Facts['kind'],
  input: Seen,
): Seen {
  if (kind === 'other') return 'unknown';
  if (answered > 0) return 'yes';
  // Nobody listens on the port, and the way to it is open.
  if (kind === 'tcp' && refused) return input === 'yes' ? 'yes' : 'unknown';
  return stalled || sent === 0 ? 'unknown' : 'no';
}

function errorsOf({ sender }: PathEvidence): readonly IcmpError[] {
  const bySocket = sender.errors.flatMap(({ type, code = 0, offender }) =>
    type === undefined || offender === undefined ? [] : [{ type, code, from: offender }],
  );
  return [...bySocket, ...(sender.stations?.nic.errors ?? [])];
}
