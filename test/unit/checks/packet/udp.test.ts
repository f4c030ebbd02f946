import { expect, test } from 'vitest';
import { pseudoHeaderSum } from '../../../../checks/packet/checksum.ts';
import { decodeUdp, encodeUdp, judgeUdpChecksum } from '../../../../checks/packet/udp.ts';
import { address, damaged, hex, patched, randomBytes, seeded, truncations } from './support.ts';

const families = [
  {
    family: 'IPv4',
    source: address('192.0.2.1'),
    destination: address('198.51.100.2'),
    // 0xc000+0x0201+0xc633+0x6402+0x0011+0x000b (pseudo-header) = 0x1ec52 → 0xec53;
    // +0x8235+0x2118+0x000b+0x6162+0x6300 = 0x2540d → 0x540f; inverted 0xabf0.
    pseudo: 0xec53,
    datagram: hex(`
      8235    # source port 33333
      2118    # destination port 8472
      000b    # length
      abf0    # checksum
      616263  # payload`),
  },
  {
    family: 'IPv6',
    source: address('2001:db8::1'),
    destination: address('2001:db8::2'),
    // 2 * (0x2001+0x0db8) + 0x0001+0x0002 + 0x000b + 0x0011 = 0x5b91;
    // +0x8235+0x2118+0x000b+0x6162+0x6300 = 0x1c34b → 0xc34c; inverted 0x3cb3.
    pseudo: 0x5b91,
    datagram: hex(`
      8235    # source port 33333
      2118    # destination port 8472
      000b    # length
      3cb3    # checksum
      616263  # payload`),
  },
];

test.each(families)('$family: a datagram is laid out as RFC 768 says', (row) => {
  const { source, destination, datagram } = row;
  const payload = hex('616263');
  expect(
    encodeUdp({ source, destination, sourcePort: 33333, destinationPort: 8472, payload }),
  ).toEqual(datagram);
  expect(decodeUdp(datagram)).toEqual({
    sourcePort: 33333,
    destinationPort: 8472,
    length: 11,
    checksum: (datagram[6] ?? 0) * 256 + (datagram[7] ?? 0),
    payload,
  });
});

test.each(families)('$family: the checksum is good, none, partial or bad', (row) => {
  const { source, destination, datagram, pseudo } = row;
  const judge = (bytes: Uint8Array) => judgeUdpChecksum({ source, destination, datagram: bytes });
  expect(pseudoHeaderSum({ source, destination, protocol: 17, length: 11 })).toBe(pseudo);
  expect(judge(datagram)).toBe('good');
  expect(judge(patched(datagram, 6, [0, 0]))).toBe('none');
  const partial = patched(datagram, 6, [pseudo >> 8, pseudo & 0xff]);
  expect(judge(partial)).toBe('partial');
  expect(judge(patched(partial, 8, [0xff]))).toBe('partial');
  expect(judge(patched(datagram, 6, [0x12, 0x34]))).toBe('bad');
  expect(judge(patched(datagram, 8, [0x60]))).toBe('bad');
  expect(judge(patched(datagram, 2, [0x21, 0x19]))).toBe('bad');
  expect(judge(datagram.subarray(0, 10))).toBe('bad');
});

test.each(families)('$family: a changed address makes a good and a partial checksum bad', (row) => {
  const { source, datagram, pseudo } = row;
  const destination = patched(row.destination, row.destination.length - 1, [0x77]);
  expect(judgeUdpChecksum({ source, destination, datagram })).toBe('bad');
  const partial = patched(datagram, 6, [pseudo >> 8, pseudo & 0xff]);
  expect(judgeUdpChecksum({ source, destination, datagram: partial })).toBe('bad');
});

test('link padding is neither payload nor part of the checksum', () => {
  const [row] = families;
  if (row === undefined) throw new Error('no row');
  const { source, destination } = row;
  const padded = Uint8Array.from([...row.datagram, 0xee, 0xee, 0xee]);
  expect(decodeUdp(padded)?.payload).toEqual(hex('616263'));
  expect(judgeUdpChecksum({ source, destination, datagram: padded })).toBe('good');
});

test('a checksum that comes out as zero is sent as 0xffff, and is good', () => {
  const source = address('192.0.2.1');
  const destination = address('198.51.100.2');
  const ports = { sourcePort: 33333, destinationPort: 8472 };
  // With a zero word as payload the field is the inverse of all the rest; that word as payload brings the sum to 0xffff.
  const rest = encodeUdp({ source, destination, ...ports, payload: hex('0000') });
  const datagram = encodeUdp({ source, destination, ...ports, payload: rest.subarray(6, 8) });
  expect(datagram.subarray(6, 8)).toEqual(hex('ffff'));
  expect(judgeUdpChecksum({ source, destination, datagram })).toBe('good');
});

test('every datagram survives encoding and decoding with a good checksum', () => {
  const random = seeded(768);
  for (let round = 0; round < 300; round += 1) {
    const width = random() % 2 === 0 ? 4 : 16;
    const end = () => Uint8Array.from({ length: width }, () => random() & 0xff);
    const [source, destination] = [end(), end()];
    const [sourcePort, destinationPort] = [random() & 0xffff, random() & 0xffff];
    const payload = randomBytes(random, 200);
    const datagram = encodeUdp({ source, destination, sourcePort, destinationPort, payload });
    expect(decodeUdp(datagram)).toMatchObject({ sourcePort, destinationPort, payload });
    expect(judgeUdpChecksum({ source, destination, datagram })).toBe('good');
  }
});

test('every truncation is undefined, and so is a length that lies', () => {
  for (const { source, destination, datagram } of families) {
    for (const bytes of truncations(datagram)) {
      expect(decodeUdp(bytes)).toBeUndefined();
      expect(judgeUdpChecksum({ source, destination, datagram: bytes })).toBe('bad');
    }
    expect(decodeUdp(patched(datagram, 4, [0, 7]))).toBeUndefined();
    expect(decodeUdp(patched(datagram, 4, [0, 12]))).toBeUndefined();
    expect(decodeUdp(patched(datagram, 4, [0, 0]))).toBeUndefined();
  }
});

test('a datagram longer than its length field can say throws', () => {
  const [row] = families;
  if (row === undefined) throw new Error('no row');
  const ends = { source: row.source, destination: row.destination };
  const ports = { sourcePort: 1, destinationPort: 2 };
  expect(() => encodeUdp({ ...ends, ...ports, payload: new Uint8Array(65528) })).toThrow(
    RangeError,
  );
});

test('no input makes the decoder or the judge throw', () => {
  const random = seeded(17);
  for (const { source, destination, datagram } of families) {
    for (let round = 0; round < 3000; round += 1) {
      const bytes = round % 2 === 0 ? randomBytes(random, 40) : damaged(random, datagram);
      const udp = decodeUdp(bytes);
      if (udp !== undefined) expect(udp.payload.length).toBe(udp.length - 8);
      judgeUdpChecksum({ source, destination, datagram: bytes });
    }
  }
});
