import { describe, expect, test } from 'vitest';
import type { Chain, Expression, Rule } from '../../../nftables/model.ts';
import { judgeTproxy } from '../../../nftables/tproxy.ts';

describe('the mark', () => {
  const place = { backend: 'nf_tables', family: 'ip', table: 't' } as const;
  const base = { priority: 0, policy: 'accept', type: 'filter', devices: [] } as const;
  const pre: Chain = { ...place, name: 'pre', handle: 1, base: { ...base, hook: 'prerouting' } };
  const out: Chain = { ...place, name: 'out', handle: 2, base: { ...base, hook: 'output' } };
  const little = (value: number): Uint8Array => new Uint8Array(new Uint32Array([value]).buffer);
  const ruleOf = (chainName: string, ...expressions: Expression[]): Rule => ({
    ...place,
    chain: chainName,
    handle: 1,
    index: 1,
    expressions,
  });
  const take = (value: number): Rule =>
    ruleOf(
      'pre',
      { kind: 'meta', key: 'mark', register: 0 },
      { kind: 'cmp', register: 0, comparison: 'eq', value: little(value) },
      { kind: 'tproxy', family: 'unspecified', portRegister: 0 },
    );
  const xmark = (value: number, mask: number): Expression => ({
    kind: 'target',
    name: 'MARK',
    revision: 2,
    info: Buffer.concat([little(value), little(mask)]),
  });
  const set = (chainName: string, value: number): Rule =>
    ruleOf(
      chainName,
      { kind: 'immediate', register: 0, value: little(value) },
      { kind: 'meta-set', key: 'mark', register: 0 },
    );
  /** Twice 64 marks: more than are followed one by one. */
  const manyBits = Array.from({ length: 7 }, (_, bit) => ruleOf('pre', xmark(1 << bit, 1 << bit)));

  test.each([
    { name: 'nobody sets it', rules: [take(7)], want: 'none' },
    { name: 'zero is what it is at first', rules: [take(0)], want: 'possible' },
    { name: 'a rule sets it', rules: [set('pre', 7), take(7)], want: 'possible' },
    { name: 'it is set in another hook', rules: [set('out', 7), take(7)], want: 'none' },
    { name: 'a rule sets another', rules: [set('pre', 6), take(7)], want: 'none' },
    {
      name: 'two rules set its bits',
      rules: [ruleOf('pre', xmark(1, 1)), ruleOf('pre', xmark(6, 6)), take(7)],
      want: 'possible',
    },
    { name: 'there are too many to follow', rules: [...manyBits, take(0x8000)], want: 'possible' },
    {
      name: 'a target sets what is not known',
      rules: [
        ruleOf('pre', { kind: 'target', name: 'CONNMARK', revision: 1, info: little(0) }),
        take(7),
      ],
      want: 'possible',
    },
    {
      name: 'a rule sets it in a way that is not understood',
      rules: [ruleOf('pre', { kind: 'opaque', name: 'meta', attributes: [] }), take(7)],
      want: 'possible',
    },
    {
      name: 'a rule does not count as setting it because it is not understood',
      rules: [ruleOf('pre', { kind: 'opaque', name: 'osf', attributes: [] }), take(7)],
      want: 'none',
    },
    {
      name: 'user space may set it',
      rules: [
        ruleOf('pre', { kind: 'queue', number: 0, total: 1, bypass: false, fanout: false }),
        take(7),
      ],
      want: 'possible',
    },
  ])('$name: $want', ({ rules, want }) => {
    const tables = [{ ...place, name: 't', handle: 1, dormant: false }];
    const ruleset = { tables, chains: [pre, out], rules };
    expect(judgeTproxy(ruleset, { transport: 'udp', port: 8472 })).toBe(want);
  });
});
