import { describe, expect, test } from 'vitest';
import {
  createSourcePorts,
  parsePortRange,
  parseReservedPorts,
} from '../../../../checks/host/source-ports.ts';

const nothing: ReadonlySet<number> = new Set();

describe('the walk through the range', () => {
  test.each([1, 2, 3, 4, 5, 7, 8, 10, 16, 97, 100, 1024, 28_232])(
    'visits each of %i ports once before it comes round',
    (size) => {
      const ports = createSourcePorts({ first: 1000, last: 1000 + size - 1 }, nothing);
      for (let lap = 0; lap < 2; lap++) {
        const seen = new Set(Array.from({ length: size }, () => ports.next()));
        expect(seen.size).toBe(size);
        expect(Math.min(...seen)).toBe(1000);
        expect(Math.max(...seen)).toBe(1000 + size - 1);
      }
    },
  );

  test('leaves out what is excluded, and still visits the rest once', () => {
    const excluded = new Set([1003, 1004, 1011, 5]);
    const ports = createSourcePorts({ first: 1000, last: 1019 }, excluded);
    const seen = new Set(Array.from({ length: 17 }, () => ports.next()));
    expect(seen.size).toBe(17);
    for (const port of excluded) expect(seen.has(port)).toBe(false);
  });

  test('leaves out at once what is excluded later', () => {
    const ports = createSourcePorts({ first: 1000, last: 1009 }, new Set([1000]));
    ports.exclude([1001, 1002]);
    const seen = new Set(Array.from({ length: 50 }, () => ports.next()));
    expect(seen).toEqual(new Set([1003, 1004, 1005, 1006, 1007, 1008, 1009]));
  });

  test('does not change the set that it was given', () => {
    const excluded = new Set([1000]);
    createSourcePorts({ first: 1000, last: 1009 }, excluded).exclude([1001]);
    expect([...excluded]).toEqual([1000]);
  });

  test('two walks do not begin at one place for ever', () => {
    const starts = Array.from({ length: 20 }, () =>
      createSourcePorts({ first: 32_768, last: 60_999 }, nothing).next(),
    );
    expect(new Set(starts).size).toBeGreaterThan(1);
  });

  test('says so when every port is excluded', () => {
    const ports = createSourcePorts({ first: 1000, last: 1001 }, new Set([1000, 1001]));
    expect(() => ports.next()).toThrow('every local port is excluded');
  });
});

test.each([
  { text: '32768\t60999\n', want: { first: 32_768, last: 60_999 } },
  { text: '1024 65535', want: { first: 1024, last: 65_535 } },
  { text: '5000 5000', want: { first: 5000, last: 5000 } },
  { text: undefined, want: { first: 32_768, last: 60_999 } },
  { text: '', want: { first: 32_768, last: 60_999 } },
  { text: '60999 32768', want: { first: 32_768, last: 60_999 } },
  { text: '0 100', want: { first: 32_768, last: 60_999 } },
  { text: '1 70000', want: { first: 32_768, last: 60_999 } },
  { text: 'what ever', want: { first: 32_768, last: 60_999 } },
])('ip_local_port_range $text', ({ text, want }) => {
  expect(parsePortRange(text)).toEqual(want);
});

test.each([
  { text: '\n', want: [] },
  { text: undefined, want: [] },
  { text: '8472\n', want: [8472] },
  { text: '8080,9000-9003', want: [8080, 9000, 9001, 9002, 9003] },
  { text: '9003-9000,x,5-y,-,70000,0', want: [] },
])('ip_local_reserved_ports $text', ({ text, want }) => {
  expect([...parseReservedPorts(text)]).toEqual(want);
});
