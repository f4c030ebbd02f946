import { expect, test } from 'vitest';
import { internetChecksum } from '../../../../checks/packet/checksum.ts';
import { decodeIcmp, encodeEchoReply, encodeEchoRequest } from '../../../../checks/packet/icmp.ts';
import { encodeIpv6 } from '../../../../checks/packet/ipv6.ts';
import { address, damaged, hex, patched, randomBytes, seeded, truncations } from './support.ts';

const echo = { identifier: 0x1234, sequence: 7, data: hex('616263') };

// 0x0800+0x1234+0x0007+0x6162+0x6300 = 0xde9d, inverted 0x2162.
const requestIpv4 = hex(`
  08      # echo request
  00      # code
  2162    # checksum
  1234    # identifier
  0007    # sequence
  616263  # data`);
const replyIpv4 = hex('00 00 2962 1234 0007 616263');
const requestIpv6 = hex('80 00 0000 1234 0007 616263');
const replyIpv6 = hex('81 00 0000 1234 0007 616263');

test.each([
  {
    name: 'ICMPv4 request',
    family: 'ipv4',
    encode: encodeEchoRequest,
    bytes: requestIpv4,
    kind: 'echo-request',
  },
  {
    name: 'ICMPv4 reply',
    family: 'ipv4',
    encode: encodeEchoReply,
    bytes: replyIpv4,
    kind: 'echo-reply',
  },
  {
    name: 'ICMPv6 request',
    family: 'ipv6',
    encode: encodeEchoRequest,
    bytes: requestIpv6,
    kind: 'echo-request',
  },
  {
    name: 'ICMPv6 reply',
    family: 'ipv6',
    encode: encodeEchoReply,
    bytes: replyIpv6,
    kind: 'echo-reply',
  },
] as const)('$name: encoded as the RFC says, and decoded', ({ family, encode, bytes, kind }) => {
  expect(encode({ family, ...echo })).toEqual(bytes);
  expect(decodeIcmp(family, bytes)).toEqual({ kind, ...echo });
});

test('the checksum of ICMPv4 is right also for an odd number of bytes', () => {
  expect(internetChecksum(requestIpv4)).toBe(0);
  expect(internetChecksum(replyIpv4)).toBe(0);
});

test('an echo of another family or with a code is not read', () => {
  expect(decodeIcmp('ipv6', requestIpv4)).toBeUndefined();
  expect(decodeIcmp('ipv4', requestIpv6)).toBeUndefined();
  expect(decodeIcmp('ipv4', patched(requestIpv4, 1, [1]))).toBeUndefined();
});

test('an echo keeps its data when the receive buffer is used again', () => {
  const buffer = Buffer.from(requestIpv4);
  const message = decodeIcmp('ipv4', buffer);
  buffer.fill(0);
  expect(message).toMatchObject({ data: hex('616263') });
});

const quotedIpv4 = `
  45 00 05dc 0001 4000 40 11 0000  # IPv4, total length 1500, DF, UDP
  c0000201                         # source 192.0.2.1
  c6336402                         # destination 198.51.100.2
  8235 2118 05c8 1234              # UDP 33333 to 8472
`;
const endsIpv4 = { source: address('192.0.2.1'), destination: address('198.51.100.2') };
const quotedIpv6 = `
  60000000 0588 11 40               # IPv6, payload length 1416, UDP
  20010db8000000000000000000000001  # source
  20010db8000000000000000000000002  # destination
  8235 2118 0588 1234               # UDP 33333 to 8472
`;
const endsIpv6 = { source: address('2001:db8::1'), destination: address('2001:db8::2') };
const ports = { sourcePort: 33333, destinationPort: 8472 };

test.each([
  {
    name: 'RFC 792: port unreachable',
    family: 'ipv4',
    header: '03 03 fcfc 00000000',
    type: 3,
    code: 3,
    mtu: undefined,
  },
  {
    name: 'RFC 792: administratively prohibited',
    family: 'ipv4',
    header: '03 0d 0000 00000000',
    type: 3,
    code: 13,
    mtu: undefined,
  },
  {
    name: 'RFC 1191: fragmentation needed',
    family: 'ipv4',
    header: '03 04 0000 0000 0578',
    type: 3,
    code: 4,
    mtu: 1400,
  },
  {
    name: 'RFC 792: fragmentation needed by an old router',
    family: 'ipv4',
    header: '03 04 0000 00000000',
    type: 3,
    code: 4,
    mtu: undefined,
  },
  {
    name: 'an MTU-like number in another code is none',
    family: 'ipv4',
    header: '03 03 0000 0000 0578',
    type: 3,
    code: 3,
    mtu: undefined,
  },
  {
    name: 'RFC 792: source quench',
    family: 'ipv4',
    header: '04 00 0000 00000000',
    type: 4,
    code: 0,
    mtu: undefined,
  },
  {
    name: 'RFC 792: time exceeded',
    family: 'ipv4',
    header: '0b 00 0000 00000000',
    type: 11,
    code: 0,
    mtu: undefined,
  },
  {
    name: 'RFC 792: parameter problem',
    family: 'ipv4',
    header: '0c 00 0000 14000000',
    type: 12,
    code: 0,
    mtu: undefined,
  },
  {
    name: 'RFC 4443: port unreachable',
    family: 'ipv6',
    header: '01 04 0000 00000000',
    type: 1,
    code: 4,
    mtu: undefined,
  },
  {
    name: 'RFC 4443: administratively prohibited',
    family: 'ipv6',
    header: '01 01 0000 00000000',
    type: 1,
    code: 1,
    mtu: undefined,
  },
  {
    name: 'RFC 4443: packet too big',
    family: 'ipv6',
    header: '02 00 0000 00000578',
    type: 2,
    code: 0,
    mtu: 1400,
  },
  {
    name: 'RFC 4443: packet too big, above 16 bits',
    family: 'ipv6',
    header: '02 00 0000 00010000',
    type: 2,
    code: 0,
    mtu: 65536,
  },
  {
    name: 'RFC 4443: time exceeded',
    family: 'ipv6',
    header: '03 00 0000 00000000',
    type: 3,
    code: 0,
    mtu: undefined,
  },
  {
    name: 'RFC 4443: parameter problem',
    family: 'ipv6',
    header: '04 01 0000 00000028',
    type: 4,
    code: 1,
    mtu: undefined,
  },
] as const)('$name', ({ family, header, type, code, mtu }) => {
  const bytes = hex(`${header} ${family === 'ipv4' ? quotedIpv4 : quotedIpv6} 636e6970`);
  expect(decodeIcmp(family, bytes)).toEqual({
    kind: 'error',
    type,
    code,
    ...(mtu === undefined ? {} : { mtu }),
    quoted: {
      protocol: 17,
      ...(family === 'ipv4' ? endsIpv4 : endsIpv6),
      packetBytes: family === 'ipv4' ? 1500 : 1456,
      ...ports,
      payload: hex('636e6970'),
    },
  });
});

test.each([
  { name: 'redirect', family: 'ipv4', bytes: `05 01 0000 0a000001 ${quotedIpv4}` },
  { name: 'timestamp', family: 'ipv4', bytes: '0d 00 0000 00000000 000000000000000000000000' },
  {
    name: 'neighbour solicitation',
    family: 'ipv6',
    bytes: '87 00 0000 00000000 20010db8000000000000000000000001',
  },
  {
    name: 'an error that quotes the other family',
    family: 'ipv4',
    bytes: `03 03 0000 00000000 ${quotedIpv6}`,
  },
] as const)('$name is not read', ({ family, bytes }) => {
  expect(decodeIcmp(family, hex(bytes))).toBeUndefined();
});

test('a quoted echo is known by identifier and sequence, in both families', () => {
  const inIpv4 = hex(`
    03 01 0000 00000000
    45 00 0020 0001 4000 40 01 0000 c0000201 c6336402
    08 00 0000 1234 0007 6162`);
  expect(decodeIcmp('ipv4', inIpv4)).toMatchObject({
    quoted: { protocol: 1, ...endsIpv4, identifier: 0x1234, sequence: 7, payload: hex('6162') },
  });
  const inIpv6 = hex(`
    01 03 0000 00000000
    60000000 0010 3a 40 20010db8000000000000000000000001 20010db8000000000000000000000002
    80 00 0000 1234 0007 6162`);
  expect(decodeIcmp('ipv6', inIpv6)).toMatchObject({
    quoted: { protocol: 58, ...endsIpv6, identifier: 0x1234, sequence: 7, payload: hex('6162') },
  });
});

test('a quoted TCP segment is known by its ports, ESP by nothing but its payload', () => {
  const head = '03 0a 0000 00000000 45 00 003c 0001 4000 40';
  const tcp = decodeIcmp('ipv4', hex(`${head} 06 0000 c0000201 c6336402 9c40 00b3 00000001`));
  expect(tcp).toMatchObject({
    quoted: {
      protocol: 6,
      sourcePort: 40000,
      destinationPort: 179,
      payload: hex('9c40 00b3 00000001'),
    },
  });
  const esp = decodeIcmp('ipv4', hex(`${head} 32 0000 c0000201 c6336402 000000ff 00000001`));
  expect(esp).toEqual({
    kind: 'error',
    type: 3,
    code: 10,
    quoted: { protocol: 50, ...endsIpv4, packetBytes: 60, payload: hex('000000ff 00000001') },
  });
});

test('a quoted later fragment has no ports', () => {
  const fragment = hex(`
    0b 01 0000 00000000
    45 00 05dc 0001 00b9 40 11 0000 c0000201 c6336402
    8235 2118 05c8 1234`);
  const message = decodeIcmp('ipv4', fragment);
  expect(message).toMatchObject({ quoted: { payload: hex('8235 2118 05c8 1234') } });
  expect(message).not.toHaveProperty('quoted.sourcePort');
});

test('extension headers of a quoted IPv6 packet are stepped over', () => {
  const probe = encodeIpv6({
    ...endsIpv6,
    nextHeader: 60,
    payload: hex('11 00 010400000000 8235 2118 000a 1234 6162'),
    hopLimit: 64,
  });
  const error = Uint8Array.from([...hex('01 04 0000 00000000'), ...probe]);
  expect(decodeIcmp('ipv6', error)).toMatchObject({
    quoted: { protocol: 17, ...ports, payload: hex('6162') },
  });
});

test('RFC 4884: extensions after the quote are no payload', () => {
  const data = new Uint8Array(100).fill(0x61);
  const extension = hex('2000 dfff 0008 01 01 00010140');
  const error = Uint8Array.from([
    ...hex(`03 03 0000 00 20 0000 ${quotedIpv4}`),
    ...data,
    ...extension,
  ]);
  expect(decodeIcmp('ipv4', error)).toMatchObject({ quoted: { payload: data } });
  const inIpv6 = Uint8Array.from([
    ...hex(`01 04 0000 10 000000 ${quotedIpv6}`),
    ...new Uint8Array(80).fill(0x61),
    ...extension,
  ]);
  expect(decodeIcmp('ipv6', inIpv6)).toMatchObject({
    quoted: { payload: new Uint8Array(80).fill(0x61) },
  });
});

test('a length that no RFC 4884 router writes is left over from an unused field', () => {
  const error = hex(`03 03 0000 00 01 0000 ${quotedIpv4} 636e6970`);
  expect(decodeIcmp('ipv4', error)).toMatchObject({
    quoted: { ...ports, payload: hex('636e6970') },
  });
});

test('padding after a short quoted packet is no payload', () => {
  const error = hex(`
    03 03 0000 00000000
    45 00 001d 0001 4000 40 11 0000 c0000201 c6336402
    8235 2118 0009 1234 61 eeeeee`);
  expect(decodeIcmp('ipv4', error)).toMatchObject({
    quoted: { packetBytes: 29, payload: hex('61') },
  });
});

test.each([
  { name: 'ICMPv4', family: 'ipv4', bytes: hex(`03 03 0000 00000000 ${quotedIpv4}`) },
  { name: 'ICMPv6', family: 'ipv6', bytes: hex(`01 04 0000 00000000 ${quotedIpv6}`) },
] as const)(
  '$name: an error with less than the promised quote is undefined',
  ({ family, bytes }) => {
    expect(decodeIcmp(family, bytes)).toBeDefined();
    for (const cut of truncations(bytes)) expect(decodeIcmp(family, cut)).toBeUndefined();
  },
);

test('a packet that has fewer than 8 bytes after its header may be quoted whole', () => {
  const error = hex(`
    03 02 0000 00000000
    45 00 0016 0001 4000 40 04 0000 c0000201 c6336402
    1234`);
  expect(decodeIcmp('ipv4', error)).toMatchObject({
    quoted: { protocol: 4, payload: hex('1234') },
  });
});

test('a truncated echo header is undefined', () => {
  for (const cut of truncations(hex('08 00 0000 1234 0007'))) {
    expect(decodeIcmp('ipv4', cut)).toBeUndefined();
  }
});

test('every echo survives encoding and decoding', () => {
  const random = seeded(792);
  for (let round = 0; round < 200; round += 1) {
    const message = {
      identifier: random() & 0xffff,
      sequence: random() & 0xffff,
      data: randomBytes(random, 100),
    };
    const family = round % 2 === 0 ? 'ipv4' : 'ipv6';
    const request = encodeEchoRequest({ family, ...message });
    expect(decodeIcmp(family, request)).toEqual({ kind: 'echo-request', ...message });
    if (family === 'ipv4') expect(internetChecksum(request)).toBe(0);
  }
});

test('no input makes the decoder throw', () => {
  const random = seeded(4443);
  const samples = [
    { family: 'ipv4', bytes: hex(`03 04 0000 00000578 ${quotedIpv4}`) },
    { family: 'ipv6', bytes: hex(`02 00 0000 00000578 ${quotedIpv6}`) },
  ] as const;
  let read = 0;
  for (const { family, bytes } of samples) {
    for (let round = 0; round < 4000; round += 1) {
      const message = decodeIcmp(
        family,
        round % 2 === 0 ? damaged(random, bytes) : randomBytes(random, 80),
      );
      if (message !== undefined) read += 1;
    }
  }
  expect(read).toBeGreaterThan(100);
});
