import { expect, test } from 'vitest';
import { decodeExpression } from '../../../nftables/decode/expressions.ts';
import { decodeHook } from '../../../nftables/decode/hooks.ts';
import type { Expression } from '../../../nftables/model.ts';
import { attribute, expression, number, text, value } from './encode.ts';

/** What NFTA_LIST_ELEM holds. */
const decode = (name: string, ...data: readonly Uint8Array[]): Expression =>
  decodeExpression(expression(name, ...data).subarray(4));
const bytes = (...values: readonly number[]): Uint8Array => Uint8Array.from(values);

// Those that a kernel may lack, or nft 1.0.6 does not write; written by linux/netfilter/nf_tables.h.
test.each<{ name: string; given: Expression; want: object }>([
  {
    name: 'queue by number',
    given: decode('queue', number(1, 3, 2), number(2, 4, 2), number(3, 3, 2)),
    want: { kind: 'queue', number: 3, total: 4, bypass: true, fanout: true },
  },
  {
    name: 'queue by register',
    given: decode('queue', number(3, 1, 2), number(4, 2)),
    want: { kind: 'queue', number: 0, total: 1, bypass: true, fanout: false, register: 4 },
  },
  {
    name: 'a verdict that queues, with its number and bypass',
    given: decode('immediate', number(1, 0), attribute(2, attribute(2, number(1, 0x0005_8003)))),
    want: { kind: 'verdict', verdict: { code: 'queue', number: 5, bypass: true } },
  },
  {
    name: 'flow_offload',
    given: decode('flow_offload', text(1, 'ft')),
    want: { kind: 'flow-offload', table: 'ft' },
  },
  {
    name: 'last',
    given: decode('last', number(1, 1), number(2, 5000, 8), attribute(3)),
    want: { kind: 'last', setMs: 5000, isSet: true },
  },
  {
    name: 'tunnel',
    given: decode('tunnel', number(1, 1), number(2, 8), number(3, 1)),
    want: { kind: 'tunnel', key: 'id', mode: 1, register: 0 },
  },
  {
    name: 'inner',
    given: decode(
      'inner',
      number(1, 0),
      number(2, 1),
      number(3, 0xf),
      number(4, 8),
      attribute(
        5,
        text(1, 'payload'),
        attribute(2, number(1, 1), number(2, 1), number(3, 12), number(4, 4)),
      ),
    ),
    want: {
      kind: 'inner',
      type: 1,
      headerSize: 8,
      flags: 15,
      expression: { kind: 'payload', base: 'network', offset: 12, length: 4, register: 0 },
    },
  },
  {
    name: 'bitwise or of two registers',
    given: decode('bitwise', number(1, 8), number(2, 9), number(3, 4), number(6, 4), number(8, 10)),
    want: { kind: 'bitwise', operation: 'or', source: 0, destination: 1, length: 4, source2: 2 },
  },
  {
    name: 'bitwise xor with data',
    given: decode(
      'bitwise',
      number(1, 8),
      number(2, 8),
      number(3, 2),
      number(6, 5),
      value(7, 1, 2),
    ),
    want: {
      kind: 'bitwise',
      operation: 'xor',
      source: 0,
      destination: 0,
      length: 2,
      data: bytes(1, 2),
    },
  },
  {
    name: 'an x_tables match',
    given: decode('match', text(1, 'udp'), number(2, 0), attribute(3, bytes(1, 2, 3, 4))),
    want: { kind: 'match', name: 'udp', revision: 0, info: bytes(1, 2, 3, 4) },
  },
  {
    name: 'a key that is not known',
    given: decode('meta', number(1, 1), number(2, 99)),
    want: { kind: 'meta', key: 'key-99', register: 0 },
  },
  {
    name: 'source and destination at once, which no kernel says',
    given: decode('meta', number(1, 1), number(2, 6), number(3, 1)),
    want: { kind: 'opaque' },
  },
])('$name', ({ given, want }) => {
  expect(given).toMatchObject(want);
});

const cmp = [number(1, 1), number(2, 0), value(3, 6)] as const;

test.each<{ name: string; given: Expression }>([
  { name: 'an attribute that is not known', given: decode('cmp', ...cmp, number(4, 1)) },
  { name: 'an attribute twice', given: decode('cmp', ...cmp, number(2, 1)) },
  { name: 'a missing attribute', given: decode('cmp', cmp[0], cmp[2]) },
  { name: 'an operator that is not known', given: decode('cmp', cmp[0], number(2, 6), cmp[2]) },
  { name: 'a number of another size', given: decode('cmp', number(1, 1, 2), cmp[1], cmp[2]) },
  { name: 'a register that does not exist', given: decode('cmp', number(1, 24), cmp[1], cmp[2]) },
  {
    name: 'a value that reaches behind the last register',
    given: decode('cmp', number(1, 23), cmp[1], value(3, 1, 2, 3, 4, 5)),
  },
  { name: 'a value of no bytes', given: decode('cmp', cmp[0], cmp[1], value(3)) },
  {
    name: 'a flag that is not known',
    given: decode('lookup', text(1, 's'), number(2, 1), number(5, 2)),
  },
  {
    name: 'a mask of another length',
    given: decode('bitwise', number(1, 1), number(2, 1), number(3, 4), value(4, 1), value(5, 1)),
  },
  {
    name: 'neither of two forms',
    given: decode('bitwise', number(1, 8), number(2, 8), number(3, 4), number(6, 3)),
  },
  {
    name: 'a jump without a chain',
    given: decode('immediate', number(1, 0), attribute(2, attribute(2, number(1, 0xffff_fffd)))),
  },
  { name: 'a name that is not known', given: decode('wormhole', number(1, 1)) },
  {
    name: 'a payload of no bytes',
    given: decode('payload', number(1, 1), number(2, 1), number(3, 0), number(4, 0)),
  },
])('$name is opaque, with its attributes', ({ given }) => {
  expect(given.kind).toBe('opaque');
  expect(given.kind === 'opaque' && given.attributes.length > 0).toBe(true);
});

test('expressions nested without end stop', () => {
  let element = expression('notrack').subarray(4);
  for (let depth = 0; depth < 1000; depth++) {
    const data = attribute(2, text(1, 's'), number(3, 0), number(4, 1), attribute(7, element));
    const whole = Buffer.concat([text(1, 'dynset'), data]);
    if (whole.length > 60_000) break;
    element = Uint8Array.from(whole);
  }
  expect(decodeExpression(element)).toMatchObject({
    kind: 'dynset',
    expressions: [{ kind: 'dynset', expressions: [{ kind: 'opaque', name: 'dynset' }] }],
  });
});

test('a hook tells its function, and whose chain it is', () => {
  const message = Buffer.concat([
    bytes(2, 0, 0, 0),
    number(1, 1),
    number(2, 0xffff_ff6a),
    text(4, 'nft_do_chain_inet'),
    text(5, 'nf_tables'),
    attribute(6, attribute(1, text(1, 't'), number(2, 1, 1), text(3, 'input')), number(2, 1)),
  ]);
  expect(decodeHook(Uint8Array.from(message))).toEqual({
    family: 'ip',
    hook: 'input',
    priority: -150,
    function: 'nft_do_chain_inet',
    module: 'nf_tables',
    chain: { family: 'inet', table: 't', name: 'input' },
  });
  // A function that is no chain of nf_tables.
  const plain = Buffer.concat([bytes(10, 0, 0, 0), number(1, 0), number(2, 300)]);
  expect(decodeHook(Uint8Array.from(plain))).toEqual({
    family: 'ip6',
    hook: 'prerouting',
    priority: 300,
  });
});
