import { describe, expect, test } from 'vitest';
import type { ExplainRun } from '../../../agent/commands.ts';
import { runExplain } from '../../../agent/explain-command.ts';
import type { FirewallReading } from '../../../checks/host/firewall.ts';
import {
  decidedByPolicy,
  decidedByRule,
  someChain,
  someRule,
  someView,
} from '../../support/firewall.ts';

async function* text(input: string): AsyncGenerator<string> {
  yield input;
}

async function explain(
  given: Partial<Omit<ExplainRun, 'input'>> & { readonly input?: string },
  reading: ReturnType<typeof someView> | Extract<FirewallReading, { readable: false }>,
): Promise<{ code: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const { input = '', ...rest } = given;
  const code = await runExplain({
    asked: { what: 'udp/8472', from: '10.0.0.2' },
    format: 'text',
    color: false,
    signal: new AbortController().signal,
    write: (part) => {
      out += part;
    },
    complain: (part) => {
      err += `${part}\n`;
    },
    firewall: {
      read: async () =>
        'readable' in reading ? reading : { readable: true as const, view: reading },
    },
    ...rest,
    input: text(input),
  });
  return { code, out, err };
}

const chain = someChain();
const dropped = someView({
  verdict: 'drop',
  decidedBy: decidedByRule(),
  path: [
    { chain, baseChain: chain, rule: someRule({ handle: 4 }), matched: 'maybe', did: ['accept'] },
    { chain, baseChain: chain, rule: someRule(), matched: 'yes', did: ['drop'] },
  ],
});

describe('one packet', () => {
  test('a drop names the rule, then the way to it, and exits with 3', async () => {
    const { code, out } = await explain({}, dropped);
    expect(code).toBe(3);
    const lines = out.split('\n');
    expect(lines[0]).toBe(
      'DROP: udp/8472 from 10.0.0.2 to 10.0.0.1, to this host (in by eth0, new)',
    );
    expect(lines[2]).toBe('decided by   inet filter input, handle 12 (nf_tables, hook input)');
    expect(out).toContain('  1  inet filter input, handle 4: maybe accept\n');
    expect(out).toContain('  2  inet filter input, handle 12: drop\n');
  });

  test('the document of the contract', async () => {
    const { code, out } = await explain({ format: 'json' }, dropped);
    expect(code).toBe(3);
    expect(JSON.parse(out)).toMatchObject({
      packet: {
        direction: 'in',
        source: '10.0.0.2',
        destination: '10.0.0.1',
        inInterface: 'eth0',
        destinationPort: 8472,
      },
      verdict: 'drop',
      decidedBy: {
        backend: 'nf_tables',
        family: 'inet',
        table: 'filter',
        chain: 'input',
        hook: 'input',
        handle: 12,
        rule: expect.any(String),
      },
      path: [
        { handle: 4, hook: 'input', matched: 'maybe', did: ['accept'] },
        { handle: 12, hook: 'input', matched: 'yes', did: ['drop'] },
      ],
      undetermined: [],
      candidates: [],
    });
  });

  test('one line for a program', async () => {
    const { out } = await explain({ format: 'jsonl' }, dropped);
    expect(out.split('\n')).toHaveLength(2);
    expect(JSON.parse(out)).toMatchObject({ verdict: 'drop' });
  });

  test('an accept by policy', async () => {
    const { code, out } = await explain({}, someView({ decidedBy: decidedByPolicy() }));
    expect(code).toBe(0);
    expect(out).toContain('ACCEPT: udp/8472');
    expect(out).toContain('decided by   inet filter input, policy accept (nf_tables, hook input)');
  });

  test('an accept that ends elsewhere says so', async () => {
    const rewrites = [{ rule: someRule(), kind: 'redirect', port: 9999, certain: true }] as const;
    const { code, out } = await explain({}, someView({ arrives: 'elsewhere', rewrites }));
    expect(code).toBe(0);
    expect(out).toContain('ACCEPT, but sent elsewhere');
    expect(out).toContain('rewritten    redirect to this host port 9999');
  });

  test('undetermined: what could not be told, what remains possible, and 4', async () => {
    const view = someView({
      verdict: 'undetermined',
      possible: [
        { verdict: 'accept', decidedBy: decidedByPolicy() },
        { verdict: 'drop', decidedBy: decidedByRule() },
      ],
      unknowns: [
        { rule: someRule(), expression: { kind: 'notrack' }, why: 'the source port is open' },
      ],
    });
    const { code, out } = await explain({}, view);
    expect(code).toBe(4);
    expect(out).toContain('UNDETERMINED: ');
    expect(out).toContain('possible     drop, by inet filter input handle 12');
    expect(out).toContain('not told     inet filter input, handle 12: the source port is open');
    const { out: json } = await explain({ format: 'json' }, view);
    expect(JSON.parse(json)).toMatchObject({
      verdict: 'undetermined',
      decidedBy: null,
      undetermined: [{ expression: 'notrack', handle: 12, why: 'the source port is open' }],
    });
  });

  test('a program on the way makes an accept undetermined', async () => {
    const programs = [
      { interface: 'eth0', place: 'tc-ingress', name: 'bpf cil_from_netdev' },
    ] as const;
    const { code, out } = await explain({}, someView({}, { programs }));
    expect(code).toBe(4);
    expect(out).toContain('tc ingress bpf cil_from_netdev on eth0 is on the way');
  });

  test('without CAP_NET_ADMIN it says so and does not guess', async () => {
    const why = 'reading the firewall needs CAP_NET_ADMIN';
    const unreadable = { readable: false, reason: 'missing-net-admin', why } as const;
    const { code, out } = await explain({}, unreadable);
    expect(code).toBe(4);
    expect(out).toContain(`not told     ${why}`);
    const { out: json } = await explain({ format: 'json' }, unreadable);
    expect(JSON.parse(json)).toMatchObject({
      verdict: 'undetermined',
      undetermined: [{ expression: 'missing-net-admin', why }],
    });
  });

  test('words of others in the rules cannot steer the terminal', async () => {
    const did = ['log prefix "\u001b[2J\u202e"'];
    const step = { chain, baseChain: chain, rule: someRule(), matched: 'yes', did } as const;
    const { out } = await explain({}, someView({ path: [step] }));
    expect(out).not.toContain('\u001b');
    expect(out).not.toContain('\u202e');
  });

  test('colour is for the verdict alone', async () => {
    const { out } = await explain({ color: true }, dropped);
    expect(out.startsWith('\u001b[31mDROP\u001b[39m: udp')).toBe(true);
  });

  test('a link-local sender has no interface that a route could tell', async () => {
    const view = someView({});
    await explain({ asked: { what: 'udp/546', from: 'fe80::1' } }, view);
    expect(view.asked[0]).not.toHaveProperty('inInterface');
  });

  test('an interface that is named is taken', async () => {
    const view = someView({});
    const asked = { what: 'udp/1', from: '10.0.0.2', inInterface: 'eth7' };
    await explain({ asked }, view);
    expect(view.asked[0]).toMatchObject({ inInterface: 'eth7', destination: '10.0.0.1' });
  });
});

describe('a file of packets', () => {
  const packet = (port: number): string =>
    JSON.stringify({
      direction: 'in',
      protocol: 'udp',
      source: '10.0.0.2',
      destinationPort: port,
    });
  const byPort = someView(({ destinationPort }) =>
    destinationPort === 8472
      ? { verdict: 'drop', decidedBy: decidedByRule() }
      : { decidedBy: decidedByPolicy() },
  );
  const from = (...lines: readonly string[]) => ({
    asked: {},
    packetsFile: '-',
    input: lines.map((line) => `${line}\n`).join(''),
  });

  test('each line is answered by its number, and the worst decides the exit code', async () => {
    const { code, out } = await explain(from(packet(1), '', packet(8472)), byPort);
    expect(code).toBe(3);
    const [first, second] = out.split('\n');
    expect(first).toMatch(/^1: ACCEPT: udp\/1 .*policy accept$/);
    expect(second).toMatch(/^3: DROP: udp\/8472 .*handle 12: /);
  });

  test('nothing but accepts', async () => {
    expect(await explain(from(packet(1), packet(2)), byPort)).toMatchObject({ code: 0 });
  });

  test('a bad line is reported with its number, and the others are answered', async () => {
    const lines = from(packet(1), 'nonsense', 'x'.repeat(20_000), packet(2));
    const { code, out, err } = await explain(lines, byPort);
    expect(code).toBe(2);
    expect(out.split('\n')).toHaveLength(3);
    expect(err).toBe('-:2: is not JSON\n-:3: is longer than 16384 bytes\n');
  });

  test('as lines of JSON, and as one document', async () => {
    const lines = await explain({ ...from(packet(1), packet(8472)), format: 'jsonl' }, byPort);
    expect(
      lines.out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).verdict),
    ).toEqual(['accept', 'drop']);
    const whole = await explain({ ...from(packet(1), packet(8472)), format: 'json' }, byPort);
    expect(JSON.parse(whole.out)).toMatchObject([
      { line: 1, verdict: 'accept' },
      { line: 2, verdict: 'drop' },
    ]);
    const none = await explain({ ...from(), format: 'json' }, byPort);
    expect(JSON.parse(none.out)).toEqual([]);
  });

  test('a file that is not there is wrong usage', async () => {
    const run = explain({ asked: {}, packetsFile: '/nowhere/packets.jsonl' }, byPort);
    await expect(run).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });

  test('a packet beside the file is wrong usage', async () => {
    const run = explain({ packetsFile: '-' }, byPort);
    await expect(run).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });
});
