import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CliContext, runCli } from '../../../agent/cli.ts';
import type { AgentRun, CheckRun, Commands } from '../../../agent/commands.ts';
import type { LoadedConfiguration } from '../../../agent/config.ts';
import type { StatusDocument } from '../../../agent/model.ts';
import { settings, twinOf } from '../../../agent/settings.ts';
import { SelectionError } from '../../../rules/resolve.ts';
import { someDocument, someFinding } from '../../support/findings.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'cni-preflight-cli-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

interface Given {
  readonly env?: CliContext['env'];
  readonly check?: (loaded: LoadedConfiguration, run: CheckRun) => Promise<StatusDocument>;
  readonly agent?: (loaded: LoadedConfiguration, run: AgentRun) => Promise<number>;
  readonly explain?: Commands['explain'];
  readonly isTTY?: boolean;
  readonly signal?: AbortSignal;
}

/** Runs a command line; a command that is not given must not be called. */
async function run(line: string, given: Given = {}) {
  let out = '';
  let err = '';
  const stream = (write: (text: string) => void) => ({
    write,
    isTTY: given.isTTY === true,
    columns: 100,
  });
  const refuse = async (): Promise<never> => {
    throw new Error('must not be called');
  };
  const code = await runCli(
    line.split(' ').filter((word) => word !== ''),
    {
      stdout: stream((text) => {
        out += text;
      }),
      stderr: stream((text) => {
        err += text;
      }),
      env: given.env ?? {},
      cwd: folder,
      version: '1.2.3',
      signal: given.signal ?? new AbortController().signal,
      ownAddresses: ['10.0.0.1'],
      commands: async () => ({
        check: given.check ?? refuse,
        agent: given.agent ?? refuse,
        explain: given.explain ?? refuse,
      }),
    },
  );
  return { code, out, err: err.replaceAll(folder, 'DIR') };
}

const withFindings =
  (...changes: Parameters<typeof someFinding>[0][]) =>
  async () =>
    someDocument({ findings: changes.map(someFinding) });

test('a check that is interrupted tells nothing, and its exit code is not that of a fit node', async () => {
  const interruption = new AbortController();
  const check = async () => {
    interruption.abort(new Error('ended by SIGINT'));
    return someDocument({ findings: [] });
  };
  const { code, out, err } = await run('check --provider canal', {
    check,
    signal: interruption.signal,
  });
  expect({ code, out, err }).toEqual({ code: 1, out: '', err: 'cni-preflight: interrupted\n' });
});

describe('what the command line refuses, with exit code 2 and one sentence', () => {
  test.each([
    {
      line: 'chek',
      want: "unknown command 'chek'; did you mean check? (valid: check, agent, explain, providers, config)",
    },
    {
      line: 'inspect udp/8472',
      want: "unknown command 'inspect' (valid: check, agent, explain, providers, config)",
    },
    {
      line: 'explain --from 10.0.0.2',
      want: 'explain: say which packet: explain PROTO[/PORT] --from ADDR, or --packets FILE',
    },
    {
      line: 'check --provder canal',
      want: "unknown option '--provder'; did you mean --provider? (--help lists the valid ones)",
    },
    { line: 'check here', want: "too many arguments for 'check'. Expected 0 arguments but got 1." },
    { line: 'check --timeout', want: "option '--timeout <S>' argument missing" },
    {
      line: 'check --timeout soon',
      want: '--timeout: "soon" is not a number of seconds from 0.01 to 60',
    },
    {
      line: 'check --format html',
      want: '--format: "html" is not a format: text, json, yaml or junit',
    },
    {
      line: 'check --peer worker-2',
      want: '--peer: "worker-2" is not an address: write ADDR=worker-2, or use --discover dns',
    },
    {
      line: 'check --peer 10.0.0.2=a --peer 10.0.0.3=a',
      want: '--peer: two peers are named "a": 10.0.0.2 (--peer) and 10.0.0.3; give each its own name',
    },
    {
      line: 'check --peers-file none',
      want: '--peers-file: DIR/none cannot be read (no such file)',
    },
    { line: 'check --config none', want: '--config: DIR/none cannot be read (no such file)' },
    { line: 'check --set ipip', want: '--set: "ipip" is not an option and its value: write K=V' },
    {
      line: 'agent --provider all',
      want: '--provider: "all" is for check: the agent watches one provider, by name or "auto"',
    },
    { line: 'agent --wait 3', want: "unknown option '--wait' (--help lists the valid ones)" },
    {
      line: 'agent --try-modules',
      want: "unknown option '--try-modules' (--help lists the valid ones)",
    },
    {
      line: 'agent --listen 10.0.0.1:99999',
      want: '--listen: port 99999 is out of range (1 to 65535)',
    },
    { line: 'agent --key-file none', want: '--key-file: DIR/none cannot be read (no such file)' },
    {
      line: 'agent --discover kubernetes',
      want: '--discover: "kubernetes" is not in this version yet: use static or dns',
    },
    {
      line: 'providers cillium',
      want: 'unknown provider "cillium"; did you mean cilium? (valid: calico, canal, cilium, flannel, weave)',
    },
    {
      line: 'providers --format junit',
      want: '--format: "junit" is not a format of this command: text or json',
    },
    {
      line: 'config --provider canel',
      want: 'unknown provider "canel"; did you mean canal? (valid: calico, canal, cilium, flannel, weave)',
    },
  ])('$line', async ({ line, want }) => {
    expect(await run(line)).toEqual({ code: 2, out: '', err: `cni-preflight: ${want}\n` });
  });

  test('several problems are listed, each on its line', async () => {
    const { code, err } = await run('check --timeout x --peer a');
    expect({ code, lines: err.trim().split('\n').length }).toEqual({ code: 2, lines: 3 });
    expect(err).toMatch(
      /^cni-preflight: 2 problems in the configuration:\n {2}--timeout: .*\n {2}--peer: /,
    );
  });

  test('no command at all prints the help to stderr', async () => {
    const { code, out, err } = await run('');
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toContain('Usage: cni-preflight');
  });

  test('what the check itself cannot select is wrong usage, too', async () => {
    const check = async (): Promise<never> => {
      throw new SelectionError('unknown provider "x"');
    };
    expect(await run('check --provider x', { check })).toEqual({
      code: 2,
      out: '',
      err: 'cni-preflight: unknown provider "x"\n',
    });
  });

  test('an error of our own is exit code 1 and says where', async () => {
    const check = async (): Promise<never> => {
      throw new RangeError('oops');
    };
    const { code, out, err } = await run('check', { check });
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toMatch(/^cni-preflight: internal error: RangeError: oops\n\s+at /);
  });
});

describe('check', () => {
  test.each([
    { name: 'all passes', check: withFindings({}), flags: '', want: 0 },
    {
      name: 'a warning',
      check: withFindings({ outcome: 'fail', level: 'recommended' }),
      flags: '',
      want: 0,
    },
    {
      name: 'a warning, strictly',
      check: withFindings({ outcome: 'fail', level: 'recommended' }),
      flags: '--strict',
      want: 3,
    },
    { name: 'a failure', check: withFindings({ outcome: 'fail' }), flags: '', want: 3 },
    { name: 'unknown', check: withFindings({ outcome: 'unknown' }), flags: '', want: 4 },
  ])('$name $flags: $want', async ({ check, flags, want }) => {
    const { code, out, err } = await run(`check ${flags}`, { check });
    expect({ code, err }).toEqual({ code: want, err: '' });
    expect(out).toMatch(/^worker-1: /);
  });

  test('hands on what was settled, and says what was left out', async () => {
    let seen: LoadedConfiguration | undefined;
    const { err } = await run(
      'check --provider canal --set a=1 --set b=x,y --peer 10.0.0.1=w1 --peer 10.0.0.2=w2 --only icmp-echo --try-modules --no-color --wait 3',
      {
        env: { CNI_PREFLIGHT_IGNORE: 'latency' },
        check: async (loaded) => {
          seen = loaded;
          return someDocument();
        },
      },
    );
    expect(seen?.values).toMatchObject({
      provider: 'canal',
      set: { a: '1', b: 'x,y' },
      peers: [{ name: 'w2', addresses: { ipv4: '10.0.0.2' } }],
      only: ['icmp-echo'],
      ignore: ['latency'],
      tryModules: true,
      noColor: true,
      waitSeconds: 3,
    });
    expect(err).toBe('cni-preflight: note: peer 10.0.0.1 (w1) is this node and is left out\n');
  });

  test.each([
    { flags: '', isTTY: true, env: {}, want: true },
    { flags: '', isTTY: false, env: {}, want: false },
    { flags: '--no-color', isTTY: true, env: {}, want: false },
    { flags: '', isTTY: true, env: { NO_COLOR: '1' }, want: false },
    { flags: '', isTTY: true, env: { TERM: 'dumb' }, want: false },
  ])('colour with "$flags", terminal $isTTY, $env: $want', async ({ flags, isTTY, env, want }) => {
    const { out } = await run(`check ${flags}`, { check: withFindings({}), isTTY, env });
    expect(out.includes('\u001B[')).toBe(want);
  });

  test('writes nothing but the document to stdout', async () => {
    const { out } = await run('check --format json --peer 10.0.0.1', { check: withFindings({}) });
    expect(JSON.parse(out)).toMatchObject({ schema: 'cni-preflight/status/v1' });
  });
});

describe('agent', () => {
  test('hands on the exit code, and can settle the same words anew', async () => {
    const config = join(folder, 'agent.yaml');
    writeFileSync(config, 'interval: 10\n');
    const intervals: number[] = [];
    const { code } = await run(`agent --config ${config}`, {
      agent: async (loaded, { reload }) => {
        intervals.push(loaded.values.intervalSeconds);
        writeFileSync(config, 'interval: 20\n');
        intervals.push(reload().values.intervalSeconds);
        writeFileSync(config, 'interval: often\n');
        expect(reload).toThrow(/agent.yaml:1: interval: "often" is not a number of seconds/);
        return 7;
      },
    });
    expect({ code, intervals }).toEqual({ code: 7, intervals: [10, 20] });
  });
});

describe('the help', () => {
  test.each(['check', 'agent', 'config', 'providers'] as const)(
    'of %s names each of its flags, shows examples and the exit codes',
    async (command) => {
      const { code, out, err } = await run(`${command} --help`);
      expect({ code, err }).toEqual({ code: 0, err: '' });
      const flags = settings.filter(({ commands }) => commands.includes(command));
      for (const { flag } of flags) expect(out).toMatch(new RegExp(`^  --${flag}\\b`, 'm'));
      expect(out.match(/^ {2}--[a-z-]+/gm)).toHaveLength(flags.length + 1);
      expect(out).toContain('Examples:');
      expect(out).toMatch(/Exit codes/);
    },
  );

  test('every flag of the contract is there', async () => {
    const contract = {
      check:
        'provider set peer peers-file distribution only ignore timeout wait strict try-modules format config rules no-color',
      agent:
        'provider set peer peers-file distribution only ignore timeout config rules listen interval key-file discover',
      providers: 'format',
    };
    for (const [command, flags] of Object.entries(contract)) {
      const { out } = await run(`${command} --help`);
      for (const flag of flags.split(' ')) expect(out).toContain(`--${flag}`);
    }
  });

  test('twins are told, and no two flags share one', () => {
    const twins = settings.map(({ flag }) => twinOf(flag));
    expect(new Set(twins).size).toBe(settings.length);
    expect(twins).toContain('CNI_PREFLIGHT_PEERS_FILE');
  });

  test('the version is printed', async () => {
    expect(await run('--version')).toEqual({ code: 0, out: '1.2.3\n', err: '' });
  });
});

describe('providers', () => {
  test('prints the comparison table in the order of the documentation', async () => {
    const { code, out } = await run('providers');
    expect(code).toBe(0);
    const lines = out.split('\n');
    expect(lines[0]).toMatch(
      /^Provider +Network Model +Route Distribution +Network Policies +Mesh +External Datastore/,
    );
    expect(lines.slice(2, 7).map((line) => line.split(' ')[0])).toEqual([
      'Canal',
      'Flannel',
      'Calico',
      'Weave',
      'Cilium',
    ]);
  });

  test('tells all about one: options, requirements, disputes, sources', async () => {
    const { out } = await run('providers cilium');
    for (const heading of [
      'Options (--set',
      'Requirements',
      'What the sources disagree on',
      'Sources',
    ]) {
      expect(out).toMatch(new RegExp(`^${heading.replace('(', '\\(')}`, 'm'));
    }
    expect(out).toContain('\n  cilium.');
    expect(out).not.toMatch(/\[object|undefined/);
    for (const line of out.split('\n').filter((one) => /\S \S/.test(one.trim()))) {
      const words = line.trim().split(' ');
      const longest = Math.max(...words.map((word) => word.length));
      expect(line.length).toBeLessThanOrEqual(Math.max(100, longest + 12));
    }
  });

  test('gives a program the same as JSON', async () => {
    const all: unknown = JSON.parse((await run('providers --format json')).out);
    const names = Array.isArray(all) ? all.map(({ name }) => name) : [];
    expect(names).toEqual(['canal', 'flannel', 'calico', 'weave', 'cilium']);
    const one = JSON.parse((await run('providers weave --format json')).out);
    expect(one).toMatchObject({ provider: 'weave', requirements: expect.any(Array) });
  });

  test('works though the environment holds settings of other commands that are wrong', async () => {
    const env = { CNI_PREFLIGHT_KEY_FILE: '/none', CNI_PREFLIGHT_FORMAT: 'junit' };
    expect((await run('providers', { env })).code).toBe(0);
  });
});

describe('config', () => {
  test('shows each value and where it came from, and never the key', async () => {
    const key = join(folder, 'key');
    writeFileSync(key, 'a very secret key of ours\n', { mode: 0o600 });
    const { code, out } = await run(
      `config --provider canal --set tunnelPort=4789 --key-file ${key}`,
      {
        env: { CNI_PREFLIGHT_INTERVAL: '10', CNI_PREFLIGHT_PEER: '10.0.0.2=w2,fd00::2=w2' },
      },
    );
    expect(code).toBe(0);
    const rows = new Map(
      out.split('\n').map((line) => [line.split(/\s+/)[0], line.split(/\s\s+/)]),
    );
    expect(rows.get('interval')?.slice(1, 3)).toEqual(['10', 'environment']);
    expect(rows.get('peers')?.slice(1, 3)).toEqual(['10.0.0.2=w2,fd00::2=w2', 'environment']);
    expect(rows.get('keyFile')?.slice(1, 3)).toEqual([key, 'flag']);
    expect(rows.get('timeout')?.slice(1, 3)).toEqual(['1', 'default']);
    expect(rows.get('tunnelPort')?.slice(1, 3)).toEqual(['4789', 'flag']);
    for (const { name } of settings) expect(rows.has(name)).toBe(true);
    expect(out).not.toContain('secret');
  });
});

describe('explain', () => {
  test('hands over the question, and exits as it is told', async () => {
    const asked: unknown[] = [];
    const { code } = await run(
      'explain udp/8472 --from 10.0.0.2 --in-interface eth0 --format jsonl',
      {
        explain: async (one) => {
          asked.push([one.asked, one.format, one.packetsFile]);
          return 3;
        },
      },
    );
    expect(code).toBe(3);
    expect(asked).toEqual([
      [{ what: 'udp/8472', from: '10.0.0.2', inInterface: 'eth0' }, 'jsonl', undefined],
    ]);
  });

  test('a file needs no protocol', async () => {
    const files: unknown[] = [];
    await run('explain --packets packets.jsonl', {
      explain: async ({ packetsFile, format }) => {
        files.push([packetsFile, format]);
        return 0;
      },
    });
    expect(files).toEqual([['packets.jsonl', 'text']]);
  });
});
