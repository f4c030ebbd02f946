import { expect, test } from 'vitest';
import { explainLoss, type Far, type OwnEnd } from '../../../checks/overlay/loss.ts';
import { someFacts } from '../../support/fake-network.ts';

const mac = '02:00:00:00:aa:02';
const stranger = '02:00:00:00:bb:02';
const healthy: OwnEnd = {
  link: {
    index: 5,
    name: 'flannel.1',
    mtu: 1450,
    up: true,
    loopback: false,
    kind: 'vxlan',
    local: '192.0.2.1',
    learning: false,
    external: false,
  },
  addresses: [
    {
      index: 2,
      interface: 'eth0',
      address: '192.0.2.1',
      prefixLength: 24,
      family: 'ipv4',
      scope: 'global',
    },
  ],
  neighbours: [{ address: '10.42.1.0', mac, permanent: true }],
  entries: [{ mac, destination: '192.0.2.2' }],
  route: { interface: 'flannel.1', index: 5, gateway: '10.42.1.0', type: 'unicast' },
  underlay: { interface: 'eth0', index: 2, source: '192.0.2.1', type: 'unicast' },
};
const far: Far = {
  facts: someFacts({
    tunnels: { 'flannel.1': { mac, local: '192.0.2.2' } },
    podSubnets: ['10.42.1.0/24'],
  }),
  overlayAddress: '10.42.1.0',
  address: '192.0.2.2',
  own: { vni: 1, port: 8472 },
};
const { link } = healthy;

test('where everything fits together nothing is said', () => {
  expect(explainLoss(healthy, far)).toBeUndefined();
});

interface Row {
  readonly name: string;
  readonly own?: Partial<OwnEnd>;
  readonly theirs?: Partial<Far>;
  readonly want: object;
  readonly commands?: readonly string[];
}

const end = (change: object): Partial<Far> => ({
  facts: { ...far.facts, tunnels: { 'flannel.1': { mac, local: '192.0.2.2', ...change } } },
});

test.each<Row>([
  {
    name: 'the own device is down',
    own: { link: { ...link, up: false } },
    want: { reason: 'overlay-device-down', culprit: { where: 'node', node: 'this' } },
  },
  {
    name: 'there is no route',
    own: { route: undefined },
    want: { reason: 'overlay-route-missing' },
    commands: ['ip route replace 10.42.1.0/24 via 10.42.1.0 dev flannel.1 onlink'],
  },
  {
    name: 'the default route takes it',
    own: { route: { interface: 'eth0', index: 2, gateway: '192.0.2.254', type: 'unicast' } },
    want: { reason: 'overlay-route-missing', evidence: { interface: 'eth0' } },
    commands: ['ip route replace 10.42.1.0/24 via 10.42.1.0 dev flannel.1 onlink'],
  },
  {
    name: 'a VPN takes it',
    own: { route: { interface: 'tailscale0', index: 9, type: 'unicast', table: 52 } },
    want: { reason: 'pod-route-diverted', evidence: { interface: 'tailscale0', table: 52 } },
  },
  {
    name: 'this node has the address itself',
    own: { route: { interface: 'lo', index: 1, type: 'local', table: 255 } },
    want: { reason: 'pod-route-diverted', evidence: { interface: 'lo', routeType: 'local' } },
  },
  {
    name: 'the VNI is another one',
    theirs: { own: { vni: 4096, port: 8472 } },
    want: { reason: 'peer-disagrees', evidence: { vniHere: 4096, vniThere: 1 } },
  },
  {
    name: 'the port is another one',
    theirs: { own: { vni: 1, port: 4789 } },
    want: { reason: 'peer-disagrees', evidence: { portHere: 4789, portThere: 8472 } },
  },
  {
    name: 'the own tunnel sends from nowhere',
    own: { link: { ...link, local: '198.51.100.1' } },
    want: {
      reason: 'overlay-source-address',
      evidence: { problem: 'stray', local: '198.51.100.1' },
      culprit: { where: 'node', node: 'this' },
    },
  },
  {
    name: 'there is no neighbour',
    own: { neighbours: [] },
    want: { reason: 'overlay-entry-missing', evidence: { entry: 'neighbour' } },
    commands: [
      `ip neigh replace 10.42.1.0 lladdr ${mac} dev flannel.1 nud permanent`,
      `bridge fdb replace ${mac} dev flannel.1 dst 192.0.2.2`,
    ],
  },
  {
    name: 'a neighbour without an address is none',
    own: { neighbours: [{ address: '10.42.1.0', permanent: false }] },
    want: { reason: 'overlay-entry-missing', evidence: { entry: 'neighbour' } },
    commands: [
      `ip neigh replace 10.42.1.0 lladdr ${mac} dev flannel.1 nud permanent`,
      `bridge fdb replace ${mac} dev flannel.1 dst 192.0.2.2`,
    ],
  },
  {
    name: 'the neighbour has another link-layer address',
    own: { neighbours: [{ address: '10.42.1.0', mac: stranger, permanent: true }] },
    want: {
      reason: 'vtep-mac-differs',
      evidence: { entryMac: stranger, peerMac: mac },
      culprit: { where: 'node', node: 'peer' },
    },
    commands: [
      `ip neigh replace 10.42.1.0 lladdr ${mac} dev flannel.1 nud permanent`,
      `bridge fdb replace ${mac} dev flannel.1 dst 192.0.2.2`,
    ],
  },
  {
    name: 'there is no forwarding entry',
    own: { entries: [{ mac: stranger, destination: '192.0.2.2' }] },
    want: { reason: 'overlay-entry-missing', evidence: { entry: 'forwarding' } },
    commands: [`bridge fdb replace ${mac} dev flannel.1 dst 192.0.2.2`],
  },
  {
    name: 'the forwarding entry is stale',
    own: { entries: [{ mac, destination: '192.0.2.99' }] },
    want: {
      reason: 'fdb-destination-stale',
      evidence: { entryDestination: '192.0.2.99', peerLocal: '192.0.2.2' },
    },
    commands: [`bridge fdb replace ${mac} dev flannel.1 dst 192.0.2.2`],
  },
  {
    name: 'it is stale, and what the peer has instead is no address of the peer',
    own: { entries: [{ mac, destination: '192.0.2.99' }] },
    theirs: end({ local: '198.51.100.9', stray: true }),
    want: { reason: 'fdb-destination-stale' },
  },
  {
    name: 'the peer publishes an address that it does not have',
    own: { entries: [{ mac, destination: '198.51.100.9' }] },
    theirs: end({ local: '198.51.100.9', stray: true }),
    want: {
      reason: 'overlay-source-address',
      evidence: { problem: 'stray', local: '198.51.100.9' },
      culprit: { where: 'node', node: 'peer' },
    },
  },
  {
    name: 'both nodes have the address that the peer publishes',
    own: { entries: [{ mac, destination: '192.0.2.1' }] },
    theirs: end({ local: '192.0.2.1' }),
    want: { reason: 'overlay-source-address', evidence: { problem: 'shared' } },
  },
  {
    name: 'the own tunnel sends from another address than the way to the peer',
    own: { underlay: { interface: 'eth1', index: 3, source: '203.0.113.1', type: 'unicast' } },
    want: {
      reason: 'overlay-source-address',
      evidence: { problem: 'other-route', local: '192.0.2.1', wanted: '203.0.113.1' },
    },
  },
])('$name', ({ own = {}, theirs = {}, want, commands }) => {
  const answer = explainLoss({ ...healthy, ...own }, { ...far, ...theirs });
  expect(answer).toMatchObject({ outcome: 'fail', ...want });
  expect(answer?.remedy?.flatMap((one) => one.commands)).toEqual(commands);
});

test.each<Omit<Row, 'want'>>([
  {
    name: 'a direct route by the peer itself',
    own: {
      route: { interface: 'eth0', index: 2, gateway: '192.0.2.2', type: 'unicast' },
      neighbours: [],
    },
  },
  { name: 'a device that learns', own: { link: { ...link, learning: true }, neighbours: [] } },
  { name: 'a device of Cilium', own: { link: { ...link, external: true }, neighbours: [] } },
  {
    name: 'a program that adds entries when they are needed',
    own: { link: { ...link, asksForEntries: true }, neighbours: [] },
  },
  { name: 'a device that is no VXLAN', own: { link: { ...link, kind: 'wireguard' }, entries: [] } },
  {
    name: 'a peer that says nothing of its tunnel',
    own: { neighbours: [] },
    theirs: { facts: someFacts() },
  },
  {
    name: 'a peer behind NAT: frames go where its agent answers',
    theirs: end({ local: '10.0.0.7' }),
  },
])('nothing is made of $name', ({ own = {}, theirs = {} }) => {
  expect(explainLoss({ ...healthy, ...own }, { ...far, ...theirs })).toBeUndefined();
});

test('what a peer made up is not shown as something to type', () => {
  const answer = explainLoss(
    { ...healthy, entries: [] },
    { ...far, ...end({ local: '192.0.2.2; reboot' }) },
  );
  expect(answer).toMatchObject({ reason: 'overlay-entry-missing' });
  expect(answer?.remedy).toBeUndefined();
});
