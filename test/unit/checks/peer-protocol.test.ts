import { describe, expect, test } from 'vitest';
import {
  isWishable,
  readFacts,
  readHeard,
  readRequest,
  readSighting,
  readVerdicts,
  readWatchOpened,
  wishableKinds,
} from '../../../checks/peer-protocol.ts';
import { writeBody } from '../../../checks/peer-wire.ts';
import { kinds } from '../../../rules/schema.ts';
import { someFacts } from '../../support/fake-network.ts';
import { damaged, randomBytes, seeded, truncations } from './packet/support.ts';

const wish = {
  id: 'canal.vxlan',
  kind: 'udp-port',
  mustReach: true,
  params: { port: 8472, payload: 'vxlan' },
};
const nonce = '00000000000000ff';

const requests = [
  { op: 'facts' },
  { op: 'heard', nonces: [nonce] },
  { op: 'watch', protocol: 'tcp', port: 179 },
  { op: 'watch', protocol: 4 },
  { op: 'watch', protocol: 50 },
  { op: 'sighting', id: '7' },
  { op: 'confirm', requirements: [wish], maximumAgeSeconds: 47 },
] as const;

const readers = [
  { name: 'request', read: readRequest, valid: requests },
  {
    name: 'facts',
    read: readFacts,
    valid: [someFacts({ overlay: { 'flannel.1/ipv4': '10.42.1.0' } })],
  },
  {
    name: 'heard',
    read: readHeard,
    valid: [
      { witnessSeconds: 3.5, heard: [true, false] },
      { witnessSeconds: 3.5, overloadedSeconds: 0, heard: [] },
    ],
  },
  { name: 'watch opened', read: readWatchOpened, valid: [{ id: '7' }] },
  { name: 'sighting', read: readSighting, valid: [{ seen: 0 }, { seen: 3, established: true }] },
  {
    name: 'verdicts',
    read: readVerdicts,
    valid: [
      { verdicts: [], pending: true },
      {
        verdicts: [
          {
            id: 'canal.vxlan',
            ageSeconds: 0.3,
            answer: {
              outcome: 'fail',
              reason: 'dropped',
              evidence: { port: 8472, transport: 'udp', listening: false },
              culprit: { where: 'receiver-ingress', node: 'peer' },
            },
          },
        ],
        pending: false,
      },
    ],
  },
] as const;

const text = (body: string): Uint8Array => new TextEncoder().encode(body);
const deep = (open: string, close: string, depth: number): string =>
  open.repeat(depth) + close.repeat(depth);

describe.each(readers)('$name', ({ read, valid }) => {
  test('what we write is read again', () => {
    for (const body of valid) expect(read(writeBody(body))).toEqual(body);
  });

  test('a field too many, too few or of another type is refused', () => {
    for (const body of valid) {
      expect(read(writeBody({ ...body, more: 1 }))).toBeUndefined();
      for (const key of Object.keys(body)) {
        const rest = Object.fromEntries(Object.entries(body).filter(([name]) => name !== key));
        if (!['established', 'overloadedSeconds'].includes(key))
          expect(read(writeBody(rest))).toBeUndefined();
        for (const wrong of [null, { a: 1 }, [[]], 'x'.repeat(500), -1.5, [null]])
          expect(read(writeBody({ ...body, [key]: wrong }))).toBeUndefined();
      }
    }
  });

  test.each([
    { name: 'nothing', bytes: new Uint8Array(0) },
    { name: 'no JSON', bytes: text('{op:facts}') },
    { name: 'another type of JSON', bytes: text('[]') },
    { name: 'null', bytes: text('null') },
    { name: 'a number', bytes: text('7') },
    { name: 'invalid UTF-8', bytes: Uint8Array.of(0x7b, 0xff, 0xfe, 0x7d) },
    { name: 'an overlong NUL', bytes: Uint8Array.of(0x22, 0xc0, 0x80, 0x22) },
    { name: 'a prototype', bytes: text('{"__proto__":{"op":"facts"}}') },
    { name: 'deep lists', bytes: text(deep('[', ']', 200_000)) },
    { name: 'deep objects', bytes: text(deep('{"op":', '}', 20_000)) },
    { name: 'a huge string', bytes: text(JSON.stringify({ op: 'x'.repeat(2_000_000) })) },
  ])('$name is refused without a throw', ({ bytes }) => {
    expect(read(bytes)).toBeUndefined();
  });

  test('every truncation is refused, and no damage throws', () => {
    const random = seeded(21);
    for (const body of valid) {
      const bytes = writeBody(body);
      expect(truncations(bytes).filter((cut) => read(cut) !== undefined)).toEqual([]);
      for (let count = 0; count < 100; count++) {
        read(damaged(random, bytes));
        read(randomBytes(random, 100));
      }
    }
  });
});

test.each([
  { op: 'nothing' },
  { op: 'heard', nonces: [] },
  { op: 'heard', nonces: ['1'] },
  { op: 'heard', nonces: ['00000000000000FF'] },
  { op: 'heard', nonces: Array.from({ length: 33 }, () => nonce) },
  { op: 'watch', protocol: 'tcp' },
  { op: 'watch', protocol: 'tcp', port: 0 },
  { op: 'watch', protocol: 'tcp', port: 65_536 },
  { op: 'watch', protocol: 'tcp', port: 1.5 },
  { op: 'watch', protocol: 4, port: 179 },
  { op: 'watch', protocol: 6 },
  { op: 'watch', protocol: 17, port: 53 },
  { op: 'watch', protocol: 'tcp', port: 179, address: '198.51.100.1' },
  { op: 'confirm', requirements: [], maximumAgeSeconds: 1 },
  { op: 'confirm', requirements: Array.from({ length: 9 }, () => wish), maximumAgeSeconds: 1 },
  { op: 'confirm', requirements: [wish], maximumAgeSeconds: -1 },
  { op: 'confirm', requirements: [wish], maximumAgeSeconds: 3601 },
  { op: 'confirm', requirements: [{ ...wish, address: '198.51.100.1' }], maximumAgeSeconds: 1 },
  { op: 'confirm', requirements: [{ ...wish, kind: 'datastore' }], maximumAgeSeconds: 1 },
  { op: 'confirm', requirements: [{ ...wish, kind: 'toString' }], maximumAgeSeconds: 1 },
  { op: 'confirm', requirements: [{ ...wish, params: { port: [1] } }], maximumAgeSeconds: 1 },
  {
    op: 'confirm',
    requirements: [{ ...wish, params: { a: 1, b: 1, c: 1, d: 1, e: 1, f: 1, g: 1 } }],
    maximumAgeSeconds: 1,
  },
  {
    op: 'confirm',
    requirements: [{ ...wish, params: { ['x'.repeat(41)]: 1 } }],
    maximumAgeSeconds: 1,
  },
])('a request that nobody of ours makes is refused: %j', (body) => {
  expect(readRequest(writeBody(body))).toBeUndefined();
});

const verdict = (change: object): Uint8Array =>
  writeBody({
    verdicts: [{ id: 'a', ageSeconds: 1, answer: { outcome: 'pass' }, ...change }],
    pending: false,
  });

test.each<{ name: string; body: Uint8Array }>([
  { name: 'an age in the future', body: verdict({ ageSeconds: -1e9 }) },
  { name: 'an age beyond any clock', body: verdict({ ageSeconds: 1e300 }) },
  {
    name: 'an endless age',
    body: text(
      '{"verdicts":[{"id":"a","ageSeconds":1e999,"answer":{"outcome":"pass"}}],"pending":false}',
    ),
  },
  {
    name: 'a reason of its own making',
    body: verdict({ answer: { outcome: 'fail', reason: 'because' } }),
  },
  { name: 'an outcome of its own making', body: verdict({ answer: { outcome: 'perhaps' } }) },
  {
    name: 'a culprit with a name',
    body: verdict({
      answer: { outcome: 'fail', reason: 'dropped', culprit: { where: 'path', node: 'worker-9' } },
    }),
  },
  {
    name: 'evidence with lists',
    body: verdict({ answer: { outcome: 'pass', evidence: { a: [1] } } }),
  },
  {
    name: 'evidence with a long name',
    body: verdict({ answer: { outcome: 'pass', evidence: { ['x'.repeat(41)]: 1 } } }),
  },
  {
    name: 'evidence without end',
    body: verdict({
      answer: {
        outcome: 'pass',
        evidence: Object.fromEntries(Array.from({ length: 25 }, (_, n) => [`k${n}`, n])),
      },
    }),
  },
])('a verdict with $name is refused', ({ body }) => {
  expect(readVerdicts(body)).toBeUndefined();
});

test.each<{ name: string; change: object }>([
  { name: 'a session of another form', change: { session: 'XYZ' } },
  {
    name: 'nine overlay addresses',
    change: { overlay: Object.fromEntries(Array.from({ length: 9 }, (_, n) => [`d${n}`, '::1'])) },
  },
  { name: 'a device with an endless name', change: { overlay: { ['x'.repeat(33)]: '::1' } } },
  { name: 'an endless address', change: { overlay: { a: '1'.repeat(46) } } },
])('facts with $name are refused', ({ change }) => {
  expect(readFacts(writeBody({ ...someFacts(), ...change }))).toBeUndefined();
});

test('only kinds that send a few packets may be wished for', () => {
  expect(kinds.filter(isWishable).sort()).toEqual([...wishableKinds].sort());
  expect(isWishable('datastore')).toBe(false);
  expect(isWishable('kernel-feature')).toBe(false);
  expect(isWishable('constructor')).toBe(false);
});
