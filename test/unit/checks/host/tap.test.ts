import { describe, expect, test } from 'vitest';
import type { Flow } from '../../../../checks/diagnosis/evidence.ts';
import { flowFilter, snapBytes } from '../../../../checks/host/tap-filter.ts';
import { readyFlow, sight } from '../../../../checks/host/tap-packet.ts';
import { encodeEchoReply, encodeEchoRequest } from '../../../../checks/packet/icmp.ts';
import { encodeIpv4 } from '../../../../checks/packet/ipv4.ts';
import { encodeIpv6 } from '../../../../checks/packet/ipv6.ts';
import { encodeMessage, type Message } from '../../../../checks/packet/message.ts';
import { encodeDatagram, encodeIpProbe, markEcho } from '../../../../checks/packet/probe.ts';
import { encodeUdp } from '../../../../checks/packet/udp.ts';
import { isLoadable, runFilter } from '../../../support/cbpf.ts';
import { address, damaged, patched, randomBytes, seeded, truncations } from '../packet/support.ts';

const texts = {
  ipv4: {
    source: '192.0.2.2',
    destination: '192.0.2.1',
    other: '192.0.2.9',
    router: '198.51.100.1',
  },
  ipv6: {
    source: '2001:db8::2',
    destination: '2001:db8::1',
    other: '2001:db8::9',
    router: '2001:db8:1::1',
  },
} as const;
const families = ['ipv4', 'ipv6'] as const;
type Family = (typeof families)[number];
const port = 8472;

interface Ends {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
}
function ends(family: Family, change: Partial<Ends> = {}): Ends {
  const { source, destination } = texts[family];
  return { source: address(source), destination: address(destination), ...change };
}
const reversed = ({ source, destination }: Ends): Ends => ({
  source: destination,
  destination: source,
});

function ip(family: Family, protocol: number, payload: Uint8Array, way = ends(family)): Uint8Array {
  return family === 'ipv4'
    ? encodeIpv4({ ...way, protocol, payload, identification: 7, dontFragment: false, ttl: 64 })
    : encodeIpv6({ ...way, nextHeader: protocol, payload, hopLimit: 64 });
}

function message(family: Family, type: Message['type'] = 'probe'): Message {
  return {
    type,
    session: 5n,
    nonce: 9n,
    address: address(texts[family].destination),
    port,
    body: new Uint8Array(0),
    ...(type === 'answer' ? { observation: 'seen' as const } : {}),
  };
}

/** A segment without options, its checksum left to a NIC. */
function segment(sourcePort: number, destinationPort: number, flags: number): Uint8Array {
  const bytes = new Uint8Array(20);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, sourcePort);
  view.setUint16(2, destinationPort);
  view.setUint8(12, 0x50);
  view.setUint8(13, flags);
  return bytes;
}
const syn = 0x02;
const ack = 0x10;
const rst = 0x04;

function echo(family: Family, what: 'request' | 'reply'): Uint8Array {
  const data = new Uint8Array(56);
  markEcho(data, 3n);
  const encode = what === 'request' ? encodeEchoRequest : encodeEchoReply;
  return encode({ family, identifier: 77, sequence: 1, data });
}

interface Case {
  readonly name: string;
  readonly family: Family;
  readonly flow: Flow;
  readonly probe: Uint8Array;
  readonly answer: Uint8Array;
  /** Packets of the flow's protocol between the two that are none of ours. */
  readonly foreign: readonly Uint8Array[];
}

const cases: readonly Case[] = families.flatMap((family): Case[] => {
  const { source, destination } = texts[family];
  const flow = (protocol: number, extra: { port?: number } = {}): Flow => ({
    family,
    source,
    destination,
    protocol,
    ...extra,
  });
  const there = ends(family);
  const back = reversed(there);
  const udp = (way: Ends, ports: readonly [number, number], payload: Uint8Array): Uint8Array =>
    ip(
      family,
      17,
      encodeUdp({ ...way, sourcePort: ports[0], destinationPort: ports[1], payload }),
      way,
    );
  const probe = encodeDatagram(message(family), { payload: 'vxlan' });
  const answer = encodeMessage(message(family, 'answer'));
  const icmp = family === 'ipv4' ? 1 : 58;
  const ping = encodeEchoRequest({ family, identifier: 1, sequence: 1, data: new Uint8Array(56) });
  return [
    {
      name: `UDP over ${family}`,
      family,
      flow: flow(17, { port }),
      probe: udp(there, [40_000, port], probe),
      answer: udp(back, [port, 40_000], answer),
      foreign: [
        udp(there, [40_000, port], new Uint8Array(100)),
        udp(there, [40_000, port + 1], probe),
        udp(there, [40_000, port], encodeDatagram(message(family, 'request'), { payload: 'zero' })),
        udp(back, [40_000, port], probe),
        udp(back, [port, 40_000], new Uint8Array(100)),
      ],
    },
    {
      name: `TCP over ${family}`,
      family,
      flow: flow(6, { port }),
      probe: ip(family, 6, segment(40_000, port, syn)),
      answer: ip(family, 6, segment(port, 40_000, rst | ack), back),
      foreign: [
        ip(family, 6, segment(40_000, port, ack)),
        ip(family, 6, segment(40_000, port + 1, syn)),
        ip(family, 6, segment(port, 40_000, ack), back),
      ],
    },
    {
      name: `ICMP over ${family}`,
      family,
      flow: flow(icmp),
      probe: ip(family, icmp, echo(family, 'request')),
      answer: ip(family, icmp, echo(family, 'reply'), back),
      foreign: [ip(family, icmp, ping), ip(family, icmp, echo(family, 'request'), back)],
    },
    {
      name: `protocol 4 over ${family}`,
      family,
      flow: flow(4),
      probe: ip(family, 4, encodeIpProbe(encodeMessage(message(family)))),
      answer: ip(family, 4, encodeIpProbe(encodeMessage(message(family))), back),
      foreign: [ip(family, 4, new Uint8Array(80))],
    },
  ];
});

/** Where the addresses stand in an IP header. */
const offsets = { ipv4: [12, 16], ipv6: [8, 24] } as const;

/** An ICMP error of a router that quotes a packet. */
function error(family: Family, quoted: Uint8Array, to: string = texts[family].source): Uint8Array {
  const icmp = new Uint8Array(8 + quoted.length);
  icmp.set(family === 'ipv4' ? [3, 13] : [1, 1]);
  icmp.set(quoted, 8);
  const way = { source: address(texts[family].router), destination: address(to) };
  return ip(family, family === 'ipv4' ? 1 : 58, icmp, way);
}

describe.each(cases)('$name', ({ family, flow, probe, answer, foreign }) => {
  const program = flowFilter(flow);
  const ready = readyFlow(flow);
  const passes = (packet: Uint8Array): boolean => runFilter(program, packet) > 0;
  /** What passes the filter is looked at; what it keeps out would have been nothing. */
  function kind(packet: Uint8Array): string | undefined {
    const seen = sight(ready, packet)?.kind;
    expect(passes(packet), `the filter on a ${seen}`).toBe(seen !== undefined);
    return seen;
  }

  test('the kernel takes the filter', () => {
    expect(isLoadable(program)).toBe(true);
    expect(runFilter(program, probe)).toBe(snapBytes);
  });

  test('a probe and its answer', () => {
    expect(kind(probe)).toBe('probe');
    expect(kind(answer)).toBe('answer');
  });

  test('what others send to the same place, or the two to each other, is nothing', () => {
    for (const packet of foreign) expect(sight(ready, packet)).toBeUndefined();
    const [sourceAt, destinationAt] = offsets[family];
    const other = [...address(texts[family].other)];
    for (const packet of [probe, answer])
      for (const at of [sourceAt, destinationAt])
        expect(kind(patched(packet, at, other))).toBeUndefined();
  });

  test('an ICMP error about a probe, with all of it or little', () => {
    const header = family === 'ipv4' ? 20 : 40;
    for (const quoted of [probe, probe.subarray(0, header + 8)]) {
      const packet = error(family, quoted);
      expect(passes(packet)).toBe(true);
      expect(sight(ready, packet)).toEqual({
        kind: 'error',
        error: {
          type: family === 'ipv4' ? 3 : 1,
          code: family === 'ipv4' ? 13 : 1,
          from: texts[family].router,
        },
      });
    }
  });

  test('errors about other packets are nothing', () => {
    expect(sight(ready, error(family, answer))).toBeUndefined();
    const [, destinationAt] = offsets[family];
    const elsewhere = patched(probe, destinationAt, [...address(texts[family].other)]);
    expect(kind(error(family, elsewhere))).toBeUndefined();
    expect(kind(error(family, probe, texts[family].other))).toBeUndefined();
    for (const packet of foreign)
      if (flow.protocol !== 6 && kind(packet) === undefined)
        expect(sight(ready, error(family, packet))).toBeUndefined();
  });

  test('nothing that is damaged or cut makes it throw', () => {
    const random = seeded(11);
    for (let round = 0; round < 400; round++) {
      const packet = [probe, answer, error(family, probe)][round % 3] ?? probe;
      sight(ready, damaged(random, packet));
      sight(ready, randomBytes(random, 120));
      sight(readyFlow({ ...flow, protocol: random() & 0xff }), damaged(random, packet));
    }
    for (const cut of truncations(probe)) sight(ready, cut);
    for (const cut of truncations(error(family, probe))) sight(ready, cut);
  });
});

describe('a packet is told from the next one', () => {
  test('by session and nonce', () => {
    const [udp] = cases;
    if (udp === undefined) throw new Error('no case');
    const { flow, probe } = udp;
    const again = sight(readyFlow(flow), probe);
    expect(sight(readyFlow(flow), Uint8Array.from(probe))).toEqual(again);
    // Its nonce: IP 20, UDP 8, preamble 22, and 16 more.
    expect(sight(readyFlow(flow), patched(probe, 20 + 8 + 22 + 23, [10]))).not.toEqual(again);
  });
});

describe('checksums', () => {
  const judged = (flow: Flow, packet: Uint8Array): boolean | undefined => {
    const seen = sight(readyFlow(flow), packet);
    return seen?.kind === 'probe' ? seen.goodChecksum : undefined;
  };

  test.each(cases.filter(({ flow }) => flow.protocol === 17))(
    '$name',
    ({ family, flow, probe }) => {
      const at = family === 'ipv4' ? 20 : 40;
      expect(judged(flow, probe)).toBe(true);
      expect(judged(flow, patched(probe, at + 6, [0x12, 0x34]))).toBe(false);
      // None at all is an error over IPv6 only (RFC 8200 section 8.1).
      expect(judged(flow, patched(probe, at + 6, [0, 0]))).toBe(family === 'ipv4');
      // Padding of the link is no part of it; what was cut cannot be judged.
      expect(judged(flow, Uint8Array.from([...probe, 1, 2, 3]))).toBe(true);
      expect(judged(flow, probe.subarray(0, probe.length - 1))).toBeUndefined();
    },
  );

  test.each(cases.filter(({ flow }) => flow.protocol === 6))('$name', ({ flow, probe, family }) => {
    const at = family === 'ipv4' ? 20 : 40;
    expect(judged(flow, probe)).toBe(false);
    const pseudo = 6 + 20 + sum(ends(family).source) + sum(ends(family).destination);
    const folded = (pseudo & 0xffff) + (pseudo >>> 16);
    const partial = patched(probe, at + 16, [folded >> 8, folded & 0xff]);
    expect(judged(flow, partial)).toBe(true);
    expect(judged(flow, patched(partial, at + 4, [1]))).toBe(true);
  });

  test('an echo over IPv4', () => {
    const found = cases.find(({ flow }) => flow.protocol === 1);
    if (found === undefined) throw new Error('no case');
    expect(judged(found.flow, found.probe)).toBe(true);
    expect(judged(found.flow, patched(found.probe, found.probe.length - 1, [1]))).toBe(false);
  });
});

function sum(bytes: Uint8Array): number {
  let total = 0;
  for (let at = 0; at < bytes.length; at += 2)
    total += (bytes[at] ?? 0) * 256 + (bytes[at + 1] ?? 0);
  return total;
}

describe('fragments', () => {
  test.each(cases.filter(({ family }) => family === 'ipv4'))(
    '$name: the first has the mark, the others are counted',
    ({ flow, probe }) => {
      const ready = readyFlow(flow);
      const first = patched(probe, 6, [0x20, 0]);
      const second = patched(probe, 6, [0x20, 40]);
      expect(sight(ready, first)).toMatchObject({ kind: 'probe', goodChecksum: undefined });
      expect(sight(ready, second)).toEqual({ kind: 'fragment', key: '7 320' });
      expect(runFilter(flowFilter(flow), first)).toBeGreaterThan(0);
      expect(runFilter(flowFilter(flow), second)).toBeGreaterThan(0);
    },
  );

  test.each(cases.filter(({ family }) => family === 'ipv6'))(
    '$name: the first has the mark, the others are counted',
    ({ flow, probe }) => {
      const ready = readyFlow(flow);
      const fragment = (offsetAndFlags: number): Uint8Array => {
        const header = new Uint8Array(8);
        const view = new DataView(header.buffer);
        view.setUint8(0, flow.protocol);
        view.setUint16(2, offsetAndFlags);
        view.setUint32(4, 99);
        return encodeIpv6({
          ...ends('ipv6'),
          nextHeader: 44,
          payload: Uint8Array.from([...header, ...probe.subarray(40)]),
          hopLimit: 64,
        });
      };
      expect(sight(ready, fragment(1))).toMatchObject({ kind: 'probe', goodChecksum: undefined });
      expect(sight(ready, fragment(320))).toEqual({ kind: 'fragment', key: '99 320' });
      for (const one of [fragment(1), fragment(320)])
        expect(runFilter(flowFilter(flow), one)).toBeGreaterThan(0);
    },
  );
});

test('addresses of two families, or none, make no filter', () => {
  const flow = {
    family: 'ipv4',
    source: '192.0.2.1',
    destination: '2001:db8::1',
    protocol: 17,
    port,
  } as const;
  expect(() => flowFilter(flow)).toThrow(/no address of ipv4/);
});
