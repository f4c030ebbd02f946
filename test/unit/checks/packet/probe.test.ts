import { createHmac } from 'node:crypto';
import { expect, test } from 'vitest';
import {
  encodeHeard,
  encodeMessage,
  type Message,
  preamble,
} from '../../../../checks/packet/message.ts';
import {
  decodeDatagram,
  encodeDatagram,
  maximumBodyBytes,
  requestPayloadBytes,
} from '../../../../checks/packet/probe.ts';
import { address, damaged, patched, randomBytes, seeded, truncations } from './support.ts';

const mac = (bytes: Uint8Array) => createHmac('sha256', 'secret').update(bytes).digest();
const probe: Message = {
  type: 'probe',
  session: 1n,
  nonce: 2n,
  address: address('2001:db8::2'),
  port: 4789,
  body: encodeHeard([3n]),
};

test('a UDP payload is preamble, message and zero padding', () => {
  const bytes = encodeDatagram(probe, { payload: 'vxlan', payloadBytes: 200 });
  expect(bytes).toHaveLength(200);
  expect(bytes.subarray(0, 22)).toEqual(preamble('vxlan'));
  expect(bytes.subarray(22, 78)).toEqual(encodeMessage(probe));
  expect(bytes.subarray(78)).toEqual(new Uint8Array(122));
});

test.each(['vxlan', 'geneve', 'zero'] as const)(
  'a %s datagram survives, signed or not',
  (payload) => {
    expect(decodeDatagram(encodeDatagram(probe, { payload }))).toEqual({ payload, message: probe });
    const signed = encodeDatagram(probe, { payload, payloadBytes: 1400, mac });
    expect(decodeDatagram(signed, mac)).toEqual({ payload, message: probe });
    expect(decodeDatagram(signed)).toEqual({ malformed: 'signed-without-key' });
  },
);

test('a size that would cut the message throws', () => {
  expect(encodeDatagram(probe, { payload: 'zero', payloadBytes: 78 })).toHaveLength(78);
  expect(() => encodeDatagram(probe, { payload: 'zero', payloadBytes: 77 })).toThrow(RangeError);
  expect(() => encodeDatagram(probe, { payload: 'zero', payloadBytes: 78, mac })).toThrow(
    RangeError,
  );
});

test.each([
  { name: 'unsigned', sign: undefined },
  { name: 'signed', sign: mac },
])('the largest $name body just fits a request', ({ sign }) => {
  const options = {
    payload: 'zero',
    payloadBytes: requestPayloadBytes,
    ...(sign === undefined ? {} : { mac: sign }),
  } as const;
  const message: Message = {
    ...probe,
    type: 'request',
    body: new Uint8Array(maximumBodyBytes(sign)),
  };
  expect(encodeDatagram(message, options)).toHaveLength(1200);
  const larger = { ...message, body: new Uint8Array(maximumBodyBytes(sign) + 1) };
  expect(() => encodeDatagram(larger, options)).toThrow(RangeError);
});

test('an answer is never larger than its probe, signed or not, however few nonces the probe carries', () => {
  const answer: Message = {
    ...probe,
    type: 'answer',
    observation: 'seen',
    body: new Uint8Array(0),
  };
  const least: Message = { ...probe, body: new Uint8Array(0) };
  for (const options of [{ payload: 'vxlan' }, { payload: 'vxlan', mac }] as const) {
    const [sent, back] = [encodeDatagram(least, options), encodeDatagram(answer, options)];
    expect(back.length).toBeLessThanOrEqual(sent.length);
  }
});

test('the traffic of a port owner is not ours', () => {
  const bytes = encodeDatagram(probe, { payload: 'vxlan' });
  expect(decodeDatagram(patched(bytes, 0, [0x08]))).toEqual({ malformed: 'not-ours' });
  expect(decodeDatagram(new Uint8Array(200))).toEqual({ malformed: 'not-ours' });
});

test('every truncation is malformed', () => {
  for (const cut of truncations(encodeDatagram(probe, { payload: 'geneve' }))) {
    expect(decodeDatagram(cut)).toEqual({ malformed: cut.length < 70 ? 'too-short' : 'length' });
  }
});

test('no input makes the decoder throw', () => {
  const random = seeded(4789);
  const valid = encodeDatagram(probe, { payload: 'geneve' });
  for (let round = 0; round < 3000; round += 1) {
    decodeDatagram(round % 2 === 0 ? randomBytes(random, 120) : damaged(random, valid));
  }
});
