import { expect, test } from 'vitest';
import type { Answer } from '../../../checks/check.ts';
import type { InterfaceAddress, Link, Route } from '../../../checks/host/host.ts';
import { overlayState } from '../../../checks/overlay-state.ts';
import {
  fakeNetwork,
  fakePeer,
  type PeerScript,
  peerAddress,
  peerContext,
  someFacts,
  someTarget,
} from '../../support/fake-network.ts';

const params = { tunnels: ['flannel.*'], bridges: ['cni0'] };
const flannel: Link = { index: 5, name: 'flannel.1', mtu: 1450, up: true, loopback: false };
const intoTunnel: Route = { interface: 'flannel.1', index: 5, type: 'unicast' };
const toPeer: Route = { interface: 'eth0', index: 2, type: 'unicast' };

function at(name: string, address: string, prefixLength = 24): InterfaceAddress {
  return { index: 9, interface: name, address, prefixLength, family: 'ipv4', scope: 'global' };
}

interface Given {
  readonly links?: readonly Link[];
  readonly addresses?: readonly InterfaceAddress[];
  readonly subnets?: readonly string[];
  readonly peer?: PeerScript;
  /** By destination, of the peer's pods; else into the tunnel. */
  readonly routes?: Readonly<Record<string, Route>>;
}

async function ask(given: Given): Promise<Answer> {
  const { links = [flannel], addresses = [at('cni0', '10.42.0.1')] } = given;
  const facts = someFacts({ podSubnets: given.subnets ?? ['10.42.1.0/24'] });
  const network = fakeNetwork({ echo: () => ({ replied: true }) });
  const peer = fakePeer(given.peer ?? { facts });
  const context = peerContext({
    network,
    peer,
    links,
    addresses,
    interfaces: ['cni0', 'flannel.*'],
  });
  const host = {
    ...context.host,
    route: async (to: string) =>
      to === peerAddress.ipv4 ? toPeer : (given.routes?.[to] ?? intoTunnel),
  };
  return await overlayState.run(params, someTarget(), { ...context, host });
}

test.each<Given & { readonly name: string; readonly want: object }>([
  { name: 'routes into the tunnel', want: { outcome: 'pass' } },
  {
    name: 'no overlay here yet',
    links: [],
    want: { outcome: 'skip', reason: 'no-overlay-device' },
  },
  {
    name: 'a peer that says nothing of its pods',
    subnets: [],
    want: { outcome: 'skip', reason: 'no-overlay-device' },
  },
  {
    name: 'a peer of the other family',
    subnets: ['fd00::/64'],
    want: { outcome: 'skip', reason: 'no-overlay-device' },
  },
  {
    name: 'a peer that made it up',
    subnets: ['no prefix'],
    want: { outcome: 'skip', reason: 'no-overlay-device' },
  },
  {
    name: 'no agent',
    peer: { facts: 'silent' },
    want: { outcome: 'unknown', reason: 'no-witness' },
  },
  {
    name: 'the same prefix on both nodes',
    subnets: ['10.42.0.0/24'],
    want: { outcome: 'fail', reason: 'pod-subnet-shared' },
  },
  {
    name: 'a prefix that holds the other one',
    subnets: ['10.42.0.0/16'],
    want: { outcome: 'fail', reason: 'pod-subnet-shared' },
  },
  {
    name: 'an address of somebody else among the pods',
    addresses: [at('cni0', '10.42.0.1'), at('docker0', '10.42.1.129', 25)],
    want: {
      outcome: 'fail',
      reason: 'pod-subnet-overlaps',
      evidence: { interface: 'docker0', address: '10.42.1.129/25' },
      culprit: { where: 'node', node: 'this' },
    },
  },
  {
    name: 'an address of the provider, as Calico borrows them',
    addresses: [at('cni0', '10.42.0.1'), at('flannel.1', '10.42.1.7', 32)],
    want: { outcome: 'pass' },
  },
  {
    name: 'a VPN that takes one half of them',
    routes: {
      '10.42.1.130': { interface: 'tailscale0', index: 7, type: 'unicast', table: 52 },
    },
    want: {
      outcome: 'fail',
      reason: 'pod-route-diverted',
      evidence: { to: '10.42.1.130', interface: 'tailscale0', table: 52 },
    },
  },
  {
    name: 'a route that refuses one of them',
    routes: { '10.42.1.2': { interface: '', index: 0, type: 'blackhole' } },
    want: { outcome: 'fail', reason: 'pod-route-diverted', evidence: { routeType: 'blackhole' } },
  },
  {
    name: 'the default route: a router may know the way',
    routes: { '10.42.1.2': { ...toPeer, gateway: '192.0.2.254' } },
    want: { outcome: 'pass' },
  },
  {
    name: 'a direct route by another device',
    routes: {
      '10.42.1.2': { interface: 'eth1', index: 3, gateway: peerAddress.ipv4, type: 'unicast' },
    },
    want: { outcome: 'pass' },
  },
])('$name', async ({ want, ...given }) => {
  expect(await ask(given)).toMatchObject(want);
});
