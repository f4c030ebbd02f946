import { describe, expect, test } from 'vitest';
import { decodeAddress, decodeLink, decodeRoute } from '../../../../checks/host/rtnetlink.ts';

const bytes = (...lines: string[]): Uint8Array => Buffer.from(lines.join(''), 'hex');

// Captured from Linux 6.18, statistics and queue attributes left out.
const plain = bytes(
  '00000100 02000000 43100100 00000000'.replaceAll(' ', ''), // ifinfomsg: index 2, IFF_UP
  '0e000300 666c616e6e656c2e31000000'.replaceAll(' ', ''), // IFLA_IFNAME flannel.1
  '08000400 dc050000'.replaceAll(' ', ''), // IFLA_MTU 1500
  'e0001200', // IFLA_LINKINFO
  '0a000100 76786c616e000000'.replaceAll(' ', ''), // IFLA_INFO_KIND vxlan
  'd0000200', // IFLA_INFO_DATA
  '0800010001000000', // IFLA_VXLAN_ID 1
  '080004007f000001', // IFLA_VXLAN_LOCAL
  '050005000000000005001c0000000000050006000000000005001d000000000008001a00000000000800200000000000',
  '0500070000000000', // IFLA_VXLAN_LEARNING 0
  '05000b000000000005000c000000000005000d000000000005000e0000000000',
  '0500190000000000', // IFLA_VXLAN_COLLECT_METADATA 0
  '080008002c0100000800090000000000',
  '06000f0021180000', // IFLA_VXLAN_PORT 8472
  '0500120001000000050013000000000005001400000000000500150000000000050016000000000005001f0001000000',
  '08000a00000000000c002100f7ffffff000000ff',
);
const external = bytes(
  '00000100030000004310010000000000',
  '0a0003006f75746572000000', // outer
  '08000400dc050000',
  'd80012000a00010076786c616e000000c8000200',
  '0800010000000000',
  '050005000000000005001c0000000000050006000000000005001d000000000008001a00000000000800200000000000',
  '0500070000000000',
  '05000b000000000005000c000000000005000d000000000005000e0000000000',
  '0500190001000000', // IFLA_VXLAN_COLLECT_METADATA 1
  '080008002c0100000800090000000000',
  '06000f0012b50000', // 4789
  '0500120001000000050013000000000005001400000000000500150000000000050016000000000005001f0001000000',
  '08000a00000000000c002100f7ffffff000000ff',
);
const ipv4Address = bytes(
  '02188000 05000000'.replaceAll(' ', ''), // ifaddrmsg: /24, universe, index 5
  '080001000a090901',
  '080002000a090901',
  '090003006c65667400000000',
);
const ipv6Address = bytes(
  '0a4080fd02000000', // scope link
  '14000100fe80000000000000c8d78efffeb3c38e',
);
const route = bytes(
  '02200000fe00000100020000', // rtmsg: RTN_UNICAST
  '08000f00fe000000',
  '080001000a4d0102', // RTA_DST
  '0800040005000000', // RTA_OIF 5
  '080007000a090901', // RTA_PREFSRC
  '080005000a0909fe', // RTA_GATEWAY
);
const names = new Map([[5, 'left']]);

describe('rtnetlink', () => {
  test('a plain VXLAN device', () => {
    expect(decodeLink(plain)).toEqual({
      index: 2,
      name: 'flannel.1',
      mtu: 1500,
      up: true,
      loopback: false,
      kind: 'vxlan',
      vni: 1,
      port: 8472,
      external: false,
      learning: false,
      local: '127.0.0.1',
    });
  });

  test('an external VXLAN device', () => {
    expect(decodeLink(external)).toMatchObject({
      name: 'outer',
      port: 4789,
      external: true,
      vni: 0,
    });
  });

  test.each([
    { name: 'with its flag, which has no value', lengths: ['28', '18'], flag: '04000600' },
    { name: 'without the flag', lengths: ['24', '14'], flag: '' },
  ])('a Geneve device $name', ({ lengths, flag }) => {
    const geneve = bytes(
      '00000100090000000000000000000000',
      '0700030067310000', // g1
      `${lengths[0]}001200`,
      '0b00010067656e6576650000', // geneve
      `${lengths[1]}000200`,
      '0800010064000000', // IFLA_GENEVE_ID 100
      '0600050017c10000', // IFLA_GENEVE_PORT 6081
      flag, // IFLA_GENEVE_COLLECT_METADATA
    );
    expect(decodeLink(geneve)).toMatchObject({
      kind: 'geneve',
      vni: 100,
      port: 6081,
      external: flag !== '',
    });
  });

  test('addresses of both families', () => {
    expect(decodeAddress(ipv4Address, names)).toEqual({
      index: 5,
      interface: 'left',
      address: '10.9.9.1',
      prefixLength: 24,
      family: 'ipv4',
      scope: 'global',
    });
    expect(decodeAddress(ipv6Address, names)).toMatchObject({
      address: 'fe80::c8d7:8eff:feb3:c38e',
      prefixLength: 64,
      scope: 'link',
      interface: '',
    });
  });

  test('on a point-to-point link the own address is IFA_LOCAL', () => {
    const peer = bytes('0220800005000000', '080001000a090902', '080002000a090901');
    expect(decodeAddress(peer, names)?.address).toBe('10.9.9.1');
  });

  test('a route with its gateway and source', () => {
    expect(decodeRoute(route, names)).toEqual({
      interface: 'left',
      index: 5,
      source: '10.9.9.1',
      gateway: '10.9.9.254',
      type: 'unicast',
      table: 254,
    });
  });

  test('no truncation throws', () => {
    for (const whole of [plain, external, ipv4Address, ipv6Address, route]) {
      for (let length = 0; length < whole.length; length++) {
        const part = whole.subarray(0, length);
        for (const decode of [
          () => decodeLink(part),
          () => decodeAddress(part, names),
          () => decodeRoute(part, names),
        ]) {
          expect(decode).not.toThrow();
        }
      }
    }
  });

  test('no damaged byte throws', () => {
    for (const whole of [plain, ipv4Address, route]) {
      for (let at = 0; at < whole.length; at++) {
        for (const value of [0x00, 0x01, 0x7f, 0xff]) {
          const damaged = Uint8Array.from(whole);
          damaged[at] = value;
          expect(() => {
            decodeLink(damaged);
            decodeAddress(damaged, names);
            decodeRoute(damaged, names);
          }).not.toThrow();
        }
      }
    }
  });
});
