import { describe, expect, test } from 'vitest';
import { parseCapabilities } from '../../../../checks/host/capabilities.ts';

describe('capabilities', () => {
  test.each([
    { name: 'everything', text: 'CapEff:\t000001ffffffffff\n', netAdmin: true, netRaw: true },
    { name: 'nothing', text: 'CapEff:\t0000000000000000\n', netAdmin: false, netRaw: false },
    { name: 'NET_RAW', text: 'CapEff:\t0000000000002000\n', netAdmin: false, netRaw: true },
    { name: 'NET_ADMIN', text: 'CapEff:\t0000000000001000\n', netAdmin: true, netRaw: false },
    { name: 'no line', text: 'CapPrm:\t000001ffffffffff\n', netAdmin: false, netRaw: false },
  ])('$name', ({ text, netAdmin, netRaw }) => {
    expect(parseCapabilities(text)).toEqual({ netAdmin, netRaw });
  });
});
