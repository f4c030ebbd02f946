import { expect, test } from 'vitest';
import { decodeTcp, isConnectionAttempt } from '../../../../checks/packet/tcp.ts';
import { damaged, hex, patched, randomBytes, seeded, truncations } from './support.ts';

const clear = { fin: false, syn: false, rst: false, psh: false, ack: false, urg: false };
const syn = hex(`
  9c40      # source port 40000
  00b3      # destination port 179
  fedcba98  # sequence number
  00000000  # acknowledgement number
  60        # 6 words
  02        # SYN
  faf0      # window
  0000      # checksum
  0000      # urgent pointer
  020405b4  # option: MSS 1460
  61        # payload`);

test('a segment is read as RFC 9293 lays it out', () => {
  expect(decodeTcp(syn)).toEqual({
    sourcePort: 40000,
    destinationPort: 179,
    sequence: 0xfedcba98,
    acknowledgement: 0,
    flags: { ...clear, syn: true },
    payload: hex('61'),
  });
});

test.each([
  { name: 'FIN', bits: 0x01, flags: { ...clear, fin: true } },
  { name: 'RST', bits: 0x04, flags: { ...clear, rst: true } },
  { name: 'PSH', bits: 0x08, flags: { ...clear, psh: true } },
  { name: 'ACK', bits: 0x10, flags: { ...clear, ack: true } },
  { name: 'URG', bits: 0x20, flags: { ...clear, urg: true } },
  { name: 'SYN and ACK', bits: 0x12, flags: { ...clear, syn: true, ack: true } },
  { name: 'SYN with ECN set-up', bits: 0xc2, flags: { ...clear, syn: true } },
])('$name', ({ bits, flags }) => {
  expect(decodeTcp(patched(syn, 13, [bits]))?.flags).toEqual(flags);
});

test('only a SYN without ACK to the port opens a connection to it', () => {
  const port = decodeTcp(syn)?.destinationPort ?? 0;
  expect(isConnectionAttempt(syn, port)).toBe(true);
  expect(isConnectionAttempt(patched(syn, 13, [0xc2]), port)).toBe(true);
  expect(isConnectionAttempt(syn, port + 1)).toBe(false);
  for (const bits of [0x10, 0x12, 0x14, 0x18, 0x11])
    expect(isConnectionAttempt(patched(syn, 13, [bits]), port)).toBe(false);
  expect(isConnectionAttempt(syn.subarray(0, 13), port)).toBe(false);
});

test('a header length that lies is undefined', () => {
  expect(decodeTcp(patched(syn, 12, [0x40]))).toBeUndefined();
  expect(decodeTcp(patched(syn, 12, [0xf0]))).toBeUndefined();
});

test('every truncation of the header is undefined', () => {
  for (const cut of truncations(syn)) {
    expect(decodeTcp(cut) === undefined).toBe(cut.length < 24);
  }
});

test('no input makes the decoder throw', () => {
  const random = seeded(9293);
  for (let round = 0; round < 3000; round += 1) {
    decodeTcp(round % 2 === 0 ? randomBytes(random, 70) : damaged(random, syn));
  }
});
