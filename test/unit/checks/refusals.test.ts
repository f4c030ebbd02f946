import { describe, expect, test } from 'vitest';
import type { Observation, PacketError } from '../../../checks/host/network.ts';
import { describe as evidenceOf, judgeErrors, judgeSendError } from '../../../checks/refusals.ts';
import {
  icmpError,
  ownAddress,
  peerAddress,
  routerAddress,
  someTarget,
} from '../../support/fake-network.ts';

const target = someTarget();

function observations(...each: readonly Partial<Observation>[]): Observation[] {
  return each.map((one) => ({ sourcePort: 40_000, errors: [], stalled: false, ...one }));
}

describe('what the own stack refused', () => {
  const ownReject = [icmpError(3, 3, ownAddress.ipv4)];

  test.each<{ errno: string; errors?: PacketError[]; want: object }>([
    {
      errno: 'EPERM',
      want: {
        outcome: 'fail',
        reason: 'dropped-by-sender-firewall',
        culprit: { where: 'sender-egress', node: 'this' },
      },
    },
    {
      errno: 'EPERM',
      errors: ownReject,
      want: {
        outcome: 'fail',
        reason: 'rejected-by-sender-firewall',
        culprit: { where: 'sender-egress', node: 'this' },
      },
    },
    {
      errno: 'ENOBUFS',
      want: {
        outcome: 'fail',
        reason: 'dropped-by-sender-egress',
        culprit: { where: 'sender-egress', node: 'this' },
      },
    },
    ...['EACCES', 'EINVAL', 'ENETUNREACH', 'EHOSTUNREACH', 'EADDRNOTAVAIL'].map((errno) => ({
      errno,
      want: { outcome: 'fail', reason: 'no-route', culprit: { where: 'node', node: 'this' } },
    })),
    {
      errno: 'EHOSTUNREACH',
      errors: [icmpError(3, 1, routerAddress.ipv4)],
      want: { outcome: 'unknown', reason: 'peer-unreachable' },
    },
    {
      errno: 'EACCES',
      errors: [icmpError(3, 13, routerAddress.ipv4)],
      want: { outcome: 'fail', reason: 'rejected-by-firewall' },
    },
    { errno: 'EMSGSIZE', want: { outcome: 'unknown', reason: 'inconclusive' } },
    { errno: 'EAGAIN', want: { outcome: 'unknown', reason: 'inconclusive' } },
  ])('$errno with $errors.length ICMP errors', ({ errno, errors, want }) => {
    const all = observations({ sendError: errno, ...(errors === undefined ? {} : { errors }) });
    expect(judgeSendError(all, target, { sent: 1 })).toMatchObject(want);
  });

  test('the errno is evidence beside the rest', () => {
    expect(judgeSendError(observations({ sendError: 'EPERM' }), target, { sent: 1 })).toMatchObject(
      { evidence: { sent: 1, errno: 'EPERM' } },
    );
  });

  test.each([
    { name: 'nothing was refused', given: observations({}, {}) },
    { name: 'only some were refused', given: observations({ sendError: 'EPERM' }, {}) },
    { name: 'the first left', given: observations({}, { sendError: 'EPERM' }) },
    { name: 'nothing was sent', given: [] },
  ])('says nothing when $name', ({ given }) => {
    expect(judgeSendError(given, target, {})).toBeUndefined();
  });
});

describe('what ICMP errors say', () => {
  const prohibited4 = [9, 10, 13].map((code) => ({ type: 3, code }));
  const prohibited6 = [1, 5, 6].map((code) => ({ type: 1, code }));

  test.each([...prohibited4, ...prohibited6])('$type/$code is a firewall', ({ type, code }) => {
    const from = (offender: string) =>
      judgeErrors(observations({ errors: [icmpError(type, code, offender)] }), target, {});
    expect(from(peerAddress.ipv4)).toEqual({
      outcome: 'fail',
      reason: 'rejected-by-firewall',
      evidence: { icmp: `${type}/${code}`, rejectedBy: peerAddress.ipv4 },
      culprit: { where: 'receiver-ingress', node: 'peer' },
    });
    expect(from(routerAddress.ipv4)).toMatchObject({
      outcome: 'fail',
      culprit: { where: 'path', node: 'path' },
    });
  });

  test.each([
    { type: 3, code: 0 },
    { type: 3, code: 1 },
    { type: 1, code: 0 },
    { type: 1, code: 3 },
  ])('$type/$code is a peer that cannot be reached, no closed port', ({ type, code }) => {
    const errors = [icmpError(type, code, routerAddress.ipv4)];
    expect(judgeErrors(observations({ errors }), target, {})).toEqual({
      outcome: 'unknown',
      reason: 'peer-unreachable',
      evidence: { icmp: `${type}/${code}`, rejectedBy: routerAddress.ipv4 },
    });
  });

  test('a prohibition outweighs an unreachable host', () => {
    const errors = [icmpError(3, 1, routerAddress.ipv4), icmpError(3, 13, routerAddress.ipv4)];
    expect(judgeErrors(observations({ errors }), target, {})).toMatchObject({ outcome: 'fail' });
  });

  test.each([
    { type: 3, code: 2 },
    { type: 3, code: 3 },
    { type: 1, code: 4 },
  ])('$type/$code settles nothing from the peer, and names a firewall elsewhere', (error) => {
    const from = (offender: string) =>
      judgeErrors(
        observations({ errors: [icmpError(error.type, error.code, offender)] }),
        target,
        {},
      );
    expect(from(peerAddress.ipv4)).toBeUndefined();
    expect(from(routerAddress.ipv4)).toMatchObject({
      outcome: 'fail',
      reason: 'rejected-by-firewall',
      culprit: { where: 'path' },
    });
  });

  test.each([
    { name: 'too big', error: { errno: 'EMSGSIZE', type: 3, code: 4, mtu: 1400 } },
    { name: 'time exceeded', error: { errno: 'EHOSTUNREACH', type: 11, code: 0 } },
    { name: 'port unreachable of nobody', error: { errno: 'ECONNREFUSED', type: 3, code: 3 } },
  ])('$name settles nothing', ({ error }) => {
    expect(judgeErrors(observations({ errors: [error] }), target, {})).toBeUndefined();
  });

  test('an error of the own stack is written by its errno', () => {
    expect(evidenceOf({ errno: 'EHOSTUNREACH' })).toEqual({ icmp: 'EHOSTUNREACH' });
  });
});
