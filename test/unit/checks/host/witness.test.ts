import { createHmac } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { HostError } from '../../../../checks/host/host.ts';
import type { LinuxNetwork } from '../../../../checks/host/network-linux.ts';

import type { Received } from '../../../../checks/host/sockets.ts';
import { Witness, type WitnessOptions } from '../../../../checks/host/witness.ts';
import { formatAddress } from '../../../../checks/packet/address.ts';
import { decodeIcmp } from '../../../../checks/packet/icmp.ts';
import { decodeIpv4, encodeIpv4 } from '../../../../checks/packet/ipv4.ts';
import { decodeIpv6 } from '../../../../checks/packet/ipv6.ts';
import {
  decodeMessage,
  encodeHeard,
  encodeMessage,
  type Mac,
  type Message,
} from '../../../../checks/packet/message.ts';
import { encodeDatagram, encodeIpProbe } from '../../../../checks/packet/probe.ts';
import { decodeUdp, encodeUdp, judgeUdpChecksum } from '../../../../checks/packet/udp.ts';
import { address, patched, randomBytes, seeded } from '../packet/support.ts';

const here = { ipv4: '192.0.2.1', ipv6: '2001:db8::1' } as const;
const there = { ipv4: '192.0.2.2', ipv6: '2001:db8::2' } as const;
type Family = keyof typeof here;
const mac: Mac = (bytes) => createHmac('sha256', 'key').update(bytes).digest();

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A witness on sockets made of lists: what is delivered to them, what is sent through them. */
async function witnessOf(
  given: {
    readonly mac?: Mac;
    readonly without?: Family;
    readonly overflownBefore?: number;
  } & Partial<WitnessOptions> = {},
) {
  const sockets = new Map<number, { family: Family; protocol: number; queue: Received[] }>();
  const handlers = new Map<number, () => void>();
  const sent: { packet: Uint8Array }[] = [];
  const dropped: string[] = [];
  const reports: unknown[] = [];
  /** Messages that a socket had no room for, by descriptor. */
  const overflown = new Map<number, number>();
  let nextFd = 10;
  const network = {
    options: {
      session: 0xffn,
      onDropped: (reason: string) => dropped.push(reason),
      ...(given.mac === undefined ? {} : { mac: given.mac }),
    },
    libc: {
      allocate: (size: number) => ({ address: 1n, bytes: Buffer.alloc(size) }),
      free: () => {},
      setsockopt: () => undefined,
      messagesDropped: (fd: number) => overflown.get(fd) ?? given.overflownBefore ?? 0,
      now: () => 0n,
      sendto: (_fd: number, packet: Uint8Array) => {
        sent.push({ packet: Uint8Array.from(packet) });
        return undefined;
      },
    },
    openRaw: (family: Family, protocol: number) => {
      if (family === given.without) throw new HostError('EAFNOSUPPORT', 'no such family');
      const fd = nextFd++;
      sockets.set(fd, { family, protocol, queue: [] });
      return fd;
    },
    closeSocket: (fd: number) => {
      sockets.delete(fd);
    },
    reactor: {
      add: (fd: number, _events: number, ready: () => void) => handlers.set(fd, ready),
      remove: (fd: number) => handlers.delete(fd),
      drain: () => {
        for (const ready of handlers.values()) ready();
      },
    },
    receiver: {
      receive: (fd: number, handle: (received: Received) => void) => {
        for (const received of sockets.get(fd)?.queue.splice(0) ?? []) handle(received);
      },
    },
    takeReport: (...report: unknown[]) => reports.push(report),
    heardFrom: undefined as LinuxNetwork['heardFrom'],
    onEchoRequest: undefined as ((echo: object) => void) | undefined,
  };
  const witness = new Witness(network as unknown as LinuxNetwork, {
    onRequest: async () => undefined,
    isPeer: () => true,
    tproxyPossible: async () => false,
    ...given,
  });
  const families = witness.open();
  const deliver = async (
    family: Family,
    protocol: number,
    received: Partial<Received>,
  ): Promise<void> => {
    for (const [fd, socket] of sockets) {
      if (socket.family !== family || socket.protocol !== protocol) continue;
      socket.queue.push({
        bytes: Buffer.alloc(0),
        truncated: false,
        source: address(there[family]),
        sourcePort: 0,
        receivedAt: 0n,
        ...received,
      });
      handlers.get(fd)?.();
    }
    await vi.advanceTimersByTimeAsync(0);
  };
  return { witness, families, network, sockets, sent, dropped, reports, overflown, deliver };
}
type Lab = Awaited<ReturnType<typeof witnessOf>>;

function probe(family: Family, change: Partial<Message> = {}): Message {
  return {
    type: 'probe',
    session: 7n,
    nonce: 1n,
    address: address(here[family]),
    port: 8472,
    body: new Uint8Array(0),
    ...change,
  };
}

/** Delivers a datagram with a message in it, as the kernel would hand it over. */
async function send(
  lab: Lab,
  family: Family,
  message: Message,
  how: {
    readonly mac?: Mac;
    readonly destinationPort?: number;
    readonly from?: string;
    readonly change?: (datagram: Uint8Array) => Uint8Array;
    readonly payloadBytes?: number;
  } = {},
): Promise<void> {
  const source = address(how.from ?? there[family]);
  const destination = address(here[family]);
  const plain = encodeUdp({
    source,
    destination,
    sourcePort: 40_000,
    destinationPort: how.destinationPort ?? 8472,
    payload: encodeDatagram(message, {
      payload: 'vxlan',
      ...(how.mac === undefined ? {} : { mac: how.mac }),
      ...(how.payloadBytes === undefined ? {} : { payloadBytes: how.payloadBytes }),
    }),
  });
  const datagram = how.change?.(plain) ?? plain;
  if (family === 'ipv6') {
    await lab.deliver('ipv6', 17, { bytes: Buffer.from(datagram), source, destination });
    return;
  }
  const ip = { source, destination, protocol: 17, identification: 1, dontFragment: false, ttl: 64 };
  await lab.deliver('ipv4', 17, {
    bytes: Buffer.from(encodeIpv4({ ...ip, payload: datagram })),
    source,
  });
}

/** What the witness sent last, taken apart. */
function lastAnswer(lab: Lab, family: Family, key?: Mac) {
  const packet = lab.sent[lab.sent.length - 1]?.packet ?? new Uint8Array();
  const ip = family === 'ipv4' ? decodeIpv4(packet) : decodeIpv6(packet);
  if (ip === undefined) throw new Error('no IP packet');
  const udp = decodeUdp(ip.payload);
  if (udp === undefined) throw new Error('no datagram');
  const decoded = decodeMessage(udp.payload, key);
  if ('malformed' in decoded) throw new Error(decoded.malformed);
  return {
    from: `${formatAddress(ip.source)} ${udp.sourcePort}`,
    to: `${formatAddress(ip.destination)} ${udp.destinationPort}`,
    checksum: judgeUdpChecksum({
      source: ip.source,
      destination: ip.destination,
      datagram: ip.payload,
    }),
    bytes: udp.payload.length,
    message: decoded.message,
  };
}

describe.each(['ipv4', 'ipv6'] as const)('a probe over %s', (family) => {
  test('as it was sent is answered `seen`, in the exact reverse', async () => {
    const lab = await witnessOf();
    await send(lab, family, probe(family));
    expect(lastAnswer(lab, family)).toMatchObject({
      from: `${here[family]} 8472`,
      to: `${there[family]} 40000`,
      checksum: 'good',
      message: { type: 'answer', observation: 'seen', nonce: 1n, session: 0xffn, port: 8472 },
    });
    expect(await lab.witness.heard(there[family], [1n, 2n])).toEqual([true, false]);
    expect(await lab.witness.heard('203.0.113.9', [1n])).toEqual([false]);
    expect(lab.dropped).toEqual([]);
  });

  test('is never answered with more bytes than it has', async () => {
    for (const key of [undefined, mac]) {
      const lab = await witnessOf(key === undefined ? {} : { mac: key });
      await send(lab, family, probe(family), key === undefined ? {} : { mac: key });
      const asked = 22 + 48 + (key === undefined ? 0 : 16);
      expect(lastAnswer(lab, family, key).bytes).toBeLessThanOrEqual(asked);
    }
  });

  test.each<{ name: string; message: Partial<Message>; destinationPort?: number }>([
    { name: 'at another port', message: {}, destinationPort: 9999 },
    { name: 'at another address', message: { address: address('198.51.100.1') } },
  ])('that arrives $name is rewritten, and does not count as heard', async (given) => {
    const lab = await witnessOf();
    const { destinationPort } = given;
    const how = destinationPort === undefined ? {} : { destinationPort };
    await send(lab, family, probe(family, given.message), how);
    expect(lastAnswer(lab, family).message).toMatchObject({
      observation: 'seen-rewritten',
      address: address(here[family]),
      port: destinationPort ?? 8472,
    });
    expect(await lab.witness.heard(there[family], [1n])).toEqual([false]);
  });

  test('with a bad checksum is told from a good one', async () => {
    const lab = await witnessOf();
    await send(lab, family, probe(family), { change: (bytes) => patched(bytes, 6, [0xde, 0xad]) });
    expect(lastAnswer(lab, family).message.observation).toBe('seen-bad-checksum');
    expect(await lab.witness.heard(there[family], [1n])).toEqual([false]);
  });

  test('without a checksum is good over IPv4 only', async () => {
    const lab = await witnessOf();
    await send(lab, family, probe(family), { change: (bytes) => patched(bytes, 6, [0, 0]) });
    expect(lastAnswer(lab, family).message.observation).toBe(
      family === 'ipv4' ? 'seen' : 'seen-bad-checksum',
    );
  });

  test('that a transparent proxy might take is said to be so', async () => {
    const asked: number[] = [];
    const lab = await witnessOf({
      tproxyPossible: async (port) => {
        asked.push(port);
        return port === 8472;
      },
    });
    await send(lab, family, probe(family));
    expect(lastAnswer(lab, family).message.observation).toBe('seen-tproxy-possible');
    expect(asked).toContain(8472);
    expect(await lab.witness.heard(there[family], [1n])).toEqual([false]);
  });

  test('is not told as heard while the rules are still being looked at', async () => {
    let say: (possible: boolean) => void = () => {};
    const lab = await witnessOf({
      tproxyPossible: async () =>
        await new Promise<boolean>((resolve) => {
          say = resolve;
        }),
    });
    await send(lab, family, probe(family));
    const heard = lab.witness.heard(there[family], [1n]);
    await vi.advanceTimersByTimeAsync(5000);
    expect(lab.sent).toEqual([]);
    say(true);
    expect(await heard).toEqual([false]);
  });

  test('carries what its sender heard of us', async () => {
    const lab = await witnessOf();
    await send(lab, family, probe(family, { body: encodeHeard([5n, 6n]) }));
    expect(lab.reports).toEqual([[there[family], [5n, 6n]]]);
  });

  test('is reported back in the next probes to its sender', async () => {
    const lab = await witnessOf();
    for (let nonce = 1n; nonce <= 12n; nonce++) await send(lab, family, probe(family, { nonce }));
    expect(lab.network.heardFrom?.(there[family])).toEqual([5n, 6n, 7n, 8n, 9n, 10n, 11n, 12n]);
    expect(lab.network.heardFrom?.('203.0.113.9')).toEqual([]);
  });
});

describe('what a peer with another key sends', () => {
  const other: Mac = (bytes) => createHmac('sha256', 'another').update(bytes).digest();

  test.each<{ name: string; own?: Mac; theirs?: Mac; told: boolean }>([
    { name: 'both have the same', own: mac, theirs: mac, told: false },
    { name: 'neither has one', told: false },
    { name: 'they differ', own: mac, theirs: other, told: true },
    { name: 'only this node has one', own: mac, told: true },
    { name: 'only the peer has one', theirs: other, told: true },
  ])('is told where $name: $told', async ({ own, theirs, told }) => {
    const strange: string[] = [];
    const lab = await witnessOf({
      ...(own === undefined ? {} : { mac: own }),
      onWrongKey: (from) => strange.push(from),
    });
    await send(lab, 'ipv4', probe('ipv4'), theirs === undefined ? {} : { mac: theirs });
    expect(strange).toEqual(told ? [there.ipv4] : []);
    expect(lab.dropped).toHaveLength(told ? 1 : 0);
  });
});

describe('a witness that had no room for what came', () => {
  test('says so of its family, and how long ago that was', async () => {
    const { witness, sockets, overflown } = await witnessOf();
    const [four = 0] = [...sockets].flatMap(([fd, { family }]) => (family === 'ipv4' ? fd : []));
    await vi.advanceTimersByTimeAsync(5000);
    expect(witness.overloadedSeconds('ipv4')).toBeUndefined();
    overflown.set(four, 3);
    expect(witness.overloadedSeconds('ipv4')).toBe(0);
    await vi.advanceTimersByTimeAsync(2000);
    expect(witness.overloadedSeconds('ipv4')).toBe(2);
    expect(witness.overloadedSeconds('ipv6')).toBeUndefined();
    overflown.set(four, 4);
    expect(witness.overloadedSeconds('ipv4')).toBe(0);
  });

  test('notices when it reads, not only when it is asked', async () => {
    const lab = await witnessOf();
    const [four = 0] = [...lab.sockets].flatMap(([fd, { family }]) =>
      family === 'ipv4' ? fd : [],
    );
    lab.overflown.set(four, 1);
    await send(lab, 'ipv4', probe('ipv4'));
    await vi.advanceTimersByTimeAsync(3000);
    expect(lab.witness.overloadedSeconds('ipv4')).toBe(3);
  });

  test('does not count what was dropped before it heard anything', async () => {
    const { witness } = await witnessOf({ overflownBefore: 7 });
    expect(witness.overloadedSeconds('ipv4')).toBeUndefined();
  });
});

describe('what is dropped', () => {
  test('a replay, and a replay alone', async () => {
    const lab = await witnessOf();
    await send(lab, 'ipv4', probe('ipv4'));
    await send(lab, 'ipv4', probe('ipv4'));
    expect(lab.sent).toHaveLength(1);
    expect(lab.dropped).toEqual(['replayed']);
    await send(lab, 'ipv4', probe('ipv4', { nonce: 2n }));
    expect(lab.sent).toHaveLength(2);
  });

  test('the own probes, which a raw socket sees on loopback', async () => {
    const lab = await witnessOf();
    await send(lab, 'ipv4', probe('ipv4', { session: 0xffn }));
    expect([lab.sent, lab.dropped]).toEqual([[], []]);
  });

  test('too many of one source, and of that one alone', async () => {
    const lab = await witnessOf();
    for (let nonce = 1n; nonce <= 805n; nonce++) await send(lab, 'ipv4', probe('ipv4', { nonce }));
    expect(lab.sent).toHaveLength(800);
    expect(lab.dropped).toEqual(Array.from({ length: 5 }, () => 'rate-limited'));
    // It gets no answer, but it was not lost.
    expect(await lab.witness.heard(there.ipv4, [805n])).toEqual([true]);
    await send(lab, 'ipv4', probe('ipv4'), { from: '192.0.2.3' });
    expect(lab.sent).toHaveLength(801);
  });

  test.each<{ name: string; key: Mac | undefined; signed: Mac | undefined; reason: string }>([
    { name: 'unsigned where there is a key', key: mac, signed: undefined, reason: 'unsigned' },
    {
      name: 'signed where there is none',
      key: undefined,
      signed: mac,
      reason: 'signed-without-key',
    },
    {
      name: 'signed with another key',
      key: mac,
      signed: (bytes) => createHmac('sha256', 'guess').update(bytes).digest(),
      reason: 'bad-mac',
    },
  ])('$name', async ({ key, signed, reason }) => {
    const lab = await witnessOf(key === undefined ? {} : { mac: key });
    await send(lab, 'ipv4', probe('ipv4'), signed === undefined ? {} : { mac: signed });
    expect(lab.sent).toEqual([]);
    expect(lab.dropped).toEqual([reason]);
  });

  test('answers and responses: an answer is never answered', async () => {
    const lab = await witnessOf();
    await send(lab, 'ipv4', probe('ipv4', { type: 'answer', observation: 'seen' }));
    await send(lab, 'ipv4', probe('ipv4', { type: 'response', nonce: 2n }));
    expect(lab.sent).toEqual([]);
  });

  test('garbage of every kind, without a throw', async () => {
    const lab = await witnessOf();
    const random = seeded(77);
    for (let count = 0; count < 300; count++) {
      const bytes = Buffer.from(randomBytes(random, 120));
      await lab.deliver('ipv4', 17, { bytes });
      await lab.deliver('ipv6', 17, { bytes, destination: address(here.ipv6) });
      await lab.deliver('ipv6', 17, { bytes });
    }
    await lab.deliver('ipv4', 17, { truncated: true });
    expect(lab.sent).toEqual([]);
    expect(lab.dropped.length).toBeGreaterThan(800);
  });
});

describe('a request', () => {
  const request = (change: Partial<Message> = {}): Message =>
    probe('ipv4', {
      type: 'request',
      port: 10_472,
      body: new TextEncoder().encode('{}'),
      ...change,
    });

  test('is answered by whoever answers requests, about its sender', async () => {
    const asked: unknown[] = [];
    const lab = await witnessOf({
      onRequest: async ({ body: _body, ...who }) => {
        asked.push(who);
        return new TextEncoder().encode('{"seen":2}');
      },
    });
    await send(lab, 'ipv4', request(), { payloadBytes: 1200 });
    expect(asked).toEqual([
      { address: there.ipv4, destination: here.ipv4, family: 'ipv4', session: '0000000000000007' },
    ]);
    expect(lastAnswer(lab, 'ipv4').message).toMatchObject({
      type: 'response',
      nonce: 1n,
      body: new TextEncoder().encode('{"seen":2}'),
    });
  });

  test('is not answered with more bytes than it has', async () => {
    const lab = await witnessOf({ onRequest: async () => new Uint8Array(400) });
    await send(lab, 'ipv4', request(), { payloadBytes: 300 });
    expect(lab.sent).toEqual([]);
    expect(lab.dropped).toEqual(['response-too-long']);
    await send(lab, 'ipv4', request({ nonce: 2n }), { payloadBytes: 448 });
    expect(lab.sent).toHaveLength(1);
  });

  test.each([
    { name: 'silence', onRequest: async () => undefined, dropped: [] },
    {
      name: 'a crash',
      onRequest: async () => {
        throw new Error('broken');
      },
      dropped: ['answer-failed'],
    },
  ])('that ends in $name sends nothing', async ({ onRequest, dropped }) => {
    const lab = await witnessOf({ onRequest });
    await send(lab, 'ipv4', request(), { payloadBytes: 1200 });
    expect(lab.sent).toEqual([]);
    expect(lab.dropped).toEqual(dropped);
  });

  test.each(['ipv4', 'ipv6'] as const)(
    'may come inside of an echo request over %s',
    async (family) => {
      const lab = await witnessOf({ onRequest: async () => new TextEncoder().encode('{}') });
      const data = new Uint8Array(1200);
      data.set(encodeMessage(request({ address: address(here[family]), port: 0 })));
      lab.network.onEchoRequest?.({
        family,
        source: address(there[family]),
        destination: address(here[family]),
        identifier: 5,
        sequence: 6,
        data,
      });
      await vi.advanceTimersByTimeAsync(0);
      const packet = lab.sent[0]?.packet ?? new Uint8Array();
      const ip = family === 'ipv4' ? decodeIpv4(packet) : decodeIpv6(packet);
      expect(formatAddress(ip?.destination ?? new Uint8Array(4))).toBe(there[family]);
      expect(decodeIcmp(family, ip?.payload ?? new Uint8Array())).toMatchObject({
        kind: 'echo-reply',
        identifier: 5,
        sequence: 6,
      });
      lab.network.onEchoRequest?.({
        family,
        source: address(there[family]),
        destination: address(here[family]),
        identifier: 5,
        sequence: 7,
        data,
      });
      await vi.advanceTimersByTimeAsync(0);
      expect(lab.sent).toHaveLength(1);
      expect(lab.dropped).toEqual(['replayed']);
    },
  );
});

describe('a watch', () => {
  const asker = { address: there.ipv4, family: 'ipv4' } as const;
  const ipOf = (
    protocol: number,
    payload: Uint8Array,
    from: string = there.ipv4,
  ): Partial<Received> => ({
    bytes: Buffer.from(
      encodeIpv4({
        source: address(from),
        destination: address(here.ipv4),
        protocol,
        payload,
        identification: 1,
        dontFragment: false,
        ttl: 64,
      }),
    ),
    source: address(from),
  });
  const tcp = (bits: number, port = 179): Uint8Array => {
    const segment = new Uint8Array(20);
    segment.set([0x9c, 0x40, port >> 8, port & 0xff]);
    segment.set([0x50, bits], 12);
    return segment;
  };
  const ipProbe = () => encodeIpProbe(encodeMessage(probe('ipv4', { port: 0 })));

  test('counts the SYNs of its asker to its port, and nothing else', async () => {
    const lab = await witnessOf();
    const id = lab.witness.watch(asker, { protocol: 'tcp', port: 179 }, undefined) ?? '';
    await lab.deliver('ipv4', 6, ipOf(6, tcp(0x10)));
    await lab.deliver('ipv4', 6, ipOf(6, tcp(0x18)));
    await lab.deliver('ipv4', 6, ipOf(6, tcp(0x02, 22)));
    await lab.deliver('ipv4', 6, ipOf(6, tcp(0x02), '192.0.2.3'));
    await lab.deliver('ipv4', 6, ipOf(6, tcp(0x02)));
    await lab.deliver('ipv4', 6, ipOf(6, tcp(0xc2)));
    expect(lab.witness.sighting(asker.address, id)).toEqual({ seen: 2 });
  });

  test.each([4, 50] as const)('of protocol %i counts probes of ours', async (protocol) => {
    const lab = await witnessOf();
    const id = lab.witness.watch(asker, { protocol }, false) ?? '';
    await lab.deliver('ipv4', protocol, ipOf(protocol, ipProbe()));
    await lab.deliver('ipv4', protocol, ipOf(protocol, ipProbe(), '192.0.2.3'));
    await lab.deliver('ipv4', protocol, ipOf(protocol, new Uint8Array(60)));
    await lab.deliver('ipv4', protocol, { bytes: Buffer.alloc(3) });
    expect(lab.witness.sighting(asker.address, id)).toEqual({ seen: 1, established: false });
  });

  test('tells its asker alone', async () => {
    const lab = await witnessOf();
    const id = lab.witness.watch(asker, { protocol: 4 }, true) ?? '';
    expect(lab.witness.sighting('192.0.2.3', id)).toBeUndefined();
    expect(lab.witness.sighting(asker.address, 'x')).toBeUndefined();
    expect(lab.witness.sighting(asker.address, id)).toEqual({ seen: 0, established: true });
  });

  test('is not mistaken for one of another witness of this host', async () => {
    const [one, other] = [await witnessOf(), await witnessOf()];
    const id = one.witness.watch(asker, { protocol: 4 }, true) ?? '';
    other.witness.watch(asker, { protocol: 4 }, true);
    expect(other.witness.sighting(asker.address, id)).toBeUndefined();
  });

  test('ends by itself, and its socket with it', async () => {
    const lab = await witnessOf();
    const before = lab.sockets.size;
    const id = lab.witness.watch(asker, { protocol: 4 }, false) ?? '';
    expect(lab.sockets.size).toBe(before + 1);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(lab.sockets.size).toBe(before);
    expect(lab.witness.sighting(asker.address, id)).toBeUndefined();
  });

  test('is over once it has been asked; asked again it says the same', async () => {
    const lab = await witnessOf();
    const before = lab.sockets.size;
    const id = lab.witness.watch(asker, { protocol: 'tcp', port: 179 }, undefined) ?? '';
    await lab.deliver('ipv4', 6, ipOf(6, tcp(0x02)));
    expect(lab.witness.sighting('192.0.2.3', id)).toBeUndefined();
    expect(lab.sockets.size).toBe(before + 1);
    expect(lab.witness.sighting(asker.address, id)).toEqual({ seen: 1 });
    expect(lab.sockets.size).toBe(before);
    expect(lab.witness.sighting(asker.address, id)).toEqual({ seen: 1 });
    await vi.advanceTimersByTimeAsync(10_000);
    expect(lab.witness.sighting(asker.address, id)).toBeUndefined();
  });

  test('that is over makes room for the next', async () => {
    const lab = await witnessOf();
    for (let count = 0; count < 200; count++) {
      const id = lab.witness.watch(asker, { protocol: 'tcp', port: 179 }, undefined);
      expect(id).toBeDefined();
      lab.witness.sighting(asker.address, id ?? '');
    }
  });

  test('is one of a few for each asker, and of some more for all', async () => {
    const lab = await witnessOf();
    const open = (of: string) =>
      lab.witness.watch({ ...asker, address: of }, { protocol: 4 }, false);
    const mine = Array.from({ length: 20 }, () => open(there.ipv4)).filter(
      (id) => id !== undefined,
    );
    expect(mine).toHaveLength(8);
    const others = Array.from({ length: 200 }, (_, index) => open(`198.51.100.${index}`));
    expect(others.filter((id) => id !== undefined)).toHaveLength(56);
  });
});

test('a family that the kernel lacks has no witness, and the other has one', async () => {
  const { witness, families } = await witnessOf({ without: 'ipv6' });
  expect(families).toEqual(['ipv4']);
  await vi.advanceTimersByTimeAsync(5000);
  expect([witness.has('ipv6'), witness.openSeconds('ipv6')]).toEqual([false, 0]);
  expect(witness.openSeconds('ipv4')).toBeCloseTo(5, 1);
});

test('a closed witness leaves no socket, no watch and no timer', async () => {
  const lab = await witnessOf();
  await send(lab, 'ipv4', probe('ipv4'));
  lab.witness.watch({ address: there.ipv4, family: 'ipv4' }, { protocol: 4 }, false);
  await lab.witness[Symbol.asyncDispose]();
  expect(lab.sockets.size).toBe(0);
  expect(vi.getTimerCount()).toBe(0);
  expect(lab.network.heardFrom).toBeUndefined();
  expect(lab.witness.openSeconds('ipv4')).toBe(0);
});
