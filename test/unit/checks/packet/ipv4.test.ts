import { expect, test } from 'vitest';
import { internetChecksum } from '../../../../checks/packet/checksum.ts';
import { decodeIpv4, decodeQuotedIpv4, encodeIpv4 } from '../../../../checks/packet/ipv4.ts';
import { address, damaged, hex, patched, randomBytes, seeded, truncations } from './support.ts';

// The header that is worked through in Wikipedia's "Internet checksum" (0xb861), with 95 bytes of payload.
const example = Uint8Array.from([
  ...hex(`
    45        # version 4, 5 words
    00        # DSCP, ECN
    0073      # total length 115
    0000      # identification
    4000      # DF, offset 0
    40        # TTL 64
    11        # UDP
    b861      # header checksum
    c0a80001  # 192.168.0.1
    c0a800c7  # 192.168.0.199`),
  ...new Uint8Array(95).fill(0x2a),
]);

const withOptions = hex(`
  46        # version 4, 6 words
  b8        # DSCP EF
  001b      # total length 27
  beef      # identification
  2003      # MF, offset 24
  01        # TTL 1
  01        # ICMP
  0000      # header checksum, not judged
  0a000001  # 10.0.0.1
  0a000002  # 10.0.0.2
  94040000  # option: router alert
  616263    # payload`);

test('a packet is laid out as RFC 791 says, with its checksum', () => {
  const packet = encodeIpv4({
    source: address('192.168.0.1'),
    destination: address('192.168.0.199'),
    protocol: 17,
    payload: new Uint8Array(95).fill(0x2a),
    identification: 0,
    dontFragment: true,
    ttl: 64,
  });
  expect(packet).toEqual(example);
});

test('without DF the flags are clear and the checksum follows', () => {
  const packet = encodeIpv4({
    source: address('192.168.0.1'),
    destination: address('192.168.0.199'),
    protocol: 17,
    payload: new Uint8Array(0),
    identification: 0x1234,
    dontFragment: false,
    ttl: 1,
  });
  expect(packet.subarray(4, 10)).toEqual(hex('1234 0000 01 11'));
  expect(internetChecksum(packet)).toBe(0);
});

test('every field is read', () => {
  expect(decodeIpv4(example)).toEqual({
    headerBytes: 20,
    totalBytes: 115,
    identification: 0,
    dontFragment: true,
    moreFragments: false,
    fragmentOffsetBytes: 0,
    ttl: 64,
    protocol: 17,
    source: address('192.168.0.1'),
    destination: address('192.168.0.199'),
    payload: new Uint8Array(95).fill(0x2a),
  });
});

test('options are stepped over, and a fragment says where it belongs', () => {
  expect(decodeIpv4(withOptions)).toEqual({
    headerBytes: 24,
    totalBytes: 27,
    identification: 0xbeef,
    dontFragment: false,
    moreFragments: true,
    fragmentOffsetBytes: 24,
    ttl: 1,
    protocol: 1,
    source: address('10.0.0.1'),
    destination: address('10.0.0.2'),
    payload: hex('616263'),
  });
});

test('link padding is cut off', () => {
  const padded = Uint8Array.from([...withOptions, 0xee, 0xee]);
  expect(decodeIpv4(padded)?.payload).toEqual(hex('616263'));
});

test.each([
  { name: 'version 6', offset: 0, values: [0x66] },
  { name: 'a header of 4 words', offset: 0, values: [0x44] },
  { name: 'a header longer than the packet', offset: 0, values: [0x4f] },
  { name: 'a total length below the header length', offset: 2, values: [0, 23] },
  { name: 'a total length of zero', offset: 2, values: [0, 0] },
])('$name is undefined', ({ offset, values }) => {
  expect(decodeIpv4(patched(withOptions, offset, values))).toBeUndefined();
  expect(decodeQuotedIpv4(patched(withOptions, offset, values))).toBeUndefined();
});

test('a total length above what is there is undefined, but may be quoted', () => {
  const long = patched(withOptions, 2, [0x05, 0xdc]);
  expect(decodeIpv4(long)).toBeUndefined();
  expect(decodeQuotedIpv4(long)).toMatchObject({ totalBytes: 1500, payload: hex('616263') });
});

test('every truncation is undefined; a quote needs its whole header', () => {
  for (const bytes of truncations(withOptions)) {
    expect(decodeIpv4(bytes)).toBeUndefined();
    expect(decodeQuotedIpv4(bytes) === undefined).toBe(bytes.length < 24);
  }
});

test('a packet longer than its length field can say throws', () => {
  const ends = { source: new Uint8Array(4), destination: new Uint8Array(4) };
  const rest = { protocol: 17, identification: 0, dontFragment: true, ttl: 64 };
  expect(() => encodeIpv4({ ...ends, ...rest, payload: new Uint8Array(65516) })).toThrow(
    RangeError,
  );
});

test('no input makes the decoder throw or hand out bytes that are not there', () => {
  const random = seeded(791);
  for (let round = 0; round < 5000; round += 1) {
    const bytes = round % 2 === 0 ? randomBytes(random, 60) : damaged(random, withOptions);
    const packet = decodeIpv4(bytes);
    if (packet !== undefined) {
      expect(packet.headerBytes + packet.payload.length).toBe(packet.totalBytes);
    }
    decodeQuotedIpv4(bytes);
  }
});
