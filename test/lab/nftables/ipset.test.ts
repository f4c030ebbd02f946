/** Sets of ip_set, made by ipset(8) and read from the kernel. */
import { execFileSync } from 'node:child_process';
import { beforeAll, expect, test } from 'vitest';
import { indexOf, readIpSets } from '../../../nftables/ipset.ts';
import type { IpSet, IpSetEntry } from '../../../nftables/model.ts';
import { enterNewNetwork, shell } from '../../support/own-network.ts';

const sets = `
create gone hash:ip
create ip hash:ip timeout 100 counters
add ip 10.0.0.1 timeout 50
create masked hash:ip netmask 24 comment
add masked 10.0.0.1 comment "a b"
create bits hash:ip bitmask 255.0.255.0
create six hash:ip family inet6
add six fe80::1
create net hash:net
add net 10.0.0.0/8
add net 10.1.0.0/16 nomatch
create ip-port hash:ip,port
add ip-port 10.0.0.1,tcp:80
add ip-port 10.0.0.1,icmp:8/0
create net-port hash:net,port
add net-port 10.0.0.0/8,udp:53
create net-iface hash:net,iface
add net-iface 10.0.0.0/8,eth0
add net-iface 0.0.0.0/0,physdev:eth1
add net-iface 11.0.0.0/8,eth wildcard
create ip-port-net hash:ip,port,net
add ip-port-net 10.0.0.1,tcp:80,11.0.0.0/8
create ip-port-ip hash:ip,port,ip skbinfo
add ip-port-ip 10.0.0.1,tcp:80,11.0.0.1 skbmark 0x10/0xff
create map bitmap:ip range 10.0.0.0/16 netmask 24
add map 10.0.3.1
create ports bitmap:port range 0-1000
add ports 80-81
create macs bitmap:ip,mac range 10.0.0.0/24
add macs 10.0.0.1,02:00:00:00:00:01
add macs 10.0.0.2
create list list:set
add list ip
add list net
`;

let read: ReadonlyMap<string, IpSet> = new Map();

beforeAll(async () => {
  enterNewNetwork();
  execFileSync('ipset', ['restore'], { input: sets });
  shell('ipset destroy gone');
  read = new Map((await readIpSets()).map((set) => [set.name, set]));
});

const v4 = (...bytes: readonly number[]): Uint8Array => Uint8Array.from(bytes);

test.each<[string, string, readonly Partial<IpSetEntry>[]]>([
  ['ip', 'hash:ip', [{ address: v4(10, 0, 0, 1), timeoutSeconds: 50 }]],
  ['masked', 'hash:ip', [{ address: v4(10, 0, 0, 0), comment: 'a b' }]],
  ['six', 'hash:ip', [{ address: v4(0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1) }]],
  [
    'net',
    'hash:net',
    [
      { address: v4(10, 0, 0, 0), prefix: 8 },
      { address: v4(10, 1, 0, 0), prefix: 16, noMatch: true },
    ],
  ],
  [
    'ip-port',
    'hash:ip,port',
    [
      { address: v4(10, 0, 0, 1), protocol: 1, port: 0x800 },
      { address: v4(10, 0, 0, 1), protocol: 6, port: 80 },
    ],
  ],
  ['net-port', 'hash:net,port', [{ address: v4(10, 0, 0, 0), prefix: 8, protocol: 17, port: 53 }]],
  [
    'net-iface',
    'hash:net,iface',
    [
      { address: v4(0, 0, 0, 0), prefix: 0, interface: 'eth1', physicalInterface: true },
      { address: v4(10, 0, 0, 0), prefix: 8, interface: 'eth0' },
      { address: v4(11, 0, 0, 0), prefix: 8, interface: 'eth', interfaceWildcard: true },
    ],
  ],
  [
    'ip-port-net',
    'hash:ip,port,net',
    [
      {
        address: v4(10, 0, 0, 1),
        protocol: 6,
        port: 80,
        address2: v4(11, 0, 0, 0),
        prefix2: 8,
      },
    ],
  ],
  [
    'ip-port-ip',
    'hash:ip,port,ip',
    [{ address: v4(10, 0, 0, 1), protocol: 6, port: 80, address2: v4(11, 0, 0, 1) }],
  ],
  ['map', 'bitmap:ip', [{ address: v4(10, 0, 3, 0) }]],
  ['ports', 'bitmap:port', [{ port: 80 }, { port: 81 }]],
  [
    'macs',
    'bitmap:ip,mac',
    [{ address: v4(10, 0, 0, 1), mac: v4(2, 0, 0, 0, 0, 1) }, { address: v4(10, 0, 0, 2) }],
  ],
  ['list', 'list:set', [{ set: 'ip' }, { set: 'net' }]],
])('%s of type %s has its entries', (name, type, entries) => {
  const set = read.get(name);
  expect(set).toMatchObject({ type, isUnderstood: true });
  const address = (entry: Partial<IpSetEntry>): string =>
    `${entry.address?.join('.')} ${entry.protocol}`;
  const found = set?.entries.toSorted((one, other) => address(one).localeCompare(address(other)));
  // An age that a slow machine makes.
  const still = found?.map((entry) =>
    entry.timeoutSeconds === undefined
      ? entry
      : { ...entry, timeoutSeconds: Math.ceil(entry.timeoutSeconds / 50) * 50 },
  );
  expect(still).toEqual(entries.map((entry) => ({ noMatch: false, ...entry })));
});

test('a set says what of the packet it looks up', () => {
  expect(read.get('ip')).toMatchObject({ hasTimeouts: true, hasCounters: true, family: 'ip' });
  expect(read.get('masked')).toMatchObject({ hasTimeouts: false, netmask: 24 });
  expect(read.get('bits')).toMatchObject({ bitmask: v4(255, 0, 255, 0) });
  expect(read.get('six')).toMatchObject({ family: 'ip6' });
  expect(read.get('ports')).toMatchObject({ family: 'unspecified' });
});

test('numbers are the same as the kernel gives to iptables', () => {
  expect([...read.values()].map(({ name }) => indexOf(name))).toEqual(
    [...read.values()].map(({ index }) => index),
  );
  expect(read.get('ip')?.index).toBe(1);
});

test('a set of many messages has all its entries', async () => {
  const lines = Array.from({ length: 20_000 }, (_, n) => `add large 10.1.${n >> 8}.${n & 255}`);
  execFileSync('ipset', ['restore'], { input: ['create large hash:ip', ...lines].join('\n') });
  const large = (await readIpSets()).find(({ name }) => name === 'large');
  const addresses = new Set(large?.entries.map(({ address }) => address?.join('.')));
  expect(addresses.size).toBe(20_000);
});
