import { describe, expect, test } from 'vitest';
import {
  byRequirement,
  cataloguePorts,
  configurationsOf,
  testedFamilies,
} from '../../../agent/assessment.ts';
import { loadCatalogue } from '../../../rules/load.ts';
import { someFinding } from '../../support/findings.ts';

const catalogue = await loadCatalogue({});

test.each([
  { port: 179, of: 'BGP' },
  { port: 4240, of: 'Cilium health' },
  { port: 4789, of: 'VXLAN of RKE2, Windows and Calico' },
  { port: 5473, of: 'Typha' },
  { port: 6081, of: 'Geneve' },
  { port: 6783, of: 'Weave' },
  { port: 6784, of: "Weave's data" },
  { port: 8472, of: 'VXLAN of Flannel and Cilium' },
  { port: 9099, of: 'Felix' },
  { port: 51_820, of: 'WireGuard of Flannel and Calico' },
  { port: 51_821, of: 'WireGuard of either over IPv6' },
  { port: 51_871, of: 'WireGuard of Cilium' },
])('$port ($of) is never a source port of ours', ({ port }) => {
  expect(cataloguePorts(catalogue).has(port)).toBe(true);
});

test('whatever the options, every port of a requirement is among them', () => {
  const ports = cataloguePorts(catalogue);
  for (const { requirements } of catalogue.providers.values()) {
    for (const { params } of requirements) {
      const port = params['port'];
      if (typeof port === 'number') expect(ports).toContain(port);
    }
  }
  expect([...ports].every((port) => Number.isInteger(port) && port >= 1 && port <= 65_535)).toBe(
    true,
  );
});

test('the configuration files of every provider are known by its name', () => {
  const names = configurationsOf(catalogue);
  expect([...names.keys()].sort()).toEqual([...catalogue.providers.keys()].sort());
  expect(names.get('calico')).toContain('10-calico.conflist');
});

test('findings have a stable order: requirement, then peer, family and direction', () => {
  const findings = [
    someFinding({ requirement: 'b.b', peer: 'worker-2' }),
    someFinding({ requirement: 'a.a', peer: 'worker-3' }),
    someFinding({ requirement: 'a.a', peer: 'worker-2', direction: 'outbound' }),
    someFinding({ requirement: 'a.a', peer: 'worker-2', direction: 'inbound' }),
    someFinding({ requirement: 'a.a', peer: 'worker-2', direction: 'inbound', family: 'ipv6' }),
    someFinding({ requirement: 'c.c' }),
  ];
  const sorted = [...findings].sort(byRequirement);
  expect([...findings].reverse().sort(byRequirement)).toEqual(sorted);
  expect(
    sorted.map(({ requirement, target }) =>
      target.scope === 'node'
        ? requirement
        : `${requirement} ${target.name} ${target.family} ${target.direction}`,
    ),
  ).toEqual([
    'a.a worker-2 ipv4 inbound',
    'a.a worker-2 ipv4 outbound',
    'a.a worker-2 ipv6 inbound',
    'a.a worker-3 ipv4 outbound',
    'b.b worker-2 ipv4 outbound',
    'c.c',
  ]);
});

describe('families of paths', () => {
  const dual = ['ipv4', 'ipv6', 'ipv6'] as const;
  const resolved = (ipFamily: string, origin: string) => ({
    options: { ipFamily },
    origins: { ipFamily: origin },
  });
  test.each([
    {
      name: 'listed by hand, presumed',
      own: dual,
      of: resolved('ipv4', 'default'),
      dns: false,
      want: ['ipv4', 'ipv6'],
    },
    {
      name: 'listed by hand, set',
      own: dual,
      of: resolved('ipv4', 'set'),
      dns: false,
      want: ['ipv4'],
    },
    {
      name: 'listed by DNS, presumed',
      own: dual,
      of: resolved('ipv4', 'default of rke2'),
      dns: true,
      want: ['ipv4'],
    },
    {
      name: 'listed by DNS, dual',
      own: dual,
      of: resolved('dual', 'set'),
      dns: true,
      want: ['ipv4', 'ipv6'],
    },
    { name: 'IPv6 set', own: dual, of: resolved('ipv6', 'set'), dns: false, want: ['ipv6'] },
    {
      name: 'a family that this node does not have',
      own: ['ipv6'] as const,
      of: resolved('ipv4', 'set'),
      dns: false,
      want: ['ipv6'],
    },
    { name: 'no provider yet', own: dual, of: undefined, dns: true, want: ['ipv4', 'ipv6'] },
  ])('$name', ({ own, of, dns, want }) => {
    expect(testedFamilies(own, of, dns)).toEqual(want);
  });
});
