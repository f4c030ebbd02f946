import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Answer } from '../../../checks/check.ts';
import type { Observation } from '../../../checks/host/network.ts';
import { ipProtocol } from '../../../checks/ip-protocol.ts';
import type { Sighting } from '../../../checks/peer-channel.ts';
import {
  fakeNetwork,
  fakePeer,
  icmpError,
  noAgent,
  type PeerScript,
  peerAddress,
  peerContext,
  routerAddress,
  someTarget,
} from '../../support/fake-network.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

async function ask(
  peer: PeerScript | 'none',
  observation: Partial<Observation> = {},
): Promise<{ answer: Answer; sent: number }> {
  const network = fakeNetwork({ ipProtocol: () => observation });
  const context = peerContext({ network, peer: peer === 'none' ? noAgent : fakePeer(peer) });
  const running = ipProtocol.run({ protocol: 4 }, someTarget(), context);
  await vi.runAllTimersAsync();
  return { answer: await running, sent: network.sent.ipProtocol };
}

const watching = (sighting: Sighting | 'silent'): PeerScript => ({ watch: { id: '3' }, sighting });

test('the watch is open before the first packet, and is for the protocol', async () => {
  const order: string[] = [];
  const network = fakeNetwork({
    ipProtocol: (_n, _path, protocol) => {
      order.push(`packet ${protocol}`);
      return {};
    },
  });
  const peer = fakePeer({
    watch: async ({ protocol }) => {
      order.push(`watch ${protocol}`);
      return { id: '3' };
    },
    sighting: async (id) => {
      order.push(`sighting ${id}`);
      return { seen: 3, established: false };
    },
  });
  const target = someTarget({ family: 'ipv6' });
  const running = ipProtocol.run({ protocol: 50 }, target, peerContext({ network, peer }));
  await vi.runAllTimersAsync();
  expect((await running).outcome).toBe('pass');
  expect(order).toEqual(['watch 50', 'packet 50', 'packet 50', 'packet 50', 'sighting 3']);
});

test.each<{ name: string; sighting: Sighting | 'silent'; want: object }>([
  {
    name: 'seen of a new flow',
    sighting: { seen: 3, established: false },
    want: { outcome: 'pass', evidence: { protocol: 4, sent: 3, witnessed: 3 } },
  },
  {
    name: 'one of three seen',
    sighting: { seen: 1, established: false },
    want: { outcome: 'pass', evidence: { witnessed: 1 } },
  },
  {
    name: 'seen of a flow that conntrack already knew',
    sighting: { seen: 3, established: true },
    want: { outcome: 'unknown', reason: 'established-by-reverse' },
  },
  {
    name: 'seen where conntrack could not be read',
    sighting: { seen: 3 },
    want: {
      outcome: 'unknown',
      reason: 'established-by-reverse',
      evidence: { conntrack: 'unreadable on the peer' },
    },
  },
  {
    name: 'not seen',
    sighting: { seen: 0, established: false },
    want: { outcome: 'fail', reason: 'dropped', evidence: { witnessed: 0 } },
  },
  {
    name: 'not seen though it would have passed as established',
    sighting: { seen: 0, established: true },
    want: { outcome: 'fail', reason: 'dropped' },
  },
  {
    name: 'a watch that is gone',
    sighting: 'silent',
    want: { outcome: 'unknown', reason: 'no-witness' },
  },
])('$name', async ({ sighting, want }) => {
  const { answer, sent } = await ask(watching(sighting));
  expect(answer).toMatchObject(want);
  expect(sent).toBe(3);
});

test.each<{
  name: string;
  observation: Partial<Observation>;
  peer: PeerScript | 'none';
  want: object;
}>([
  {
    name: 'silence without a witness',
    observation: {},
    peer: 'none',
    want: { outcome: 'unknown', reason: 'no-witness' },
  },
  {
    name: 'protocol unreachable without a witness',
    observation: { errors: [icmpError(3, 2, peerAddress.ipv4)] },
    peer: 'none',
    want: { outcome: 'unknown', reason: 'refused-unwitnessed' },
  },
  {
    name: 'ICMPv6 unknown next header without a witness',
    observation: { errors: [icmpError(4, 1, peerAddress.ipv6)] },
    peer: 'none',
    want: { outcome: 'unknown', reason: 'refused-unwitnessed' },
  },
  {
    name: 'a prohibition without a witness',
    observation: { errors: [icmpError(3, 13, routerAddress.ipv4)] },
    peer: 'none',
    want: { outcome: 'fail', reason: 'rejected-by-firewall', culprit: { where: 'path' } },
  },
  {
    name: 'a prohibition that the witness confirms',
    observation: { errors: [icmpError(3, 13, peerAddress.ipv4)] },
    peer: watching({ seen: 0, established: false }),
    want: { outcome: 'fail', reason: 'rejected-by-firewall', culprit: { node: 'peer' } },
  },
  {
    name: 'an own firewall',
    observation: { sendError: 'EPERM' },
    peer: watching({ seen: 0 }),
    want: { outcome: 'fail', reason: 'dropped-by-sender-firewall' },
  },
])('$name', async ({ observation, peer, want }) => {
  expect((await ask(peer, observation)).answer).toMatchObject(want);
});

test('IP in IP is a matter of IPv4', async () => {
  const target = someTarget({ family: 'ipv6' });
  expect(await ipProtocol.run({ protocol: 4 }, target, peerContext())).toMatchObject({
    outcome: 'skip',
    reason: 'not-applicable',
  });
});
