import { createHmac } from 'node:crypto';
import { expect, test } from 'vitest';
import { decodeEthernet } from '../../../../checks/packet/ethernet.ts';
import { decodeGeneve } from '../../../../checks/packet/geneve.ts';
import {
  bodyLengthOffset,
  decodeHeard,
  decodeMessage,
  decodePreamble,
  encodeHeard,
  encodeMessage,
  flagsOffset,
  heldOffset,
  type Message,
  macBytes,
  magic,
  magicOffset,
  messageBytes,
  messageHeaderBytes,
  messageTypes,
  observationOffset,
  preamble,
  preambleBytes,
  typeOffset,
  versionOffset,
} from '../../../../checks/packet/message.ts';
import { decodeVxlan } from '../../../../checks/packet/vxlan.ts';
import { address, damaged, hex, patched, randomBytes, seeded, truncations } from './support.ts';

const key = (secret: string) => (bytes: Uint8Array) =>
  createHmac('sha256', secret).update(bytes).digest();
const mac = key('a shared secret');

const probe: Message = {
  type: 'probe',
  session: 0x0102030405060708n,
  nonce: 0x00000000_fffffffen,
  address: address('192.0.2.1'),
  port: 8472,
  body: encodeHeard([1n, 0xffffffffffffffffn]),
};
const probeBytes = hex(`
  434e4950                          # magic "CNIP"
  01                                # version
  01                                # type: probe
  00                                # flags
  00                                # observation
  0102030405060708                  # session
  00000000fffffffe                  # nonce
  00000000000000000000ffffc0000201  # intended address, IPv4-mapped
  2118                              # intended port 8472
  0010                              # body length
  00000000                          # held
  0000000000000001                  # body: nonces heard
  ffffffffffffffff`);

const answer: Message = {
  type: 'answer',
  observation: 'seen-rewritten',
  session: 0xfffffffffffffffen,
  nonce: 0x00000000_fffffffen,
  address: address('2001:db8::1'),
  port: 9999,
  body: new Uint8Array(0),
};
const answerBytes = hex(`
  434e4950                          # magic "CNIP"
  01                                # version
  02                                # type: answer
  00                                # flags
  02                                # observation: seen, rewritten
  fffffffffffffffe                  # session of the witness
  00000000fffffffe                  # nonce of the probe
  20010db8000000000000000000000001  # destination found
  270f                              # port found
  0000                              # body length
  00000000                          # held`);

const request: Message = {
  type: 'request',
  session: 1n,
  nonce: 2n,
  address: address('10.0.0.1'),
  port: 0,
  body: new TextEncoder().encode('{"path":"/peer/v1/facts"}'),
};

test.each([
  { name: 'a probe', message: probe, bytes: probeBytes },
  { name: 'an answer', message: answer, bytes: answerBytes },
])('$name is laid out as docs/wire-format.md says', ({ message, bytes }) => {
  expect(encodeMessage(message)).toEqual(bytes);
  expect(decodeMessage(bytes)).toEqual({ message });
  expect(messageBytes(message)).toBe(bytes.length);
});

test('a signed message sets the flag and ends in half an HMAC-SHA-256 over all before', () => {
  const covered = patched(probeBytes, flagsOffset, [1]);
  const digest = createHmac('sha256', 'a shared secret').update(covered).digest();
  const signed = Uint8Array.from([...covered, ...digest.subarray(0, 16)]);
  expect(encodeMessage(probe, mac)).toEqual(signed);
  expect(decodeMessage(signed, mac)).toEqual({ message: probe });
  expect(messageBytes(probe, mac)).toBe(signed.length);
});

test('the offsets for a socket filter find magic and type in both forms', () => {
  for (const bytes of [encodeMessage(answer), encodeMessage(answer, mac)]) {
    const view = new DataView(bytes.buffer);
    expect(view.getUint32(magicOffset)).toBe(magic);
    expect(view.getUint8(typeOffset)).toBe(messageTypes.answer);
  }
});

test.each(['seen', 'seen-rewritten', 'seen-bad-checksum', 'seen-tproxy-possible'] as const)(
  'the observation %s survives',
  (observation) => {
    const message: Message = { ...answer, observation };
    expect(decodeMessage(encodeMessage(message))).toEqual({ message });
  },
);

test('the four observations have the numbers 1 to 4', () => {
  const words = ['seen', 'seen-rewritten', 'seen-bad-checksum', 'seen-tproxy-possible'] as const;
  const numbers = words.map(
    (observation) => encodeMessage({ ...answer, observation })[observationOffset],
  );
  expect(numbers).toEqual([1, 2, 3, 4]);
});

test('every message survives encoding and decoding, padded or not, signed or not', () => {
  const random = seeded(10472);
  const long = () => (BigInt(random()) << 32n) | BigInt(random());
  const types = ['probe', 'answer', 'request', 'response'] as const;
  for (let round = 0; round < 400; round += 1) {
    const type = types[round % types.length] ?? 'probe';
    const heard = encodeHeard(Array.from({ length: random() % 9 }, long));
    const message: Message = {
      type,
      ...(type === 'answer' ? { observation: 'seen' as const } : {}),
      session: long(),
      nonce: long(),
      address: Uint8Array.from({ length: random() % 2 === 0 ? 4 : 16 }, () => random() & 0xff),
      port: random() & 0xffff,
      body:
        type === 'answer' ? new Uint8Array(0) : type === 'probe' ? heard : randomBytes(random, 900),
    };
    const sign = random() % 2 === 0 ? mac : undefined;
    const padded = Uint8Array.from([
      ...encodeMessage(message, sign),
      ...new Uint8Array(random() % 64),
    ]);
    expect(decodeMessage(padded, sign)).toEqual({ message });
  }
});

test.each([
  { name: 'nothing', bytes: new Uint8Array(0), malformed: 'too-short' },
  { name: '47 bytes', bytes: probeBytes.subarray(0, 47), malformed: 'too-short' },
  { name: 'another magic', bytes: patched(probeBytes, 0, [0x44]), malformed: 'not-ours' },
  { name: 'a later version', bytes: patched(probeBytes, versionOffset, [2]), malformed: 'version' },
  { name: 'type 0', bytes: patched(probeBytes, typeOffset, [0]), malformed: 'type' },
  { name: 'type 5', bytes: patched(probeBytes, typeOffset, [5]), malformed: 'type' },
  { name: 'an unknown flag', bytes: patched(probeBytes, flagsOffset, [2]), malformed: 'reserved' },
  {
    name: 'a time held in a probe',
    bytes: patched(probeBytes, heldOffset + 3, [1]),
    malformed: 'reserved',
  },
  {
    name: 'a probe with an observation',
    bytes: patched(probeBytes, observationOffset, [1]),
    malformed: 'reserved',
  },
  {
    name: 'an answer without one',
    bytes: patched(answerBytes, observationOffset, [0]),
    malformed: 'reserved',
  },
  {
    name: 'an answer with an unknown one',
    bytes: patched(answerBytes, observationOffset, [5]),
    malformed: 'reserved',
  },
  {
    name: 'a body beyond the end',
    bytes: patched(probeBytes, bodyLengthOffset, [0, 24]),
    malformed: 'length',
  },
  {
    name: 'a body of half a nonce',
    bytes: patched(probeBytes, bodyLengthOffset, [0, 12]),
    malformed: 'length',
  },
  {
    name: 'a probe with nine nonces',
    bytes: Uint8Array.from([
      ...patched(probeBytes, bodyLengthOffset, [0, 72]),
      ...new Uint8Array(99),
    ]),
    malformed: 'length',
  },
  {
    name: 'an answer with a body',
    bytes: Uint8Array.from([
      ...patched(answerBytes, bodyLengthOffset, [0, 8]),
      ...new Uint8Array(8),
    ]),
    malformed: 'length',
  },
  {
    name: 'a signature that is not there',
    bytes: patched(probeBytes, flagsOffset, [1]),
    malformed: 'length',
  },
])('$name is dropped as $malformed', ({ bytes, malformed }) => {
  expect(decodeMessage(bytes)).toEqual({ malformed });
});

test.each([
  { name: 'an unsigned probe', bytes: probeBytes, malformed: 'unsigned' },
  { name: 'an unsigned answer', bytes: answerBytes, malformed: 'unsigned' },
  { name: 'another key', bytes: encodeMessage(probe, key('another')), malformed: 'bad-mac' },
  {
    name: 'a MAC of zeros',
    bytes: patched(encodeMessage(answer, mac), messageHeaderBytes, Array<number>(16).fill(0)),
    malformed: 'bad-mac',
  },
  {
    name: 'a flag taken away',
    bytes: patched(encodeMessage(probe, mac), flagsOffset, [0]),
    malformed: 'unsigned',
  },
  {
    name: 'a body replaced',
    bytes: patched(encodeMessage(request, mac), messageHeaderBytes, [
      ...new TextEncoder().encode('{"path":"/peer/v1/watch"}'),
    ]),
    malformed: 'bad-mac',
  },
  {
    name: 'a body cut, its MAC left at the old place',
    bytes: patched(encodeMessage(probe, mac), bodyLengthOffset, [0, 8]),
    malformed: 'bad-mac',
  },
  {
    name: 'an answer made from a signed probe',
    bytes: patched(
      encodeMessage({ ...probe, body: new Uint8Array(0) }, mac),
      typeOffset,
      [2, 1, 1],
    ),
    malformed: 'bad-mac',
  },
])('with a key, $name is refused as $malformed', ({ bytes, malformed }) => {
  expect(decodeMessage(bytes, mac)).toEqual({ malformed });
});

test.each([probe, answer, request])('without a key, a signed $type is refused', (message) => {
  expect(decodeMessage(encodeMessage(message, mac))).toEqual({ malformed: 'signed-without-key' });
});

test('with a key, any single changed bit of a signed message is refused', () => {
  const signed = encodeMessage(probe, mac);
  for (let bit = 0; bit < signed.length * 8; bit += 1) {
    const offset = bit >> 3;
    const changed = patched(signed, offset, [(signed[offset] ?? 0) ^ (1 << (bit & 7))]);
    expect(decodeMessage(changed, mac)).toHaveProperty('malformed');
  }
});

test('padding is not covered by the MAC and not looked at', () => {
  const padded = Uint8Array.from([...encodeMessage(probe, mac), 1, 2, 3]);
  expect(decodeMessage(padded, mac)).toEqual({ message: probe });
});

test('every truncation is malformed', () => {
  for (const cut of truncations(probeBytes)) {
    expect(decodeMessage(cut)).toEqual({ malformed: cut.length < 48 ? 'too-short' : 'length' });
  }
  for (const cut of truncations(encodeMessage(probe, mac))) {
    expect(decodeMessage(cut, mac)).toEqual({
      malformed: cut.length < 48 ? 'too-short' : 'length',
    });
  }
});

test('a decoded message keeps its bytes when the receive buffer is used again', () => {
  const buffer = Buffer.from(probeBytes);
  const decoded = decodeMessage(buffer);
  buffer.fill(0xff);
  expect(decoded).toEqual({ message: probe });
});

test.each([
  {
    name: 'an answer without observation',
    message: { ...probe, type: 'answer', body: new Uint8Array(0) },
  },
  { name: 'a probe with one', message: { ...probe, observation: 'seen' } },
  { name: 'an answer with a body', message: { ...answer, body: new Uint8Array(8) } },
  { name: 'a probe with half a nonce', message: { ...probe, body: new Uint8Array(4) } },
  { name: 'a body above 65,535 bytes', message: { ...request, body: new Uint8Array(65536) } },
] as const)('$name throws, because the far end would refuse it', ({ message }) => {
  expect(() => encodeMessage(message)).toThrow(RangeError);
});

test('a digest too short for a MAC is a bug and throws', () => {
  expect(() => encodeMessage(probe, () => new Uint8Array(macBytes - 1))).toThrow(RangeError);
});

test('nonces heard survive; of more than eight the last eight are sent', () => {
  const nonces = Array.from({ length: 11 }, (_, index) => BigInt(index));
  expect(decodeHeard(encodeHeard(nonces))).toEqual(nonces.slice(3));
  expect(decodeHeard(encodeHeard([]))).toEqual([]);
  expect(decodeHeard(new Uint8Array(7))).toBeUndefined();
  expect(decodeHeard(new Uint8Array(72))).toBeUndefined();
});

test.each([
  {
    payload: 'vxlan',
    bytes: hex(`
      00 000000 000000 00  # VXLAN: I flag clear
      02434e495002         # inner destination
      02434e495001         # inner source
      88b5                 # local experimental EtherType`),
  },
  {
    payload: 'geneve',
    bytes: hex(`
      c0 00 6558 000000 00  # Geneve: version 3, Ethernet
      02434e495002          # inner destination
      02434e495001          # inner source
      88b5                  # local experimental EtherType`),
  },
  { payload: 'zero', bytes: new Uint8Array(22) },
] as const)('the preamble of a $payload port', ({ payload, bytes }) => {
  expect(preamble(payload)).toEqual(bytes);
  expect(preamble(payload)).toHaveLength(preambleBytes);
  expect(decodePreamble(bytes)).toBe(payload);
});

test('preambles are inert: no VNI, an unknown version, unicast and locally administered addresses', () => {
  expect(decodeVxlan(preamble('vxlan'))).not.toHaveProperty('vni');
  const geneve = decodeGeneve(preamble('geneve'));
  expect(geneve?.version).not.toBe(0);
  for (const frame of [decodeVxlan(preamble('vxlan'))?.payload, geneve?.payload]) {
    const { destination, source } = decodeEthernet(frame ?? new Uint8Array(0)) ?? {};
    expect([destination?.[0], source?.[0]].map((byte) => (byte ?? 0) & 3)).toEqual([2, 2]);
  }
});

test('a preamble is a fresh copy each time', () => {
  preamble('vxlan').fill(0xff);
  expect(decodePreamble(preamble('vxlan'))).toBe('vxlan');
});

test('what is no preamble is not read as one', () => {
  for (const payload of ['vxlan', 'geneve', 'zero'] as const) {
    for (const cut of truncations(preamble(payload))) expect(decodePreamble(cut)).toBeUndefined();
  }
  expect(decodePreamble(patched(preamble('vxlan'), 0, [0x08]))).toBeUndefined();
});

test('no input makes the decoder throw, and damage never passes the MAC', () => {
  const random = seeded(2104);
  const signed = encodeMessage(request, mac);
  for (let round = 0; round < 4000; round += 1) {
    const noise = randomBytes(random, 120);
    const garbage = noise.length < 8 ? noise : patched(noise, 0, [...probeBytes.subarray(0, 8)]);
    decodeMessage(garbage);
    decodeMessage(damaged(random, probeBytes));
    decodeHeard(garbage);
    decodePreamble(garbage);
    const bytes = damaged(random, signed);
    const same = bytes.length === signed.length && bytes.every((byte, at) => byte === signed[at]);
    if (!same) expect(decodeMessage(bytes, mac)).toHaveProperty('malformed');
  }
});
