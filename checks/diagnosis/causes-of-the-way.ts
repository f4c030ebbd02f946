/** @module Why probes that left their sender do not come to their receiver, and answers not back: the network between. Pure. */
import {
  type Cause,
  captureOf,
  errorOnTheWay,
  grown,
  hasProgram,
  isProhibition,
  isRefusal,
  isTimeExceeded,
  isUnreachable,
} from './cause.ts';
import type { ReceiverEvidence, StationReport } from './evidence.ts';
import type { Facts } from './facts.ts';

export const causesOfTheWay: readonly Cause[] = [
  {
    id: 'way-rejects',
    segments: ['way'],
    where: 'path',
    node: 'path',
    reason: 'rejected-by-firewall',
    weigh: (facts) => (errorOnTheWay(facts, isRefusal) === undefined ? undefined : 'said'),
    saidBy: (facts) => errorOnTheWay(facts, isRefusal)?.from,
    probe: captureOf,
  },
  {
    id: 'way-unreachable',
    segments: ['way'],
    where: 'path',
    node: 'path',
    reason: 'unreachable',
    weigh: (facts) => (errorOnTheWay(facts, isUnreachable) === undefined ? undefined : 'said'),
    saidBy: (facts) => errorOnTheWay(facts, isUnreachable)?.from,
    probe: ({ flow }) => `tracepath -n ${flow.destination}`,
  },
  {
    id: 'way-loops',
    segments: ['way'],
    where: 'path',
    node: 'path',
    reason: 'routing-loop',
    weigh: (facts) => (errorOnTheWay(facts, isTimeExceeded) === undefined ? undefined : 'said'),
    saidBy: (facts) => errorOnTheWay(facts, isTimeExceeded)?.from,
    probe: ({ flow }) => `tracepath -n ${flow.destination}`,
  },
  {
    // A reset or refusal in the receiver's name, of which the receiver saw nothing.
    id: 'way-refuses-in-the-name-of-the-receiver',
    segments: ['way'],
    where: 'path',
    node: 'path',
    reason: 'rejected-by-firewall',
    weigh: (facts) =>
      facts.peer !== undefined && facts.seen.arrived !== 'yes' && wasRefusedByDestination(facts)
        ? 'hint'
        : undefined,
    probe: ({ flow }) => `arping -D -c 3 ${flow.destination}`,
  },
  {
    id: 'receiver-prohibits-unseen',
    segments: ['way', 'ingress', 'input'],
    where: 'receiver-ingress',
    node: 'peer',
    reason: 'rejected-by-firewall',
    // A closed port is refused in other words.
    weigh: ({ peer, errors, flow }) =>
      peer === undefined &&
      errors.some((error) => error.from === flow.destination && isProhibition(error, flow))
        ? 'proof'
        : undefined,
    saidBy: ({ flow }) => flow.destination,
    probe: captureOf,
  },
  {
    id: 'receiver-lacks-address',
    segments: ['way', 'ingress', 'input'],
    where: 'node',
    node: 'peer',
    reason: 'wrong-address',
    weigh: ({ peer, lostIn }) => {
      if (peer === undefined || peer.ownsDestination) return undefined;
      // Translated on the way to an address that the receiver has, the probes would not be known for ours.
      if (lostIn.includes('way')) return 'possible';
      const left = grown(peer.stations, 'ipInAddrErrors', 'ipForwDatagrams', 'ipInNoRoutes');
      return (left ?? 0) > 0 ? 'proof' : 'hint';
    },
    probe: ({ flow }) => `ip addr show to ${flow.destination}`,
  },
  {
    // XDP comes before every tap.
    id: 'receiver-xdp-program',
    segments: ['way'],
    where: 'receiver-ingress',
    node: 'peer',
    reason: 'dropped-by-receiver-ingress',
    weigh: ({ peer }) => (hasProgram(peer?.rules?.probe, 'XDP') ? 'possible' : undefined),
    probe: ({ peer }) => `bpftool net show dev ${peer?.interfaceToSender ?? 'IF'}`,
  },
  {
    id: 'receiver-device-drops',
    segments: ['way'],
    where: 'receiver-ingress',
    node: 'peer',
    reason: 'dropped-by-receiver-device',
    weigh: (facts) => (deviceMayHaveDropped(facts.peer?.stations, facts) ? 'possible' : undefined),
    probe: ({ peer }) => `ip -s -s link show dev ${peer?.interfaceToSender ?? 'IF'}`,
  },
  {
    id: 'way-drops',
    segments: ['way'],
    where: 'path',
    node: 'path',
    reason: 'dropped-on-the-way',
    weigh: (facts) => {
      const { peer, lostIn } = facts;
      if (lostIn.length > 1 || peer === undefined || wasRefusedByDestination(facts))
        return 'possible';
      return sawAll(peer, facts) ? 'proof' : 'possible';
    },
    probe: captureOf,
  },
  {
    id: 'way-back-xdp-program',
    segments: ['way-back'],
    where: 'node',
    node: 'this',
    reason: 'answer-dropped-by-sender-ingress',
    weigh: ({ sender }) => (hasProgram(sender.rules?.answer, 'XDP') ? 'possible' : undefined),
    probe: ({ sender }) => `bpftool net show dev ${sender.route?.interface ?? 'IF'}`,
  },
  {
    id: 'way-back-drops',
    segments: ['way-back'],
    where: 'path',
    node: 'path',
    reason: 'answer-dropped-on-the-way',
    weigh: (facts) => {
      const { rules, stations } = facts.sender;
      if (facts.lostIn.length > 1 || rules === undefined || stations === undefined)
        return 'possible';
      if (hasProgram(rules.answer, 'XDP') || deviceMayHaveDropped(stations, facts))
        return 'possible';
      return 'proof';
    },
    probe: captureOf,
  },
];

/** Whether the receiver would have seen the probes, had they come. */
function sawAll({ stations, rules, ownsDestination }: ReceiverEvidence, facts: Facts): boolean {
  if (stations === undefined || stations.lost > 0 || !ownsDestination) return false;
  // Without its rules nothing is known of XDP either.
  if (rules === undefined || hasProgram(rules.probe, 'XDP')) return false;
  return !deviceMayHaveDropped(stations, facts);
}

/** A device drops frames of other protocols all the time: only as many as were sent may be the probes. */
function deviceMayHaveDropped(report: StationReport | undefined, { sender }: Facts): boolean {
  const names = ['deviceReceiveDrops', 'deviceReceiveErrors', 'softnetDropped'] as const;
  return (grown(report, ...names) ?? 0) >= Math.max(1, sender.sent);
}

function wasRefusedByDestination({ sender, errors, flow, kind }: Facts): boolean {
  if (kind === 'tcp' && sender.refused) return true;
  return errors.some((error) => error.from === flow.destination && isRefusal(error, flow));
}
