import { expect, test } from 'vitest';
import { createReports } from '../../../../checks/host/reports.ts';

test('a report of the node that a probe was sent to counts for its port', () => {
  const reports = createReports(() => 0);
  reports.sent(1n, '192.0.2.2', 8472);
  reports.heard('192.0.2.2', [1n]);
  expect(reports.has('192.0.2.2', 8472)).toBe(true);
  expect(reports.has('192.0.2.2', 4789)).toBe(false);
  expect(reports.has('192.0.2.3', 8472)).toBe(false);
});

test.each([
  { name: 'another node', address: '192.0.2.3', nonces: [1n] },
  { name: 'the node, of a probe that was never sent', address: '192.0.2.2', nonces: [2n] },
  { name: 'the node, of nothing', address: '192.0.2.2', nonces: [] },
])('a report of $name does not', ({ address, nonces }) => {
  const reports = createReports(() => 0);
  reports.sent(1n, '192.0.2.2', 8472);
  reports.heard(address, nonces);
  expect(reports.has('192.0.2.2', 8472)).toBe(false);
  expect(reports.has(address, 8472)).toBe(false);
});

test('a report is forgotten after a while, and a new one counts again', () => {
  let now = 0;
  const reports = createReports(() => now);
  reports.sent(1n, '192.0.2.2', 8472);
  reports.heard('192.0.2.2', [1n]);
  now = 89_999;
  expect(reports.has('192.0.2.2', 8472)).toBe(true);
  now = 90_000;
  expect(reports.has('192.0.2.2', 8472)).toBe(false);
  reports.sent(2n, '192.0.2.2', 8472);
  reports.heard('192.0.2.2', [2n]);
  expect(reports.has('192.0.2.2', 8472)).toBe(true);
});

test('an old report that is repeated does not make the way look open for ever', () => {
  let now = 0;
  const reports = createReports(() => now);
  reports.sent(1n, '192.0.2.2', 8472);
  for (; now < 600_000; now += 30_000) reports.heard('192.0.2.2', [1n]);
  expect(reports.has('192.0.2.2', 8472)).toBe(false);
});

test('a way that has died is believed for one more round, and no longer', () => {
  const reports = createReports(() => 0);
  let nonce = 0n;
  const round = (): void => {
    for (let probe = 0; probe < 3; probe++) reports.sent(++nonce, '192.0.2.2', 8472);
  };
  round();
  reports.heard('192.0.2.2', [1n, 2n, 3n]);
  round();
  expect(reports.has('192.0.2.2', 8472)).toBe(true);
  round();
  expect(reports.has('192.0.2.2', 8472)).toBe(false);
});

test('ways are bounded, the one that was used longest ago is forgotten first', () => {
  const reports = createReports(() => 0);
  for (let nonce = 1n; nonce <= 4097n; nonce++) reports.sent(nonce, '192.0.2.2', Number(nonce));
  reports.heard('192.0.2.2', [1n, 2n, 4097n]);
  expect([1, 2, 4097].map((port) => reports.has('192.0.2.2', port))).toEqual([false, true, true]);
});
