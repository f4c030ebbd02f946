/** Every row of the table, by evidence that it explains, and by the same evidence without what speaks for it. */
import { describe, expect, test } from 'vitest';
import { causes } from '../../../../checks/diagnosis/causes.ts';
import { diagnose } from '../../../../checks/diagnosis/diagnose.ts';
import type { Blamed, Confidence } from '../../../../checks/diagnosis/diagnosis.ts';
import type { PathEvidence } from '../../../../checks/diagnosis/evidence.ts';
import {
  type EvidenceChange,
  pathEvidence as path,
  taking,
  verdict,
  withoutOfReceiver,
  withoutOfSender,
} from '../../../support/evidence.ts';
import { readText } from '../../../support/sources.ts';

interface Row {
  readonly given: PathEvidence;
  readonly confidence: Confidence;
  /** Where it is no longer among the explanations. */
  readonly opposite: PathEvidence;
}

const router = '10.0.0.254';
const icmp = (type: number, code: number, from: string) => ({ type, code, from });
const told = (type: number, code: number, offender: string) => ({
  errno: 'EHOSTUNREACH',
  type,
  code,
  offender,
});
const probeRules = (probe: ReturnType<typeof verdict>) => ({ rules: { probe, answer: verdict() } });
const answerRules = (answer: ReturnType<typeof verdict>) => ({
  rules: { probe: verdict(), answer },
});
const refused = (errno: string, change: EvidenceChange = {}) =>
  path({ ...change, sender: { sendErrors: [errno, errno, errno], ...change.sender } });
const arrived = (change: EvidenceChange = {}) => path({ last: 'arrived', ...change });
const ingress = (change: EvidenceChange = {}) => path({ last: 'past-ingress', ...change });
const input = (change: EvidenceChange = {}) => path({ kind: 'tcp', last: 'past-input', ...change });
const back = (change: EvidenceChange = {}) =>
  path({ kind: 'tcp', last: 'answer-past-ingress', ...change });
const untold = verdict({ verdict: 'undetermined', undetermined: ['the source port is open'] });
const program = (name: string) => verdict({ verdict: 'undetermined', programs: [name] });

const rows: Readonly<Record<string, Row>> = {
  'sender-no-route': {
    given: refused('ENETUNREACH'),
    confidence: 'proven',
    opposite: refused('ENOBUFS'),
  },
  'sender-rule-rejects': {
    given: refused('EPERM', { sender: probeRules(taking('output', { verdict: 'reject' })) }),
    confidence: 'proven',
    opposite: refused('EPERM'),
  },
  'sender-rule-drops': {
    given: path({ kind: 'tcp', sender: probeRules(taking('output')) }),
    confidence: 'proven',
    opposite: path({ kind: 'tcp' }),
  },
  'sender-rule-sends-elsewhere': {
    given: path({ sender: probeRules(taking('output', { verdict: 'redirected' })) }),
    confidence: 'proven',
    opposite: path(),
  },
  'sender-conntrack-full': {
    given: path({ kind: 'tcp', senderTaps: { counters: { conntrackDrop: 3 } } }),
    confidence: 'likely',
    opposite: path({ kind: 'tcp' }),
  },
  'sender-refuses': {
    given: withoutOfSender(refused('EPERM'), 'rules'),
    confidence: 'proven',
    opposite: withoutOfSender(path(), 'rules'),
  },
  'sender-neighbour-table-full': {
    given: path({ senderTaps: { counters: { neighbourTableFull: 1 } } }),
    confidence: 'likely',
    opposite: path(),
  },
  'sender-neighbour-unresolved': {
    given: path({ sender: { neighbour: 'failed' } }),
    confidence: 'proven',
    opposite: path(),
  },
  'sender-egress-rule-drops': {
    given: path({ sender: probeRules(taking('egress')) }),
    confidence: 'proven',
    opposite: path({ sender: probeRules(taking('output')) }),
  },
  'sender-egress-refuses': {
    given: refused('ENOBUFS'),
    confidence: 'proven',
    opposite: refused('EPERM'),
  },
  'sender-egress-program': {
    given: path({ sender: probeRules(program('tc egress drop.o on eth0')) }),
    confidence: 'likely',
    opposite: path(),
  },
  'sender-device-drops': {
    given: path({ senderTaps: { counters: { deviceTransmitDrops: 3 } } }),
    confidence: 'likely',
    opposite: path(),
  },
  'sender-rules-untold': {
    given: withoutOfSender(path({ kind: 'tcp' }), 'rules'),
    confidence: 'ambiguous',
    opposite: path({ kind: 'tcp' }),
  },
  'sender-neighbour-untold': {
    given: withoutOfSender(path(), 'neighbour', 'route'),
    confidence: 'ambiguous',
    opposite: path(),
  },
  'sender-egress-silent': {
    given: path(),
    confidence: 'likely',
    opposite: path({ last: 'left' }),
  },
  'way-rejects': {
    given: path({ last: 'left', senderTaps: { nic: { errors: [icmp(3, 13, router)] } } }),
    confidence: 'proven',
    opposite: path({ last: 'left', senderTaps: { nic: { errors: [icmp(3, 1, router)] } } }),
  },
  'way-unreachable': {
    given: path({ last: 'left', sender: { errors: [told(3, 1, router)] } }),
    confidence: 'proven',
    opposite: path({ last: 'left' }),
  },
  'way-loops': {
    given: path({ last: 'left', sender: { errors: [told(11, 0, router)] } }),
    confidence: 'proven',
    opposite: path({ last: 'left', sender: { errors: [told(11, 1, router)] } }),
  },
  'way-refuses-in-the-name-of-the-receiver': {
    given: path({ kind: 'tcp', last: 'left', sender: { refused: true } }),
    confidence: 'likely',
    opposite: path({ kind: 'tcp', last: 'left' }),
  },
  'receiver-prohibits-unseen': {
    given: path({
      last: 'left',
      receiver: 'no-agent',
      sender: { errors: [told(3, 10, '10.0.0.2')] },
    }),
    confidence: 'likely',
    // So does a port on which nobody listens.
    opposite: path({
      last: 'left',
      receiver: 'no-agent',
      sender: { errors: [told(3, 3, '10.0.0.2')] },
    }),
  },
  'receiver-lacks-address': {
    given: ingress({
      receiver: { ownsDestination: false },
      receiverTaps: { counters: { ipInAddrErrors: 3 } },
    }),
    confidence: 'proven',
    opposite: ingress({ receiverTaps: { counters: { ipInAddrErrors: 3 } } }),
  },
  'receiver-xdp-program': {
    given: path({ last: 'left', receiver: probeRules(program('XDP drop.o on eth0')) }),
    confidence: 'ambiguous',
    opposite: path({ last: 'left' }),
  },
  'receiver-device-drops': {
    given: path({ last: 'left', receiverTaps: { counters: { deviceReceiveDrops: 3 } } }),
    confidence: 'ambiguous',
    opposite: path({ last: 'left', receiverTaps: { counters: { deviceReceiveDrops: 1 } } }),
  },
  'way-drops': {
    given: path({ last: 'left' }),
    confidence: 'proven',
    opposite: arrived(),
  },
  'way-back-xdp-program': {
    given: path({
      kind: 'tcp',
      last: 'answer-left',
      sender: answerRules(program('XDP drop.o on eth0')),
    }),
    confidence: 'ambiguous',
    opposite: path({ kind: 'tcp', last: 'answer-left' }),
  },
  'way-back-drops': {
    given: path({ kind: 'tcp', last: 'answer-left' }),
    confidence: 'proven',
    opposite: path({ kind: 'tcp', last: 'answer-arrived' }),
  },
  'sender-has-wrong-neighbour': {
    given: ingress({
      sender: { route: { interface: 'eth0', type: 'unicast' } },
      receiverTaps: { nic: { otherHost: 3 } },
    }),
    confidence: 'proven',
    opposite: ingress({ sender: { route: { interface: 'eth0', type: 'unicast' } } }),
  },
  'router-has-wrong-neighbour': {
    given: ingress({ receiverTaps: { nic: { otherHost: 3 } } }),
    confidence: 'proven',
    // Somebody on the link has the receiver's frames, too; its own it gets.
    opposite: ingress({ receiverTaps: { nic: { otherHost: 1 } } }),
  },
  'receiver-ingress-rule-drops': {
    given: arrived({ receiver: probeRules(taking('ingress')) }),
    confidence: 'proven',
    opposite: arrived({ receiver: probeRules(taking('input')) }),
  },
  'receiver-bridge-rule-drops': {
    given: arrived({ receiver: probeRules(taking('prerouting', { family: 'bridge' })) }),
    confidence: 'proven',
    opposite: arrived({ receiver: probeRules(taking('prerouting')) }),
  },
  'receiver-ingress-program': {
    given: arrived({ receiver: probeRules(program('tc ingress drop.o on eth0')) }),
    confidence: 'likely',
    opposite: arrived(),
  },
  'receiver-ingress-silent': {
    given: arrived(),
    confidence: 'likely',
    opposite: ingress(),
  },
  'way-loses-fragments': {
    given: ingress({ senderTaps: { out: { fragments: 3 } } }),
    confidence: 'proven',
    opposite: ingress({
      senderTaps: { out: { fragments: 3 } },
      receiverTaps: { nic: { fragments: 3 }, pastIngress: { fragments: 3 } },
    }),
  },
  'receiver-ingress-loses-fragments': {
    given: ingress({
      senderTaps: { out: { fragments: 3 } },
      receiverTaps: { nic: { fragments: 3 } },
    }),
    confidence: 'proven',
    opposite: ingress({ senderTaps: { out: { fragments: 3 } } }),
  },
  'receiver-does-not-reassemble': {
    given: ingress({
      senderTaps: { out: { fragments: 3 } },
      receiverTaps: {
        nic: { fragments: 3 },
        pastIngress: { fragments: 3 },
        counters: { ipReasmFails: 3 },
      },
    }),
    confidence: 'likely',
    opposite: ingress({ receiverTaps: { counters: { ipReasmFails: 3 } } }),
  },
  'receiver-reverse-path-filter': {
    given: ingress({
      receiver: { reversePathFilter: 1, interfaceToSender: 'eth1' },
      receiverTaps: { counters: { reversePathFilter: 3 } },
    }),
    confidence: 'proven',
    opposite: ingress({ receiver: { reversePathFilter: 1, interfaceToSender: 'eth1' } }),
  },
  'receiver-rule-drops': {
    given: ingress({ receiver: probeRules(taking('input')) }),
    confidence: 'proven',
    opposite: ingress(),
  },
  'receiver-rule-rejects': {
    given: ingress({ receiver: probeRules(taking('input', { verdict: 'reject' })) }),
    confidence: 'proven',
    opposite: ingress(),
  },
  'receiver-refuses': {
    given: withoutOfReceiver(
      ingress({ receiverTaps: { out: { errors: [icmp(3, 3, '10.0.0.2')] } } }),
      'rules',
    ),
    confidence: 'proven',
    opposite: withoutOfReceiver(ingress(), 'rules'),
  },
  'receiver-rule-sends-elsewhere': {
    given: ingress({ receiver: probeRules(taking('prerouting', { verdict: 'redirected' })) }),
    confidence: 'proven',
    opposite: ingress(),
  },
  'receiver-conntrack-full': {
    given: ingress({ receiverTaps: { counters: { conntrackDrop: 3 } } }),
    confidence: 'likely',
    opposite: ingress(),
  },
  'checksum-broken-by-sender': {
    given: ingress({
      senderTaps: { out: { badChecksums: 3 } },
      receiverTaps: { nic: { badChecksums: 3 } },
    }),
    confidence: 'proven',
    opposite: ingress(),
  },
  'checksum-broken-on-the-way': {
    given: ingress({ receiverTaps: { nic: { badChecksums: 3 } } }),
    confidence: 'ambiguous',
    // One of three is bad luck, and the others were lost for another reason.
    opposite: ingress({ receiverTaps: { nic: { badChecksums: 1 } } }),
  },
  'receiver-rules-untold': {
    given: ingress({ receiver: probeRules(untold) }),
    confidence: 'likely',
    opposite: ingress(),
  },
  'receiver-rules-contradict': {
    given: ingress(),
    confidence: 'ambiguous',
    opposite: ingress({ receiver: probeRules(untold) }),
  },
  'receiver-loses': {
    given: ingress(),
    confidence: 'ambiguous',
    opposite: ingress({ receiver: probeRules(untold) }),
  },
  'answer-receiver-rule-drops': {
    given: input({ receiver: answerRules(taking('output')) }),
    confidence: 'proven',
    opposite: input({ receiver: answerRules(taking('egress')) }),
  },
  'answer-receiver-egress-rule-drops': {
    given: input({ receiver: answerRules(taking('egress')) }),
    confidence: 'proven',
    opposite: input({ receiver: answerRules(taking('output')) }),
  },
  'answer-receiver-egress-program': {
    given: input({ receiver: answerRules(program('tc egress drop.o on eth0')) }),
    confidence: 'likely',
    opposite: input(),
  },
  'receiver-ignores-echo': {
    given: path({ kind: 'icmp', last: 'past-ingress', receiver: { echoIgnored: true } }),
    confidence: 'proven',
    opposite: path({ kind: 'icmp', last: 'past-ingress' }),
  },
  'listener-hangs': {
    given: input({ receiverTaps: { counters: { tcpListenDrops: 3 } } }),
    confidence: 'proven',
    opposite: input(),
  },
  'receiver-no-route-back': {
    given: withoutOfReceiver(
      input({ receiverTaps: { counters: { ipOutNoRoutes: 3 } } }),
      'interfaceToSender',
    ),
    confidence: 'proven',
    opposite: input({ receiverTaps: { counters: { ipOutNoRoutes: 3 } } }),
  },
  'receiver-drops-bad-checksum': {
    given: input({ receiverTaps: { counters: { tcpInCsumErrors: 3 } } }),
    confidence: 'likely',
    opposite: input(),
  },
  'answer-receiver-conntrack-full': {
    given: input({ receiverTaps: { counters: { conntrackDrop: 3 } } }),
    confidence: 'likely',
    opposite: input(),
  },
  'answer-receiver-rules-untold': {
    given: input({ receiver: answerRules(untold) }),
    confidence: 'ambiguous',
    opposite: input(),
  },
  'answer-receiver-rules-contradict': {
    given: input(),
    confidence: 'ambiguous',
    opposite: input({ receiver: answerRules(untold) }),
  },
  'listener-silent': {
    given: withoutCounters(input()),
    confidence: 'ambiguous',
    opposite: input(),
  },
  'receiver-silent': {
    given: input(),
    confidence: 'ambiguous',
    opposite: path({ kind: 'tcp', last: 'answer-left' }),
  },
  'answer-sender-ingress-rule-drops': {
    given: path({ kind: 'tcp', last: 'answer-arrived', sender: answerRules(taking('ingress')) }),
    confidence: 'proven',
    opposite: path({ kind: 'tcp', last: 'answer-arrived', sender: answerRules(taking('input')) }),
  },
  'answer-sender-ingress-program': {
    given: path({
      kind: 'tcp',
      last: 'answer-arrived',
      sender: answerRules(program('tc ingress drop.o on eth0')),
    }),
    confidence: 'likely',
    opposite: path({ kind: 'tcp', last: 'answer-arrived' }),
  },
  'answer-sender-ingress-silent': {
    given: path({ kind: 'tcp', last: 'answer-arrived' }),
    confidence: 'likely',
    opposite: back(),
  },
  'answer-reverse-path-filter': {
    given: back({
      sender: { reversePathFilter: 1, route: { interface: 'eth1', type: 'unicast' } },
      senderTaps: { counters: { reversePathFilter: 3 } },
    }),
    confidence: 'proven',
    opposite: back({
      sender: { reversePathFilter: 1, route: { interface: 'eth1', type: 'unicast' } },
    }),
  },
  'answer-sender-rule-drops': {
    given: back({ sender: answerRules(taking('input')) }),
    confidence: 'proven',
    opposite: back(),
  },
  'answer-sender-drops-bad-checksum': {
    given: back({ senderTaps: { counters: { tcpInCsumErrors: 3 } } }),
    confidence: 'likely',
    opposite: back(),
  },
  'answer-sender-conntrack-full': {
    given: back({ senderTaps: { counters: { conntrackDrop: 3 } } }),
    confidence: 'likely',
    opposite: back(),
  },
  'answer-sender-rules-untold': {
    given: back({ sender: answerRules(untold) }),
    confidence: 'likely',
    opposite: back(),
  },
  'answer-sender-rules-contradict': {
    given: back(),
    confidence: 'ambiguous',
    opposite: back({ sender: answerRules(untold) }),
  },
  'sender-loses-answers': {
    given: back(),
    confidence: 'ambiguous',
    opposite: back({ sender: answerRules(untold) }),
  },
};

function withoutCounters(evidence: PathEvidence): PathEvidence {
  const { receiver } = evidence;
  if (typeof receiver === 'string' || receiver.stations === undefined) return evidence;
  return {
    ...evidence,
    receiver: { ...receiver, stations: { ...receiver.stations, counters: {} } },
  };
}

function blamed(evidence: PathEvidence): Blamed {
  const diagnosis = diagnose(evidence);
  if (diagnosis.outcome !== 'blamed') throw new Error('nobody is blamed');
  return diagnosis;
}

describe('the table of causes', () => {
  test('is the one of the documentation', () => {
    const documented = readText('docs/diagnosis.md')
      .split('\n')
      .flatMap((line) => {
        const [, id, parts, where, node, reason] = line.split('|').map((cell) => cell.trim());
        const isRow = id !== undefined && /^`[a-z-]+`$/.test(id) && reason !== undefined;
        return isRow ? [[id, parts, where, node, reason].join(' | ').replaceAll('`', '')] : [];
      });
    const coded = causes.map(({ id, segments, where, node, reason }) =>
      [id, segments.join(', '), where, node, reason].join(' | '),
    );
    expect(documented).toEqual(coded);
  });

  test('has a test for every row, and no row twice', () => {
    const ids = causes.map(({ id }) => id);
    expect([...ids].sort()).toEqual(Object.keys(rows).sort());
    expect(new Set(ids).size).toBe(ids.length);
  });

  test.each(Object.entries(rows))('%s', (id, { given, confidence, opposite }) => {
    const cause = causes.find((one) => one.id === id);
    const diagnosis = blamed(given);
    expect(diagnosis.confidence).toBe(confidence);
    const found = diagnosis.candidates.find((one) => one.cause === id);
    expect(found).toMatchObject({
      where: cause?.where,
      node: cause?.node,
      reason: cause?.reason,
    });
    expect(found?.probe).not.toMatch(/undefined|^$/);
    if (confidence === 'ambiguous') expect(diagnosis.candidates.length).toBeGreaterThan(1);
    else expect(diagnosis.cause).toBe(id);
    const other = diagnose(opposite);
    const explanations = other.outcome === 'open' ? [] : other.candidates.map((one) => one.cause);
    expect(explanations).not.toContain(id);
  });
});
