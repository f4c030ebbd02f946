import { describe, expect, it } from 'vitest';
import {
  format as formatAny,
  formatChainHeader,
  formatRule,
  formatRuleset,
  formatSet,
} from '../../../nftables/format/index.ts';
import type { Chain, Expression, Family, NftSet, Rule, Ruleset } from '../../../nftables/model.ts';

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'));

function rule(expressions: readonly Expression[], family: Family = 'inet', comment?: string): Rule {
  return {
    backend: 'nf_tables',
    family,
    table: 't',
    chain: 'c',
    handle: 1,
    index: 1,
    expressions,
    ...(comment === undefined ? {} : { comment }),
  };
}

const meta = (key: 'l4proto' | 'nfproto' | 'mark' | 'iifname'): Expression => ({
  kind: 'meta',
  key,
  register: 0,
});
const load = (base: 'network' | 'transport', offset: number, length: number): Expression => ({
  kind: 'payload',
  base,
  offset,
  length,
  register: 0,
});
const cmp = (
  value: string,
  comparison: 'eq' | 'neq' | 'gt' | 'gte' | 'lte' = 'eq',
): Expression => ({
  kind: 'cmp',
  register: 0,
  comparison,
  value: bytes(value),
});
const accept: Expression = { kind: 'verdict', verdict: { code: 'accept' } };
const format = (expressions: readonly Expression[], family?: Family): string =>
  formatRule(rule(expressions, family), { sets: [] });

describe('a rule as text', () => {
  it('leaves out the matches that nft adds, right in front of what they are for', () => {
    expect(format([meta('l4proto'), cmp('06'), load('transport', 2, 2), cmp('0016'), accept])).toBe(
      'tcp dport 22 accept',
    );
    expect(format([meta('nfproto'), cmp('02'), load('network', 12, 1), cmp('0a')])).toBe(
      'ip saddr 10.0.0.0/8',
    );
  });

  it('keeps a match that nft would not add there', () => {
    const counter: Expression = { kind: 'counter', packets: 0, bytes: 0 };
    expect(
      format([meta('l4proto'), cmp('06'), counter, load('transport', 2, 2), cmp('0016')]),
    ).toBe('meta l4proto tcp counter packets 0 bytes 0 tcp dport 22');
    expect(
      format([load('network', 9, 1), cmp('06'), load('transport', 2, 2), cmp('0016')], 'ip'),
    ).toBe('ip protocol tcp tcp dport 22');
  });

  it.each([
    ['of an unknown protocol', [load('transport', 2, 2), cmp('0016')], 'th dport 22'],
    ['of an unknown network', [load('network', 12, 4), cmp('0a000001')], '@nh,96,32 0xa000001'],
    [
      'that is no field',
      [meta('l4proto'), cmp('11'), load('transport', 8, 1), cmp('08')],
      'meta l4proto udp @th,64,8 0x8',
    ],
    [
      'that a match of another protocol denies',
      [meta('l4proto'), cmp('06', 'neq'), load('transport', 2, 2), cmp('0016')],
      'meta l4proto != tcp th dport 22',
    ],
  ])('names bytes %s by what they are', (_, expressions, text) => {
    expect(format(expressions)).toBe(text);
  });

  it('joins two comparisons of one load into a range, and no others', () => {
    const port = [meta('l4proto'), cmp('06'), load('transport', 2, 2)];
    expect(format([...port, cmp('0400', 'gte'), cmp('ffff', 'lte')])).toBe('tcp dport 1024-65535');
    expect(format([...port, cmp('0400', 'gte')])).toBe('tcp dport >= 1024');
  });

  it('reads a truncated name as the beginning of names, and one with its end as a name', () => {
    expect(format([meta('iifname'), cmp('657468')])).toBe('iifname "eth*"');
    expect(format([meta('iifname'), cmp('6574683000')])).toBe('iifname "eth0"');
    expect(format([meta('iifname'), cmp(`6574682a${'00'.repeat(12)}`)])).toBe('iifname "eth\\*"');
  });

  it.each<[string, Expression, string]>([
    [
      'queue',
      { kind: 'queue', number: 1, total: 3, bypass: true, fanout: true },
      'queue flags bypass,fanout to 1-3',
    ],
    ['flow-offload', { kind: 'flow-offload', table: 'ft' }, 'flow add @ft'],
    ['last', { kind: 'last', setMs: 0, isSet: false }, 'last used never'],
  ])('writes %s, which the kernel of the lab has not', (_, expression, text) => {
    expect(format([expression])).toBe(text);
  });
});

describe('what nft has no words for', () => {
  it.each<[string, readonly Expression[]]>([
    ['foo', [{ kind: 'opaque', name: 'foo', attributes: [] }, accept]],
    ['xt match u32', [{ kind: 'match', name: 'u32', revision: 0, info: bytes('00') }]],
    ['inner', [{ kind: 'inner', type: 1, headerSize: 8, flags: 15, expression: meta('mark') }]],
    ['cmp', [meta('mark'), cmp('00000010', 'gt')]],
    ['cmp', [cmp('01')]],
    ['load without a use', [load('network', 12, 4), accept]],
    ['verdict', [{ kind: 'verdict', verdict: { code: 'jump', chain: 'x accept' } }]],
    ['log', [{ kind: 'log', prefix: 'a" accept' }]],
    ['reject', [{ kind: 'reject', reject: { with: 'icmp', code: 3 } }]],
  ])('makes the line a comment that names %s', (name, expressions) => {
    const text = format(expressions);
    expect(text.startsWith(`# unknown expression: ${name}`)).toBe(true);
    expect(text.split('\n')).toHaveLength(1);
  });

  it('cannot be ended by what the kernel was given', () => {
    const name = 'x\naccept\u2028drop';
    const text = format([{ kind: 'opaque', name, attributes: [] }]);
    expect(text).toBe('# unknown expression: x?accept?drop: <x?accept?drop>');
    expect(formatRule(rule([accept], 'ip', 'a" drop'), { sets: [] })).toMatch(/^# /);
    expect(formatRule(rule([accept], 'ip', 'of ssh'), { sets: [] })).toBe(
      'accept comment "of ssh"',
    );
  });

  it('includes a set that is not there', () => {
    const lookup: Expression = { kind: 'lookup', set: 'gone', register: 0, inverted: false };
    expect(format([meta('mark'), lookup])).toMatch(/^# unknown expression: lookup/);
  });
});

it('shows a rule in the style of its tool', () => {
  const none = { sets: [], ipsets: [] };
  const source = [load('network', 12, 1), cmp('0a'), accept];
  expect(formatAny(rule(source, 'ip'), none)).toBe('ip saddr 10.0.0.0/8 accept');
  expect(formatAny({ ...rule(source, 'ip'), backend: 'iptables-legacy' }, none)).toBe(
    '-A c -s 10.0.0.0/8 -j ACCEPT',
  );
  const extension: Expression = { kind: 'match', name: 'nonesuch', revision: 0, info: bytes('00') };
  expect(formatAny(rule([extension, accept], 'ip'), none)).toMatch(/^# unknown expression: /);
});

const set: NftSet = {
  family: 'ip',
  table: 't',
  name: 'ports',
  handle: 2,
  flags: {
    anonymous: false,
    constant: false,
    interval: true,
    map: false,
    timeout: false,
    dynamic: false,
    object: false,
    concatenation: false,
  },
  keyType: 13,
  keyLength: 2,
  keyByteOrder: 'big',
  elements: [
    { key: bytes('0016'), intervalEnd: false },
    { key: bytes('0017'), intervalEnd: true },
    { key: bytes('0050'), intervalEnd: false, comment: 'web' },
    { key: bytes('005b'), intervalEnd: true },
    { key: bytes('ff00'), intervalEnd: false },
  ],
};

const chain: Chain = {
  backend: 'nf_tables',
  family: 'ip',
  table: 't',
  name: 'c',
  handle: 1,
  base: { type: 'filter', hook: 'input', priority: -5, policy: 'drop', devices: [] },
};

describe('a ruleset as text', () => {
  it('writes sets with their ranges; one without an end reaches to the last key', () => {
    expect(formatSet(set).replaceAll(/\s+/g, ' ')).toBe(
      'set ports { type inet_service flags interval elements = { 22, 80-90 comment "web", 65280-65535 } }',
    );
  });

  it('names a type that only an expression can name by one', () => {
    const plain: NftSet = { ...set, keyType: 4, keyLength: 1, elements: [] };
    expect(formatSet(plain)).toContain('typeof ip ttl');
    expect(formatSet(plain, 'ip hoplimit')).toContain('typeof ip hoplimit');
  });

  it('writes tables whole, and leaves out by a comment what nft could not name', () => {
    const ruleset: Ruleset = {
      tables: [
        { backend: 'nf_tables', family: 'ip', name: 't', handle: 1, dormant: true },
        { backend: 'nf_tables', family: 'ip', name: 'a b', handle: 2, dormant: false },
      ],
      chains: [chain, { ...chain, name: 'x { }' }],
      rules: [rule([accept], 'ip')],
      sets: [],
      objects: [],
      flowtables: [],
      ipsets: [],
    };
    expect(formatChainHeader(chain)).toBe(
      'type filter hook input priority filter - 5; policy drop;',
    );
    expect(formatRuleset(ruleset).split('\n')).toEqual([
      'table ip t {',
      '\tflags dormant',
      '',
      '\tchain c {',
      '\t\ttype filter hook input priority filter - 5; policy drop;',
      '\t\taccept',
      '\t}',
      '',
      '\t# unknown name of a chain: x { }',
      '}',
      '',
      '# unknown name of a table: ip a b',
    ]);
  });
});
