import { describe, expect, test } from 'vitest';
import type { PolicyRule } from '../../../../checks/host/host.ts';
import { decodeListedRoute, decodeRule, isUsualRule } from '../../../../checks/host/routing.ts';

const bytes = (...lines: string[]): Uint8Array =>
  Buffer.from(lines.join('').replaceAll(' ', ''), 'hex');

// Captured from Linux 6.18.
const route = bytes(
  '02100000 fe030001 00000000', // rtmsg: /16, table 254, protocol 3 (boot), RTN_UNICAST
  '08000f00 fe000000', // RTA_TABLE
  '08000100 0a4f0000', // RTA_DST 10.79.0.0
  '24000900', // RTA_MULTIPATH
  '10000000 03000000 08000500 0a0909fe', // rtnexthop: interface 3, RTA_GATEWAY 10.9.9.254
  '10000400 02000000 08000500 0af40000', // rtnexthop: RTNH_F_ONLINK, interface 2
);
const rule = bytes(
  '02002000 fc000001 02000000', // fib_rule_hdr: source /32, table 252 (compat), FR_ACT_TO_TBL; FIB_RULE_INVERT
  '08000f00 c0760000', // FRA_TABLE 30400
  '08000e00 ffffffff', // FRA_SUPPRESS_PREFIXLEN none
  '05001500 00000000', // FRA_PROTOCOL
  '07000300 6c6f0000', // FRA_IIFNAME lo
  '08000600 2c010000', // FRA_PRIORITY 300
  '08000a00 10000000', // FRA_FWMARK
  '08001000 ff000000', // FRA_FWMASK
  '08000200 0a090101', // FRA_SRC
);
const names = new Map([
  [2, 'right'],
  [3, 'left'],
]);

describe('a route of a dump', () => {
  test('with its hops', () => {
    expect(decodeListedRoute(route, names)).toEqual({
      family: 'ipv4',
      destination: '10.79.0.0/16',
      type: 'unicast',
      table: 254,
      protocol: 3,
      metric: 0,
      hops: [
        { interface: 'left', index: 3, gateway: '10.9.9.254', onlink: false },
        { interface: 'right', index: 2, gateway: '10.244.0.0', onlink: true },
      ],
    });
  });

  test.each([
    { name: 'a copy in the cache', at: 9, value: 0x02 },
    { name: 'one whose interface is gone', at: 8, value: 0x01 },
    { name: 'one of another family', at: 0, value: 7 },
    { name: 'a prefix longer than an address', at: 1, value: 33 },
  ])('but not $name', ({ at, value }) => {
    const changed = Uint8Array.from(route);
    changed[at] = value;
    expect(decodeListedRoute(changed, names)).toBeUndefined();
  });
});

describe('a policy rule', () => {
  test('with its selectors', () => {
    expect(decodeRule(rule)).toEqual({
      family: 'ipv4',
      priority: 300,
      action: 'lookup',
      table: 30400,
      protocol: 0,
      inverted: true,
      source: '10.9.1.1/32',
      inInterface: 'lo',
      mark: { value: 0x10, mask: 0xff },
      others: [],
    });
  });

  const main: PolicyRule = {
    family: 'ipv4',
    priority: 32766,
    action: 'lookup',
    table: 254,
    protocol: 2,
    inverted: false,
    others: [],
  };
  test.each<{ name: string; change: Partial<PolicyRule>; want: boolean }>([
    { name: 'main', change: {}, want: true },
    { name: 'local', change: { priority: 0, table: 255 }, want: true },
    { name: 'another table', change: { table: 52 }, want: false },
    { name: 'another place', change: { priority: 100, table: 255 }, want: false },
    { name: 'a selector', change: { mark: { value: 1, mask: 1 } }, want: false },
    { name: 'not', change: { inverted: true }, want: false },
    { name: 'no default routes', change: { suppressPrefixLength: 0 }, want: false },
    { name: 'something else', change: { others: ['uid-range'] }, want: false },
    { name: 'no look-up', change: { action: 'prohibit' }, want: false },
  ])('is one of every Linux or not: $name', ({ change, want }) => {
    expect(isUsualRule({ ...main, ...change })).toBe(want);
  });
});

test('no truncation and no damaged byte throws', () => {
  for (const whole of [route, rule]) {
    for (let at = 0; at < whole.length; at++) {
      const changes = [0x00, 0x01, 0x7f, 0xff].map((value) => {
        const damaged = Uint8Array.from(whole);
        damaged[at] = value;
        return damaged;
      });
      for (const damaged of [whole.subarray(0, at), ...changes]) {
        expect(() => {
          decodeListedRoute(damaged, names);
          decodeRule(damaged);
        }).not.toThrow();
      }
    }
  }
});
