/**
 * @module The kernel's counters of what it threw away, before and after something: by how much they grew. What cannot be read is
 * absent, and never 0, for a 0 proves that nothing of that kind happened.
 */
import type { CounterDeltas, CounterName } from '../diagnosis/evidence.ts';
import type { Family } from '../family.ts';
import type { Files } from './files.ts';
import { HostError } from './host.ts';

/** One look at the counters. */
export interface CounterReading {
  /** One number, or one a processor where the kernel keeps them apart, 32 bits each. */
  readonly counters: ReadonlyMap<CounterName, number | readonly number[]>;
  readonly devices: ReadonlyMap<string, DeviceCounters>;
}

export interface DeviceCounters {
  readonly receiveErrors: number;
  readonly receiveDrops: number;
  readonly transmitDrops: number;
}

type Columns = Partial<Record<CounterName, string>>;

/** Names as the files have them: `GROUP COLUMN` in /proc/net/snmp and netstat, one word in snmp6. */
const columns: Readonly<Record<Family, Columns>> = {
  ipv4: {
    udpNoPorts: 'Udp NoPorts',
    udpInErrors: 'Udp InErrors',
    udpInCsumErrors: 'Udp InCsumErrors',
    udpRcvbufErrors: 'Udp RcvbufErrors',
    icmpInCsumErrors: 'Icmp InCsumErrors',
    ipInAddrErrors: 'Ip InAddrErrors',
    ipInNoRoutes: 'IpExt InNoRoutes',
    ipOutNoRoutes: 'Ip OutNoRoutes',
    ipForwDatagrams: 'Ip ForwDatagrams',
    ipReasmReqds: 'Ip ReasmReqds',
    ipReasmFails: 'Ip ReasmFails',
    ipFragCreates: 'Ip FragCreates',
    ipFragFails: 'Ip FragFails',
    reversePathFilter: 'TcpExt IPReversePathFilter',
  },
  ipv6: {
    udpNoPorts: 'Udp6NoPorts',
    udpInErrors: 'Udp6InErrors',
    udpInCsumErrors: 'Udp6InCsumErrors',
    udpRcvbufErrors: 'Udp6RcvbufErrors',
    icmpInCsumErrors: 'Icmp6InCsumErrors',
    ipInAddrErrors: 'Ip6InAddrErrors',
    ipInNoRoutes: 'Ip6InNoRoutes',
    ipOutNoRoutes: 'Ip6OutNoRoutes',
    ipForwDatagrams: 'Ip6OutForwDatagrams',
    ipReasmReqds: 'Ip6ReasmReqds',
    ipReasmFails: 'Ip6ReasmFails',
    ipFragCreates: 'Ip6FragCreates',
    ipFragFails: 'Ip6FragFails',
  },
};
/** TCP counts both families together. */
const tcpColumns: Columns = {
  tcpInCsumErrors: 'Tcp InCsumErrors',
  tcpListenDrops: 'TcpExt ListenDrops',
};
const conntrackColumns: Columns = {
  conntrackDrop: 'drop',
  conntrackEarlyDrop: 'early_drop',
  conntrackInsertFailed: 'insert_failed',
  conntrackInvalid: 'invalid',
};
/** Only the first network namespace of a machine has these. */
const neighbourTables: Readonly<Record<Family, string>> = {
  ipv4: '/proc/net/stat/arp_cache',
  ipv6: '/proc/net/stat/ndisc_cache',
};

/** Reads every counter that this kernel has for packets of a family. */
export async function readCounters(
  files: Pick<Files, 'readText'>,
  family: Family,
): Promise<CounterReading> {
  const read = async (path: string): Promise<string> => {
    try {
      return (await files.readText(path)) ?? '';
    } catch (cause) {
      if (cause instanceof HostError) return '';
      throw cause;
    }
  };
  const [snmp, netstat, snmp6, conntrack, neighbours, softnet, devices] = await Promise.all([
    read('/proc/net/snmp'),
    read('/proc/net/netstat'),
    family === 'ipv6' ? read('/proc/net/snmp6') : '',
    read('/proc/net/stat/nf_conntrack'),
    read(neighbourTables[family]),
    read('/proc/net/softnet_stat'),
    read('/proc/net/dev'),
  ]);
  const totals = new Map([...parseGroups(snmp), ...parseGroups(netstat), ...parseList(snmp6)]);
  const counters = new Map<CounterName, number | readonly number[]>();
  const take = <T extends number | readonly number[]>(
    wanted: Columns,
    found: ReadonlyMap<string, T>,
  ): void => {
    for (const [name, column] of Object.entries(wanted)) {
      const value = found.get(column);
      if (value !== undefined) counters.set(name as CounterName, value);
    }
  };
  take({ ...columns[family], ...tcpColumns }, totals);
  take(conntrackColumns, parsePerProcessor(conntrack));
  take({ neighbourTableFull: 'table_fulls' }, parsePerProcessor(neighbours));
  const dropped = parseSoftnet(softnet);
  if (dropped !== undefined) counters.set('softnetDropped', dropped);
  return { counters, devices: parseDevices(devices) };
}

/** By how much they grew; the counters of devices are those of these interfaces together. */
export function counterDeltas(
  before: CounterReading,
  after: CounterReading,
  interfaces: readonly string[],
): CounterDeltas {
  const deltas: Partial<Record<CounterName, number>> = {};
  for (const [name, later] of after.counters) {
    const grown = growth(before.counters.get(name), later);
    if (grown !== undefined) deltas[name] = grown;
  }
  for (const name of new Set(interfaces)) {
    const [first, second] = [before.devices.get(name), after.devices.get(name)];
    if (first === undefined || second === undefined) continue;
    for (const [counter, field] of Object.entries(deviceFields)) {
      const grown = growth(first[field], second[field]);
      const key = counter as keyof typeof deviceFields;
      if (grown !== undefined) deltas[key] = (deltas[key] ?? 0) + grown;
    }
  }
  return deltas;
}

const deviceFields = {
  deviceReceiveErrors: 'receiveErrors',
  deviceReceiveDrops: 'receiveDrops',
  deviceTransmitDrops: 'transmitDrops',
} as const;

function growth(
  before: number | readonly number[] | undefined,
  after: number | readonly number[],
): number | undefined {
  if (typeof after === 'number')
    return typeof before === 'number' ? difference(before, after) : undefined;
  // A processor that came or went meanwhile makes the lists incomparable.
  if (before === undefined || typeof before === 'number') return undefined;
  if (before.length !== after.length) return undefined;
  return after.reduce((sum, value, index) => sum + difference(before[index] ?? 0, value), 0);
}

/** A counter of 32 bits begins anew at 0; one of 64 bits lives longer than the machine. */
function difference(before: number, after: number): number {
  return after >= before ? after - before : (after - before + 2 ** 32) % 2 ** 32;
}

/**
 * Takes the counters of /proc/net/snmp and /proc/net/netstat, named `GROUP COLUMN`: of every group a line with the names and one with the
 * numbers, `Udp: InDatagrams NoPorts …` and `Udp: 793 0 …`.
 */
export function parseGroups(text: string): ReadonlyMap<string, number> {
  const counters = new Map<string, number>();
  const heads = new Map<string, readonly string[]>();
  for (const line of text.split('\n')) {
    const [group, ...words] = line.trim().split(/\s+/);
    if (group?.endsWith(':') !== true) continue;
    const names = heads.get(group);
    if (names === undefined) {
      heads.set(group, words);
      continue;
    }
    heads.delete(group);
    for (const [index, name] of names.entries()) {
      const value = decimal(words[index]);
      if (value !== undefined) counters.set(`${group.slice(0, -1)} ${name}`, value);
    }
  }
  return counters;
}

/** Takes the counters of /proc/net/snmp6: a name and a number on each line. */
export function parseList(text: string): ReadonlyMap<string, number> {
  const counters = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [name, word] = line.trim().split(/\s+/);
    const value = decimal(word);
    if (name !== undefined && value !== undefined) counters.set(name, value);
  }
  return counters;
}

/**
 * Takes the counters of a file of /proc/net/stat: a line with names, then one of hexadecimal numbers for each processor. Columns come and
 * go with kernels, so only their names count.
 */
export function parsePerProcessor(text: string): ReadonlyMap<string, readonly number[]> {
  const [head = '', ...lines] = text.split('\n').filter((line) => line.trim() !== '');
  const rows = lines.map((line) => line.trim().split(/\s+/).map(hexadecimal));
  const counters = new Map<string, readonly number[]>();
  for (const [index, name] of head.trim().split(/\s+/).entries()) {
    const values = rows.map((row) => row[index]).filter((value) => value !== undefined);
    if (name !== '' && rows.length > 0 && values.length === rows.length) counters.set(name, values);
  }
  return counters;
}

/** Takes the second column of /proc/net/softnet_stat, packets that found the backlog full, for each processor (softnet_seq_show). */
export function parseSoftnet(text: string): readonly number[] | undefined {
  const rows = text.split('\n').filter((line) => line.trim() !== '');
  const values = rows
    .map((line) => hexadecimal(line.trim().split(/\s+/)[1]))
    .filter((value) => value !== undefined);
  return values.length === 0 || values.length !== rows.length ? undefined : values;
}

/**
 * Takes the counters of interfaces from /proc/net/dev: `NAME: ` and received bytes, packets, errs, drop, fifo, frame, compressed,
 * multicast; then sent bytes, packets, errs, drop. A name may touch its first number.
 */
export function parseDevices(text: string): ReadonlyMap<string, DeviceCounters> {
  const devices = new Map<string, DeviceCounters>();
  for (const line of text.split('\n')) {
    const colon = line.lastIndexOf(':');
    if (colon < 0) continue;
    const numbers = line
      .slice(colon + 1)
      .trim()
      .split(/\s+/)
      .map(decimal);
    const [receiveErrors, receiveDrops, transmitDrops] = [numbers[2], numbers[3], numbers[11]];
    if (receiveErrors === undefined || receiveDrops === undefined || transmitDrops === undefined)
      continue;
    devices.set(line.slice(0, colon).trim(), { receiveErrors, receiveDrops, transmitDrops });
  }
  return devices;
}

function decimal(word: string | undefined): number | undefined {
  return word !== undefined && /^\d{1,20}$/.test(word) ? Number(word) : undefined;
}

function hexadecimal(word: string | undefined): number | undefined {
  if (word === undefined || !/^[0-9a-f]{1,16}$/i.test(word)) return undefined;
  // As wide as the kernel's number, it is compared in 32 bits.
  return Number.parseInt(word.slice(-8), 16);
}
