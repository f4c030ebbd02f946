import type { Change, Ruleset } from 'node-nftables';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createFirewallGuard } from '../../../agent/firewall-guard.ts';
import { createWipeAlarm } from '../../../agent/wipe-alarm.ts';
import type { FirewallReading, FirewallView } from '../../../checks/host/firewall.ts';
import { openCatalogue } from '../../../rules/catalogue.ts';
import { someChain, someRule, someRuleset, someView } from '../../support/firewall.ts';

const { ruleOwners } = await openCatalogue();

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A firewall that holds so many rules of kube-proxy, and of others. */
function picture(rules: number, others = 0): FirewallView {
  const place = { family: 'ip', table: 'filter' } as const;
  const { base: _, ...chain } = someChain({ ...place, name: 'KUBE-FIREWALL' });
  const kept = Array.from({ length: rules }, () => someRule({ ...place, chain: chain.name }));
  for (let count = 0; count < others; count++) kept.push(someRule({ ...place, chain: 'mine' }));
  const ruleset: Ruleset = someRuleset({ chains: [chain], rules: kept });
  return someView({}, { ruleset });
}

/** A guard over a firewall that the test changes, with or without the kernel telling so. */
function guard() {
  let reading: FirewallReading = { readable: true, view: picture(3) };
  let reviews = 0;
  let tell: (change: Change) => void = () => {};
  const alarm = createWipeAlarm({ owners: () => ruleOwners, now: () => Date.now() });
  const made = createFirewallGuard({
    node: { host: { firewall: async () => reading } },
    log: { debug: vi.fn(), info: vi.fn(), warn: vi.fn(), error: vi.fn() },
    alarm,
    review: async () => {
      reviews++;
    },
    onChange: () => {},
    watch: async (signal) => told(signal),
  });
  async function* told(signal: AbortSignal): AsyncGenerator<Change> {
    while (!signal.aborted) {
      yield await new Promise<Change>((resolve) => {
        tell = resolve;
        signal.addEventListener('abort', () => resolve({ kind: 'lost' }), { once: true });
      });
    }
  }
  made.start();
  return {
    alarm,
    made,
    reviews: () => reviews,
    change(next: FirewallView | 'unreadable'): void {
      reading =
        next === 'unreadable'
          ? { readable: false, reason: 'permission-denied', why: '' }
          : { readable: true, view: next };
    },
    tell: (name: string): void => {
      tell({ kind: 'generation', id: 8, process: { pid: 7, name } });
    },
  };
}

test('a change that the kernel tells is looked at soon, with who made it', async () => {
  const { alarm, made, reviews, change, tell } = guard();
  await vi.advanceTimersByTimeAsync(10);
  expect([alarm.open(), reviews()]).toEqual([[], 0]);
  change(picture(0));
  tell('nft');
  await vi.advanceTimersByTimeAsync(300);
  expect(alarm.open()).toMatchObject([{ owner: 'kube-proxy', process: { name: 'nft' } }]);
  expect(reviews()).toBe(1);
  await made[Symbol.asyncDispose]();
});

test('a change that nobody tells is found within half a minute, once', async () => {
  const { alarm, made, reviews, change } = guard();
  await vi.advanceTimersByTimeAsync(10);
  change(picture(0));
  await vi.advanceTimersByTimeAsync(29_000);
  expect([alarm.open(), reviews()]).toEqual([[], 0]);
  await vi.advanceTimersByTimeAsync(2000);
  expect(alarm.open()).toMatchObject([{ owner: 'kube-proxy' }]);
  expect(reviews()).toBe(1);
  await vi.advanceTimersByTimeAsync(120_000);
  expect(reviews()).toBe(1);
  await made[Symbol.asyncDispose]();
});

test('a change that a look finds before the kernel has told it is not looked at without its maker', async () => {
  const { alarm, made, change, tell } = guard();
  await vi.advanceTimersByTimeAsync(29_990);
  change(picture(0));
  await vi.advanceTimersByTimeAsync(20);
  expect(alarm.open()).toEqual([]);
  tell('kube-proxy');
  await vi.advanceTimersByTimeAsync(1000);
  // Its own doing.
  expect(alarm.open()).toEqual([]);
  await made[Symbol.asyncDispose]();
});

test('rules that may not be read for a while have not gone', async () => {
  const { alarm, made, reviews, change } = guard();
  await vi.advanceTimersByTimeAsync(10);
  change('unreadable');
  await vi.advanceTimersByTimeAsync(60_000);
  change(picture(3));
  await vi.advanceTimersByTimeAsync(60_000);
  expect(alarm.open()).toEqual([]);
  expect(reviews()).toBe(1);
  await made[Symbol.asyncDispose]();
});

test('what its owner may have done is asked for when it has not come back', async () => {
  const { alarm, made, reviews, change, tell } = guard();
  change(picture(3, 1));
  await vi.advanceTimersByTimeAsync(31_000);
  const before = reviews();
  change(picture(0, 1));
  tell('nft');
  await vi.advanceTimersByTimeAsync(1000);
  expect([alarm.open(), reviews() - before]).toEqual([[], 1]);
  await vi.advanceTimersByTimeAsync(91_000);
  expect(alarm.open()).toHaveLength(1);
  // Nothing has changed meanwhile.
  expect(reviews() - before).toBe(2);
  await vi.advanceTimersByTimeAsync(91_000);
  expect(reviews() - before).toBe(2);
  await made[Symbol.asyncDispose]();
});
