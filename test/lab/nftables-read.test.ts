import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  type Change,
  type Expression,
  KernelError,
  openGeneration,
  type Ruleset,
  readNftables,
  readRuleset,
  streamRules,
  watchRuleset,
} from 'node-nftables';
import { beforeEach, describe, expect, test } from 'vitest';
import { objects, rareObjects, rules } from '../support/nft-rules.ts';
import { enterNewNetwork, shell } from '../support/own-network.ts';
import { until } from '../support/wait.ts';

beforeEach(() => {
  enterNewNetwork();
});

function nft(input: string): boolean {
  return spawnSync('nft', ['-f', '-'], { input, stdio: ['pipe', 'ignore', 'ignore'] }).status === 0;
}

describe('every form of rule', () => {
  /** What may be missing in a kernel that is otherwise complete: modules of their own. */
  const rare = /queue|flow|ibr|icmpx type port|pkttype set|random/;

  /** Loads what the kernel takes, and says what it does not. */
  function load(): readonly string[] {
    expect(nft(objects)).toBe(true);
    const refused = rareObjects.filter((one) => !nft(one));
    for (const [chain, list] of Object.entries(rules)) {
      refused.push(...list.filter((rule) => !nft(`add rule ${chain} ${rule}`)));
    }
    return refused;
  }

  const isOpaque = (expression: Expression): boolean =>
    expression.kind === 'opaque' ||
    (expression.kind === 'dynset' && expression.expressions.some(isOpaque)) ||
    (expression.kind === 'inner' && isOpaque(expression.expression));

  test('what the kernel loads is decoded whole, and one by one as well as together', async () => {
    const refused = load();
    expect(refused.filter((rule) => !rare.test(rule))).toEqual([]);
    const ruleset = await readNftables();
    expect(ruleset.rules.length).toBeGreaterThan(140);
    expect(ruleset.rules.filter((rule) => rule.expressions.some(isOpaque))).toEqual([]);
    const streamed = [];
    for await (const rule of streamRules()) streamed.push(rule);
    expect(streamed).toEqual(ruleset.rules);
    // nft shows the handle of every rule behind its text.
    const shown = shell('nft -a list ruleset').matchAll(/# handle (\d+)$/gm);
    const handles = new Set(Array.from(shown, ([, handle]) => Number(handle)));
    const named = ruleset.rules.filter(({ chain }) => !chain.startsWith('__chain'));
    expect(named.filter(({ handle }) => !handles.has(handle))).toEqual([]);
    const kinds = new Set(ruleset.rules.flatMap((rule) => rule.expressions.map((e) => e.kind)));
    expect(kinds.size).toBeGreaterThan(36);
  });

  test('tables, chains, comments and objects are those that were loaded', async () => {
    load();
    const ruleset = await readNftables();
    expect(ruleset.tables).toMatchObject([
      { family: 'inet', name: 't', dormant: false, comment: 'a table' },
      { family: 'ip', name: 'nat', dormant: false },
      { family: 'ip6', name: 'sleeping', dormant: true },
      { family: 'arp', name: 'a' },
      { family: 'bridge', name: 'b' },
      { family: 'netdev', name: 'n' },
    ]);
    const chainOf = (table: string, name: string): unknown =>
      ruleset.chains.find((chain) => chain.table === table && chain.name === name);
    expect(chainOf('t', 'user')).toMatchObject({ comment: 'a chain' });
    expect(chainOf('t', 'user')).not.toHaveProperty('base');
    expect(chainOf('t', 'input')).toMatchObject({
      base: { type: 'filter', hook: 'input', priority: -5, policy: 'drop', devices: [] },
    });
    expect(chainOf('t', 'ingress')).toMatchObject({ base: { hook: 'ingress', devices: ['lo'] } });
    expect(chainOf('nat', 'output')).toMatchObject({ base: { type: 'route', hook: 'output' } });
    expect(chainOf('a', 'c')).toMatchObject({ base: { hook: 'input', policy: 'accept' } });
    const first = ruleset.rules.find(({ chain }) => chain === 'input');
    expect(first).toMatchObject({ index: 1, comment: 'the loopback' });
    expect(ruleset.objects).toMatchObject([
      { name: 'c', type: 'counter', expression: { packets: 3, bytes: 300 }, comment: 'an object' },
      { name: 'q', expression: { kind: 'quota', bytes: 1 << 20, usedBytes: 5, over: true } },
      { name: 'l', expression: { kind: 'limit', rate: 10, unitSeconds: 1, burst: 3, over: true } },
      { name: 'sp', expression: { kind: 'synproxy', mss: 1460, wscale: 7 } },
      { name: 'ftp', type: 'ct helper', expression: { kind: 'opaque' } },
      { name: 'short', type: 'ct timeout' },
      { name: 'expect', type: 'ct expectation' },
    ]);
  });

  const ip = (...bytes: readonly number[]): Uint8Array => Uint8Array.from(bytes);
  const verdict = (code: string): unknown => ({ verdict: expect.objectContaining({ code }) });

  test.each([
    {
      name: 'addresses',
      want: { comment: 'a set', autoMerge: true, keyByteOrder: 'big', keyType: 7, keyLength: 4 },
      elements: [
        { key: ip(0, 0, 0, 0), intervalEnd: true },
        { key: ip(10, 0, 0, 0), intervalEnd: false, comment: 'ten' },
        { key: ip(11, 0, 0, 0), intervalEnd: true },
        { key: ip(192, 0, 2, 1), intervalEnd: false },
        { key: ip(192, 0, 2, 10), intervalEnd: true },
      ],
    },
    {
      name: 'pairs',
      want: { fieldLengths: [4, 2], keyLength: 8 },
      elements: [
        { key: ip(10, 0, 0, 0, 0, 1, 0, 0), keyEnd: ip(10, 255, 255, 255, 0, 5, 0, 0) },
        { key: ip(192, 0, 2, 1, 0, 80, 0, 0), keyEnd: ip(192, 0, 2, 1, 0, 80, 0, 0) },
      ],
    },
    {
      name: 'timed',
      want: { timeoutMs: 3_600_000, gcIntervalMs: 10_000, size: 128 },
      elements: [{ key: ip(0, 22), timeoutMs: 1_800_000, expiresMs: expect.any(Number) }],
    },
    { name: 'seen', want: { flags: { dynamic: true, timeout: true } }, elements: [] },
    {
      name: 'counted',
      want: { expressions: [{ kind: 'counter', packets: 0, bytes: 0 }] },
      elements: [{ expressions: [{ kind: 'counter', packets: 7, bytes: 700 }] }],
    },
    { name: 'bits', want: { keyByteOrder: 'host' }, elements: undefined },
    {
      name: 'verdicts',
      want: { data: { kind: 'verdict' } },
      elements: [
        { verdict: { code: 'drop' } },
        { key: ip(0, 80), ...Object(verdict('accept')) },
        { key: ip(0, 81), verdict: { code: 'jump', chain: 'user' } },
        { key: ip(0, 82), verdict: { code: 'goto', chain: 'user' } },
      ],
    },
    {
      name: 'marks',
      want: { data: { kind: 'value', type: 19, length: 4 }, dataByteOrder: 'host' },
      elements: [{ value: ip(0x10, 0, 0, 0) }, { value: ip(0x20, 0, 0, 0) }],
    },
    {
      name: 'objects',
      want: { data: { kind: 'object', objectType: 1 } },
      elements: [{ key: ip(0, 25), object: 'c' }],
    },
    {
      name: 'backends',
      want: { data: { kind: 'value', length: 8 } },
      elements: [{ value: ip(10, 0, 0, 1, 0x1f, 0x90, 0, 0) }],
    },
  ])('the set $name', async ({ name, want, elements }) => {
    expect(nft(objects)).toBe(true);
    const { sets } = await readNftables();
    const set = sets.find((one) => one.name === name);
    expect(set).toMatchObject(want);
    if (elements === undefined) return;
    const order = (one: { readonly key?: Uint8Array }): string =>
      Buffer.from(one.key ?? []).toString('hex');
    const found = [...(set?.elements ?? [])].sort((a, b) => (order(a) < order(b) ? -1 : 1));
    expect(set?.elements).toHaveLength(elements.length);
    expect(found).toMatchObject(elements);
    expect(found.filter(({ key }) => key === undefined)).toHaveLength(name === 'verdicts' ? 1 : 0);
  });
});

describe('a ruleset that changes', () => {
  /**
   * One `nft` that takes 150 changes a second from a shell that keeps to the clock. In each of them the chains and the set say the same
   * number.
   */
  const changes = `exec 3<> <(:); begin=\${EPOCHREALTIME/./}
    for ((i = 1; ; i++)); do
      printf '%s; ' "flush chain ip t a" "flush chain ip t b" "flush set ip t s" \
        "add rule ip t a accept comment \\"$i\\"" "add element ip t s { $i }"
      echo "add rule ip t b accept comment \\"$i\\""
      ahead=$((begin + i * 1000000 / 150 - \${EPOCHREALTIME/./}))
      if ((ahead > 0)); then printf -v wait '0.%06d' $ahead; read -rt $wait -u 3; fi
    done | nft -i`;

  test('every reading is one generation, though it changes more than 100 times a second', async () => {
    nft('table ip t { chain a { }; chain b { }; chain c { }; set s { type mark; }; }');
    const child = spawn('bash', ['-c', changes], { stdio: 'ignore', detached: true });
    using generations = await openGeneration();
    const generation = (): number => generations.read() ?? Number.NaN;
    try {
      const first = generation();
      // It has begun.
      await until('a change', () => Promise.resolve(generation() !== first || undefined));
      const numbers = new Set<string>();
      const [start, before] = [performance.now(), generation()];
      while (numbers.size < 50 && performance.now() < start + 60_000) {
        // Five attempts in a row may all see a change.
        const ruleset = await readNftables().catch((cause: unknown) => {
          if (!(cause instanceof KernelError) || cause.code !== 'EAGAIN') throw cause;
        });
        if (ruleset === undefined) continue;
        expect(consistentNumber(ruleset)).toBe(ruleset.rules[0]?.comment);
        numbers.add(ruleset.rules[0]?.comment ?? '');
      }
      const seconds = (performance.now() - start) / 1000;
      expect(numbers.size).toBe(50);
      // The kernel counts a generation for each transaction.
      const rate = (generation() - before) / seconds;
      expect(rate, 'the premise: changes a second').toBeGreaterThan(100);
    } finally {
      if (child.pid !== undefined) process.kill(-child.pid);
      await once(child, 'exit');
    }
  });

  /** The number that everything says; undefined when not everything says one. */
  function consistentNumber({ rules: found, sets }: Ruleset): string | undefined {
    const [element, ...others] = sets[0]?.elements ?? [];
    if (element?.key === undefined || others.length > 0 || found.length !== 2) return undefined;
    const inSet = String(Buffer.from(element.key).readUInt32LE());
    return found.every(({ comment }) => comment === inSet) ? inSet : undefined;
  }

  test('is told as it happens, with who did it', async () => {
    const controller = new AbortController();
    const watch = await watchRuleset({ signal: controller.signal });
    expect(
      nft(`add table ip t
        add chain ip t c
        add set ip t s { type ipv4_addr; }
        add element ip t s { 192.0.2.1, 192.0.2.2 }
        add counter ip t k
        add rule ip t c ip saddr @s drop comment "why"`),
    ).toBe(true);
    const created = await transaction(watch);
    const told = created.slice(0, -1).map((one) => `${one.kind} ${Object(one).change}`);
    expect([...new Set(told)].sort()).toEqual([
      'chain new',
      'elements new',
      'object new',
      'rule new',
      'set new',
      'table new',
    ]);
    expect(created.find(({ kind }) => kind === 'elements')).toMatchObject({ set: 's' });
    expect(created.find(({ kind }) => kind === 'rule')).toMatchObject({
      family: 'ip',
      table: 't',
      chain: 'c',
      rule: { comment: 'why', expressions: [{ kind: 'payload' }, { kind: 'lookup' }, {}] },
    });
    const handle = Object(created.find(({ kind }) => kind === 'rule')).handle;
    expect(created.at(-1)).toMatchObject({ process: { name: 'nft', pid: expect.any(Number) } });
    nft(`delete rule ip t c handle ${handle}`);
    const [gone, generation] = await transaction(watch);
    expect(gone).toEqual({
      kind: 'rule',
      change: 'deleted',
      family: 'ip',
      table: 't',
      chain: 'c',
      handle,
    });
    using reader = await openGeneration();
    expect(generation).toMatchObject({ kind: 'generation', id: reader.read() });
    nft('delete element ip t s { 192.0.2.1 }\ndelete counter ip t k\ndelete table ip t');
    expect((await transaction(watch)).map((change) => Object(change).change)).toContain('deleted');
    expect(generation).not.toMatchObject({ id: reader.read() });
    // Nothing more comes, and it ends while it waits.
    const next = watch.next();
    controller.abort();
    expect(await next).toEqual({ done: true, value: undefined });
  });

  async function transaction(watch: AsyncIterator<Change>): Promise<readonly Change[]> {
    const changes: Change[] = [];
    for (;;) {
      const { value, done } = await watch.next();
      if (done === true) return changes;
      changes.push(value);
      if (value.kind === 'generation') return changes;
    }
  }

  test('more changes than fit are said to be lost, and those after them are told', async () => {
    const watch = await watchRuleset({ bufferBytes: 4096 });
    const chains = Array.from({ length: 3000 }, (_, at) => `add chain ip t c${at}`).join('\n');
    nft(`add table ip t\n${chains}`);
    const kinds = new Set<string>();
    for await (const change of watch) {
      if (change.kind === 'lost') nft('add table ip last');
      kinds.add(change.kind);
      if (Object(change).table === 'last') break;
    }
    expect(kinds).toContain('lost');
  });

  test('the generation stays when nothing changes', async () => {
    using reader = await openGeneration();
    nft('add table ip t');
    const first = reader.read();
    await readRuleset();
    expect(reader.read()).toBe(first);
    nft('add chain ip t c');
    expect(reader.read()).not.toBe(first);
  });
});
