import { describe, expect, test } from 'vitest';
import type { Answer } from '../../../checks/check.ts';
import type { InterfaceAddress, Link, Route } from '../../../checks/host/host.ts';
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
const ends = { overlay: { 'flannel.1/ipv4': theirs }, answers: ['flannel.1/ipv4'] };
const agent: PeerScript = { facts: someFacts(ends), factsAt: 'silent' };
const link: Link = {
  index: 5,
  name: 'flannel.1',
  mtu: 1450,
  up: true,
  loopback: false,
  kind: 'vxlan',
  local: '192.0.2.1',
  learning: false,
};
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
  links: readonly Link[] = [],
): Promise<Answer> {
  const network = fakeNetwork({ udp, echo: () => ({}), tcp: () => ({}) });
  const context = peerContext({ network, peer: fakePeer(peer), addresses, links });
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

const silent: PeerScript['heard'] = async (asked) => ({
  witnessSeconds: 3600,
  heard: asked.map(() => false),
});

test('an agent that answers there to a question is one that was reached, whatever became of the probes', async () => {
  const asked: string[] = [];
  const answer = await ask(() => ({}), {
    ...agent,
    heard: silent,
    factsAt: async (address) => {
      asked.push(address);
      return someFacts(ends);
    },
  });
  expect(answer).toMatchObject({ outcome: 'pass', evidence: { answeredOtherWay: true } });
  expect(asked).toEqual([theirs]);
});

test('and another agent that does is the wrong host', async () => {
  const other = someFacts({ ...ends, session: 'ffffffffffffffff' });
  expect(await ask(() => ({}), { ...agent, heard: silent, factsAt: other })).toMatchObject({
    outcome: 'fail',
    reason: 'wrong-host',
  });
});

test('where the rules of the peer may have taken the probes, silence says nothing of the overlay', async () => {
  const facts = someFacts({ ...ends, answers: [] });
  expect(await ask(() => ({}), { facts, factsAt: 'silent', heard: silent })).toMatchObject({
    outcome: 'unknown',
    reason: 'overlay-untested',
  });
});

describe('full-sized packets', () => {
  const sized =
    (isLost: (bytes: number | undefined) => boolean): NetworkScript['udp'] =>
    (_n, _path, { totalBytes }) =>
      isLost(totalBytes) ? {} : right;

  test('pass as the small ones do', async () => {
    const answer = await ask(sized(() => false) ?? (() => ({})), agent, [own], [link]);
    expect(answer).toMatchObject({ outcome: 'pass', evidence: { packetBytes: 1450 } });
  });

  test('are lost while small ones before and after them arrive', async () => {
    const udp = sized((bytes) => bytes === 1450) ?? (() => ({}));
    expect(await ask(udp, { ...agent, heard: silent }, [own], [link])).toMatchObject({
      outcome: 'fail',
      reason: 'large-packets-lost',
      evidence: { packetBytes: 1450, overlayAddress: theirs },
    });
  });

  test('are lost with everything else since: nothing is said of the size', async () => {
    let sent = 0;
    const answer = await ask(
      () => (sent++ === 0 ? right : {}),
      { ...agent, heard: silent },
      [own],
      [link],
    );
    expect(answer).toMatchObject({ outcome: 'pass' });
  });
});

describe('pods', () => {
  const side = { ...own, interface: 'cni0', address: '10.42.0.1', prefixLength: 24 };
  const there = '10.42.1.1';
  const facts = someFacts({
    overlay: { 'flannel.1/ipv4': theirs, 'cni0/ipv4': there },
    answers: ['cni0/ipv4'],
    tunnels: { 'flannel.1': {} },
  });
  const tunnelled = { interface: 'flannel.1', index: 5, gateway: theirs, type: 'unicast' };

  async function askPods(
    udp: NonNullable<NetworkScript['udp']>,
    peer: PeerScript,
    route: Route = tunnelled,
  ): Promise<Answer> {
    const network = fakeNetwork({ udp, echo: () => ({}), tcp: () => ({}) });
    const addresses = [own, side];
    const context = peerContext({ network, peer: fakePeer(peer), addresses, route });
    return await overlayPath.run({ devices: ['cni0'], pods: true }, someTarget(), context);
  }

  test('are probed from the own address on the same device', async () => {
    const sources: (string | undefined)[] = [];
    const answer = await askPods(
      (_n, path) => {
        sources.push(path.source);
        return right;
      },
      { facts },
    );
    expect(answer).toMatchObject({ outcome: 'pass', evidence: { overlayAddress: there } });
    expect(sources).toEqual([side.address]);
  });

  test.each<{ name: string; peer: PeerScript; route?: Route; want: object }>([
    {
      name: 'a tunnel that works and a bridge that does not answer',
      peer: { factsAt: async (address) => (address === theirs ? facts : undefined) },
      want: {
        outcome: 'fail',
        reason: 'pod-network-unreachable',
        culprit: { where: 'receiver-forward', node: 'peer' },
      },
    },
    {
      name: 'a tunnel that does not work either: its own requirement says so',
      peer: { factsAt: 'silent' },
      want: { outcome: 'skip', reason: 'not-applicable' },
    },
    {
      name: 'probes from the own address that arrive',
      peer: { factsAt: facts },
      want: { outcome: 'fail', reason: 'pod-source-filtered' },
    },
    {
      name: 'a route to somebody else',
      peer: {},
      route: { interface: 'docker0', index: 9, type: 'local' },
      want: { outcome: 'fail', reason: 'pod-route-diverted', evidence: { interface: 'docker0' } },
    },
    {
      name: 'a route that refuses',
      peer: {},
      route: { interface: '', index: 0, type: 'blackhole' },
      want: { outcome: 'fail', reason: 'pod-route-diverted', evidence: { routeType: 'blackhole' } },
    },
    {
      name: 'a bridge that is down',
      peer: { facts: { ...facts, down: ['cni0'] } },
      want: {
        outcome: 'fail',
        reason: 'overlay-device-down',
        culprit: { where: 'node', node: 'peer' },
      },
    },
    {
      name: 'rules of the peer that may have taken the probes',
      peer: { facts: { ...facts, answers: [] }, factsAt: 'silent' },
      want: { outcome: 'unknown', reason: 'overlay-untested' },
    },
  ])('are not reached: $name', async ({ peer, route, want }) => {
    const answer = await askPods(() => ({}), { facts, heard: silent, ...peer }, route);
    expect(answer).toMatchObject(want);
  });
});
