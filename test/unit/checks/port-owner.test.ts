import { describe, expect, test } from 'vitest';
import type { PortOwner } from '../../../checks/host/host.ts';
import { judgeOwners } from '../../../checks/port-owner.ts';

describe('port-owner', () => {
  const owner: PortOwner = {
    transport: 'tcp',
    family: 'ipv4',
    address: '127.0.0.1',
    port: 9099,
    uid: 0,
    inode: 7,
  };
  const felix = { ...owner, process: 'calico-node', pid: 12, kernel: false };
  const forProcess = {
    transport: 'tcp',
    port: 9099,
    processes: ['calico-node'],
    kernel: false,
  } as const;
  const forKernel = { ...forProcess, processes: [], kernel: true };
  const loopback = { ...forProcess, loopbackOnly: true };

  test.each<{
    name: string;
    params: Parameters<typeof judgeOwners>[0];
    owners: PortOwner[];
    want: object;
  }>([
    {
      name: 'nobody',
      params: forProcess,
      owners: [],
      want: { outcome: 'pass', evidence: { owner: 'nobody' } },
    },
    {
      name: 'the expected process',
      params: forProcess,
      owners: [felix],
      want: { outcome: 'pass' },
    },
    {
      name: 'the expected process, whose name the kernel has cut',
      params: { ...forProcess, processes: ['cilium-envoy-starter'] },
      owners: [{ ...felix, process: 'cilium-envoy-st' }],
      want: { outcome: 'pass' },
    },
    {
      name: 'a stranger',
      params: forProcess,
      owners: [{ ...felix, process: 'nginx' }],
      want: {
        outcome: 'fail',
        reason: 'port-taken',
        evidence: { owner: 'nginx', uid: 0, inode: 7 },
      },
    },
    {
      name: 'a stranger beside the expected process',
      params: forProcess,
      owners: [felix, { ...felix, family: 'ipv6', process: 'nginx' }],
      want: { outcome: 'fail', evidence: { owner: 'nginx' } },
    },
    {
      name: 'somebody who cannot be named, where somebody is expected',
      params: forProcess,
      owners: [owner],
      want: { outcome: 'pass', evidence: { owner: 'unnamed', inode: 7 } },
    },
    {
      name: 'the kernel, where it may',
      params: forKernel,
      owners: [{ ...owner, kernel: true }],
      want: { outcome: 'pass', evidence: { owner: 'kernel' } },
    },
    {
      name: 'the kernel, where it may not',
      params: forProcess,
      owners: [{ ...owner, kernel: true }],
      want: { outcome: 'fail', reason: 'port-taken', evidence: { owner: 'kernel' } },
    },
    {
      name: 'a process, where only the kernel may',
      params: forKernel,
      owners: [felix],
      want: { outcome: 'fail', reason: 'port-taken' },
    },
    {
      name: 'a process that cannot be named, where only the kernel may',
      params: forKernel,
      owners: [{ ...owner, kernel: false }],
      want: { outcome: 'fail', reason: 'port-taken' },
    },
    {
      name: 'what may be the kernel, where it may',
      params: forKernel,
      owners: [owner],
      want: { outcome: 'pass', evidence: { owner: 'unnamed' } },
    },
    {
      name: 'on loopback, as it must',
      params: loopback,
      owners: [felix],
      want: { outcome: 'pass' },
    },
    {
      name: 'on IPv6 loopback, as it must',
      params: loopback,
      owners: [{ ...felix, family: 'ipv6', address: '::1' }],
      want: { outcome: 'pass' },
    },
    ...['0.0.0.0', '::', '10.0.0.1'].map((address) => ({
      name: `beyond loopback on ${address}`,
      params: loopback,
      owners: [felix, { ...felix, address }],
      want: { outcome: 'fail', reason: 'listens-beyond-loopback', evidence: { address } },
    })),
  ])('$name', ({ params, owners, want }) => {
    expect(judgeOwners(params, owners)).toMatchObject(want);
  });
});
