import { describe, expect, test } from 'vitest';
import { type FailedPath, summariseMesh } from '../../../agent/mesh-summary.ts';

const names = ['n1', 'n2', 'n3', 'n4', 'n5', 'n6', 'n7', 'n8'];
const path = (sender: string, receiver: string, change: Partial<FailedPath> = {}): FailedPath => ({
  sender,
  receiver,
  requirement: 'canal.vxlan',
  reason: 'dropped-by-receiver-firewall',
  what: 'udp/8472',
  ...change,
});
const towards = (receiver: string, change: Partial<FailedPath> = {}): FailedPath[] =>
  names.filter((name) => name !== receiver).map((sender) => path(sender, receiver, change));

describe('what fails between many nodes', () => {
  test('nothing', () => {
    expect(summariseMesh([], 8)).toEqual([]);
  });

  test('towards one node is one sentence, not seven', () => {
    expect(summariseMesh(towards('n2'), 8)).toEqual([
      'n2 refuses udp/8472 from all 7 peers (dropped-by-receiver-firewall)',
    ]);
  });

  test('from one node is one sentence', () => {
    const reason = 'dropped-by-sender-firewall';
    const paths = towards('n3', { reason }).map(({ sender, receiver, ...rest }) => ({
      ...rest,
      sender: receiver,
      receiver: sender,
    }));
    expect(summariseMesh(paths, 8)).toEqual([
      'n3 reaches none of its 7 peers by udp/8472 (dropped-by-sender-firewall)',
    ]);
  });

  test('between two nodes names both', () => {
    expect(summariseMesh([path('n1', 'n2', { reason: 'dropped-on-the-way' })], 8)).toEqual([
      'udp/8472 to n2 fails from n1 (dropped-on-the-way)',
    ]);
  });

  test('of different things, or for different reasons, stays apart; the widest comes first', () => {
    expect(
      summariseMesh(
        [
          path('n1', 'n4', { what: 'tcp/179', reason: 'listener-hangs' }),
          ...towards('n2').slice(0, 5),
          path('n1', 'n3'),
          path('n4', 'n3'),
        ],
        8,
      ),
    ).toEqual([
      'n2 refuses udp/8472 from 5 of 7 peers (dropped-by-receiver-firewall)',
      'n3 refuses udp/8472 from n1, n4 (dropped-by-receiver-firewall)',
      'tcp/179 to n4 fails from n1 (listener-hangs)',
    ]);
  });

  test('has an end', () => {
    const paths = Array.from({ length: 200 }, (_, index) =>
      path('n1', 'n2', { what: `udp/${index}` }),
    );
    expect(summariseMesh(paths, 8)).toHaveLength(50);
  });
});
