import { describe, expect, test } from 'vitest';
import { parsePrefix } from '../../../../nftables/evaluate/address.ts';
import { prepareHost } from '../../../../nftables/evaluate/host.ts';
import type { Route } from '../../../../nftables/evaluate/types.ts';

const route = (destination: string, device: string, more: Partial<Route> = {}): Route => ({
  family: destination.includes(':') ? 'ip6' : 'ip',
  destination,
  type: 'unicast',
  table: 'main',
  metric: 0,
  interfaces: [device],
  ...more,
});

const host = prepareHost({
  routes: [
    route('0.0.0.0/0', 'wan'),
    route('10.0.0.0/8', 'ten'),
    route('10.1.0.0/16', 'slow', { metric: 100 }),
    route('10.1.0.0/16', 'fast', { metric: 10 }),
    route('10.1.2.0/24', 'none', { type: 'blackhole' }),
    route('10.1.2.3', 'host'),
    route('10.9.0.0/16', 'none', { type: 'throw' }),
    route('10.0.0.0/8', 'fallback', { table: 'default' }),
    route('192.0.2.1/32', 'lo', { table: 'local', type: 'local' }),
    route('2001:db8::/32', 'six'),
  ],
});

function ask(text: string): string | undefined {
  const family = text.includes(':') ? 'ip6' : 'ip';
  const address = parsePrefix(text, family);
  if (address === undefined) throw new Error(`${text} is no address`);
  const found = host.route(family, address.bytes, address.known);
  return found === undefined || found === 'none' ? found : found.interfaces[0];
}

describe('the route to an address', () => {
  test.each([
    ['203.0.113.1', 'wan'],
    ['10.200.0.1', 'ten'],
    ['10.1.3.1', 'fast'],
    ['10.1.2.3', 'host'],
    // A table that throws has none: the next one is asked.
    ['10.9.1.1', 'fallback'],
    ['192.0.2.1', 'lo'],
    ['2001:db8::1', 'six'],
    ['2001:db9::1', 'none'],
  ])('%s leads by %s', (address, device) => {
    expect(ask(address)).toBe(device);
  });

  // What is left open is told only where all that it may be has one route.
  test.each([
    ['10.1.3.0/24', 'fast'],
    ['10.0.0.0/8', undefined],
    ['10.1.2.0/24', undefined],
    ['11.0.0.0/8', 'wan'],
  ])('%s as a whole leads by %s', (prefix, device) => {
    expect(ask(prefix)).toBe(device);
  });

  test('that is blackholed is known as such', () => {
    const { bytes, known } = parsePrefix('10.1.2.9', 'ip') ?? {};
    expect(host.route('ip', bytes ?? new Uint8Array(4), known ?? new Uint8Array(4))).toMatchObject({
      type: 'blackhole',
    });
  });
});
