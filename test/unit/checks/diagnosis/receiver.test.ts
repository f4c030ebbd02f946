import { describe, expect, test } from 'vitest';
import type { Flow, Sight } from '../../../../checks/diagnosis/evidence.ts';
import { openLookout } from '../../../../checks/diagnosis/receiver.ts';
import { type Host, HostError, type PortOwner } from '../../../../checks/host/host.ts';
import type { TapReport } from '../../../../checks/host/network.ts';
import { fakeHost } from '../../../support/fake-host.ts';
import { fakeNetwork } from '../../../support/fake-network.ts';

const flow: Flow = {
  family: 'ipv4',
  source: '192.0.2.2',
  destination: '192.0.2.1',
  protocol: 17,
  port: 8472,
};
const nothing: Sight = {
  probes: 0,
  answers: 0,
  fragments: 0,
  errors: [],
  otherHost: 0,
  badChecksums: 0,
  interfaces: [],
};
const report: TapReport = {
  out: nothing,
  nic: { ...nothing, probes: 3, interfaces: ['lo', 'eth1'] },
  pastIngress: { ...nothing, probes: 3, interfaces: ['eth1'] },
  lost: 0,
  pastInput: 2,
};
const owner: PortOwner = {
  transport: 'udp',
  family: 'ipv4',
  address: '0.0.0.0',
  port: 8472,
  inode: 7,
  kernel: true,
  uid: 0,
};

function machine(change: Partial<Host> = {}): Host {
  const files = {
    '/proc/sys/net/ipv4/conf/all/rp_filter': '0\n',
    '/proc/sys/net/ipv4/conf/eth1/rp_filter': '1\n',
    '/proc/sys/net/ipv4/icmp_echo_ignore_all': '1\n',
  };
  return {
    ...fakeHost({ files, owners: [owner] }),
    network: fakeNetwork({ tap: () => report }),
    firewall: async () => ({ readable: false, reason: 'missing-net-admin', why: '' }),
    addresses: async () => [],
    route: async () => ({ interface: 'eth0', index: 2, type: 'unicast' }),
    ...change,
  };
}

const say = async (host: Host, asked = flow) => await (await openLookout(host, asked)).stop();

test('what was seen, and what is known beside it', async () => {
  expect(await say(machine())).toEqual({
    witnessed: 2,
    stations: {
      out: report.out,
      nic: report.nic,
      pastIngress: report.pastIngress,
      lost: 0,
      counters: {},
    },
    owner: 'kernel',
    ownsDestination: false,
    interfaceToSender: 'eth0',
    // Of the interface that the probes came in on, and not of that of the way back.
    reversePathFilter: 1,
  });
});

test('without raw sockets the rest is said all the same', async () => {
  const refuse = (): never => {
    throw new HostError('missing-net-raw', 'no');
  };
  const evidence = await say(machine({ network: fakeNetwork({ tap: refuse }) }));
  expect(evidence).not.toHaveProperty('stations');
  expect(evidence).not.toHaveProperty('witnessed');
  expect(evidence).toMatchObject({ owner: 'kernel', interfaceToSender: 'eth0' });
});

test('what cannot be looked at is not claimed to be broken', async () => {
  const denied = async (): Promise<never> => {
    throw new HostError('EACCES', 'no');
  };
  const evidence = await say(machine({ addresses: denied, route: denied, portOwners: denied }));
  expect(evidence).toMatchObject({ owner: 'unknown', ownsDestination: true });
  expect(evidence).not.toHaveProperty('interfaceToSender');
  expect(evidence).not.toHaveProperty('rules');
});

describe('who has the port', () => {
  test.each<readonly [string, readonly PortOwner[], string]>([
    ['nobody', [], 'nobody'],
    ['somebody on another address', [{ ...owner, address: '127.0.0.1' }], 'nobody'],
    ['a process', [{ ...owner, kernel: false, process: 'flanneld' }], 'process'],
    [
      'a process on all addresses of both families',
      [{ ...owner, address: '::', kernel: false }],
      'process',
    ],
    ['somebody who cannot be named', [omitKernel()], 'unknown'],
  ])('%s', async (_name, owners, want) => {
    expect((await say(machine({ portOwners: async () => owners }))).owner).toBe(want);
  });
});

test('of echo, whether the kernel answers any', async () => {
  const { port: _, ...echo } = { ...flow, protocol: 1 };
  expect(await say(machine(), echo)).toMatchObject({ owner: 'kernel', echoIgnored: true });
});

function omitKernel(): PortOwner {
  const { kernel: _, ...rest } = owner;
  return rest;
}
