import { Compile } from 'typebox/compile';
import { describe, expect, test } from 'vitest';
import { ConfigurationFile } from '../../../agent/settings.ts';
import { StatusSchema } from '../../../agent/status-schema.ts';
import { Request } from '../../../checks/peer-protocol.ts';
import { paramsByKind } from '../../../rules/schema.ts';
import { Type } from '../../../rules/type.ts';
import { faultsOf, fits } from '../../../rules/validate.ts';
import { someDocument, someFinding } from '../../support/findings.ts';

const strict = { additionalProperties: false } as const;
const Everything = Type.Object(
  {
    text: Type.String({ minLength: 2, maxLength: 4, pattern: '^\\P{Cc}*$' }),
    number: Type.Number({ minimum: 1, maximum: 5 }),
    whole: Type.Optional(Type.Integer()),
    flag: Type.Optional(Type.Boolean()),
    word: Type.Optional(Type.Enum(['a', 'b'])),
    none: Type.Optional(Type.Null()),
    anything: Type.Optional(Type.Unknown()),
    list: Type.Optional(Type.Array(Type.Literal(4), { minItems: 1, maxItems: 2 })),
    map: Type.Optional(
      Type.Record(Type.String({ pattern: '^[a-z]{1,3}$' }), Type.Number(), {
        maxProperties: 2,
        ...strict,
      }),
    ),
    either: Type.Optional(
      Type.Union([Type.String(), Type.Object({ port: Type.Number() }, strict)]),
    ),
  },
  strict,
);
const fitting = { text: 'abc', number: 3 };

describe('a value and a schema', () => {
  test.each<{ name: string; value: unknown; wrong: readonly string[] }>([
    { name: 'what is needed and no more', value: fitting, wrong: [] },
    {
      name: 'all there is',
      value: {
        ...fitting,
        whole: -2,
        flag: false,
        word: 'b',
        none: null,
        anything: [{}],
        list: [4, 4],
        map: { a: 1, abc: 2 },
        either: { port: 1 },
      },
      wrong: [],
    },
    { name: 'no object', value: [], wrong: ['type '] },
    { name: 'null for an object', value: null, wrong: ['type '] },
    { name: 'a missing property', value: { text: 'abc' }, wrong: ['required number'] },
    {
      name: 'an undefined one',
      value: { ...fitting, number: undefined },
      wrong: ['required number'],
    },
    {
      name: 'an unknown one',
      value: { ...fitting, more: 1 },
      wrong: ['additionalProperties more'],
    },
    {
      name: 'a property that every object seems to have',
      value: JSON.parse('{"text":"abc","number":3,"__proto__":1,"constructor":2}'),
      wrong: ['additionalProperties __proto__', 'additionalProperties constructor'],
    },
    { name: 'a short text', value: { ...fitting, text: 'a' }, wrong: ['minLength text'] },
    { name: 'a long text', value: { ...fitting, text: 'abcde' }, wrong: ['maxLength text'] },
    {
      name: 'four characters of eight code units',
      value: { ...fitting, text: '\u{10000}\u{10000}\u{10000}\u{10000}' },
      wrong: [],
    },
    {
      name: 'one character of two code units',
      value: { ...fitting, text: '\u{10000}' },
      wrong: ['minLength text'],
    },
    { name: 'a control character', value: { ...fitting, text: 'a\nb' }, wrong: ['pattern text'] },
    { name: 'too little', value: { ...fitting, number: 0.9 }, wrong: ['minimum number'] },
    { name: 'too much', value: { ...fitting, number: 5.1 }, wrong: ['maximum number'] },
    { name: 'no number', value: { ...fitting, number: NaN }, wrong: ['type number'] },
    { name: 'a number in quotes', value: { ...fitting, number: '3' }, wrong: ['type number'] },
    { name: 'half a whole number', value: { ...fitting, whole: 1.5 }, wrong: ['type whole'] },
    { name: 'a flag that is a word', value: { ...fitting, flag: 'true' }, wrong: ['type flag'] },
    { name: 'a word that is none of them', value: { ...fitting, word: 'c' }, wrong: ['enum word'] },
    { name: 'something for nothing', value: { ...fitting, none: 0 }, wrong: ['type none'] },
    { name: 'an empty list', value: { ...fitting, list: [] }, wrong: ['minItems list'] },
    { name: 'a long list', value: { ...fitting, list: [4, 4, 4] }, wrong: ['maxItems list'] },
    { name: 'a list of others', value: { ...fitting, list: [4, '4'] }, wrong: ['const list.1'] },
    {
      name: 'a wrong key',
      value: { ...fitting, map: { A: 1 } },
      wrong: ['additionalProperties map.A'],
    },
    { name: 'a wrong value', value: { ...fitting, map: { a: '1' } }, wrong: ['type map.a'] },
    {
      name: 'many keys',
      value: { ...fitting, map: { a: 1, b: 2, c: 3 } },
      wrong: ['maxProperties map'],
    },
    {
      name: 'neither of two',
      value: { ...fitting, either: { port: '1' } },
      wrong: ['anyOf either'],
    },
  ])('$name: $wrong', ({ value, wrong }) => {
    const found = [...faultsOf(Everything, value)].map(
      ({ keyword, path, property }) =>
        `${keyword} ${[...path, ...(property === undefined ? [] : [property])].join('.')}`,
    );
    expect(found).toEqual(wrong);
    expect(fits(Everything, value)).toBe(wrong.length === 0);
  });
});

/** The library whose types are borrowed says the same of values that are broken in one place, everywhere in turn. */
describe('as typebox itself would say', () => {
  const requests = [
    { op: 'facts' },
    { op: 'heard', nonces: ['0123456789abcdef'] },
    { op: 'watch', protocol: 'tcp', port: 8472 },
    { op: 'watch', protocol: 50 },
    {
      op: 'confirm',
      requirements: [
        { id: 'canal.vxlan', kind: 'udp-port', mustReach: true, params: { port: 1, payload: 'x' } },
      ],
      maximumAgeSeconds: 60,
    },
  ];
  const configuration = {
    provider: 'canal',
    set: { tunnelPort: 4789 },
    peers: ['10.0.0.1', { address: '10.0.0.2', name: 'b', roles: ['etcd'] }],
    timeout: 1,
    strict: false,
    discover: 'dns',
  };
  const status = someDocument({
    findings: [someFinding({ peer: 'b', outcome: 'fail', reason: 'dropped' })],
  });

  test.each([
    ...requests.map((value) => ({ name: `a request: ${value.op}`, schema: Request, value })),
    { name: 'a configuration', schema: ConfigurationFile, value: configuration },
    { name: 'a status document', schema: StatusSchema, value: JSON.parse(JSON.stringify(status)) },
    {
      name: 'params of a version',
      schema: paramsByKind['kernel-version'],
      value: { operator: '>=', version: '5.2', backports: [{ vendor: 'rhel', atLeast: '4.18' }] },
    },
  ])('$name', ({ schema, value }) => {
    const library = Compile(schema);
    expect(fits(schema, value)).toBe(true);
    const broken = [...variantsOf(value)];
    const verdicts = broken.map((variant) => fits(schema, variant));
    expect(verdicts).toEqual(broken.map((variant) => library.Check(variant)));
    expect(verdicts).toContain(false);
  });
});

/** Every value that differs from this one in one place: replaced by another, removed, or one more beside it. */
function* variantsOf(value: unknown): Generator {
  yield* [null, true, 0, -1, 1.5, 65_536, '', 'x', '0123456789abcdef', '\u0007', [], {}];
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) {
      for (const variant of variantsOf(item)) yield value.with(index, variant);
    }
    yield value.slice(1);
    yield [...value, ...value];
    yield Array.from({ length: 33 }, () => value[0]);
  } else if (typeof value === 'object' && value !== null) {
    for (const [name, member] of Object.entries(value)) {
      for (const variant of variantsOf(member)) yield { ...value, [name]: variant };
      const { [name]: _removed, ...rest } = value as Record<string, unknown>;
      yield rest;
      yield { ...rest, [`${name}X`]: member };
    }
  }
}
