import { expect, test } from 'vitest';
import type { Answer } from '../../../checks/check.ts';
import type { InterfaceAddress } from '../../../checks/host/host.ts';
import type { UdpObservation } from '../../../checks/host/network.ts';
import { overlayPath } from '../../../checks/overlay-path.ts';
import {
  fakeNetwork,
  fakePeer,
  inTurn,
  type NetworkScript,
  type PeerScript,
  peerContext,
  someFacts,
  someTarget,
} from '../../support/fake-network.ts';

const params = { devices: ['flannel.1', 'vxlan.calico'] };
const own: InterfaceAddress = {
  index: 5,
  interface: 'flannel.1',
  address: '10.42.0.0',
  prefixLength: 32,
  family: 'ipv4',
  scope: 'global',
};
const theirs = '10.42.1.0';
const agent: PeerScript = { facts: someFacts({ overlay: { 'flannel.1/ipv4': theirs } }) };
const right: Partial<UdpObservation> = {
  witnessed: 'seen',
  session: someFacts().session,
  rttSeconds: 0.001,
};
const wrong: Partial<UdpObservation> = { ...right, session: 'ffffffffffffffff' };

async function ask(
  udp: NonNullable<NetworkScript['udp']>,
  peer: PeerScript = agent,
  addresses = [own],
): Promise<Answer> {
  const network = fakeNetwork({ udp, echo: () => ({}), tcp: () => ({}) });
  const context = peerContext({ network, peer: fakePeer(peer), addresses });
  return await overlayPath.run(params, someTarget(), context);
}

test('the right agent on its overlay address is a pass', async () => {
  const to: string[] = [];
  const answer = await ask((_n, path) => {
    to.push(path.destination);
    return right;
  });
  expect(answer).toMatchObject({
    outcome: 'pass',
    evidence: { device: 'flannel.1', overlayAddress: theirs, rttSeconds: 0.001 },
  });
  expect(to).toEqual([theirs]);
});

test.each([
  { name: 'at once', udp: () => wrong },
  { name: 'after a miss', udp: inTurn<Partial<UdpObservation>>({}, wrong) },
  { name: 'beside the right one', udp: inTurn<Partial<UdpObservation>>({}, right, wrong) },
])('another agent that answers $name is the wrong host', async ({ udp }) => {
  expect(await ask(udp)).toMatchObject({
    outcome: 'fail',
    reason: 'wrong-host',
    evidence: { device: 'flannel.1', overlayAddress: theirs },
  });
});

test('an answer after a miss is a pass', async () => {
  const heard: PeerScript['heard'] = { witnessSeconds: 3600, heard: [true] };
  const answer = await ask(inTurn<Partial<UdpObservation>>({}, right), { ...agent, heard });
  expect(answer).toMatchObject({ outcome: 'pass', evidence: { overlayAddress: theirs } });
});

test('silence that the witness confirms is a fail', async () => {
  const heard: PeerScript['heard'] = async (asked) => ({
    witnessSeconds: 3600,
    heard: asked.map(() => false),
  });
  expect(await ask(() => ({}), { ...agent, heard })).toMatchObject({
    outcome: 'fail',
    reason: 'dropped',
    evidence: { device: 'flannel.1', overlayAddress: theirs },
  });
});

test('what an own firewall forbids is a fail', async () => {
  expect(await ask(() => ({ sendError: 'EPERM' }))).toMatchObject({
    outcome: 'fail',
    reason: 'dropped-by-sender-firewall',
  });
});

test.each<{ name: string; peer: PeerScript; addresses?: InterfaceAddress[]; want: object }>([
  {
    name: 'this node has no overlay device',
    peer: {},
    addresses: [],
    want: { outcome: 'skip', reason: 'no-overlay-device' },
  },
  {
    name: 'this node has one of the other family only',
    peer: {},
    addresses: [{ ...own, family: 'ipv6', address: 'fd00::1' }],
    want: { outcome: 'skip', reason: 'no-overlay-device' },
  },
  {
    name: 'the peer has none',
    peer: { facts: someFacts() },
    want: { outcome: 'skip', reason: 'no-overlay-device' },
  },
  {
    name: 'the peer has one of the other family only',
    peer: { facts: someFacts({ overlay: { 'flannel.1/ipv6': 'fd00::2' } }) },
    want: { outcome: 'skip', reason: 'no-overlay-device' },
  },
  {
    name: 'the peer has no agent',
    peer: { facts: 'silent' },
    want: { outcome: 'unknown', reason: 'no-witness' },
  },
])('nothing is sent when $name', async ({ peer, addresses, want }) => {
  const network = fakeNetwork();
  const context = peerContext({ network, peer: fakePeer(peer), addresses: addresses ?? [own] });
  expect(await overlayPath.run(params, someTarget(), context)).toMatchObject(want);
});

test.each(['not an address', '10.42.1', '::1', ''])(
  'an overlay address that the peer made up (%j) is not sent to',
  async (address) => {
    const facts = someFacts({ overlay: { 'flannel.1/ipv4': address } });
    const context = peerContext({ peer: fakePeer({ facts }), addresses: [own] });
    expect(await overlayPath.run(params, someTarget(), context)).toMatchObject({
      outcome: 'skip',
      reason: 'no-overlay-device',
    });
  },
);
