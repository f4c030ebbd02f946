import { expect, test } from 'vitest';
import { decodeIpv6, decodeQuotedIpv6, encodeIpv6 } from '../../../../checks/packet/ipv6.ts';
import { address, damaged, hex, patched, randomBytes, seeded, truncations } from './support.ts';

const plain = hex(`
  60000000                          # version 6, traffic class, flow label
  0003                              # payload length
  11                                # next header: UDP
  40                                # hop limit
  20010db8000000000000000000000001  # source
  20010db8000000000000000000000002  # destination
  616263                            # payload`);

const chained = hex(`
  6ff12345                          # version 6, traffic class 0xff, flow label
  0033                              # payload length 51
  00                                # next header: hop-by-hop
  01                                # hop limit
  fe800000000000000000000000000001  # source
  fe800000000000000000000000000002  # destination
  2b 00 050200000100                # hop-by-hop: next is routing, 8 bytes, router alert
  3c 01 0400000000000000000000000000  # routing: next is destination options, 16 bytes
  2c 00 010400000000                # destination options: next is fragment, 8 bytes
  3a 00 0001 deadbeef               # fragment: next is ICMPv6, offset 0, more, identification
  8000123456789abcdef012            # payload`);

test('a packet is laid out as RFC 8200 says', () => {
  const packet = encodeIpv6({
    source: address('2001:db8::1'),
    destination: address('2001:db8::2'),
    nextHeader: 17,
    payload: hex('616263'),
    hopLimit: 64,
  });
  expect(packet).toEqual(plain);
});

test('every field is read', () => {
  expect(decodeIpv6(plain)).toEqual({
    totalBytes: 43,
    headerBytes: 40,
    hopLimit: 64,
    protocol: 17,
    source: address('2001:db8::1'),
    destination: address('2001:db8::2'),
    payload: hex('616263'),
  });
});

test('extension headers are walked to the transport', () => {
  expect(decodeIpv6(chained)).toEqual({
    totalBytes: 91,
    headerBytes: 80,
    hopLimit: 1,
    protocol: 58,
    fragment: { offsetBytes: 0, moreFragments: true, identification: 0xdeadbeef },
    source: address('fe80::1'),
    destination: address('fe80::2'),
    payload: hex('8000123456789abcdef012'),
  });
});

test('what follows the header of a later fragment is data, whatever its next header says', () => {
  const later = hex(`
    60000000 000c 2c 40
    20010db8000000000000000000000001
    20010db8000000000000000000000002
    2b 00 0598 00000007               # fragment: next claims routing, offset 1432, last
    ffffffff                          # data that is no routing header`);
  expect(decodeIpv6(later)).toMatchObject({
    protocol: 43,
    fragment: { offsetBytes: 1432, moreFragments: false, identification: 7 },
    payload: hex('ffffffff'),
  });
});

test('link padding is cut off', () => {
  expect(decodeIpv6(Uint8Array.from([...plain, 0xee]))?.payload).toEqual(hex('616263'));
});

/** A packet with so many empty destination options headers before "no next header". */
function chainOf(headers: number): Uint8Array {
  const options = Array.from({ length: headers }, (_, index) => [
    index === headers - 1 ? 59 : 60,
    ...hex('00 010400000000'),
  ]).flat();
  return encodeIpv6({
    source: address('::1'),
    destination: address('::1'),
    nextHeader: 60,
    payload: Uint8Array.from(options),
    hopLimit: 1,
  });
}

test('a chain of extension headers is bounded', () => {
  expect(decodeIpv6(chainOf(8))?.protocol).toBe(59);
  expect(decodeIpv6(chainOf(9))).toBeUndefined();
});

test('an extension header that reaches past the packet is undefined', () => {
  expect(decodeIpv6(patched(chained, 41, [6]))).toBeUndefined();
  expect(decodeIpv6(patched(chained, 41, [255]))).toBeUndefined();
});

test('a version other than 6 and a payload length that lies are undefined', () => {
  expect(decodeIpv6(patched(plain, 0, [0x45]))).toBeUndefined();
  expect(decodeIpv6(patched(plain, 4, [0, 4]))).toBeUndefined();
  expect(decodeQuotedIpv6(patched(plain, 4, [0, 4]))).toMatchObject({ totalBytes: 44 });
});

test('every truncation is undefined; a quote needs its whole headers', () => {
  for (const bytes of truncations(chained)) {
    expect(decodeIpv6(bytes)).toBeUndefined();
    expect(decodeQuotedIpv6(bytes) === undefined).toBe(bytes.length < 80);
  }
});

test('a payload longer than its length field can say throws', () => {
  const ends = { source: new Uint8Array(16), destination: new Uint8Array(16) };
  const rest = { nextHeader: 17, hopLimit: 1 };
  expect(() => encodeIpv6({ ...ends, ...rest, payload: new Uint8Array(65536) })).toThrow(
    RangeError,
  );
});

test('no input makes the decoder throw or hand out bytes that are not there', () => {
  const random = seeded(8200);
  for (let round = 0; round < 6000; round += 1) {
    const sample = round % 3 === 0 ? chainOf(4) : chained;
    const bytes = round % 2 === 0 ? randomBytes(random, 120) : damaged(random, sample);
    if (round % 4 === 0 && bytes.length > 0) bytes[0] = 0x60;
    const packet = decodeIpv6(bytes);
    if (packet !== undefined) {
      expect(packet.headerBytes + packet.payload.length).toBe(packet.totalBytes);
    }
    decodeQuotedIpv6(bytes);
  }
});
