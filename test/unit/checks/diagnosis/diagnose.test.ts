/** From the evidence of both ends to one word: each fault for each protocol, what contradicts, what is missing. */
import { describe, expect, test } from 'vitest';
import { diagnose } from '../../../../checks/diagnosis/diagnose.ts';
import type { Blamed, Diagnosis } from '../../../../checks/diagnosis/diagnosis.ts';
import type { Missing, PathEvidence } from '../../../../checks/diagnosis/evidence.ts';
import { type Station, stations } from '../../../../checks/diagnosis/facts.ts';
import {
  type EvidenceChange,
  type FlowKind,
  flowKinds,
  pathEvidence as path,
  placeAt,
  taking,
  verdict,
  withoutOfReceiver,
  withoutOfSender,
} from '../../../support/evidence.ts';
import { seeded } from '../packet/support.ts';

function blamed(evidence: PathEvidence): Blamed {
  const diagnosis = diagnose(evidence);
  if (diagnosis.outcome !== 'blamed') throw new Error('nobody is blamed');
  return diagnosis;
}

const probe = (hook: string, change: Parameters<typeof taking>[1] = {}) => ({
  rules: { probe: taking(hook, change), answer: verdict() },
});
const answer = (hook: string, change: Parameters<typeof taking>[1] = {}) => ({
  rules: { probe: verdict(), answer: taking(hook, change) },
});

const paths = flowKinds.flatMap((kind) =>
  (['ipv4', 'ipv6'] as const).map((family) => ({ kind, family })),
);
const withAnswers = (kind: FlowKind): boolean => kind === 'tcp' || kind === 'icmp';

describe.each(paths)('$kind over $family', ({ kind, family }) => {
  const of = (change: EvidenceChange): Blamed => blamed(path({ kind, family, ...change }));

  test('is open where everything arrives', () => {
    expect(diagnose(path({ kind, family, last: 'answered' }))).toMatchObject({
      outcome: 'open',
      disagreements: [],
      missing: [],
    });
  });

  test("a rule of the sender's OUTPUT", () => {
    expect(of({ sender: probe('output') })).toMatchObject({
      where: 'sender-egress',
      node: 'this',
      reason: 'dropped-by-sender-firewall',
      confidence: 'proven',
      firewall: placeAt('output'),
      remedies: [{ manager: 'nftables', on: 'this' }],
      disagreements: [],
    });
  });

  test('the network between', () => {
    expect(of({ last: 'left' })).toMatchObject({
      where: 'path',
      node: 'path',
      reason: 'dropped-on-the-way',
      confidence: 'proven',
      remedies: [],
      further: [],
    });
  });

  test("a rule of the receiver's ingress", () => {
    expect(of({ last: 'arrived', receiver: probe('ingress') })).toMatchObject({
      where: 'receiver-ingress',
      node: 'peer',
      reason: 'dropped-by-receiver-ingress',
      confidence: 'proven',
      firewall: placeAt('ingress', 'netdev'),
      remedies: [{ on: 'peer' }],
    });
  });

  test.each([
    ['drop', 'dropped-by-receiver-firewall'],
    ['reject', 'rejected-by-receiver-firewall'],
  ] as const)("a rule of the receiver's INPUT that says %s", (word, reason) => {
    const rules = probe('input', { verdict: word, counted: 3 });
    expect(of({ last: 'past-ingress', receiver: rules })).toMatchObject({
      where: 'receiver-ingress',
      node: 'peer',
      reason,
      confidence: 'proven',
      firewall: placeAt('input'),
      remedies: [{ on: 'peer' }],
      disagreements: [],
    });
  });

  test('the way back, where there must be one', () => {
    const back: readonly (readonly [EvidenceChange, Partial<Blamed>])[] = [
      [
        { last: 'past-input', receiver: answer('output') },
        { node: 'peer', reason: 'answer-dropped-by-receiver-firewall' },
      ],
      [{ last: 'answer-left' }, { node: 'path', reason: 'answer-dropped-on-the-way' }],
      [
        { last: 'answer-arrived', sender: answer('ingress') },
        { node: 'this', reason: 'answer-dropped-by-sender-ingress' },
      ],
      [
        { last: 'answer-past-ingress', sender: answer('input') },
        { node: 'this', reason: 'answer-dropped-by-sender-firewall' },
      ],
    ];
    for (const [change, expected] of back) {
      const diagnosis = diagnose(path({ kind, family, ...change }));
      if (withAnswers(kind)) {
        expect(diagnosis).toMatchObject({ ...expected, confidence: 'proven' });
      } else expect(diagnosis.outcome).toBe('open');
    }
  });

  test('the second of two faults is told, and its remedy comes behind that of the first', () => {
    expect(of({ sender: probe('output'), receiver: probe('input') })).toMatchObject({
      reason: 'dropped-by-sender-firewall',
      further: [{ reason: 'dropped-by-receiver-firewall', node: 'peer' }],
      remedies: [{ on: 'this' }, { on: 'peer' }],
    });
    expect(of({ last: 'left', receiver: probe('input', { counted: 0 }) })).toMatchObject({
      reason: 'dropped-on-the-way',
      confidence: 'proven',
      further: [{ reason: 'dropped-by-receiver-firewall', node: 'peer' }],
      remedies: [{ on: 'peer' }],
    });
  });
});

describe('what contradicts', () => {
  test('rules that let it pass, and it vanished: both explanations, and nobody proven', () => {
    const diagnosis = blamed(path({ last: 'past-ingress' }));
    expect(diagnosis).toMatchObject({
      confidence: 'ambiguous',
      disagreements: [{ node: 'peer', packet: 'probe', kind: 'accepted-but-lost' }],
      remedies: [],
    });
    expect(diagnosis.candidates.map(({ reason }) => reason)).toEqual([
      'dropped-by-receiver-firewall',
      'dropped',
    ]);
  });

  test('rules that let it pass explain nothing, but another cause does: no contradiction', () => {
    const filtered = path({
      last: 'past-ingress',
      receiver: { reversePathFilter: 1, interfaceToSender: 'eth1' },
      receiverTaps: { counters: { reversePathFilter: 3 } },
    });
    expect(blamed(filtered)).toMatchObject({
      reason: 'dropped-by-reverse-path-filter',
      disagreements: [],
      remedies: [
        { manager: 'sysctl', on: 'peer', commands: ['sysctl -w net.ipv4.conf.eth0.rp_filter=2'] },
      ],
    });
  });

  test('rules that drop it, and it arrived', () => {
    expect(diagnose(path({ last: 'past-input', receiver: probe('input') }))).toMatchObject({
      outcome: 'open',
      disagreements: [{ node: 'peer', packet: 'probe', kind: 'dropped-but-passed' }],
    });
    const ingress = path({ last: 'past-ingress', receiver: probe('ingress') });
    expect(blamed(ingress)).toMatchObject({
      disagreements: [{ node: 'peer', packet: 'probe', kind: 'dropped-but-passed' }],
    });
    expect(blamed(ingress).confidence).not.toBe('proven');
  });

  test('rules of this node that drop what left it take the certainty from everything', () => {
    const evidence = path({ last: 'left', sender: probe('output') });
    expect(blamed(evidence)).toMatchObject({
      reason: 'dropped-on-the-way',
      confidence: 'likely',
      disagreements: [{ node: 'this', packet: 'probe', kind: 'dropped-but-passed' }],
    });
  });

  test('a rule whose own counter stood still is no proof', () => {
    const still = path({ last: 'past-ingress', receiver: probe('input', { counted: 0 }) });
    expect(blamed(still).confidence).toBe('likely');
  });

  test('a tap that saw nothing before one that saw them', () => {
    const evidence = path({
      last: 'past-ingress',
      receiver: probe('input'),
      senderTaps: { out: { probes: 0 } },
    });
    expect(blamed(evidence)).toMatchObject({
      reason: 'dropped-by-receiver-firewall',
      confidence: 'likely',
    });
  });
});

describe('which of two comes first', () => {
  const strict = {
    reversePathFilter: 1 as const,
    interfaceToSender: 'eth1',
  };
  const grown = { counters: { reversePathFilter: 3 } };

  test.each([
    ['input', 'dropped-by-reverse-path-filter', 'dropped-by-receiver-firewall'],
    ['prerouting', 'dropped-by-receiver-firewall', undefined],
  ] as const)('the reverse path filter and a rule of the hook %s', (hook, first, second) => {
    const evidence = path({
      last: 'past-ingress',
      receiver: { ...strict, ...probe(hook) },
      receiverTaps: grown,
    });
    const diagnosis = blamed(evidence);
    expect(diagnosis).toMatchObject({ reason: first, confidence: 'proven' });
    expect(diagnosis.further.map(({ reason }) => reason)).toEqual(
      second === undefined ? [] : [second],
    );
  });

  test('a name with a dot is typed with slashes, one that cannot be typed is not', () => {
    const remedies = (device: string) =>
      blamed(
        path({
          last: 'past-ingress',
          receiver: strict,
          receiverTaps: { ...grown, pastIngress: { interfaces: [device] } },
        }),
      ).remedies;
    expect(remedies('eth0.100')).toMatchObject([
      { commands: ['sysctl -w net/ipv4/conf/eth0.100/rp_filter=2'] },
    ]);
    expect(remedies('a;reboot')).toEqual([]);
  });

  test('loose filtering only takes what has no way back at all', () => {
    const loose = (receiver: NonNullable<EvidenceChange['receiver']>) =>
      path({ last: 'past-ingress', receiver, receiverTaps: grown });
    expect(blamed(loose({ reversePathFilter: 2 })).confidence).toBe('likely');
    const noWay = withoutOfReceiver(loose({ reversePathFilter: 2 }), 'interfaceToSender');
    expect(blamed(noWay)).toMatchObject({
      reason: 'dropped-by-reverse-path-filter',
      confidence: 'proven',
    });
  });

  test('IPv6 has no such filter', () => {
    const evidence = path({
      family: 'ipv6',
      last: 'past-ingress',
      receiver: strict,
      receiverTaps: grown,
    });
    expect(blamed(evidence).reason).not.toBe('dropped-by-reverse-path-filter');
  });
});

describe('TCP that is refused', () => {
  const refused = (change: EvidenceChange): PathEvidence =>
    path({ kind: 'tcp', ...change, sender: { refused: true, ...change.sender } });

  test('behind INPUT nobody listens, and the way is open', () => {
    expect(diagnose(refused({ last: 'past-input' })).outcome).toBe('open');
  });

  test('before INPUT the receiver rejects it, whatever resets its taps saw', () => {
    const evidence = refused({
      last: 'past-ingress',
      receiver: probe('input', { verdict: 'reject' }),
      receiverTaps: { out: { answers: 3 } },
      senderTaps: { nic: { answers: 3 }, pastIngress: { answers: 3 } },
    });
    expect(blamed(evidence)).toMatchObject({
      reason: 'rejected-by-receiver-firewall',
      confidence: 'proven',
      node: 'peer',
    });
  });

  test('before it came to the receiver somebody else refuses in its name', () => {
    expect(
      blamed(
        refused({
          last: 'left',
          senderTaps: { nic: { answers: 3 }, pastIngress: { answers: 3 } },
        }),
      ),
    ).toMatchObject({ reason: 'rejected-by-firewall', node: 'path', confidence: 'likely' });
  });

  test('without the half of the receiver it may mean anything', () => {
    expect(blamed(refused({ last: 'left', receiver: 'no-agent' })).confidence).toBe('ambiguous');
  });
});

describe('what is missing', () => {
  const missing: readonly Missing[] = ['no-agent', 'refused', 'unable', 'key-mismatch', 'no-peer'];

  test.each(missing)('the half of the receiver (%s): the own half stands alone', (why) => {
    const own = blamed(path({ receiver: why, sender: probe('output') }));
    expect(own).toMatchObject({
      node: 'this',
      confidence: 'proven',
      receiverMissing: why,
      missing: ['receiver'],
    });
    const beyond = blamed(path({ last: 'left', receiver: why }));
    expect(beyond).toMatchObject({ confidence: 'ambiguous', receiverMissing: why });
    expect(new Set(beyond.candidates.map(({ node }) => node))).toEqual(new Set(['path', 'peer']));
  });

  test('an answer that came back and was taken by the own rules needs no word of the peer', () => {
    const evidence = path({
      kind: 'tcp',
      last: 'answer-past-ingress',
      receiver: 'no-agent',
      sender: answer('input'),
    });
    expect(blamed(evidence)).toMatchObject({
      reason: 'answer-dropped-by-sender-firewall',
      confidence: 'proven',
    });
  });

  test('the taps of the receiver: its rules explain it, and nobody saw it there', () => {
    const evidence = path({ last: 'left', receiver: probe('input') });
    expect(blamed(withoutOfReceiver(evidence, 'stations'))).toMatchObject({
      reason: 'dropped-by-receiver-firewall',
      confidence: 'likely',
      missing: ['receiver-taps'],
    });
  });

  test('the rules of the receiver: nothing tells of XDP, so the network between is not proven', () => {
    expect(blamed(withoutOfReceiver(path({ last: 'left' }), 'rules'))).toMatchObject({
      reason: 'dropped-on-the-way',
      confidence: 'likely',
      missing: ['receiver-rules'],
    });
  });

  test('an own process that stood still has not heard the answer, perhaps', () => {
    const evidence = path({
      kind: 'tcp',
      last: 'answer-past-ingress',
      sender: { stalled: true, ...answer('input') },
    });
    expect(blamed(evidence).confidence).toBe('likely');
  });
});

/** Any evidence, consistent or not. */
function someEvidence(random: (below: number) => number): PathEvidence {
  const oneOf = <T>(...values: readonly [T, ...T[]]): T =>
    values[random(values.length)] ?? values[0];
  const count = (): number => oneOf(0, 0, 1, 3);
  const rules = () =>
    verdict({
      verdict: oneOf('accept', 'drop', 'reject', 'redirected', 'undetermined'),
      ...(random(3) === 0
        ? {}
        : { place: placeAt(oneOf('ingress', 'prerouting', 'input', 'output', 'egress')) }),
      undetermined: oneOf([], ['a limit']),
      programs: oneOf([], [], ['XDP a on eth0'], ['tc ingress a on eth0'], ['tc egress a on eth0']),
      ...(random(4) === 0 ? { counted: count() } : {}),
    });
  const taps = () => ({
    out: { badChecksums: count(), fragments: count() },
    nic: { badChecksums: count(), otherHost: count(), fragments: count(), errors: errors() },
    ...(random(4) === 0 ? { pastIngress: { probes: count(), answers: count() } } : {}),
    counters: {
      reversePathFilter: count(),
      conntrackDrop: count(),
      tcpListenDrops: count(),
      tcpInCsumErrors: count(),
      deviceReceiveDrops: count(),
      neighbourTableFull: count(),
      ipReasmFails: count(),
    },
    lost: oneOf(0, 0, 0, 5),
  });
  const errors = () =>
    random(4) > 0
      ? []
      : [
          {
            type: oneOf(1, 3, 11),
            code: random(14),
            from: oneOf('10.0.0.1', '10.0.0.2', '10.9.9.9'),
          },
        ];
  const last: readonly (Station | undefined)[] = [undefined, ...stations];
  const evidence = path({
    kind: oneOf('udp', 'tcp', 'icmp', 'other'),
    family: oneOf('ipv4', 'ipv4', 'ipv6'),
    ...spread(last[random(last.length)]),
    sender: {
      sendErrors: oneOf(
        [],
        [],
        ['EPERM', 'EPERM', 'EPERM'],
        ['ENOBUFS'],
        ['EINVAL', 'EINVAL', 'EINVAL'],
      ),
      refused: random(4) === 0,
      stalled: random(5) === 0,
      neighbour: oneOf('reachable', 'failed'),
      rules: { probe: rules(), answer: rules() },
    },
    receiver:
      random(4) === 0
        ? oneOf('no-agent', 'unable')
        : {
            rules: { probe: rules(), answer: rules() },
            owner: oneOf('nobody', 'process', 'kernel', 'unknown'),
            ownsDestination: random(5) > 0,
            reversePathFilter: oneOf(0, 1, 2),
            echoIgnored: random(5) === 0,
          },
    senderTaps: taps(),
    receiverTaps: taps(),
  });
  const less =
    random(4) === 0
      ? withoutOfReceiver(evidence, oneOf('stations', 'rules', 'witnessed'))
      : evidence;
  return random(5) === 0 ? withoutOfSender(less, oneOf('stations', 'rules')) : less;
}

function spread(last: Station | undefined): EvidenceChange {
  return last === undefined ? {} : { last };
}

describe('any evidence', () => {
  const numbers = seeded(20261124);
  const random = (below: number): number => numbers() % below;
  const cases = Array.from({ length: 10_000 }, () => {
    const evidence = someEvidence(random);
    return { evidence, diagnosis: diagnose(evidence) };
  });
  const proven = cases.filter(
    (
      one,
    ): one is { evidence: PathEvidence; diagnosis: Extract<Diagnosis, { outcome: 'blamed' }> } =>
      one.diagnosis.outcome === 'blamed' && one.diagnosis.confidence === 'proven',
  );
  /** Whoever was seen to do it by nobody's silence: the own kernel said so, or a router did. */
  const isSaid = ({ cause, saidBy }: Blamed): boolean =>
    saidBy !== undefined ||
    /^sender-(no-route|refuses|egress-refuses|rule-rejects|neighbour-unresolved)$/.test(cause);

  test('gives every word', () => {
    const words = new Set(
      cases.map(({ diagnosis }) => (diagnosis.outcome === 'open' ? 'open' : diagnosis.confidence)),
    );
    expect(words).toEqual(new Set(['open', 'proven', 'likely', 'ambiguous']));
  });

  test('proves nothing against a receiver that did not tell its half, nor against the network before it', () => {
    const without = proven.filter(({ evidence }) => typeof evidence.receiver === 'string');
    expect(without.length).toBeGreaterThan(100);
    for (const { diagnosis } of without) {
      expect(diagnosis.node).not.toBe('peer');
      if (diagnosis.node === 'path' && !isSaid(diagnosis))
        expect(diagnosis.cause).toBe('sender-neighbour-unresolved');
    }
  });

  test('proves nothing by the silence of a tap that overflowed', () => {
    const overflowed = proven.filter(({ evidence: { sender, receiver } }) => {
      const peer = typeof receiver === 'string' ? 0 : (receiver.stations?.lost ?? 0);
      return (sender.stations?.lost ?? 0) + peer > 0;
    });
    expect(overflowed.length).toBeGreaterThan(100);
    for (const { diagnosis } of overflowed) expect(isSaid(diagnosis), diagnosis.cause).toBe(true);
  });

  test('proves nothing by the silence of a receiver without taps', () => {
    const blind = proven.filter(
      ({ evidence: { receiver } }) =>
        typeof receiver !== 'string' && receiver.stations === undefined,
    );
    expect(blind.length).toBeGreaterThan(50);
    for (const { diagnosis } of blind) {
      expect(diagnosis.reason).not.toBe('dropped-on-the-way');
      expect(diagnosis.reason).not.toBe('dropped-by-receiver-ingress');
    }
  });

  test('names two where it is ambiguous, one where it is not, and how to tell them apart', () => {
    for (const { diagnosis } of cases) {
      if (diagnosis.outcome === 'open') continue;
      const { confidence, candidates } = diagnosis;
      expect(candidates.length > 1, diagnosis.cause).toBe(confidence === 'ambiguous');
      for (const one of candidates) expect(one.probe).toMatch(/^[a-z]/);
      if (confidence === 'ambiguous') expect(diagnosis.remedies).toEqual([]);
    }
  });
});
