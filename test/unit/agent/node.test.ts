import { createHmac } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { keyedMac, underlayAddresses } from '../../../agent/node.ts';
import type { InterfaceAddress, Link, Route } from '../../../checks/host/host.ts';

const links: readonly Link[] = [
  { index: 1, name: 'lo', mtu: 65_536, up: true, loopback: true },
  { index: 2, name: 'eth0', mtu: 1500, up: true, loopback: false },
  { index: 3, name: 'eth1', mtu: 1500, up: true, loopback: false },
  { index: 4, name: 'docker0', mtu: 1500, up: true, loopback: false },
];

function address(name: string, text: string, scope: InterfaceAddress['scope'] = 'global') {
  const family = text.includes(':') ? 'ipv6' : 'ipv4';
  const one: InterfaceAddress = {
    index: 0,
    interface: name,
    address: text,
    prefixLength: 24,
    family,
    scope,
  };
  return one;
}

const addresses = [
  address('lo', '10.255.0.1'),
  address('lo', '127.0.0.1', 'host'),
  address('eth0', '192.0.2.7'),
  address('eth0', '192.0.2.8'),
  address('eth0', '2001:db8::7'),
  address('eth0', 'fe80::7', 'link'),
  address('eth1', '198.51.100.7'),
  address('docker0', '172.17.0.1'),
];

function host(routes: Readonly<Record<string, Route>>) {
  const asked: string[] = [];
  return {
    asked,
    addresses: async () => addresses,
    links: async () => links,
    route: async (to: string) => {
      asked.push(to);
      return routes[to];
    },
  };
}
const over = (name: string, source?: string): Route => ({
  interface: name,
  index: 2,
  type: 'unicast',
  ...(source === undefined ? {} : { source }),
});

describe('the addresses of this node on the underlay', () => {
  test.each<{ name: string; routes: Record<string, Route>; peers: string[]; want: string[] }>([
    {
      name: 'those that talk to the peers come first, then the others of their interface',
      routes: { '203.0.113.2': over('eth0', '192.0.2.8') },
      peers: ['203.0.113.2'],
      want: ['192.0.2.8', '192.0.2.7', '2001:db8::7'],
    },
    {
      name: 'peers behind two interfaces',
      routes: {
        '203.0.113.2': over('eth0', '192.0.2.7'),
        '198.51.100.9': over('eth1', '198.51.100.7'),
      },
      peers: ['203.0.113.2', '198.51.100.9'],
      want: ['192.0.2.7', '198.51.100.7', '192.0.2.8', '2001:db8::7'],
    },
    {
      name: 'without peers, the interface of the default route',
      routes: { '192.0.2.1': over('eth0', '192.0.2.7'), '2001:db8::1': over('eth0') },
      peers: [],
      want: ['192.0.2.7', '192.0.2.8', '2001:db8::7'],
    },
    {
      name: 'without a route, every global address that is not on loopback',
      routes: {},
      peers: ['203.0.113.2'],
      want: ['192.0.2.7', '192.0.2.8', '2001:db8::7', '198.51.100.7', '172.17.0.1'],
    },
    {
      name: 'a blackhole leads nowhere',
      routes: { '203.0.113.2': { ...over('eth1', '198.51.100.7'), type: 'blackhole' } },
      peers: ['203.0.113.2'],
      want: ['192.0.2.7', '192.0.2.8', '2001:db8::7', '198.51.100.7', '172.17.0.1'],
    },
  ])('$name', async ({ routes, peers, want }) => {
    const found = await underlayAddresses(host(routes), peers);
    expect(found.map((one) => one.address)).toEqual(want);
  });

  test('a thousand peers cost a few questions', async () => {
    const one = host({});
    await underlayAddresses(
      one,
      Array.from({ length: 1000 }, (_, index) => `10.0.${index >> 8}.${index & 255}`),
    );
    expect(one.asked).toHaveLength(32);
  });
});

test('a key signs with the first half of HMAC-SHA-256', () => {
  const bytes = Uint8Array.of(1, 2, 3);
  const whole = createHmac('sha256', 'key').update(bytes).digest();
  expect([...keyedMac(Buffer.from('key'))(bytes)]).toEqual([...whole.subarray(0, 16)]);
  expect([...keyedMac(Buffer.from('other'))(bytes)]).not.toEqual([...whole.subarray(0, 16)]);
});
