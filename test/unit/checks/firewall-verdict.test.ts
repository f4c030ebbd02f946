import { describe, expect, test } from 'vitest';
import {
  backendOf,
  type FirewallQuestion,
  judge,
  packetOf,
  placeOf,
  placeText,
} from '../../../checks/firewall-verdict.ts';
import {
  decidedByPolicy,
  decidedByRule,
  someChain,
  someFirewallAnswer,
  someRule,
  someRuleset,
} from '../../support/firewall.ts';

const vxlan: FirewallQuestion = {
  direction: 'inbound',
  protocol: 17,
  port: 8472,
  family: 'ipv4',
  peer: '10.0.0.2',
};
const way = { interface: 'eth0', source: '10.0.0.1' };

describe('the packet of a question', () => {
  test('comes in from the peer, through the interface that leads to it, with an open source port', () => {
    expect(packetOf(vxlan, way)).toEqual({
      direction: 'in',
      protocol: 17,
      family: 'ip',
      source: '10.0.0.2',
      destination: '10.0.0.1',
      inInterface: 'eth0',
      destinationPort: 8472,
      conntrack: 'new',
      mark: 0,
    });
  });

  test('goes out to the peer', () => {
    expect(packetOf({ ...vxlan, direction: 'outbound' }, way)).toEqual({
      direction: 'out',
      protocol: 17,
      family: 'ip',
      source: '10.0.0.1',
      destination: '10.0.0.2',
      outInterface: 'eth0',
      destinationPort: 8472,
      conntrack: 'new',
      mark: 0,
    });
  });

  test('without a route, interface and own address stay open', () => {
    const { inInterface, destination } = packetOf(vxlan, undefined);
    expect([inInterface, destination]).toEqual([undefined, undefined]);
  });
});

describe('the verdict', () => {
  const packet = packetOf(vxlan, way);
  const program = { interface: 'eth0', place: 'xdp', name: 'program 7' } as const;
  const verdictOf = (
    change: Parameters<typeof someFirewallAnswer>[0],
    programs: Parameters<typeof judge>[2] = [],
  ) => judge(packet, someFirewallAnswer(change), programs, someRuleset()).verdict;

  test('is that of the evaluation', () => {
    expect(verdictOf({})).toBe('accept');
    expect(verdictOf({ verdict: 'drop' })).toBe('drop');
    expect(verdictOf({ verdict: 'reject' })).toBe('reject');
  });

  test('what user space or another device gets is not told', () => {
    expect(verdictOf({ verdict: 'queue' })).toBe('undetermined');
    expect(verdictOf({ verdict: 'stolen' })).toBe('undetermined');
    expect(verdictOf({ verdict: 'undetermined' })).toBe('undetermined');
  });

  test('an accept that ends elsewhere is no accept', () => {
    expect(verdictOf({ arrives: 'elsewhere' })).toBe('redirected');
    expect(verdictOf({ arrives: 'maybe-elsewhere' })).toBe('undetermined');
  });

  test('a program on the way makes an accept undetermined, and cannot save what is dropped', () => {
    expect(verdictOf({}, [program])).toBe('undetermined');
    expect(verdictOf({ verdict: 'drop' }, [program])).toBe('drop');
  });

  test('the new destination is that of the last rewrite, and no source is one', () => {
    const rewrite = { rule: someRule(), certain: true };
    const { rewrittenTo } = judge(
      packet,
      someFirewallAnswer({
        arrives: 'elsewhere',
        rewrites: [
          { ...rewrite, kind: 'dnat', address: '10.0.0.9', port: 80 },
          { ...rewrite, kind: 'masquerade' },
        ],
      }),
      [],
      someRuleset(),
    );
    expect(rewrittenTo).toBe('10.0.0.9 port 80');
  });
});

describe('the place', () => {
  test('a policy has no handle', () => {
    const chain = someChain({
      base: { type: 'filter', hook: 'input', priority: 0, policy: 'drop', devices: [] },
    });
    const place = placeOf(decidedByPolicy(chain), someRuleset());
    expect(place).toEqual({
      backend: 'nf_tables',
      family: 'inet',
      table: 'filter',
      chain: 'input',
      hook: 'input',
      policy: 'drop',
    });
    expect(place === undefined ? '' : placeText(place)).toBe('inet filter input: policy drop');
  });

  test('a rule of a chain that was jumped to has the hook of the base chain', () => {
    const rule = someRule({ chain: 'mine', handle: 31 });
    expect(placeOf(decidedByRule(rule), someRuleset())).toMatchObject({
      chain: 'mine',
      hook: 'input',
      handle: 31,
      rule: expect.any(String),
    });
  });

  test('legacy iptables has rule numbers and no handles', () => {
    const rule = someRule({ backend: 'iptables-legacy', family: 'ip', handle: 0, index: 3 });
    const place = placeOf(decidedByRule(rule), someRuleset());
    expect(place).toMatchObject({ backend: 'iptables-legacy', number: 3 });
    expect(place).not.toHaveProperty('handle');
  });

  test('nobody is nowhere', () => {
    expect(placeOf({ kind: 'none' }, someRuleset())).toBeUndefined();
  });
});

describe('iptables-nft is told from nft', () => {
  const match = { kind: 'match', name: 'comment', revision: 0, info: new Uint8Array() } as const;
  const own = someChain({ family: 'ip', name: 'INPUT' });
  const { base: _base, ...jumped } = someChain({ family: 'ip', name: 'ufw-user-input' });
  test.each([
    ['its own base chain', own, [own], undefined, 'iptables-nft'],
    ['another chain of that table', jumped, [own, jumped], someRule(), 'iptables-nft'],
    ['the same chain without that', jumped, [jumped], someRule(), 'nf_tables'],
    ['a match of x_tables', jumped, [jumped], someRule({ expressions: [match] }), 'iptables-nft'],
    ['inet', someChain({ name: 'INPUT' }), [someChain({ name: 'INPUT' })], undefined, 'nf_tables'],
    [
      'lower case',
      someChain({ family: 'ip' }),
      [someChain({ family: 'ip' })],
      someRule(),
      'nf_tables',
    ],
    [
      'another table',
      someChain({ family: 'ip', table: 'mine', name: 'INPUT' }),
      [someChain({ family: 'ip', table: 'mine', name: 'INPUT' }), own],
      undefined,
      'nf_tables',
    ],
    ['legacy', someChain({ backend: 'iptables-legacy' }), [own], undefined, 'iptables-legacy'],
  ] as const)('%s', (_name, chain, chains, rule, want) => {
    expect(backendOf(chain, { chains }, rule)).toBe(want);
  });

  test('what a rule has counted is no part of its text', () => {
    const counted = someRule({
      expressions: [
        { kind: 'counter', packets: 7, bytes: 700 },
        { kind: 'verdict', verdict: { code: 'drop' } },
      ],
    });
    expect(placeOf(decidedByRule(counted), someRuleset())?.rule).toBe('counter drop');
  });
});
