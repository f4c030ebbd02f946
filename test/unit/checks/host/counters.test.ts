import { describe, expect, test } from 'vitest';
import {
  counterDeltas,
  parseDevices,
  parseGroups,
  parseList,
  parsePerProcessor,
  parseSoftnet,
  readCounters,
} from '../../../../checks/host/counters.ts';
import { type FakeFile, fakeHost } from '../../../support/fake-host.ts';

const snmp = (noPorts: number) => `Ip: Forwarding DefaultTTL InAddrErrors
Ip: 1 64 7
Udp: InDatagrams NoPorts InErrors RcvbufErrors InCsumErrors
Udp: 793 ${noPorts} 3 0 2
`;
const netstat = `TcpExt: SyncookiesSent ListenDrops IPReversePathFilter
TcpExt: 0 5 11
IpExt: InNoRoutes
IpExt: 4
`;
const conntrack = (drop: string) => `entries  clashres invalid insert_failed drop early_drop
00000001  00000000 00000002 00000000  ${drop} 00000000
00000001  00000000 00000001 00000000  00000001 00000000
`;
const devices = (
  drops: number,
) => `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 100 1 0 0 0 0 0 0 100 1 0 0 0 0 0 0
  eth0:121687108  622728    1    ${drops}    0     0          0         0 121687108  622728    0    9    0     0       0          0
`;

function machine(files: Readonly<Record<string, FakeFile>>) {
  return fakeHost({ files });
}

describe('what is in the files', () => {
  test('groups of names and numbers', () => {
    const counters = parseGroups(snmp(17));
    expect(counters.get('Udp NoPorts')).toBe(17);
    expect(counters.get('Ip InAddrErrors')).toBe(7);
    expect(counters.get('Udp Forwarding')).toBeUndefined();
  });

  test('a group whose numbers are fewer, or none', () => {
    expect([...parseGroups('Udp: A B C\nUdp: 1 -1\n')]).toEqual([['Udp A', 1]]);
    expect([...parseGroups('Udp: A B')]).toEqual([]);
    expect([...parseGroups('')]).toEqual([]);
  });

  test('a list', () => {
    const counters = parseList('Ip6InNoRoutes   \t3\nUdp6NoPorts 18446744073709551615\nbroken\n');
    expect(counters.get('Ip6InNoRoutes')).toBe(3);
    expect(counters.has('Udp6NoPorts')).toBe(true);
    expect(counters.size).toBe(2);
  });

  test('columns of processors, by their names and not their places', () => {
    const counters = parsePerProcessor(conntrack('0000000a'));
    expect(counters.get('drop')).toEqual([10, 1]);
    expect(counters.get('invalid')).toEqual([2, 1]);
    expect(counters.get('new')).toBeUndefined();
    // One row is short: who knows which column is missing.
    expect(parsePerProcessor('a b\n1 2\n3\n').get('b')).toBeUndefined();
    expect(parsePerProcessor('a b\n').size).toBe(0);
  });

  test('drops of the backlog', () => {
    expect(parseSoftnet('0a2bc237 00000003 00000449\n0610d35d ffffffff 0000046f\n')).toEqual([
      3, 4_294_967_295,
    ]);
    expect(parseSoftnet('')).toBeUndefined();
    expect(parseSoftnet('0a2bc237\n')).toBeUndefined();
  });

  test('interfaces, one of them with a name that touches its number', () => {
    expect(parseDevices(devices(2)).get('eth0')).toEqual({
      receiveErrors: 1,
      receiveDrops: 2,
      transmitDrops: 9,
    });
    expect(parseDevices('eth0: 1 2 3\n').size).toBe(0);
  });
});

describe('by how much they grew', () => {
  const before = {
    '/proc/net/snmp': snmp(10),
    '/proc/net/netstat': netstat,
    '/proc/net/stat/nf_conntrack': conntrack('fffffffe'),
    '/proc/net/dev': devices(2),
  };

  test('each by itself, the processors and the interfaces together', async () => {
    const after = {
      ...before,
      '/proc/net/snmp': snmp(13),
      // Three more, over the end of its 32 bits.
      '/proc/net/stat/nf_conntrack': conntrack('00000001'),
      '/proc/net/dev': devices(6),
    };
    const readings = [
      await readCounters(machine(before), 'ipv4'),
      await readCounters(machine(after), 'ipv4'),
    ] as const;
    expect(counterDeltas(...readings, ['eth0', 'eth0', 'gone0'])).toEqual({
      udpNoPorts: 3,
      udpInErrors: 0,
      udpInCsumErrors: 0,
      udpRcvbufErrors: 0,
      ipInAddrErrors: 0,
      ipInNoRoutes: 0,
      reversePathFilter: 0,
      tcpListenDrops: 0,
      conntrackDrop: 3,
      conntrackEarlyDrop: 0,
      conntrackInsertFailed: 0,
      conntrackInvalid: 0,
      deviceReceiveErrors: 0,
      deviceReceiveDrops: 4,
      deviceTransmitDrops: 0,
    });
  });

  test('IPv6 has counters of its own, and no reverse path filter', async () => {
    const six = (value: number) => ({
      ...before,
      '/proc/net/snmp6': `Udp6NoPorts ${value}\nIp6InAddrErrors 1\n`,
    });
    const readings = [
      await readCounters(machine(six(1)), 'ipv6'),
      await readCounters(machine(six(3)), 'ipv6'),
    ] as const;
    const deltas = counterDeltas(...readings, []);
    expect(deltas).toMatchObject({ udpNoPorts: 2, ipInAddrErrors: 0, tcpListenDrops: 0 });
    expect(deltas).not.toHaveProperty('reversePathFilter');
    expect(deltas).not.toHaveProperty('udpInErrors');
  });

  test('what cannot be read, or was not there before, is absent', async () => {
    const denied = {
      '/proc/net/snmp': snmp(1),
      '/proc/net/netstat': { error: 'EACCES' },
    };
    const reading = await readCounters(machine(denied), 'ipv4');
    const nothing = await readCounters(machine({}), 'ipv4');
    expect(counterDeltas(nothing, nothing, ['eth0'])).toEqual({});
    expect(counterDeltas(nothing, reading, ['eth0'])).toEqual({});
    expect(Object.keys(counterDeltas(reading, reading, ['eth0']))).not.toContain(
      'reversePathFilter',
    );
  });

  test('a processor that comes meanwhile', async () => {
    const one = { '/proc/net/softnet_stat': '0a2bc237 00000000\n' };
    const two = { '/proc/net/softnet_stat': '0a2bc237 00000000\n0a2bc237 00000009\n' };
    const readings = [
      await readCounters(machine(one), 'ipv4'),
      await readCounters(machine(two), 'ipv4'),
    ] as const;
    expect(counterDeltas(...readings, [])).toEqual({});
    expect(counterDeltas(readings[1], readings[1], [])).toEqual({ softnetDropped: 0 });
  });
});
