import { describe, expect, test } from 'vitest';
import {
  attachFilter,
  connectionAttempts,
  echoes,
  nothing,
  probesOverUdp,
} from '../../../../checks/host/bpf.ts';
import type { Libc } from '../../../../checks/host/libc.ts';
import { encodeEchoReply, encodeEchoRequest } from '../../../../checks/packet/icmp.ts';
import { encodeIpv4 } from '../../../../checks/packet/ipv4.ts';
import {
  encodeHeard,
  encodeMessage,
  type Message,
  type MessageType,
} from '../../../../checks/packet/message.ts';
import { encodeDatagram } from '../../../../checks/packet/probe.ts';
import { encodeUdp } from '../../../../checks/packet/udp.ts';
import { isLoadable, runFilter } from '../../../support/cbpf.ts';
import { address, patched, randomBytes, seeded, truncations } from '../packet/support.ts';

const ends = {
  ipv4: { source: address('192.0.2.2'), destination: address('192.0.2.1') },
  ipv6: { source: address('2001:db8::2'), destination: address('2001:db8::1') },
} as const;
type Family = keyof typeof ends;
/** With the router alert option (RFC 2113), and with as many options as fit. */
const optionLengths = [0, 4, 40] as const;

function message(type: MessageType, change: Partial<Message> = {}): Message {
  return {
    type,
    session: 7n,
    nonce: 9n,
    address: ends.ipv4.destination,
    port: 8472,
    body: type === 'probe' ? encodeHeard([1n]) : new Uint8Array(0),
    ...(type === 'answer' ? { observation: 'seen' as const } : {}),
    ...change,
  };
}

/** An IPv4 header with options before a payload. */
function inIpv4(protocol: number, payload: Uint8Array, optionBytes = 0): Uint8Array {
  const plain = encodeIpv4({
    ...ends.ipv4,
    protocol,
    payload,
    identification: 1,
    dontFragment: false,
    ttl: 64,
  });
  const packet = new Uint8Array(plain.length + optionBytes);
  packet.set(plain.subarray(0, 20));
  packet.fill(1, 20, 20 + optionBytes);
  packet.set(payload, 20 + optionBytes);
  packet[0] = 0x40 | ((20 + optionBytes) / 4);
  new DataView(packet.buffer).setUint16(2, packet.length);
  return packet;
}

/** What a raw socket of a family hands to the filter. */
function asSeen(family: Family, protocol: number, payload: Uint8Array, options = 0): Uint8Array {
  return family === 'ipv4' ? inIpv4(protocol, payload, options) : payload;
}

function udp(family: Family, payload: Uint8Array, options = 0): Uint8Array {
  const datagram = encodeUdp({
    ...ends[family],
    sourcePort: 40_000,
    destinationPort: 8472,
    payload,
  });
  return asSeen(family, 17, datagram, options);
}

/** Each family; IPv4 with headers of every length. */
const shapes: readonly { readonly family: Family; readonly options: number }[] = [
  ...optionLengths.map((options) => ({ family: 'ipv4' as const, options })),
  { family: 'ipv6', options: 0 },
];

describe('the filter of the UDP witness', () => {
  describe.each(shapes)('$family with $options bytes of options', ({ family, options }) => {
    const program = probesOverUdp(family === 'ipv4');

    test.each(['vxlan', 'geneve', 'zero'] as const)('passes our %s probes and requests', (kind) => {
      for (const type of ['probe', 'request'] as const) {
        const packet = udp(family, encodeDatagram(message(type), { payload: kind }), options);
        expect(runFilter(program, packet)).toBeGreaterThanOrEqual(packet.length);
      }
    });

    test('passes a large probe whole', () => {
      const payload = encodeDatagram(message('probe'), { payload: 'vxlan', payloadBytes: 8900 });
      const packet = udp(family, payload, options);
      expect(runFilter(program, packet)).toBeGreaterThanOrEqual(packet.length);
    });

    test('refuses answers and responses: an answer is never answered', () => {
      for (const type of ['answer', 'response'] as const) {
        const payload = encodeDatagram(message(type), { payload: 'zero' });
        expect(runFilter(program, udp(family, payload, options))).toBe(0);
      }
    });

    test('refuses what is not ours, however short', () => {
      const random = seeded(4);
      const garbage = Array.from({ length: 300 }, () =>
        udp(family, randomBytes(random, 200), options),
      );
      expect(garbage.filter((packet) => runFilter(program, packet) !== 0)).toEqual([]);
      const packet = udp(family, encodeDatagram(message('probe'), { payload: 'zero' }), options);
      const messageAt = packet.length - 48 - 8;
      const cuts = truncations(packet.subarray(0, messageAt + 6));
      expect(cuts.filter((cut) => runFilter(program, cut) !== 0)).toEqual([]);
      for (const at of [0, 1, 2, 3]) {
        const byte = packet[messageAt + at] ?? 0;
        expect(runFilter(program, patched(packet, messageAt + at, [byte ^ 1]))).toBe(0);
      }
    });
  });
});

describe('the filter of the echo socket', () => {
  const identifier = 0xbeef;
  const request = encodeMessage(message('request', { port: 0 }));

  describe.each(shapes)('$family with $options bytes of options', ({ family, options }) => {
    const program = echoes(family === 'ipv4', identifier);
    const protocol = family === 'ipv4' ? 1 : 58;
    const passes = (icmp: Uint8Array) =>
      runFilter(program, asSeen(family, protocol, icmp, options)) > 0;
    const echo = { family, identifier, sequence: 3, data: new Uint8Array(56) };

    test('passes replies with our identifier, and no others', () => {
      expect(passes(encodeEchoReply(echo))).toBe(true);
      expect(passes(encodeEchoReply({ ...echo, data: new Uint8Array(0) }))).toBe(true);
      for (const other of [0, 1, 0xbeee, 0xefbe, 0xffff])
        expect(passes(encodeEchoReply({ ...echo, identifier: other }))).toBe(false);
    });

    test('passes requests that carry a message of ours, whatever their identifier', () => {
      for (const other of [identifier, 1]) {
        const carried = { ...echo, identifier: other, data: request };
        expect(passes(encodeEchoRequest(carried))).toBe(true);
        expect(passes(encodeEchoRequest({ ...carried, data: new Uint8Array(56) }))).toBe(false);
        expect(passes(encodeEchoRequest({ ...carried, data: new Uint8Array(3) }))).toBe(false);
      }
    });

    test('passes the errors of ICMPv6 that have no other way, and none of IPv4', () => {
      const types = Array.from({ length: 256 }, (_, type) => type);
      const passed = types.filter((type) => passes(Uint8Array.of(type, ...new Uint8Array(63))));
      expect(passed).toEqual(family === 'ipv6' ? [1, 2, 3] : []);
    });

    test('refuses a message that is cut short', () => {
      for (const length of [0, 1, 4]) expect(passes(new Uint8Array(length))).toBe(false);
    });
  });
});

describe('the filter of a watch for a connect', () => {
  const port = 179;
  const word = 0xc0000202;
  const flags = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16, urg: 32, ece: 64, cwr: 128 } as const;

  function tcp(bits: number, destinationPort = port, sourcePort = 40_000): Uint8Array {
    const segment = new Uint8Array(20);
    const view = new DataView(segment.buffer);
    view.setUint16(0, sourcePort);
    view.setUint16(2, destinationPort);
    view.setUint8(12, 0x50);
    view.setUint8(13, bits);
    return segment;
  }

  describe.each(shapes)('$family with $options bytes of options', ({ family, options }) => {
    const program = connectionAttempts(
      family === 'ipv4',
      port,
      family === 'ipv4' ? word : undefined,
    );
    const passes = (segment: Uint8Array) =>
      runFilter(program, asSeen(family, 6, segment, options)) > 0;

    test('passes SYN without ACK, also with congestion flags, and nothing else', () => {
      const all = Array.from({ length: 256 }, (_, bits) => bits);
      expect(all.filter((bits) => passes(tcp(bits)))).toEqual(
        all.filter((bits) => (bits & flags.syn) !== 0 && (bits & flags.ack) === 0),
      );
    });

    test('passes one port only, and looks at the destination', () => {
      for (const other of [0, 1, 178, 180, 0xb300, 65_535])
        expect(passes(tcp(flags.syn, other, port))).toBe(false);
      expect(passes(tcp(flags.syn, port, port))).toBe(true);
    });

    test('refuses a segment that is cut short', () => {
      for (const length of [0, 2, 4, 13])
        expect(passes(tcp(flags.syn).subarray(0, length))).toBe(false);
    });
  });

  test('on IPv4 another sender is refused, and without a sender all pass', () => {
    const packet = inIpv4(6, tcp(flags.syn));
    expect(runFilter(connectionAttempts(true, port, word), packet)).toBeGreaterThan(0);
    for (const other of [word + 1, 0, 0xffffffff, 0x020200c0])
      expect(runFilter(connectionAttempts(true, port, other), packet)).toBe(0);
    expect(runFilter(connectionAttempts(true, port, undefined), packet)).toBeGreaterThan(0);
  });
});

const programs = [
  { name: 'UDP over IPv4', program: probesOverUdp(true) },
  { name: 'UDP over IPv6', program: probesOverUdp(false) },
  { name: 'echo over IPv4', program: echoes(true, 0xffff) },
  { name: 'echo over IPv6', program: echoes(false, 0) },
  { name: 'SYN over IPv4', program: connectionAttempts(true, 65_535, 0xffffffff) },
  { name: 'SYN over IPv4 from anybody', program: connectionAttempts(true, 1, undefined) },
  { name: 'SYN over IPv6', program: connectionAttempts(false, 1, undefined) },
  { name: 'nothing', program: nothing },
];

test.each(programs)('the kernel would take the program for $name', ({ program }) => {
  expect(isLoadable(program)).toBe(true);
});

test.each(programs)('the program for $name ends on any bytes', ({ program }) => {
  const random = seeded(11);
  const said = Array.from({ length: 500 }, () => runFilter(program, randomBytes(random, 120)));
  expect(said.filter((bytes) => bytes !== 0 && bytes !== 0xffff)).toEqual([]);
});

test('a filter that passes nothing passes nothing', () => {
  const probe = udp('ipv4', encodeDatagram(message('probe'), { payload: 'zero' }));
  expect(runFilter(nothing, probe)).toBe(0);
});

describe('attaching', () => {
  function fakeLibc(failed: string | undefined) {
    const state = { allocated: 0, programs: [] as Buffer[], headers: [] as Uint8Array[] };
    const libc: Pick<Libc, 'allocate' | 'free' | 'setsockopt'> = {
      allocate: (size) => {
        state.allocated++;
        const bytes = Buffer.alloc(size);
        state.programs.push(bytes);
        return { address: 0x1234n, bytes };
      },
      free: () => {
        state.allocated--;
      },
      setsockopt: (_fd, level, option, value) => {
        state.headers.push(Uint8Array.from(value));
        return level === 1 && option === 26 ? failed : 'ENOPROTOOPT';
      },
    };
    return { libc: libc as Libc, state };
  }

  test('hands struct sock_fprog to the kernel and frees its memory', () => {
    const { libc, state } = fakeLibc(undefined);
    attachFilter(libc, 5, probesOverUdp(true));
    expect(state.allocated).toBe(0);
    const header = Buffer.from(state.headers[0] ?? []);
    expect([header.readUInt16LE(0), header.readBigUInt64LE(8)]).toEqual([8, 0x1234n]);
    // struct sock_filter of `X = 4 * (byte[0] & 15)` and of the jump on the magic.
    expect([...(state.programs[0]?.subarray(0, 8) ?? [])]).toEqual([0xb1, 0, 0, 0, 0, 0, 0, 0]);
    expect([...(state.programs[0]?.subarray(16, 24) ?? [])]).toEqual([
      0x15, 0, 0, 3, 0x50, 0x49, 0x4e, 0x43,
    ]);
  });

  test('says what the kernel refused, and frees its memory', () => {
    const { libc, state } = fakeLibc('EPERM');
    expect(() => {
      attachFilter(libc, 5, nothing);
    }).toThrow('SO_ATTACH_FILTER: EPERM');
    expect(state.allocated).toBe(0);
  });
});
