import { expect, test } from 'vitest';
import { decodeVxlan, encodeVxlan } from '../../../../checks/packet/vxlan.ts';
import { damaged, hex, randomBytes, seeded, truncations } from './support.ts';

const packet = hex(`
  08      # flags: I
  000000  # reserved
  fffffe  # VNI
  00      # reserved
  616263  # frame`);

test('a packet is laid out as RFC 7348 section 5 says', () => {
  expect(encodeVxlan({ vni: 0xfffffe, payload: hex('616263') })).toEqual(packet);
  expect(decodeVxlan(packet)).toEqual({ vni: 0xfffffe, payload: hex('616263') });
});

test('without a VNI the I flag is clear and the header all zero', () => {
  const bytes = hex('0000000000000000 6162');
  expect(encodeVxlan({ payload: hex('6162') })).toEqual(bytes);
  expect(decodeVxlan(bytes)).toEqual({ payload: hex('6162') });
});

test('reserved bits are ignored, and VNI 0 is a VNI', () => {
  expect(decodeVxlan(hex('f8ffffff 000000ff'))).toEqual({ vni: 0, payload: new Uint8Array(0) });
});

test.each([-1, 1.5, 0x1000000])('a VNI of %d throws', (vni) => {
  expect(() => encodeVxlan({ vni, payload: new Uint8Array(0) })).toThrow(RangeError);
});

test('every truncation of the header is undefined', () => {
  for (const cut of truncations(packet)) {
    expect(decodeVxlan(cut) === undefined).toBe(cut.length < 8);
  }
});

test('no input makes the decoder throw', () => {
  const random = seeded(7348);
  for (let round = 0; round < 2000; round += 1) {
    decodeVxlan(round % 2 === 0 ? randomBytes(random, 20) : damaged(random, packet));
  }
});
