import { expect, test, vi } from 'vitest';
import { runWish } from '../../../agent/wishes.ts';
import type { ProbeWish } from '../../../checks/peer-channel.ts';
import { isOwnTurn } from '../../../checks/turns.ts';
import { ownAddress, peerAddress, peerContext } from '../../support/fake-network.ts';
import { type FakeNode, fakeNode } from '../../support/fake-node.ts';
import { noDiagnoses } from '../../support/findings.ts';

const wish: ProbeWish = {
  id: 'canal.vxlan',
  kind: 'udp-port',
  mustReach: true,
  params: { port: 8472, payload: 'vxlan' },
};

async function grant(given: ProbeWish, node: FakeNode, takesTurns = false) {
  const { signal, peer: _peer, ...shared } = peerContext();
  return await runWish(
    given,
    { address: peerAddress.ipv4, family: 'ipv4' },
    {
      node,
      shared: { ...shared, host: node.host },
      takesTurns,
      signal,
      diagnoses: noDiagnoses,
      onCrash: (error) => {
        throw error;
      },
    },
  );
}

test('a wish is tested towards whoever has it', async () => {
  const to: unknown[] = [];
  const node = fakeNode({
    network: {
      udp: (_n, path, { port, payload }) => {
        to.push([path.destination, port, payload]);
        return { witnessed: 'seen' };
      },
    },
  });
  expect(await grant(wish, node)).toMatchObject({ outcome: 'pass' });
  expect(to).toEqual([[peerAddress.ipv4, 8472, 'vxlan']]);
});

test('a host-local port is tested the other way round', async () => {
  const node = fakeNode({ network: { tcp: () => ({ result: 'connected' }) } });
  const exposed = { ...wish, kind: 'tcp-port', mustReach: false, params: { port: 9099 } };
  expect(await grant(exposed, node)).toMatchObject({ outcome: 'fail', reason: 'exposed' });
});

test.each<{ name: string; change: Partial<ProbeWish> }>([
  { name: 'a kind that nobody may wish for', change: { kind: 'datastore', params: {} } },
  { name: 'a kind that is a property of every object', change: { kind: 'constructor' } },
  { name: 'port 0', change: { params: { port: 0, payload: 'vxlan' } } },
  { name: 'a port beyond the last', change: { params: { port: 65_536, payload: 'vxlan' } } },
  { name: 'half a port', change: { params: { port: 8472.5, payload: 'vxlan' } } },
  { name: 'a port in letters', change: { params: { port: '8472', payload: 'vxlan' } } },
  { name: 'no port', change: { params: { payload: 'vxlan' } } },
  { name: 'a payload of its own', change: { params: { port: 8472, payload: 'junk' } } },
  {
    name: 'a param too many',
    change: { params: { port: 8472, payload: 'vxlan', totalBytes: 9000 } },
  },
  { name: 'another protocol', change: { kind: 'ip-protocol', params: { protocol: 6 } } },
])('$name is not tested', async ({ change }) => {
  expect(await grant({ ...wish, ...change }, fakeNode())).toMatchObject({
    outcome: 'unknown',
    reason: 'not-in-the-catalogue-of-the-peer',
  });
});

test('a protocol without ports waits for the own turn', async () => {
  const start = Date.UTC(2026, 10, 23);
  const protocol = { ...wish, kind: 'ip-protocol', params: { protocol: 50 } };
  vi.useFakeTimers({ toFake: ['Date'] });
  try {
    for (const minute of [0, 20]) {
      vi.setSystemTime(start + minute * 60_000);
      const own = isOwnTurn(ownAddress.ipv4, peerAddress.ipv4, Date.now());
      const answer = await grant(protocol, fakeNode({ network: { ipProtocol: () => ({}) } }), true);
      expect(answer.outcome).toBe(own ? 'unknown' : 'skip');
    }
  } finally {
    vi.useRealTimers();
  }
});
