import { expect, test } from 'vitest';
import { decodeEthernet, encodeEthernet } from '../../../../checks/packet/ethernet.ts';
import { damaged, hex, randomBytes, seeded, truncations } from './support.ts';

const plain = hex(`
  02434e495002  # destination
  02434e495001  # source
  88b5          # EtherType
  616263        # payload`);
const tagged = hex(`
  ffffffffffff  # destination
  02434e495001  # source
  88a8 0064     # service tag, VLAN 100
  8100 e00a     # customer tag, priority 7, VLAN 10
  0800          # EtherType
  45            # payload`);

test('a frame is laid out in wire order', () => {
  const frame = {
    destination: hex('02434e495002'),
    source: hex('02434e495001'),
    etherType: 0x88b5,
    payload: hex('616263'),
  };
  expect(encodeEthernet(frame)).toEqual(plain);
  expect(decodeEthernet(plain)).toEqual({ ...frame, vlans: [] });
});

test('VLAN tags are stepped over, outermost first', () => {
  expect(decodeEthernet(tagged)).toEqual({
    destination: hex('ffffffffffff'),
    source: hex('02434e495001'),
    vlans: [100, 10],
    etherType: 0x0800,
    payload: hex('45'),
  });
});

test('three tags are more than a node meets', () => {
  const frame = hex('ffffffffffff 02434e495001 8100 0001 8100 0002 8100 0003 0800 45');
  expect(decodeEthernet(frame)).toBeUndefined();
});

test('every truncation of the header is undefined', () => {
  for (const cut of truncations(plain)) {
    expect(decodeEthernet(cut) === undefined).toBe(cut.length < 14);
  }
  for (const cut of truncations(tagged)) {
    expect(decodeEthernet(cut) === undefined).toBe(cut.length < 22);
  }
});

test('no input makes the decoder throw', () => {
  const random = seeded(8021);
  for (let round = 0; round < 3000; round += 1) {
    const bytes = round % 2 === 0 ? randomBytes(random, 30) : damaged(random, tagged);
    const frame = decodeEthernet(bytes);
    if (frame !== undefined) {
      expect(frame.payload.length).toBe(bytes.length - 14 - 4 * frame.vlans.length);
    }
  }
});
