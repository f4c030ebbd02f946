import { describe, expect, test } from 'vitest';
import { exitCodeOf } from '../../../agent/exit-code.ts';
import type { Finding, ProviderVerdict, Readiness } from '../../../agent/model.ts';
import { type FindingChange, someFinding } from '../../support/findings.ts';

const pass: FindingChange = { requirement: 'p' };
const fail: FindingChange = { requirement: 'f', outcome: 'fail', reason: 'dropped' };
const open: FindingChange = { requirement: 'u', outcome: 'unknown', reason: 'no-witness' };
const skip: FindingChange = { requirement: 's', outcome: 'skip', reason: 'no-peers' };
const warning: FindingChange = { ...fail, requirement: 'w', level: 'recommended' };
const info: FindingChange = { ...fail, requirement: 'i', level: 'info' };

const findingsOf = (...changes: FindingChange[]): Finding[] => changes.map(someFinding);

describe('what check exits with', () => {
  test.each([
    { name: 'nothing was found', given: [], want: 0 },
    { name: 'all passes', given: [pass], want: 0 },
    { name: 'no peers were given', given: [pass, skip], want: 0 },
    { name: 'a warning', given: [pass, warning], want: 0 },
    { name: 'a failed information', given: [pass, info], want: 0 },
    { name: 'a required one failed', given: [pass, fail], want: 3 },
    {
      name: 'a required one failed with one peer of many',
      given: [
        { ...pass, peer: 'a' },
        { ...fail, peer: 'b' },
      ],
      want: 3,
    },
    {
      name: 'the peer is to blame',
      given: [{ ...fail, peer: 'b', culprit: { where: 'receiver-ingress', node: 'b' } }],
      want: 3,
    },
    { name: 'a required one is unknown', given: [pass, open], want: 4 },
    { name: 'a fail outweighs an unknown', given: [open, fail], want: 3 },
    {
      name: 'the rules of the firewall do not tell',
      given: [pass, { ...open, kind: 'host-firewall', reason: 'firewall-undetermined' }],
      want: 0,
    },
    {
      name: 'the rules of the firewall drop',
      given: [pass, { ...fail, kind: 'host-firewall' }],
      want: 3,
    },
    {
      name: 'a recommended one is unknown',
      given: [pass, { ...open, level: 'recommended' }],
      want: 0,
    },
    {
      name: 'one of a group passes',
      given: [
        { ...fail, anyOf: 'g', peer: 'a' },
        { ...pass, anyOf: 'g', peer: 'a' },
      ],
      want: 0,
    },
    {
      name: 'all of a group failed',
      given: [
        { ...fail, anyOf: 'g', peer: 'a' },
        { ...fail, requirement: 'f2', anyOf: 'g', peer: 'a' },
      ],
      want: 3,
    },
    {
      name: 'a group is half unknown',
      given: [
        { ...fail, anyOf: 'g', peer: 'a' },
        { ...open, anyOf: 'g', peer: 'a' },
      ],
      want: 4,
    },
    {
      name: 'the alternative passes with another peer',
      given: [
        { ...fail, anyOf: 'g', peer: 'a' },
        { ...pass, anyOf: 'g', peer: 'b' },
      ],
      want: 3,
    },
    {
      name: 'the alternative passes in the other direction',
      given: [
        { ...fail, anyOf: 'g', peer: 'a' },
        { ...pass, anyOf: 'g', peer: 'a', direction: 'inbound' },
      ],
      want: 3,
    },
    {
      name: 'the alternative passes over the other family',
      given: [
        { ...fail, anyOf: 'g', peer: 'a' },
        { ...pass, anyOf: 'g', peer: 'a', family: 'ipv6' },
      ],
      want: 3,
    },
    {
      name: 'one direction is enough',
      given: [
        { ...fail, eitherDirection: true, peer: 'a' },
        { ...pass, requirement: 'f', eitherDirection: true, peer: 'a', direction: 'inbound' },
      ],
      want: 0,
    },
  ] as const)('$name: $want', ({ given, want }) => {
    expect(exitCodeOf({ findings: findingsOf(...given) }, { strict: false })).toBe(want);
  });

  test.each([
    { name: 'a warning', given: [pass, warning], want: 3 },
    { name: 'a failed information', given: [pass, info], want: 0 },
    { name: 'an unknown recommended one', given: [{ ...open, level: 'recommended' }], want: 0 },
    { name: 'a warning beside an unknown', given: [warning, open], want: 3 },
    {
      name: 'a lossy path that passes',
      given: [
        { ...pass, peer: 'a' },
        { ...warning, requirement: 'p', reason: 'partial-loss', peer: 'a' },
      ],
      want: 3,
    },
    {
      name: 'a lossy path of a recommended one that passes',
      given: [
        { ...pass, level: 'recommended', peer: 'a' },
        { ...warning, requirement: 'p', reason: 'partial-loss', peer: 'a' },
      ],
      want: 3,
    },
  ] as const)('with --strict, $name: $want', ({ given, want }) => {
    expect(exitCodeOf({ findings: findingsOf(...given) }, { strict: true })).toBe(want);
  });

  const verdict = (readiness: Readiness, warn = 0): ProviderVerdict => ({
    name: readiness,
    options: {},
    readiness,
    summary: { pass: 1, fail: 0, warn, info: 0, unknown: 0, skip: 0 },
  });
  test.each([
    { given: [verdict('not-ready'), verdict('ready')], strict: false, want: 0 },
    { given: [verdict('not-ready'), verdict('unknown')], strict: false, want: 4 },
    { given: [verdict('not-ready')], strict: false, want: 3 },
    { given: [verdict('ready', 1)], strict: false, want: 0 },
    { given: [verdict('ready', 1)], strict: true, want: 3 },
    { given: [verdict('ready', 1), verdict('ready')], strict: true, want: 0 },
  ])('all providers, strict $strict: $want', ({ given, strict, want }) => {
    expect(exitCodeOf({ findings: findingsOf(fail), providers: given }, { strict })).toBe(want);
  });
});
