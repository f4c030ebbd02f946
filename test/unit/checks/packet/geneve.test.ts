import { expect, test } from 'vitest';
import { decodeGeneve, encodeGeneve } from '../../../../checks/packet/geneve.ts';
import { damaged, hex, randomBytes, seeded, truncations } from './support.ts';

const withOptions = hex(`
  02                # version 0, options of 2 words
  c0                # O and C
  6558              # protocol type: Ethernet
  abcdef            # VNI
  00                # reserved
  0102 80 01 00000007  # option
  616263            # payload`);

test('a packet is laid out as RFC 8926 section 3.4 says', () => {
  const payload = hex('6162');
  const bytes = hex('c0 00 6558 abcdef 00 6162');
  expect(encodeGeneve({ version: 3, protocolType: 0x6558, vni: 0xabcdef, payload })).toEqual(bytes);
  expect(decodeGeneve(bytes)).toEqual({
    version: 3,
    control: false,
    critical: false,
    protocolType: 0x6558,
    vni: 0xabcdef,
    options: new Uint8Array(0),
    payload,
  });
});

test('options are stepped over', () => {
  expect(decodeGeneve(withOptions)).toEqual({
    version: 0,
    control: true,
    critical: true,
    protocolType: 0x6558,
    vni: 0xabcdef,
    options: hex('0102 80 01 00000007'),
    payload: hex('616263'),
  });
});

test.each([
  { version: 4, vni: 0 },
  { version: -1, vni: 0 },
  { version: 0, vni: 0x1000000 },
  { version: 0, vni: -1 },
])('version $version with VNI $vni throws', ({ version, vni }) => {
  const rest = { protocolType: 0x6558, payload: new Uint8Array(0) };
  expect(() => encodeGeneve({ version, vni, ...rest })).toThrow(RangeError);
});

test('every truncation of header and options is undefined', () => {
  for (const cut of truncations(withOptions)) {
    expect(decodeGeneve(cut) === undefined).toBe(cut.length < 16);
  }
});

test('no input makes the decoder throw', () => {
  const random = seeded(8926);
  for (let round = 0; round < 2000; round += 1) {
    decodeGeneve(round % 2 === 0 ? randomBytes(random, 40) : damaged(random, withOptions));
  }
});
