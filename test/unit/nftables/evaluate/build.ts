/** Rulesets by hand: tables, chains and rules of the expressions that nft makes. */
import { compile } from '../../../../nftables/evaluate/index.ts';
import type { Answer, Environment, Packet } from '../../../../nftables/evaluate/types.ts';
import type {
  BaseChain,
  Chain,
  Expression,
  Family,
  HookEntry,
  NftSet,
  Rule,
  Ruleset,
  SetElement,
  Table,
  Verdict,
} from '../../../../nftables/model.ts';

export const bytes = (...numbers: number[]): Uint8Array => Uint8Array.from(numbers);

/** A number as the kernel holds it. */
export const word = (value: number): Uint8Array =>
  bytes(value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24);

export const port = (value: number): Uint8Array => bytes(value >> 8, value & 255);

export const ifname = (name: string): Uint8Array => {
  const padded = new Uint8Array(16);
  padded.set(new TextEncoder().encode(name));
  return padded;
};

const eq = (value: Uint8Array): Expression => ({
  kind: 'cmp',
  register: 0,
  comparison: 'eq',
  value,
});
const load = (base: 'network' | 'transport', offset: number, length: number): Expression => ({
  kind: 'payload',
  base,
  offset,
  length,
  register: 0,
});
export const meta = (key: Extract<Expression, { kind: 'meta' }>['key']): Expression => ({
  kind: 'meta',
  key,
  register: 0,
});

export const address = (text: string): Uint8Array => Uint8Array.from(text.split('.').map(Number));

export const saddr = (text: string): Expression[] => [load('network', 12, 4), eq(address(text))];
export const daddr = (text: string): Expression[] => [load('network', 16, 4), eq(address(text))];
export const l4proto = (number: number): Expression[] => [meta('l4proto'), eq(bytes(number))];
export const dport = (number: number): Expression[] => [load('transport', 2, 2), eq(port(number))];
export const sport = (number: number): Expression[] => [load('transport', 0, 2), eq(port(number))];
export const iifname = (name: string): Expression[] => [meta('iifname'), eq(ifname(name))];
export const oifname = (name: string): Expression[] => [meta('oifname'), eq(ifname(name))];
export const mark = (value: number): Expression[] => [meta('mark'), eq(word(value))];
export const setMark = (value: number): Expression[] => [
  { kind: 'immediate', register: 0, value: word(value) },
  { kind: 'meta-set', key: 'mark', register: 0 },
];
export const ctState = (bits: number): Expression[] => [
  { kind: 'ct', key: 'state', register: 0 },
  {
    kind: 'bitwise',
    operation: 'mask-xor',
    source: 0,
    destination: 0,
    length: 4,
    mask: word(bits),
    xor: word(0),
  },
  { kind: 'cmp', register: 0, comparison: 'neq', value: word(0) },
];
export const limit: Expression = {
  kind: 'limit',
  rate: 3,
  unitSeconds: 60,
  burst: 5,
  type: 'packets',
  over: false,
};
export const verdict = (code: 'accept' | 'drop' | 'continue' | 'return' | 'break'): Expression => ({
  kind: 'verdict',
  verdict: { code },
});
export const jump = (chain: string): Expression => ({
  kind: 'verdict',
  verdict: { code: 'jump', chain },
});
export const goto = (chain: string): Expression => ({
  kind: 'verdict',
  verdict: { code: 'goto', chain },
});
export const accept = verdict('accept');
export const drop = verdict('drop');
export const giveBack = verdict('return');

export interface ChainOf {
  readonly base?: Partial<BaseChain>;
  readonly rules?: readonly (readonly (Expression | readonly Expression[])[])[];
}

export interface TableOf {
  readonly family?: Family;
  readonly dormant?: boolean;
  readonly chains: Readonly<Record<string, ChainOf>>;
  readonly sets?: readonly NftSet[];
}

/** Handles count through the whole ruleset, from 1, so that a handle names a rule. */
export function ruleset(
  tables: Readonly<Record<string, TableOf>>,
  hooks?: readonly HookEntry[],
): Ruleset {
  const all = {
    tables: [] as Table[],
    chains: [] as Chain[],
    rules: [] as Rule[],
    sets: [] as NftSet[],
  };
  let handle = 0;
  for (const [table, { family = 'inet', dormant = false, chains, sets = [] }] of Object.entries(
    tables,
  )) {
    all.tables.push({ backend: 'nf_tables', family, name: table, handle: 1, dormant });
    all.sets.push(...sets.map((set) => ({ ...set, family, table })));
    for (const [name, { base, rules = [] }] of Object.entries(chains)) {
      all.chains.push({
        backend: 'nf_tables',
        family,
        table,
        name,
        handle: 1,
        ...(base === undefined
          ? {}
          : {
              base: {
                type: 'filter',
                hook: 'input',
                priority: 0,
                policy: 'accept',
                devices: [],
                ...base,
              },
            }),
      });
      for (const [index, expressions] of rules.entries()) {
        handle += 1;
        all.rules.push({
          backend: 'nf_tables',
          family,
          table,
          chain: name,
          handle,
          index: index + 1,
          expressions: expressions.flat(),
        });
      }
    }
  }
  return {
    ...all,
    objects: [],
    flowtables: [],
    ipsets: [],
    ...(hooks === undefined ? {} : { hooks }),
  };
}

/** One chain at input, of one table. */
export function inputChain(rules: ChainOf['rules'], base: Partial<BaseChain> = {}): Ruleset {
  return ruleset({ filter: { chains: { input: { base, rules: rules ?? [] } } } });
}

export const tcp: Packet = {
  direction: 'in',
  protocol: 6,
  family: 'ip',
  source: '10.0.0.2',
  destination: '10.0.0.1',
  sourcePort: 40000,
  destinationPort: 22,
  inInterface: 'eth0',
  mark: 0,
};

export function ask(
  rules: Ruleset,
  packet: Partial<Packet> = {},
  environment: Environment = {},
): Answer {
  return compile(rules, environment).evaluate({ ...tcp, ...packet });
}

/** The verdict and who decided, as text: `drop 3` by the rule with handle 3, `accept policy input`. */
export function told(answer: Answer): string {
  const { decidedBy } = answer;
  if (decidedBy.kind === 'rule') return `${answer.verdict} ${decidedBy.rule.handle}`;
  return decidedBy.kind === 'policy'
    ? `${answer.verdict} policy ${decidedBy.chain.name}`
    : `${answer.verdict} none`;
}

/** Each verdict that is possible, sorted. */
export function possible(answer: Answer): string {
  return [...new Set(answer.possible.map(({ verdict: one }) => one))].sort().join(' ');
}

export interface SetOf {
  readonly name?: string;
  readonly keyLength: number;
  readonly elements: readonly Partial<SetElement>[];
  readonly interval?: boolean;
  readonly dynamic?: boolean;
  readonly fieldLengths?: readonly number[];
  readonly data?: NonNullable<NftSet['data']>;
  readonly size?: number;
}

export function set({
  name = 's',
  keyLength,
  elements,
  interval = false,
  dynamic = false,
  ...rest
}: SetOf): NftSet {
  return {
    family: 'inet',
    table: 'filter',
    name,
    handle: 1,
    flags: {
      anonymous: false,
      constant: false,
      interval,
      map: rest.data !== undefined,
      timeout: false,
      dynamic,
      object: false,
      concatenation: rest.fieldLengths !== undefined,
    },
    keyType: 0,
    keyLength,
    ...rest,
    elements: elements.map((element) => ({ intervalEnd: false, ...element })),
  };
}

export const lookup = (
  name: string,
  gives?: 'verdict' | { readonly register: number },
  inverted = false,
): Expression => ({
  kind: 'lookup',
  set: name,
  register: 0,
  inverted,
  ...(gives === undefined ? {} : { gives }),
});

export type { Verdict };
