import { describe, expect, test } from 'vitest';
import { HostError } from '../../../checks/host/host.ts';
import type { EchoObservation } from '../../../checks/host/network.ts';
import { hostAnswers, icmpEcho } from '../../../checks/icmp-echo.ts';
import {
  fakeNetwork,
  icmpError,
  inTurn,
  type NetworkScript,
  ownAddress,
  ownAddresses,
  peerAddress,
  peerContext,
  routerAddress,
  someTarget,
} from '../../support/fake-network.ts';

type Observed = Partial<EchoObservation>;
const silent: Observed = {};

async function ask(echo: NonNullable<NetworkScript['echo']>) {
  const network = fakeNetwork({ echo });
  const context = peerContext({ network, addresses: ownAddresses });
  return { answer: await icmpEcho.run({}, someTarget(), context), sent: network.sent.echo };
}

test('a reply is a pass, and one is enough', async () => {
  expect(await ask(() => ({ replied: true, rttSeconds: 0.001 }))).toEqual({
    answer: {
      outcome: 'pass',
      evidence: { transport: 'icmp', sent: 1, replied: 1, rttSeconds: 0.001 },
    },
    sent: 1,
  });
});

test('one reply of three is a pass with the smallest round trip', async () => {
  const echo = inTurn<Observed>(
    silent,
    { replied: true, rttSeconds: 0.003 },
    { replied: true, rttSeconds: 0.002 },
  );
  expect((await ask(echo)).answer).toMatchObject({
    outcome: 'pass',
    evidence: { sent: 3, replied: 2, rttSeconds: 0.002 },
  });
});

test.each<{ name: string; echo: Observed; want: object }>([
  {
    name: 'no reply at all is a fail',
    echo: silent,
    want: { outcome: 'fail', reason: 'no-reply', evidence: { sent: 3, replied: 0 } },
  },
  {
    name: 'no reply while this process stalled is unknown',
    echo: { stalled: true },
    want: { outcome: 'unknown', reason: 'inconclusive' },
  },
  {
    name: 'an own firewall that drops it is named',
    echo: { sendError: 'EPERM' },
    want: { outcome: 'fail', reason: 'dropped-by-sender-firewall' },
  },
  {
    name: 'a prohibition of the peer is a fail',
    echo: { errors: [icmpError(3, 10, peerAddress.ipv4)] },
    want: { outcome: 'fail', reason: 'rejected-by-firewall', culprit: { node: 'peer' } },
  },
  {
    name: 'a router that cannot reach it is named',
    echo: { errors: [icmpError(3, 1, routerAddress.ipv4)] },
    want: {
      outcome: 'fail',
      reason: 'unreachable',
      evidence: { icmp: '3/1', rejectedBy: routerAddress.ipv4 },
    },
  },
  {
    name: 'host unreachable from an own address is a neighbour that does not answer',
    echo: { errors: [icmpError(3, 1, ownAddress.ipv4)] },
    want: { outcome: 'fail', reason: 'neighbour-unresolved' },
  },
  {
    name: 'and so it is where the own stack names nobody',
    echo: { errors: [{ errno: 'EHOSTUNREACH' }] },
    want: { outcome: 'fail', reason: 'neighbour-unresolved' },
  },
])('$name', async ({ echo, want }) => {
  const { answer, sent } = await ask(() => echo);
  expect(answer).toMatchObject(want);
  expect(sent).toBe(3);
});

describe('whether a host is there at all', () => {
  test.each<{ name: string; script: NetworkScript; want: boolean }>([
    {
      name: 'it replies to one of two',
      script: { echo: inTurn<Observed>(silent, { replied: true }) },
      want: true,
    },
    {
      name: 'it refuses a connect',
      script: { echo: () => silent, tcp: () => ({ result: 'refused' }) },
      want: true,
    },
    {
      name: 'it takes a connect',
      script: { echo: () => silent, tcp: () => ({ result: 'connected' }) },
      want: true,
    },
    {
      name: 'nothing comes back',
      script: { echo: () => silent, tcp: () => ({ result: 'timed-out' }) },
      want: false,
    },
    {
      name: 'a router says that it is not',
      script: { echo: () => silent, tcp: () => ({ result: 'error', errno: 'EHOSTUNREACH' }) },
      want: false,
    },
  ])('$name: $want', async ({ script, want }) => {
    const context = peerContext({ network: fakeNetwork(script) });
    expect(await hostAnswers(someTarget(), context)).toBe(want);
  });

  test('echo that may not be sent leaves the TCP connect', async () => {
    const network = fakeNetwork({
      echo: () => {
        throw new HostError('missing-net-raw', 'no echo');
      },
      tcp: () => ({ result: 'refused' }),
    });
    expect(await hostAnswers(someTarget(), peerContext({ network }))).toBe(true);
  });

  test('a family without sockets answers no', async () => {
    const refuse = (): never => {
      throw new HostError('EAFNOSUPPORT', 'no IPv6');
    };
    const network = fakeNetwork({ echo: refuse, tcp: refuse });
    const target = someTarget({ family: 'ipv6' });
    expect(await hostAnswers(target, peerContext({ network }))).toBe(false);
  });
});
