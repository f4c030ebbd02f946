/** What firewall rules can ask of the host, read from the kernel and compared with what was set up. */
import koffi from 'koffi';
import { beforeEach, describe, expect, test } from 'vitest';
import { programsOnPath, readPacketPrograms } from '../../checks/host/packet-programs.ts';
import { readSurroundings } from '../../checks/host/surroundings.ts';
import { enterNewNetwork, shell } from '../support/own-network.ts';

beforeEach(() => {
  enterNewNetwork();
  shell(`ip link add left type veth peer name right
    ip link add br0 type bridge; ip link set left master br0; ip link set left group 7
    for one in left right br0; do ip link set $one up; done
    ip addr add 10.9.9.1/24 dev br0; ip addr add 2001:db8::1/64 dev br0 nodad`);
});

test('interfaces with their addresses, types, groups and masters', () => {
  const { interfaces } = readSurroundings();
  expect(interfaces.find(({ name }) => name === 'lo')).toMatchObject({
    type: 772,
    addresses: expect.arrayContaining(['127.0.0.1/8', '::1/128']),
  });
  expect(interfaces.find(({ name }) => name === 'left')).toMatchObject({
    type: 1,
    group: 7,
    kind: 'veth',
    master: 'br0',
  });
  expect(interfaces.find(({ name }) => name === 'br0')).toMatchObject({
    kind: 'bridge',
    addresses: expect.arrayContaining(['10.9.9.1/24', '2001:db8::1/64']),
  });
});

test('routes of every type, with several hops', () => {
  shell(`ip route add 10.77.0.0/16 via 10.9.9.254 metric 5
    ip route add blackhole 10.78.0.0/16
    ip addr add 10.8.8.1/24 dev right
    ip route add 10.79.0.0/16 nexthop via 10.9.9.254 nexthop via 10.8.8.254
    ip route add 10.80.0.0/16 via 10.9.9.254 table 100`);
  const { routes = [] } = readSurroundings();
  expect(routes).toContainEqual({
    family: 'ip',
    destination: '10.77.0.0/16',
    type: 'unicast',
    table: 'main',
    metric: 5,
    interfaces: ['br0'],
    gateway: '10.9.9.254',
  });
  expect(routes).toContainEqual(
    expect.objectContaining({ destination: '10.78.0.0/16', type: 'blackhole' }),
  );
  expect(routes).toContainEqual(
    expect.objectContaining({ destination: '10.79.0.0/16', interfaces: ['br0', 'right'] }),
  );
  expect(routes).toContainEqual(
    expect.objectContaining({ destination: '10.9.9.1/32', type: 'local', table: 'local' }),
  );
  expect(routes).toContainEqual(
    expect.objectContaining({ family: 'ip6', destination: '2001:db8::/64', type: 'unicast' }),
  );
  // Only policy rules lead to other tables.
  expect(routes.filter(({ destination }) => destination === '10.80.0.0/16')).toEqual([]);
});

test('policy rules are noticed, and the usual three are none', () => {
  expect(readSurroundings().hasPolicyRouting).toBe(false);
  shell('ip rule add from 10.9.9.7 table 100');
  expect(readSurroundings().hasPolicyRouting).toBe(true);
  shell('ip rule del from 10.9.9.7 table 100');
  expect(readSurroundings().hasPolicyRouting).toBe(false);
  shell('ip -6 rule add fwmark 1 table main');
  expect(readSurroundings().hasPolicyRouting).toBe(true);
});

describe('what is not modelled', () => {
  test('nothing is there', () => {
    expect(readPacketPrograms(readSurroundings().interfaces)).toEqual([]);
  });

  test('filters of tc, also below the interface of the path', () => {
    shell(`tc qdisc add dev left clsact
      tc filter add dev left ingress protocol all u32 match u32 0 0
      tc filter add dev left egress protocol all bpf bytecode '1,6 0 0 0'`);
    const { interfaces } = readSurroundings();
    const programs = readPacketPrograms(interfaces);
    expect(programs).toEqual([
      { interface: 'left', place: 'tc-ingress', name: 'u32' },
      { interface: 'left', place: 'tc-egress', name: 'bpf without a name' },
    ]);
    const on = (path: Parameters<typeof programsOnPath>[2]) =>
      programsOnPath(programs, interfaces, path).map(({ place }) => place);
    expect(on({ inInterface: 'br0' })).toEqual(['tc-ingress']);
    expect(on({ outInterface: 'left' })).toEqual(['tc-egress']);
    expect(on({ inInterface: 'right', outInterface: 'right' })).toEqual([]);
    expect(on({})).toEqual([]);
  });

  test('programs of XDP and tcx', ({ skip }) => {
    const index = Number(shell('ip -o link show left | cut -d: -f1'));
    const attached = [BPF_XDP, BPF_TCX_EGRESS].every((type) => attachProgram(index, type));
    skip(!attached, 'this kernel lets nobody without CAP_BPF load a program');
    expect(readPacketPrograms(readSurroundings().interfaces)).toEqual([
      { interface: 'left', place: 'xdp', name: expect.stringMatching(/^program \d+$/) },
      { interface: 'left', place: 'tc-egress', name: expect.stringMatching(/^tcx program \d+$/) },
    ]);
  });
});

// linux/bpf.h
const BPF_PROG_LOAD = 5;
const BPF_LINK_CREATE = 28;
const BPF_XDP = 37;
const BPF_TCX_EGRESS = 47;
const programTypes: Readonly<Record<number, number>> = { [BPF_XDP]: 6, [BPF_TCX_EGRESS]: 3 };
const bpf = { x64: 321, arm64: 280 }[process.arch as 'x64' | 'arm64'];

/** Loads `r0 = 2; exit` (XDP_PASS; of tc anything) and attaches it by a link, which this process holds open. */
function attachProgram(index: number, attachType: number): boolean {
  const syscall = koffi.load(null).func('long syscall(long, int, void *, uint32_t)');
  const instructions = Uint8Array.from([0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]);
  const license = Buffer.from('GPL\0');
  const program = new DataView(new ArrayBuffer(72));
  program.setUint32(0, programTypes[attachType] ?? 0, true);
  program.setUint32(4, instructions.length / 8, true);
  program.setBigUint64(8, koffi.address(instructions), true);
  program.setBigUint64(16, koffi.address(license), true);
  const fd = syscall(bpf, BPF_PROG_LOAD, new Uint8Array(program.buffer), 72);
  if (fd < 0) return false;
  const link = new DataView(new ArrayBuffer(64));
  link.setUint32(0, fd, true);
  link.setUint32(4, index, true);
  link.setUint32(8, attachType, true);
  return syscall(bpf, BPF_LINK_CREATE, new Uint8Array(link.buffer), 64) >= 0;
}
