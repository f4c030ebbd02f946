import { describe, expect, test } from 'vitest';
import type { Answer } from '../../../checks/check.ts';
import type { TcpObservation } from '../../../checks/host/network.ts';
import { tcpPort } from '../../../checks/tcp-port.ts';
import {
  fakeNetwork,
  fakePeer,
  icmpError,
  inTurn,
  type NetworkScript,
  noAgent,
  ownAddress,
  ownAddresses,
  type PeerScript,
  peerAddress,
  peerContext,
  routerAddress,
  someTarget,
} from '../../support/fake-network.ts';

type Observed = Partial<TcpObservation>;
const connected: Observed = { result: 'connected' };
const refused: Observed = { result: 'refused', errno: 'ECONNREFUSED' };
const timedOut: Observed = { result: 'timed-out' };
const alive: NetworkScript['echo'] = () => ({ replied: true });

async function ask(
  network: NetworkScript,
  peer: PeerScript | 'none' = 'none',
  mustReach = true,
): Promise<Answer> {
  return await tcpPort.run(
    { port: 179 },
    someTarget({ mustReach }),
    peerContext({
      network: fakeNetwork(network),
      peer: peer === 'none' ? noAgent : fakePeer(peer),
      addresses: ownAddresses,
    }),
  );
}

const watching = (seen: number): PeerScript => ({ watch: { id: '7' }, sighting: { seen } });

describe('a port that must be reached', () => {
  test('a connection is a pass, and one is enough', async () => {
    const network = fakeNetwork({ tcp: () => connected });
    const answer = await tcpPort.run({ port: 179 }, someTarget(), peerContext({ network }));
    expect(answer).toEqual({
      outcome: 'pass',
      evidence: { transport: 'tcp', port: 179, sent: 1, connected: 1, listening: true },
    });
    expect(network.sent.tcp).toBe(1);
  });

  test('a connection after a miss is a pass', async () => {
    expect(await ask({ tcp: inTurn(timedOut, timedOut, connected) }, watching(2))).toMatchObject({
      outcome: 'pass',
      evidence: { sent: 3, connected: 1 },
    });
  });

  test('the watch is for this port, and is asked by its id', async () => {
    const asked: unknown[] = [];
    await ask(
      { tcp: () => refused },
      {
        watch: async (watch) => {
          asked.push(watch);
          return { id: '7' };
        },
        sighting: async (id) => {
          asked.push(id);
          return { seen: 2 };
        },
      },
    );
    expect(asked).toEqual([{ protocol: 'tcp', port: 179 }, '7']);
  });

  test.each<{ name: string; tcp: Observed; peer: PeerScript | 'none'; want: object }>([
    {
      name: 'refused, and the witness saw the SYN past INPUT: nobody listens, which is a pass',
      tcp: refused,
      peer: watching(2),
      want: { outcome: 'pass', evidence: { listening: false, witnessed: 2 } },
    },
    {
      name: 'refused, and the witness saw nothing: a firewall',
      tcp: refused,
      peer: watching(0),
      want: { outcome: 'fail', reason: 'rejected-by-firewall' },
    },
    {
      name: 'refused without a witness could mean both',
      tcp: refused,
      peer: 'none',
      want: { outcome: 'unknown', reason: 'refused-unwitnessed' },
    },
    {
      name: 'refused, and the watch ended before it was asked',
      tcp: refused,
      peer: { watch: { id: '7' }, sighting: 'silent' },
      want: { outcome: 'unknown', reason: 'refused-unwitnessed' },
    },
    {
      name: 'silence, and the witness saw nothing: dropped',
      tcp: timedOut,
      peer: watching(0),
      want: { outcome: 'fail', reason: 'dropped' },
    },
    {
      name: 'silence, though the witness saw the SYN',
      tcp: timedOut,
      peer: watching(2),
      want: { outcome: 'fail', reason: 'timed-out' },
    },
    {
      name: 'silence while this process stalled, and the witness saw nothing',
      tcp: { ...timedOut, stalled: true },
      peer: watching(0),
      want: { outcome: 'unknown', reason: 'inconclusive' },
    },
    {
      name: 'silence while this process stalled, though the witness saw the SYN',
      tcp: { ...timedOut, stalled: true },
      peer: watching(2),
      want: { outcome: 'unknown', reason: 'inconclusive' },
    },
    {
      name: 'prohibited by the peer',
      tcp: {
        result: 'error',
        errno: 'EHOSTUNREACH',
        errors: [icmpError(3, 13, peerAddress.ipv4)],
      },
      peer: 'none',
      want: {
        outcome: 'fail',
        reason: 'rejected-by-firewall',
        culprit: { where: 'receiver-ingress', node: 'peer' },
      },
    },
    {
      name: 'prohibited by a router',
      tcp: {
        result: 'error',
        errno: 'EHOSTUNREACH',
        errors: [icmpError(3, 10, routerAddress.ipv4)],
      },
      peer: 'none',
      want: { outcome: 'fail', culprit: { where: 'path', node: 'path' } },
    },
    {
      name: 'prohibited by this node itself',
      tcp: { result: 'error', errno: 'EHOSTUNREACH', errors: [icmpError(3, 13, ownAddress.ipv4)] },
      peer: 'none',
      want: {
        outcome: 'fail',
        reason: 'rejected-by-sender-firewall',
        culprit: { where: 'sender-egress', node: 'this' },
      },
    },
    {
      name: 'refused in the name of the peer by this node itself',
      tcp: { ...refused, errors: [icmpError(3, 3, ownAddress.ipv4)] },
      peer: watching(0),
      want: { outcome: 'fail', reason: 'rejected-by-sender-firewall' },
    },
    {
      name: 'an unreachable host is no closed port',
      tcp: {
        result: 'error',
        errno: 'EHOSTUNREACH',
        errors: [icmpError(3, 1, routerAddress.ipv4)],
      },
      peer: 'none',
      want: { outcome: 'unknown', reason: 'peer-unreachable' },
    },
  ])('$name', async ({ tcp, peer, want }) => {
    expect(await ask({ tcp: () => tcp }, peer)).toMatchObject(want);
  });

  test('silence without an agent tells a host that is there from one that is not', async () => {
    expect(await ask({ tcp: () => timedOut, echo: alive })).toMatchObject({
      outcome: 'fail',
      reason: 'timed-out',
    });
    expect(await ask({ tcp: () => timedOut, echo: () => ({}) })).toMatchObject({
      outcome: 'unknown',
      reason: 'peer-unreachable',
    });
  });

  test.each(['EACCES', 'EINVAL', 'ENETUNREACH', 'EHOSTUNREACH', 'EADDRNOTAVAIL'])(
    '%s at once is the own route, and no more is sent',
    async (errno) => {
      const network = fakeNetwork({ tcp: () => ({ result: 'error', errno }) });
      const answer = await tcpPort.run({ port: 179 }, someTarget(), peerContext({ network }));
      expect(answer).toMatchObject({
        outcome: 'fail',
        reason: 'no-route',
        evidence: { errno },
        culprit: { where: 'node', node: 'this' },
      });
      expect(network.sent.tcp).toBe(1);
    },
  );

  test('silence that the deadline cut short proves nothing', async () => {
    const stop = new AbortController();
    const context = peerContext({
      network: fakeNetwork({ tcp: () => timedOut }),
      peer: fakePeer({
        watch: { id: '7' },
        sighting: async () => {
          stop.abort();
          return { seen: 0 };
        },
      }),
      signal: stop.signal,
    });
    expect(await tcpPort.run({ port: 179 }, someTarget(), context)).toMatchObject({
      outcome: 'unknown',
      reason: 'deadline',
    });
  });
});

describe('a host-local port, which must not be reached', () => {
  test.each<{ name: string; tcp: Observed; want: object }>([
    {
      name: 'a connection is the finding',
      tcp: connected,
      want: {
        outcome: 'fail',
        reason: 'exposed',
        culprit: { where: 'receiver-listener', node: 'peer' },
      },
    },
    { name: 'a refusal is a pass', tcp: refused, want: { outcome: 'pass' } },
    {
      name: 'a firewall that prohibits it is a pass',
      tcp: {
        result: 'error',
        errno: 'EHOSTUNREACH',
        errors: [icmpError(3, 13, peerAddress.ipv4)],
      },
      want: { outcome: 'pass' },
    },
    {
      name: 'silence is unknown when this process stalled',
      tcp: { ...timedOut, stalled: true },
      want: { outcome: 'unknown', reason: 'inconclusive' },
    },
    {
      name: 'a connect that never left this node is unknown',
      tcp: { result: 'error', errno: 'ENETUNREACH' },
      want: { outcome: 'unknown', reason: 'peer-unreachable', evidence: { errno: 'ENETUNREACH' } },
    },
    {
      name: 'a host that cannot be reached is unknown',
      tcp: {
        result: 'error',
        errno: 'EHOSTUNREACH',
        errors: [icmpError(3, 1, routerAddress.ipv4)],
      },
      want: { outcome: 'unknown', reason: 'peer-unreachable' },
    },
    {
      name: 'a connect that this node forbids itself is unknown',
      tcp: { ...refused, errors: [icmpError(3, 3, ownAddress.ipv4)] },
      want: { outcome: 'unknown', reason: 'peer-unreachable' },
    },
  ])('$name', async ({ tcp, want }) => {
    expect(await ask({ tcp: () => tcp }, 'none', false)).toMatchObject(want);
  });

  test('silence is a pass only if the host is there', async () => {
    expect(await ask({ tcp: () => timedOut, echo: alive }, 'none', false)).toMatchObject({
      outcome: 'pass',
    });
    expect(await ask({ tcp: () => timedOut, echo: () => ({}) }, 'none', false)).toMatchObject({
      outcome: 'unknown',
      reason: 'peer-unreachable',
    });
  });
});
