import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { HostError } from '../../../checks/host/host.ts';
import type { ProbeWish } from '../../../checks/peer-channel.ts';
import { type Carrier, createPeerChannel } from '../../../checks/peer-client.ts';
import type { Request } from '../../../checks/peer-protocol.ts';
import { writeBody } from '../../../checks/peer-wire.ts';
import { pause } from '../../../checks/time.ts';
import { peerAddress, someFacts } from '../../support/fake-network.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

type Responder = (request: Request, n: number) => unknown;
const silence = Symbol('silence');

/** A carrier that answers after a while, and counts what it was asked. */
function carrier(respond: Responder, afterMs = 10) {
  const asked: Request[] = [];
  const carry: Carrier = async (_path, request, timeoutMs, signal) => {
    const n = asked.length;
    asked.push(request);
    const said = respond(request, n);
    await pause(said === silence ? timeoutMs : afterMs, signal);
    if (signal.aborted || said === silence) return undefined;
    if (said instanceof Error) throw said;
    return said instanceof Uint8Array ? said : writeBody(said);
  };
  return { carry, asked };
}

const facts: Responder = () => someFacts();
const never: Responder = () => silence;
const forever = new AbortController().signal;

function channelOf(...carriers: readonly { carry: Carrier }[]) {
  return createPeerChannel({
    path: { family: 'ipv4', destination: peerAddress.ipv4 },
    carriers: carriers.map(({ carry }) => carry),
    timeoutMs: 1000,
    session: '00000000000000bb',
    confirmMs: 10_000,
  });
}

/** Lets the clock run until the answer is there; how long that took. */
async function timed<T>(work: Promise<T>): Promise<{ value: T; ms: number }> {
  const started = performance.now();
  let ended = Number.NaN;
  const watched = work.finally(() => {
    ended = performance.now();
  });
  watched.catch(() => {});
  await vi.advanceTimersByTimeAsync(60_000);
  return { value: await watched, ms: ended - started };
}

describe('the choice of a carrier', () => {
  test('the first response wins, however slow the others are', async () => {
    const [slow, fast, dead] = [carrier(facts, 500), carrier(facts, 20), carrier(never)];
    const { value, ms } = await timed(channelOf(dead, slow, fast).facts(forever));
    expect(value).toEqual(someFacts());
    expect(ms).toBe(20);
  });

  test('the one that answered is asked alone next time', async () => {
    const [dead, good] = [carrier(never), carrier(facts)];
    const channel = channelOf(dead, good);
    await timed(channel.facts(forever));
    await timed(channel.facts(forever));
    await timed(channel.facts(forever));
    expect(dead.asked).toHaveLength(1);
    expect(good.asked).toHaveLength(3);
  });

  test('the one that answered last gets a second try before the others are asked', async () => {
    const good = carrier((_request, n) => (n === 1 ? silence : someFacts()));
    const other = carrier(never);
    const channel = channelOf(good, other);
    await timed(channel.facts(forever));
    expect((await timed(channel.facts(forever))).value).toEqual(someFacts());
    expect(good.asked).toHaveLength(3);
    expect(other.asked).toHaveLength(1);
  });

  test('when it falls silent the others take over, and stay', async () => {
    const old = carrier((_request, n) => (n === 0 ? someFacts() : silence));
    const fresh = carrier((_request, n) => (n === 0 ? silence : someFacts()));
    const channel = channelOf(old, fresh);
    await timed(channel.facts(forever));
    expect((await timed(channel.facts(forever))).value).toEqual(someFacts());
    await timed(channel.facts(forever));
    expect(old.asked).toHaveLength(3);
    expect(fresh.asked).toHaveLength(3);
  });

  test('no carrier answers: undefined, when the last has given up', async () => {
    const { value, ms } = await timed(channelOf(carrier(never), carrier(never)).facts(forever));
    expect(value).toBeUndefined();
    expect(ms).toBe(1000);
  });

  test('without carriers there is no answer', async () => {
    expect((await timed(channelOf().facts(forever))).value).toBeUndefined();
  });

  test('a carrier that has no socket leaves it to the others', async () => {
    const broken = carrier(() => new HostError('EAFNOSUPPORT', 'no IPv6'));
    expect((await timed(channelOf(broken, carrier(facts, 50)).facts(forever))).value).toEqual(
      someFacts(),
    );
    expect((await timed(channelOf(broken).facts(forever))).value).toBeUndefined();
  });

  test('a carrier that answered once and then has no socket does so too', async () => {
    const broken = carrier((_request, n) =>
      n === 0 ? someFacts() : new HostError('EMFILE', 'too many files'),
    );
    const channel = channelOf(broken, carrier(facts, 50));
    await timed(channel.facts(forever));
    expect((await timed(channel.facts(forever))).value).toEqual(someFacts());
  });

  test('a bug in a carrier is not swallowed', async () => {
    const broken = carrier(() => new TypeError('a bug'));
    const work = channelOf(broken).facts(forever);
    work.catch(() => {});
    await vi.advanceTimersByTimeAsync(100);
    await expect(work).rejects.toThrow('a bug');
  });

  test('an abort ends it', async () => {
    const stop = new AbortController();
    const work = channelOf(carrier(never)).facts(stop.signal);
    stop.abort();
    await vi.advanceTimersByTimeAsync(0);
    expect(await work).toBeUndefined();
  });
});

describe('what travels', () => {
  test('nonces go as 16 digits, and the answer must be as long as the question', async () => {
    const good = carrier(() => ({ witnessSeconds: 5, heard: [true, false] }));
    const channel = channelOf(good);
    expect((await timed(channel.heard([255n, 1n], forever))).value).toEqual({
      witnessSeconds: 5,
      heard: [true, false],
    });
    expect(good.asked).toEqual([
      {
        op: 'heard',
        nonces: ['00000000000000ff', '0000000000000001'],
        session: '00000000000000bb',
      },
    ]);
    expect((await timed(channel.heard([1n], forever))).value).toBeUndefined();
  });

  test('a watch and its sighting', async () => {
    const good = carrier(({ op }) => (op === 'watch' ? { id: '7' } : { seen: 2 }));
    const channel = channelOf(good);
    const watch = { protocol: 'tcp', port: 179 } as const;
    expect((await timed(channel.watch(watch, forever))).value).toEqual({ id: '7' });
    expect((await timed(channel.sighting('7', forever))).value).toEqual({ seen: 2 });
    expect(good.asked).toEqual([
      { op: 'watch', protocol: 'tcp', port: 179 },
      { op: 'sighting', id: '7' },
    ]);
  });

  test.each([{ a: 1 }, Uint8Array.of(0xff), [], null])('%j is no answer', async (said) => {
    expect((await timed(channelOf(carrier(() => said)).facts(forever))).value).toBeUndefined();
  });
});

describe('wishes', () => {
  const wishes = (count: number): ProbeWish[] =>
    Array.from({ length: count }, (_, index) => ({
      id: `a.${index}`,
      kind: 'udp-port',
      mustReach: true,
      params: { port: index + 1 },
    }));
  const asVerdict = (id: string) => ({ id, ageSeconds: 1, answer: { outcome: 'pass' } });
  const idsOf = (request: Request) =>
    request.op === 'confirm' ? request.requirements.map(({ id }) => id) : [];
  const granted: Responder = (request) => ({
    verdicts: idsOf(request).map(asVerdict),
    pending: false,
  });

  test('go three at a time, and come back together', async () => {
    const good = carrier(granted);
    const { value } = await timed(channelOf(good).confirm(wishes(7), 30, forever));
    expect(good.asked.map((request) => idsOf(request).length)).toEqual([3, 3, 1]);
    expect(value?.map(({ requirement }) => requirement)).toEqual(wishes(7).map(({ id }) => id));
    expect(value?.[0]).toEqual({
      requirement: 'a.0',
      answer: { outcome: 'pass', evidence: {} },
      ageSeconds: 1,
    });
  });

  test('that are pending are asked for again until they are there', async () => {
    const good = carrier((request, n) =>
      n < 4
        ? { verdicts: idsOf(request).slice(0, n).map(asVerdict), pending: true }
        : granted(request, n),
    );
    const { value } = await timed(channelOf(good).confirm(wishes(3), 30, forever));
    expect(good.asked).toHaveLength(5);
    expect(value).toHaveLength(3);
  });

  test('that stay pending end, with what is known by then', async () => {
    const good = carrier((request) => ({
      verdicts: idsOf(request).slice(0, 1).map(asVerdict),
      pending: true,
    }));
    const { value, ms } = await timed(channelOf(good).confirm(wishes(2), 30, forever));
    expect(value?.map(({ requirement }) => requirement)).toEqual(['a.0']);
    expect(ms).toBeGreaterThanOrEqual(10_000);
    expect(ms).toBeLessThan(11_000);
  });

  test('end with the signal', async () => {
    const stop = new AbortController();
    const good = carrier(() => ({ verdicts: [], pending: true }));
    const work = timed(channelOf(good).confirm(wishes(1), 30, stop.signal));
    stop.abort();
    expect((await work).ms).toBeLessThan(1000);
  });

  test('of a peer that is not there are undefined; of one that went, what it said before', async () => {
    const dead = channelOf(carrier(never));
    expect((await timed(dead.confirm(wishes(4), 30, forever))).value).toBeUndefined();
    const leaving = carrier((request, n) => (n === 0 ? granted(request, n) : silence));
    const { value } = await timed(channelOf(leaving).confirm(wishes(4), 30, forever));
    expect(value).toHaveLength(3);
  });

  test('without a reason where one is due are not there', async () => {
    const bad = carrier(() => ({
      verdicts: [
        { id: 'a.0', ageSeconds: 1, answer: { outcome: 'fail' } },
        { id: 'a.1', ageSeconds: 1, answer: { outcome: 'fail', reason: 'dropped' } },
      ],
      pending: false,
    }));
    const { value } = await timed(channelOf(bad).confirm(wishes(2), 30, forever));
    expect(value?.map(({ requirement }) => requirement)).toEqual(['a.1']);
  });
});

describe('a peer with another key', () => {
  const refused: Carrier = async () => await Promise.resolve('wrong-key');

  test('is known as one once a carrier was refused, until an answer comes', async () => {
    let good = false;
    const { carry } = carrier(() => (good ? someFacts() : silence));
    const channel = channelOf({ carry }, { carry: refused });
    expect(channel.keyMismatch()).toBe(false);
    expect((await timed(channel.facts(forever))).value).toBeUndefined();
    expect(channel.keyMismatch()).toBe(true);
    good = true;
    expect((await timed(channel.facts(forever))).value).toEqual(someFacts());
    expect(channel.keyMismatch()).toBe(false);
  });

  test('is none that is merely silent', async () => {
    const channel = channelOf(carrier(never));
    await timed(channel.facts(forever));
    expect(channel.keyMismatch()).toBe(false);
  });

  test('may have betrayed it by what it sent', () => {
    const channel = createPeerChannel({
      path: { family: 'ipv4', destination: peerAddress.ipv4 },
      carriers: [],
      timeoutMs: 1000,
      session: '00000000000000bb',
      confirmMs: 10_000,
      heardWrongKey: () => true,
    });
    expect(channel.keyMismatch()).toBe(true);
  });
});
