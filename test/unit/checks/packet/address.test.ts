import { isIP } from 'node:net';
import { expect, test } from 'vitest';
import {
  formatAddress,
  mapTo16,
  parseAddress,
  sameAddress,
  unmap,
} from '../../../../checks/packet/address.ts';
import { address, hex, randomBytes, seeded } from './support.ts';

test.each([
  { text: '0.0.0.0', bytes: '00000000' },
  { text: '192.0.2.255', bytes: 'c00002ff' },
  { text: '::', bytes: '00000000000000000000000000000000' },
  { text: '::1', bytes: '00000000000000000000000000000001' },
  { text: '1::', bytes: '00010000000000000000000000000000' },
  { text: '2001:db8::1:0:0:1', bytes: '20010db8000000000001000000000001' },
  { text: '2001:DB8:0:0:1:0:0:1', bytes: '20010db8000000000001000000000001' },
  { text: '::ffff:192.0.2.1', bytes: '00000000000000000000ffffc0000201' },
  { text: '64:ff9b::192.0.2.33', bytes: '0064ff9b0000000000000000c0000221' },
  { text: '1:2:3:4:5:6:7::', bytes: '00010002000300040005000600070000' },
  { text: '::2:3:4:5:6:7:8', bytes: '00000002000300040005000600070008' },
  { text: '1:2:3:4:5:6:1.2.3.4', bytes: '00010002000300040005000601020304' },
])('$text is read', ({ text, bytes }) => {
  expect(parseAddress(text)).toEqual(hex(bytes));
});

test.each([
  '',
  '1.2.3',
  '1.2.3.4.5',
  '256.0.0.1',
  '01.2.3.4',
  '1.2.3.4 ',
  '0x1.2.3.4',
  '1.2.3.',
  ':',
  ':::',
  '1::2::3',
  '1:2:3:4:5:6:7',
  '1:2:3:4:5:6:7:8:9',
  '1:2:3:4:5:6:7:8::',
  '1:2:3:4::5:6:7:8',
  '12345::',
  'g::',
  ':1:2:3:4:5:6:7',
  '1:2:3:4:5:6:7:',
  '::1.2.3.4:5',
  '1.2.3.4::',
  '1:2:3:4:5:6:7:1.2.3.4',
  '::1.2.3',
  'fe80::1%eth0',
  '[::1]',
  'node-1',
])('%s is refused', (text) => {
  expect(parseAddress(text)).toBeUndefined();
});

test.each([
  {
    name: 'RFC 5952 4.2.1: as short as possible',
    bytes: '20010db8000000000000000000020001',
    text: '2001:db8::2:1',
  },
  {
    name: 'RFC 5952 4.2.2: one zero group is not shortened',
    bytes: '20010db8000000010001000100010001',
    text: '2001:db8:0:1:1:1:1:1',
  },
  {
    name: 'RFC 5952 4.2.3: the longest run',
    bytes: '20010000000000010000000000000001',
    text: '2001:0:0:1::1',
  },
  {
    name: 'RFC 5952 4.2.3: the first of equal runs',
    bytes: '20010db8000000000001000000000001',
    text: '2001:db8::1:0:0:1',
  },
  {
    name: 'RFC 5952 4.1 and 4.3: no leading zeros, lower case',
    bytes: 'fe8000000000000000000000000a0b0c',
    text: 'fe80::a:b0c',
  },
  {
    name: 'RFC 5952 5: mapped in mixed notation',
    bytes: '00000000000000000000ffffc0000201',
    text: '::ffff:192.0.2.1',
  },
  { name: 'all zero', bytes: '00000000000000000000000000000000', text: '::' },
  { name: 'a run at the end', bytes: '00010002000300040005000600000000', text: '1:2:3:4:5:6::' },
  { name: 'a run at the start', bytes: '00000000000300040005000600070008', text: '::3:4:5:6:7:8' },
  { name: 'IPv4', bytes: '0a000102', text: '10.0.1.2' },
])('$name: $text', ({ bytes, text }) => {
  expect(formatAddress(hex(bytes))).toBe(text);
});

test('any address survives formatting and parsing, and Node agrees that the text is one', () => {
  const random = seeded(5952);
  for (let round = 0; round < 2000; round += 1) {
    const bytes = new Uint8Array(random() % 2 === 0 ? 4 : 16);
    for (const index of bytes.keys()) bytes[index] = random() % 3 === 0 ? random() & 0xff : 0;
    const text = formatAddress(bytes);
    expect(parseAddress(text), text).toEqual(bytes);
    expect(isIP(text), text).toBe(bytes.length === 4 ? 4 : 6);
  }
});

test('what is read is what Node calls an address without a zone, for thousands of near misses', () => {
  const random = seeded(4291);
  const letters = '0123456789af:::..';
  let addresses = 0;
  for (let round = 0; round < 20000; round += 1) {
    const text = Array.from(randomBytes(random, 12), (byte) => letters[byte % letters.length]).join(
      '',
    );
    const found = parseAddress(text)?.length;
    expect(found, text).toBe({ 0: undefined, 4: 4, 6: 16 }[isIP(text)]);
    if (found !== undefined) addresses += 1;
  }
  expect(addresses).toBeGreaterThan(50);
});

test('a wrong number of bytes is a bug and throws', () => {
  expect(() => formatAddress(new Uint8Array(5))).toThrow(RangeError);
  expect(() => mapTo16(new Uint8Array(0))).toThrow(RangeError);
});

test('IPv4 is mapped into 16 bytes and back, IPv6 stays', () => {
  const mapped = mapTo16(address('192.0.2.1'));
  expect(mapped).toEqual(address('::ffff:192.0.2.1'));
  expect(unmap(mapped)).toEqual(address('192.0.2.1'));
  expect(mapTo16(address('2001:db8::1'))).toEqual(address('2001:db8::1'));
  expect(unmap(address('2001:db8::1'))).toEqual(address('2001:db8::1'));
  expect(unmap(address('::192.0.2.1'))).toHaveLength(16);
});

test('a result never shares memory with a receive buffer, even a Node Buffer', () => {
  const buffer = Buffer.from(address('2001:db8::1'));
  const [mapped, unmapped] = [mapTo16(buffer), unmap(buffer)];
  buffer.fill(0xff);
  expect(mapped).toEqual(address('2001:db8::1'));
  expect(unmapped).toEqual(address('2001:db8::1'));
});

test.each([
  { one: '192.0.2.1', other: '192.0.2.1', same: true },
  { one: '192.0.2.1', other: '::ffff:192.0.2.1', same: true },
  { one: '::ffff:192.0.2.1', other: '192.0.2.2', same: false },
  { one: '192.0.2.1', other: '::192.0.2.1', same: false },
  { one: '2001:db8::1', other: '2001:db8::2', same: false },
  { one: '2001:db8::1', other: '2001:db8:0::1', same: true },
])('$one and $other: same is $same', ({ one, other, same }) => {
  expect(sameAddress(address(one), address(other))).toBe(same);
});
