import { describe, expect, test } from 'vitest';
import type { PeerTarget } from '../../../checks/check.ts';
import type { FirewallReading } from '../../../checks/host/firewall.ts';
import { hostFirewall } from '../../../checks/host-firewall.ts';
import { fakeContext, fakeHost } from '../../support/fake-host.ts';
import { decidedByRule, someRule, someView } from '../../support/firewall.ts';

const peer: PeerTarget = {
  scope: 'peer',
  name: 'worker-2',
  address: '10.0.0.2',
  family: 'ipv4',
  mustReach: true,
};
const inbound: PeerTarget = { ...peer, direction: 'inbound' };
const run = async (
  reading: FirewallReading | ReturnType<typeof someView>,
  target = inbound,
  params: Parameters<typeof hostFirewall.run>[0] = { protocol: 'udp', port: 8472 },
) =>
  await hostFirewall.run(
    params,
    target,
    fakeContext({
      host: {
        ...fakeHost(),
        firewall: async () => ('readable' in reading ? reading : { readable: true, view: reading }),
      },
    }),
  );
const dropped = { verdict: 'drop', decidedBy: decidedByRule() } as const;

describe('a rule that drops', () => {
  test('inbound is this node’s ingress, with the rule', async () => {
    expect(await run(someView(dropped))).toMatchObject({
      outcome: 'fail',
      reason: 'dropped-by-receiver-firewall',
      evidence: { protocol: 'udp', port: 8472, verdict: 'drop', interface: 'eth0', generation: 7 },
      // The sender of an inbound packet is the peer, and this node is the peer's peer.
      culprit: { where: 'receiver-ingress', node: 'peer', firewall: { handle: 12, hook: 'input' } },
    });
  });

  test('outbound is this node’s egress', async () => {
    expect(await run(someView(dropped), peer)).toMatchObject({
      outcome: 'fail',
      reason: 'dropped-by-sender-firewall',
      culprit: { where: 'sender-egress', node: 'this' },
    });
  });

  test('others that could have decided are named', async () => {
    const candidates = [decidedByRule(someRule({ handle: 13 }))];
    expect(await run(someView({ ...dropped, candidates }))).toMatchObject({
      culprit: { firewall: { handle: 12 }, candidates: [{ handle: 13 }] },
    });
  });
});

test('a reject says so', async () => {
  const reject = { verdict: 'reject', decidedBy: decidedByRule() } as const;
  expect(await run(someView(reject))).toMatchObject({ reason: 'rejected-by-receiver-firewall' });
  expect(await run(someView(reject), peer)).toMatchObject({
    reason: 'rejected-by-sender-firewall',
  });
});

test('an accept passes, and says who accepted', async () => {
  expect(await run(someView({ decidedBy: decidedByRule() }))).toMatchObject({
    outcome: 'pass',
    evidence: { verdict: 'accept', decidedBy: expect.stringContaining('inet filter input') },
  });
});

test('a redirect is a fail, with where it goes', async () => {
  const rewrites = [{ rule: someRule(), kind: 'redirect', port: 9999, certain: true }] as const;
  expect(await run(someView({ arrives: 'elsewhere', rewrites }))).toMatchObject({
    outcome: 'fail',
    reason: 'rewritten',
    evidence: { verdict: 'redirected', rewrittenTo: 'this host port 9999' },
  });
});

describe('what cannot be told is unknown', () => {
  test('an open match', async () => {
    const rule = someRule();
    const unknowns = [
      { rule, expression: { kind: 'notrack' }, why: 'limit rate 3/minute' },
    ] as const;
    expect(await run(someView({ verdict: 'undetermined', unknowns }))).toMatchObject({
      outcome: 'unknown',
      reason: 'firewall-undetermined',
      evidence: { verdict: 'undetermined', undetermined: 'limit rate 3/minute' },
    });
  });

  test('a program on the way', async () => {
    const programs = [{ interface: 'eth0', place: 'xdp', name: 'program 7' }] as const;
    expect(await run(someView({}, { programs }))).toMatchObject({
      outcome: 'unknown',
      reason: 'firewall-undetermined',
      evidence: { notModelled: 'XDP program 7 on eth0' },
    });
    expect(await run(someView(dropped, { programs }))).toMatchObject({
      outcome: 'fail',
      evidence: { notModelled: 'XDP program 7 on eth0' },
    });
  });

  test('rules that may not be read', async () => {
    const why = 'reading the firewall needs CAP_NET_ADMIN';
    expect(await run({ readable: false, reason: 'missing-net-admin', why })).toMatchObject({
      outcome: 'unknown',
      reason: 'missing-net-admin',
      evidence: { why },
    });
  });
});

test.each([
  ['icmp', peer, { protocol: 1, icmpType: 8, icmpCode: 0 }],
  [
    'icmp',
    { ...peer, family: 'ipv6', address: 'fd00::2' } as const,
    { protocol: 58, icmpType: 128, icmpCode: 0 },
  ],
  [4, peer, { protocol: 4 }],
  ['tcp', peer, { protocol: 6, destinationPort: 179 }],
] as const)('the question about %s', async (protocol, target, want) => {
  const view = someView({});
  await run(view, target, protocol === 'tcp' ? { protocol, port: 179 } : { protocol });
  expect(view.asked[0]).toMatchObject(want);
});
