import { expect, test } from 'vitest';
import type { Answer } from '../../../checks/check.ts';
import type { PacketError, UdpObservation } from '../../../checks/host/network.ts';
import type { WitnessReport } from '../../../checks/peer-channel.ts';
import { probeUdpPort } from '../../../checks/udp-path.ts';
import {
  fakeNetwork,
  fakePeer,
  icmpError,
  inTurn,
  type NetworkScript,
  noAgent,
  ownAddress,
  type PeerScript,
  peerAddress,
  peerContext,
  routerAddress,
  someTarget,
} from '../../support/fake-network.ts';

const probe = { port: 8472, payload: 'vxlan' } as const;
const seen: Partial<UdpObservation> = { witnessed: 'seen', rttSeconds: 0.002 };
const silent: Partial<UdpObservation> = {};

/** A witness that was open long before, and heard these nonces. */
function heardOnly(...nonces: readonly bigint[]): Required<PeerScript>['heard'] {
  return async (asked) => ({
    witnessSeconds: 3600,
    heard: asked.map((nonce) => nonces.includes(nonce)),
  });
}

async function ask(network: NetworkScript, peer: PeerScript | 'none' = 'none'): Promise<Answer> {
  return await probeUdpPort(
    probe,
    someTarget(),
    peerContext({
      network: fakeNetwork(network),
      peer: peer === 'none' ? noAgent : fakePeer(peer),
    }),
  );
}

test('one probe that the witness saw is a pass, and no second one is sent', async () => {
  const network = fakeNetwork({ udp: () => seen });
  const answer = await probeUdpPort(probe, someTarget(), peerContext({ network }));
  expect(answer).toEqual({
    outcome: 'pass',
    evidence: { transport: 'udp', port: 8472, sent: 1, witnessed: 1, rttSeconds: 0.002 },
  });
  expect(network.sent.udp).toBe(1);
});

test('a probe leaves with port, payload and size as asked, to the address of the peer', async () => {
  const sent: unknown[] = [];
  const network = fakeNetwork({
    udp: (_n, ...given) => {
      sent.push(given.slice(0, 3));
      return seen;
    },
  });
  const target = someTarget({ family: 'ipv6' });
  await probeUdpPort({ ...probe, totalBytes: 1500 }, target, peerContext({ network }));
  expect(sent).toEqual([
    [
      { family: 'ipv6', destination: peerAddress.ipv6 },
      { port: 8472, payload: 'vxlan', totalBytes: 1500 },
      1000,
    ],
  ]);
});

test('a miss is followed by two more probes, and no more', async () => {
  const network = fakeNetwork({ udp: () => silent });
  const peer = fakePeer({ heard: heardOnly() });
  await probeUdpPort(probe, someTarget(), peerContext({ network, peer }));
  expect(network.sent.udp).toBe(3);
});

test('none of three witnessed is a fail when the witness was there and heard none', async () => {
  const answer = await ask({ udp: () => silent }, { heard: heardOnly() });
  expect(answer).toEqual({
    outcome: 'fail',
    reason: 'dropped',
    evidence: { transport: 'udp', port: 8472, sent: 3, witnessed: 0 },
  });
});

test.each<{ name: string; report: WitnessReport; reason: string }>([
  {
    name: 'has no witness',
    report: { witnessSeconds: 0, heard: [false, false, false] },
    reason: 'no-witness',
  },
  {
    name: 'has a witness that heard some of it before it was closed again',
    report: { witnessSeconds: 0, heard: [true, false, false] },
    reason: 'no-witness',
  },
])('silence is unknown when the peer $name', async ({ report, reason }) => {
  const answer = await ask({ udp: () => silent }, { heard: report });
  expect(answer).toMatchObject({ outcome: 'unknown', reason });
});

test('silence is unknown when the witness was opened after the first probe', async () => {
  const heard: Required<PeerScript>['heard'] = async (asked) => {
    await new Promise((resolve) => {
      setTimeout(resolve, 20);
    });
    return { witnessSeconds: 0.01, heard: asked.map(() => false) };
  };
  const answer = await ask({ udp: () => silent }, { heard });
  expect(answer).toMatchObject({ outcome: 'unknown', reason: 'no-witness' });
});

test('without an agent silence tells a host that is there from one that is not', async () => {
  expect(await ask({ udp: () => silent, echo: () => ({ replied: true }) })).toMatchObject({
    outcome: 'unknown',
    reason: 'no-witness',
  });
  expect(await ask({ udp: () => silent, echo: () => ({}), tcp: () => ({}) })).toMatchObject({
    outcome: 'unknown',
    reason: 'peer-unreachable',
  });
});

test('a peer whose own probes report ours proves the way though nothing else comes back', async () => {
  const reported = [`${peerAddress.ipv4} 8472`];
  expect(await ask({ udp: () => silent, reported })).toMatchObject({
    outcome: 'pass',
    evidence: { reportedByPeer: true },
  });
  const otherPort = [`${peerAddress.ipv4} 4789`];
  const answer = await ask({
    udp: () => silent,
    reported: otherPort,
    echo: () => ({ replied: true }),
  });
  expect(answer).toMatchObject({ outcome: 'unknown', reason: 'no-witness' });
});

test('answers that got lost on the way back are no loss of the port', async () => {
  expect(await ask({ udp: () => silent }, { heard: heardOnly(2n) })).toEqual({
    outcome: 'pass',
    evidence: {
      transport: 'udp',
      port: 8472,
      sent: 3,
      witnessed: 1,
      answersLost: 3,
    },
  });
});

test('some lost is a pass that lists the lost source ports, if the witness denies them', async () => {
  const answer = await ask({ udp: inTurn(silent, seen, silent) }, { heard: heardOnly(2n) });
  expect(answer).toMatchObject({
    outcome: 'pass',
    evidence: { sent: 3, witnessed: 1 },
    partialLoss: { sent: 3, lost: 2, lostSourcePorts: [40_000, 40_002] },
  });
});

test.each<{ name: string; peer: PeerScript | 'none' }>([
  { name: 'heard them', peer: { heard: heardOnly(1n, 3n) } },
  { name: 'is no agent', peer: 'none' },
  { name: 'has no witness', peer: { heard: { witnessSeconds: 0, heard: [false, false] } } },
])('some without an answer are not lost when the peer $name', async ({ peer }) => {
  const answer = await ask({ udp: inTurn(silent, seen, silent) }, peer);
  expect(answer).toMatchObject({ outcome: 'pass' });
  expect(answer).not.toHaveProperty('partialLoss');
});

/** A witness that was overloaded so long ago, and heard these nonces. */
function overloadedOnly(
  overloadedSeconds: number,
  ...nonces: readonly bigint[]
): Required<PeerScript>['heard'] {
  return async (asked) => ({
    witnessSeconds: 3600,
    overloadedSeconds,
    heard: asked.map((nonce) => nonces.includes(nonce)),
  });
}

test('what a witness without room did not hear is not lost', async () => {
  const udp = (): Required<NetworkScript>['udp'] => inTurn(silent, seen, silent);
  const answer = await ask({ udp: udp() }, { heard: overloadedOnly(0, 2n) });
  expect(answer).toMatchObject({ outcome: 'pass', evidence: { witnessOverloaded: true } });
  expect(answer).not.toHaveProperty('partialLoss');
  // That it was so an hour ago is of no matter.
  const later = await ask({ udp: udp() }, { heard: overloadedOnly(3600, 2n) });
  expect(later).toMatchObject({ outcome: 'pass', partialLoss: { lost: 2 } });
});

test('the silence of a witness without room proves nothing', async () => {
  expect(await ask({ udp: () => silent }, { heard: overloadedOnly(0) })).toMatchObject({
    outcome: 'unknown',
    reason: 'inconclusive',
    evidence: { witnessOverloaded: true },
  });
  expect(await ask({ udp: () => silent }, { heard: overloadedOnly(3600) })).toMatchObject({
    outcome: 'fail',
    reason: 'dropped',
  });
  // What it did hear was there.
  expect(await ask({ udp: () => silent }, { heard: overloadedOnly(0, 1n) })).toMatchObject({
    outcome: 'pass',
    evidence: { witnessed: 1 },
  });
});

test('a probe that our own stall may have missed is not counted as lost', async () => {
  const answer = await ask({ udp: inTurn({ stalled: true }, seen, seen) });
  expect(answer).toMatchObject({ outcome: 'pass' });
  expect(answer).not.toHaveProperty('partialLoss');
});

test('silence while this process stalled proves nothing', async () => {
  const answer = await ask({ udp: inTurn({ stalled: true }, silent, silent) });
  expect(answer).toMatchObject({ outcome: 'unknown', reason: 'inconclusive' });
});

test('silence that the deadline cut short proves nothing', async () => {
  const stop = new AbortController();
  const heard: Required<PeerScript>['heard'] = async (asked) => {
    stop.abort();
    return { witnessSeconds: 3600, heard: asked.map(() => false) };
  };
  const context = peerContext({
    network: fakeNetwork({ udp: () => silent }),
    peer: fakePeer({ heard }),
    signal: stop.signal,
  });
  expect(await probeUdpPort(probe, someTarget(), context)).toMatchObject({
    outcome: 'unknown',
    reason: 'deadline',
  });
});

test.each<{ witnessed: UdpObservation['witnessed']; want: object }>([
  {
    witnessed: 'seen-rewritten',
    want: {
      outcome: 'fail',
      reason: 'rewritten',
      evidence: { rewrittenTo: '192.0.2.2 port 9999' },
    },
  },
  { witnessed: 'seen-bad-checksum', want: { outcome: 'fail', reason: 'bad-checksum' } },
  {
    witnessed: 'seen-tproxy-possible',
    want: { outcome: 'unknown', reason: 'tproxy-possible' },
  },
])('what the witness calls $witnessed is not a pass', async ({ witnessed, want }) => {
  const observation: Partial<UdpObservation> = {
    ...(witnessed === undefined ? {} : { witnessed }),
    ...(witnessed === 'seen-rewritten' ? { rewrittenTo: '192.0.2.2 port 9999' } : {}),
  };
  expect(await ask({ udp: () => observation })).toMatchObject(want);
});

const portUnreachable: PacketError = {
  errno: 'ECONNREFUSED',
  type: 3,
  code: 3,
  offender: peerAddress.ipv4,
};

test.each<{ name: string; errors: PacketError[]; peer: PeerScript | 'none'; want: object }>([
  {
    name: 'port unreachable without a witness could mean two things',
    errors: [portUnreachable],
    peer: 'none',
    want: { outcome: 'unknown', reason: 'refused-unwitnessed' },
  },
  {
    name: 'port unreachable that the witness did not see is a reject of the receiver',
    errors: [portUnreachable],
    peer: { heard: heardOnly() },
    want: {
      outcome: 'fail',
      reason: 'rejected-by-firewall',
      culprit: { where: 'receiver-ingress', node: 'peer' },
    },
  },
  {
    name: 'port unreachable of what the witness saw is nobody listening',
    errors: [portUnreachable],
    peer: { heard: heardOnly(1n, 2n, 3n) },
    want: { outcome: 'pass' },
  },
  {
    name: 'ICMPv6 port unreachable is one, too',
    errors: [{ ...portUnreachable, type: 1, code: 4 }],
    peer: { heard: heardOnly() },
    want: { outcome: 'fail', reason: 'rejected-by-firewall' },
  },
  {
    name: 'port unreachable that comes from a router is a firewall on the way',
    errors: [{ ...portUnreachable, offender: routerAddress.ipv4 }],
    peer: 'none',
    want: {
      outcome: 'fail',
      reason: 'rejected-by-firewall',
      culprit: { where: 'path', node: 'path' },
      evidence: { icmp: '3/3', rejectedBy: routerAddress.ipv4 },
    },
  },
  {
    name: 'a prohibition is a fail of whoever sent it',
    errors: [icmpError(3, 13, peerAddress.ipv4)],
    peer: 'none',
    want: {
      outcome: 'fail',
      reason: 'rejected-by-firewall',
      culprit: { where: 'receiver-ingress', node: 'peer' },
    },
  },
  {
    name: 'an unreachable host is not a closed port',
    errors: [icmpError(3, 1, ownAddress.ipv4)],
    peer: 'none',
    want: { outcome: 'unknown', reason: 'peer-unreachable' },
  },
])('$name', async ({ errors, peer, want }) => {
  expect(await ask({ udp: () => ({ errors }) }, peer)).toMatchObject(want);
});

test('an own firewall that drops one of three only is no drop of all', async () => {
  const answer = await ask({ udp: inTurn({ sendError: 'EPERM' }, seen, seen) });
  expect(answer.outcome).toBe('pass');
});

test('an own firewall that drops all is named, whatever a witness would say', async () => {
  expect(await ask({ udp: () => ({ sendError: 'EPERM' }) })).toMatchObject({
    outcome: 'fail',
    reason: 'dropped-by-sender-firewall',
  });
});
