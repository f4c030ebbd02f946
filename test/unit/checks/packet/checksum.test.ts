import { expect, test } from 'vitest';
import {
  internetChecksum,
  onesComplementSum,
  pseudoHeaderSum,
} from '../../../../checks/packet/checksum.ts';
import { hex, randomBytes, seeded } from './support.ts';

test('the example of RFC 1071 section 3', () => {
  expect(onesComplementSum(hex('0001 f203 f4f5 f6f7'))).toBe(0xddf2);
  expect(internetChecksum(hex('0001 f203 f4f5 f6f7'))).toBe(0x220d);
});

test.each([
  { name: 'nothing', bytes: '', sum: 0 },
  { name: 'an odd byte is the upper half of a word', bytes: 'ab', sum: 0xab00 },
  { name: 'a carry is added back', bytes: 'ffff 0001', sum: 0x0001 },
  { name: 'a carry that carries', bytes: 'ffff ffff ffff', sum: 0xffff },
])('$name', ({ bytes, sum }) => {
  expect(onesComplementSum(hex(bytes))).toBe(sum);
});

/** The definition, word by word with exact integers, to hold the fast sum against. */
function slowSum(bytes: Uint8Array): number {
  let sum = 0n;
  for (const [index, byte] of bytes.entries()) sum += BigInt(byte) << (index % 2 === 0 ? 8n : 0n);
  while (sum > 0xffffn) sum = (sum >> 16n) + (sum & 0xffffn);
  return Number(sum);
}

test('the sum equals the definition, also for the largest packet of all ones', () => {
  const random = seeded(1071);
  for (let round = 0; round < 500; round += 1) {
    const bytes = randomBytes(random, 300);
    expect(onesComplementSum(bytes)).toBe(slowSum(bytes));
  }
  const largest = new Uint8Array(65535).fill(0xff);
  expect(onesComplementSum(largest)).toBe(slowSum(largest));
});

test('a sum may be continued over an even part', () => {
  const bytes = hex('0102 0304 ffff fefd 07');
  const part = onesComplementSum(bytes.subarray(0, 6));
  expect(onesComplementSum(bytes.subarray(6), part)).toBe(onesComplementSum(bytes));
});

test.each([
  {
    family: 'IPv4',
    source: 'c0000201',
    destination: 'c6336402',
    layout: `
      c0000201  # source
      c6336402  # destination
      00        # zero
      11        # protocol
      04d2      # length`,
  },
  {
    family: 'IPv6',
    source: '20010db8000000000000000000000001',
    destination: '20010db80000000000000000000000ff',
    layout: `
      20010db8000000000000000000000001  # source
      20010db80000000000000000000000ff  # destination
      000004d2                          # length
      000000                            # zero
      11                                # next header`,
  },
])('the pseudo-header of $family sums to the bytes that its RFC lays out', (row) => {
  const sum = pseudoHeaderSum({
    source: hex(row.source),
    destination: hex(row.destination),
    protocol: 17,
    length: 1234,
  });
  expect(sum).toBe(onesComplementSum(hex(row.layout)));
});

test('a length above 65,535 counts both its halves', () => {
  const ends = { source: new Uint8Array(16), destination: new Uint8Array(16), protocol: 0 };
  expect(pseudoHeaderSum({ ...ends, length: 0x0003_0004 })).toBe(7);
});
