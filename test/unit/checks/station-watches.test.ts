import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Flow, ReceiverEvidence } from '../../../checks/diagnosis/evidence.ts';
import { HostError } from '../../../checks/host/host.ts';
import { createStationWatches, maximumOpen } from '../../../checks/station-watches.ts';

const flow: Flow = {
  family: 'ipv4',
  source: '192.0.2.2',
  destination: '192.0.2.1',
  protocol: 17,
  port: 8472,
};
const asker = flow.source;

/** Watches on look-outs that are numbers. */
function made(options: { readonly refused?: boolean } = {}) {
  let opened = 0;
  let stopped = 0;
  const watches = createStationWatches(
    async () => {
      if (options.refused === true) throw new HostError('missing-net-raw', 'no');
      const number = opened++;
      let said: ReceiverEvidence | undefined;
      return {
        stop: async () => {
          if (said === undefined) stopped++;
          said ??= { witnessed: number, owner: 'nobody', ownsDestination: true };
          return said;
        },
      };
    },
    () => Date.now(),
  );
  return { ...watches, counts: () => ({ opened, stopped }) };
}
const id = (number: number): string => number.toString(16).padStart(16, '0');

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test('a question that came twice opens one, and two answers are the same', async () => {
  const { open, observed, counts } = made();
  expect(await Promise.all([open(asker, id(1), flow), open(asker, id(1), flow)])).toEqual([
    true,
    true,
  ]);
  expect(await observed(asker, id(1))).toMatchObject({ witnessed: 0 });
  expect(await observed(asker, id(1))).toMatchObject({ witnessed: 0 });
  expect(counts()).toEqual({ opened: 1, stopped: 1 });
});

test("what one asker has opened is nobody else's", async () => {
  const { open, observed, counts } = made();
  await open(asker, id(1), flow);
  expect(await observed('192.0.2.3', id(1))).toBeUndefined();
  expect(await observed(asker, id(2))).toBeUndefined();
  expect(counts()).toEqual({ opened: 1, stopped: 0 });
});

describe('at most sixteen are open', () => {
  test('the seventeenth is refused, whoever asks, until one ends', async () => {
    const { open, observed } = made();
    for (let number = 0; number < maximumOpen; number++)
      expect(await open(`192.0.2.${number}`, id(number), flow)).toBe(true);
    expect(maximumOpen).toBe(16);
    expect(await open('192.0.2.99', id(99), flow)).toBe(false);
    await observed('192.0.2.3', id(3));
    expect(await open('192.0.2.99', id(99), flow)).toBe(true);
  });

  test('and after three seconds all have ended by themselves; what they saw is kept a while', async () => {
    const { open, observed, counts } = made();
    for (let number = 0; number < maximumOpen; number++)
      await open(`192.0.2.${number}`, id(number), flow);
    await vi.advanceTimersByTimeAsync(2999);
    expect(counts().stopped).toBe(0);
    await vi.advanceTimersByTimeAsync(1);
    expect(counts().stopped).toBe(16);
    expect(await open('192.0.2.99', id(99), flow)).toBe(true);
    expect(await observed('192.0.2.3', id(3))).toMatchObject({ witnessed: 3 });
    await vi.advanceTimersByTimeAsync(7000);
    expect(await observed('192.0.2.3', id(3))).toBeUndefined();
  });
});

test('one asker opens two a second, after sixteen at once', async () => {
  const { open, observed } = made();
  let number = 0;
  const once = async (): Promise<boolean> => {
    const name = id(number++);
    const isOpen = await open(asker, name, flow);
    await observed(asker, name);
    return isOpen;
  };
  for (let count = 0; count < 16; count++) expect(await once()).toBe(true);
  expect(await once()).toBe(false);
  expect(await open('192.0.2.3', id(0), flow)).toBe(true);
  await vi.advanceTimersByTimeAsync(500);
  expect(await once()).toBe(true);
  expect(await once()).toBe(false);
});

test('one that may not be opened is forgotten', async () => {
  const { open, observed } = made({ refused: true });
  await expect(open(asker, id(1), flow)).rejects.toMatchObject({ code: 'missing-net-raw' });
  expect(await observed(asker, id(1))).toBeUndefined();
});

test('closing ends them all, also one that is just being opened; nothing is opened any more', async () => {
  const { open, close, counts } = made();
  await open(asker, id(1), flow);
  const opening = open(asker, id(2), flow);
  await close();
  expect(await opening).toBe(false);
  expect(counts()).toEqual({ opened: 2, stopped: 2 });
  expect(await open(asker, id(3), flow)).toBe(false);
  expect(vi.getTimerCount()).toBe(0);
});
