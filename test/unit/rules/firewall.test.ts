import { expect, test } from 'vitest';
import { pathRequirementOf, withFirewallRequirements } from '../../../rules/firewall.ts';
import type { Requirement } from '../../../rules/schema.ts';
import { nodeRequirement, udpRequirement } from '../../support/findings.ts';

const vxlan = udpRequirement();
const derived = (requirements: readonly Requirement[]) =>
  withFirewallRequirements(requirements).filter(({ kind }) => kind === 'host-firewall');

test('a requirement with a port is followed by the same question to the firewall', () => {
  const [own, question] = withFirewallRequirements([vxlan]);
  expect(own).toBe(vxlan);
  expect(question).toMatchObject({
    id: 'canal.vxlan.firewall',
    kind: 'host-firewall',
    level: 'required',
    scope: 'peer',
    direction: 'both',
    params: { protocol: 'udp', port: 8472 },
    source: vxlan.source,
  });
  expect(pathRequirementOf('canal.vxlan.firewall')).toBe('canal.vxlan');
  expect(pathRequirementOf('canal.vxlan')).toBe('canal.vxlan');
});

const common = { ...vxlan, id: 'x.y' };
test.each<{ name: string; given: Requirement; want: object }>([
  {
    name: 'TCP',
    given: { ...common, kind: 'tcp-port', params: { port: 179 } },
    want: { protocol: 'tcp', port: 179 },
  },
  {
    name: 'a protocol without ports',
    given: { ...common, kind: 'ip-protocol', params: { protocol: 4 } },
    want: { protocol: 4 },
  },
  { name: 'ICMP', given: { ...common, kind: 'icmp-echo', params: {} }, want: { protocol: 'icmp' } },
])('$name', ({ given, want }) => {
  expect(derived([given])[0]?.params).toEqual(want);
});

test('what has no port, and what must not be reached, asks nothing', () => {
  expect(derived([nodeRequirement(), udpRequirement({ scope: 'host-local' })])).toEqual([]);
});

test('of two requirements with one port the first asks, of another level both do', () => {
  const large: Requirement = {
    ...vxlan,
    id: 'canal.vxlan-size',
    kind: 'vxlan-path',
    params: { port: 8472, overheadBytes: 50 },
  };
  expect(derived([vxlan, large]).map(({ id }) => id)).toEqual(['canal.vxlan.firewall']);
  expect(derived([vxlan, { ...large, level: 'info' }])).toHaveLength(2);
});

test('alternatives stay alternatives, among themselves', () => {
  expect(derived([udpRequirement({ anyOf: 'health' })])[0]?.anyOf).toBe('health.firewall');
});
