import { expect, test } from 'vitest';
import type { TrafficFilter } from '../../../checks/host/packet-programs.ts';
import { trafficFilters } from '../../../checks/traffic-filters.ts';
import { fakeContext, fakeHost } from '../../support/fake-host.ts';
import { link } from '../../support/links.ts';

const underlay = [
  {
    index: 2,
    interface: 'eth0',
    address: '10.0.0.1',
    prefixLength: 24,
    family: 'ipv4',
    scope: 'global',
  },
] as const;
const own: TrafficFilter = {
  interface: 'lxc1',
  place: 'tc-ingress',
  name: 'bpf cil_from_container-lxc1',
  priority: 1000,
};
const other: TrafficFilter = {
  interface: 'lxc1',
  place: 'tc-ingress',
  name: 'bpf classifier/ingress',
  priority: 1,
};

async function run(filters: readonly TrafficFilter[], links = [link('eth0'), link('lxc1')]) {
  const host = fakeHost({ filters, links, files: {} });
  const context = fakeContext({ host, underlay, interfaces: ['lxc*', 'cilium_*'] });
  return await trafficFilters.run({ own: ['bpf cil_*', 'bpf bpf_*'] }, { scope: 'node' }, context);
}

test('a filter of another program is asked first', async () => {
  expect(await run([own, other])).toMatchObject({
    outcome: 'fail',
    reason: 'foreign-filter',
    evidence: {
      interface: 'lxc1',
      place: 'tc-ingress',
      filter: 'bpf classifier/ingress',
      priority: 1,
    },
  });
  const there = { ...other, interface: 'eth0' };
  expect(
    await run([{ ...own, interface: 'eth0', name: 'bpf cil_from_netdev-eth0' }, there]),
  ).toMatchObject({
    outcome: 'fail',
    evidence: { interface: 'eth0' },
  });
});

test.each([
  { name: 'only its own', filters: [own] },
  { name: 'the other is asked later', filters: [own, { ...other, priority: 1001 }] },
  {
    name: 'both at one priority: which is first is not known',
    filters: [own, { ...other, priority: 1000 }],
  },
  { name: 'another place', filters: [own, { ...other, place: 'tc-egress' as const }] },
  { name: 'another interface', filters: [own, { ...other, interface: 'docker0' }] },
  {
    name: 'a device of which the provider has nothing',
    filters: [{ ...other, interface: 'eth0' }],
  },
  {
    name: 'tcx is there, whoever’s',
    filters: [own, other, { ...own, name: 'tcx program 7', priority: 0 }],
  },
])('$name: nothing', async ({ filters }) => {
  expect(await run(filters)).toMatchObject({ outcome: 'pass' });
});

test('before the provider has devices there is nothing to ask', async () => {
  expect(await run([other], [link('eth0')])).toMatchObject({ outcome: 'skip' });
});
