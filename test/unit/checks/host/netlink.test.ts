import { describe, expect, test } from 'vitest';
import {
  decodeAttributes,
  decodeMessages,
  encodeAttribute,
  encodeRequest,
} from '../../../../checks/host/netlink.ts';

describe('netlink', () => {
  test('what is encoded is decoded', () => {
    const attribute = encodeAttribute(3, new TextEncoder().encode('eth0\0'));
    const [message] = decodeMessages(encodeRequest(18, 0x300, attribute));
    expect(message).toMatchObject({ type: 18, flags: 0x301, sequence: 1 });
    expect(decodeAttributes(message?.payload ?? new Uint8Array())).toEqual([
      { type: 3, value: new TextEncoder().encode('eth0\0') },
    ]);
  });

  test('several messages in one read', () => {
    const one = encodeRequest(16, 0, new Uint8Array(5));
    const two = Buffer.concat([one, one]);
    expect(decodeMessages(two).map(({ payload }) => payload.length)).toEqual([5, 5]);
  });

  test.each([
    { name: 'a length of zero', length: 0 },
    { name: 'a length below the header', length: 15 },
    { name: 'a length beyond the buffer', length: 21 },
    { name: 'the largest length', length: 0xffff_ffff },
  ])('$name ends the run', ({ length }) => {
    const bytes = encodeRequest(16, 0, new Uint8Array(4));
    new DataView(bytes.buffer).setUint32(0, length, true);
    expect(decodeMessages(bytes)).toEqual([]);
  });

  test.each([0, 3, 9, 0xffff])('an attribute of length %i ends the run', (length) => {
    const bytes = encodeAttribute(1, new Uint8Array(4));
    new DataView(bytes.buffer).setUint16(0, length, true);
    expect(decodeAttributes(bytes)).toEqual([]);
  });

  test('flags in the type are left out', () => {
    expect(decodeAttributes(encodeAttribute(0x8002, new Uint8Array(1)))[0]?.type).toBe(2);
  });
});
