import { chmodSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type Configuration,
  type ConfigurationSources,
  loadConfiguration,
} from '../../../agent/config.ts';
import { ConfigurationError } from '../../../agent/configuration-error.ts';
import { settings, twinOf } from '../../../agent/settings.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'cni-preflight-config-'));
});
afterAll(async () => {
  const { rm } = await import('node:fs/promises');
  await rm(folder, { recursive: true });
});

const file = (name: string, content: string | Uint8Array): string => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};
const load = (sources: Partial<ConfigurationSources>) =>
  loadConfiguration({
    command: 'config',
    env: {},
    cwd: folder,
    ownAddresses: ['10.0.0.1'],
    ...sources,
  });
const problemsOf = (sources: Partial<ConfigurationSources>): string[] => {
  try {
    load(sources);
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    expect(error.code).toBe('CONFIG_INVALID');
    return error.message
      .replaceAll(folder, 'DIR')
      .split('\n')
      .filter((line) => !line.endsWith('problems in the configuration:'))
      .map((line) => line.trim());
  }
  return [];
};

describe('where a setting comes from', () => {
  test('without anything said, every setting has its default', () => {
    const { values, origins, key, files, notes } = load({});
    expect(values).toMatchObject({
      provider: 'auto',
      set: {},
      peers: [],
      timeoutSeconds: 1,
      waitSeconds: 0,
      intervalSeconds: 30,
      strict: false,
      tryModules: false,
      format: 'text',
      listen: [],
      discover: 'static',
      logLevel: 'info',
    } satisfies Partial<Configuration>);
    expect(values.nodeName).not.toBe('');
    expect(new Set(Object.values(origins))).toEqual(new Set(['default']));
    expect(Object.keys(origins).sort()).toEqual(settings.map(({ name }) => name).sort());
    expect({ key, files, notes }).toEqual({ key: undefined, files: [], notes: [] });
  });

  test.each([
    { from: 'flag', want: 'calico', flags: true, env: true },
    { from: 'environment', want: 'cilium', flags: false, env: true },
    { from: 'file', want: 'weave', flags: false, env: false },
  ])('$from wins over what stands behind it', ({ from, want, flags, env }) => {
    const config = file('precedence.yaml', 'provider: weave\ntimeout: 3\n');
    const { values, origins, files } = load({
      flags: { config, ...(flags ? { provider: 'calico' } : {}) },
      env: env ? { CNI_PREFLIGHT_PROVIDER: 'cilium' } : {},
    });
    expect([values.provider, origins['provider']]).toEqual([want, from]);
    expect([values.timeoutSeconds, origins['timeout']]).toEqual([3, 'file']);
    expect(files).toEqual([config]);
  });

  test.each([
    { name: 'provider', text: 'cilium', want: { provider: 'cilium' } },
    {
      name: 'set',
      text: 'a=1,etcd=https://x:1,https://y:2,b=',
      want: { set: { a: '1', etcd: 'https://x:1,https://y:2', b: '' } },
    },
    {
      name: 'peers',
      text: '10.0.0.2=w2, fd00::3',
      want: {
        peers: [
          { name: 'w2', addresses: { ipv4: '10.0.0.2' } },
          { name: 'fd00::3', addresses: { ipv6: 'fd00::3' } },
        ],
      },
    },
    {
      name: 'peersFile',
      text: 'nodes',
      want: { peers: [{ name: 'w5', addresses: { ipv4: '10.0.0.5' } }] },
    },
    { name: 'distribution', text: 'rke2', want: { distribution: 'rke2' } },
    { name: 'only', text: 'canal.vxlan, sysctl', want: { only: ['canal.vxlan', 'sysctl'] } },
    { name: 'ignore', text: 'latency', want: { ignore: ['latency'] } },
    { name: 'timeout', text: '0.5', want: { timeoutSeconds: 0.5 } },
    { name: 'wait', text: '60', want: { waitSeconds: 60 } },
    { name: 'strict', text: 'true', want: { strict: true } },
    { name: 'tryModules', text: '1', want: { tryModules: true } },
    { name: 'format', text: 'junit', want: { format: 'junit' } },
    { name: 'noColor', text: 'yes', want: { noColor: true } },
    {
      name: 'listen',
      text: '10.0.0.1:10473,[fd00::1]:10472',
      want: {
        listen: [
          { address: '10.0.0.1', port: 10473 },
          { address: 'fd00::1', port: 10472 },
        ],
      },
    },
    { name: 'interval', text: '10', want: { intervalSeconds: 10 } },
    { name: 'nodeName', text: 'worker-1', want: { nodeName: 'worker-1' } },
    { name: 'logLevel', text: 'debug', want: { logLevel: 'debug' } },
  ])('the twin of $name is read from the environment', ({ name, text, want }) => {
    file('nodes', '10.0.0.5 w5\n10.0.0.1 w1\n');
    const setting = settings.find((one) => one.name === name);
    const { values, origins } = load({ env: { [twinOf(setting?.flag ?? '')]: text } });
    expect(values).toMatchObject(want);
    expect(origins[name]).toBe('environment');
  });

  test('discovery by DNS, the key file and the rules have their twins, too', () => {
    const keyFile = file('key', 'sixteen bytes ok\n');
    const { values, key } = load({
      env: {
        CNI_PREFLIGHT_DISCOVER: 'dns',
        CNI_PREFLIGHT_DISCOVER_NAME: 'nodes.example,more.example',
        CNI_PREFLIGHT_KEY_FILE: 'key',
        CNI_PREFLIGHT_RULES: 'rules',
      },
    });
    expect(values).toMatchObject({
      discover: 'dns',
      discoverName: ['nodes.example', 'more.example'],
      keyFile,
      rules: join(folder, 'rules'),
    });
    expect(Buffer.from(key ?? []).toString()).toBe('sixteen bytes ok');
  });

  test('options of the provider merge one by one, and each says where it came from', () => {
    const config = file('set.yaml', 'set: { encapsulation: ipip, tunnelPort: 4789, bgp: true }\n');
    const { values, origins } = load({
      flags: { config, set: ['encapsulation=vxlan'] },
      env: { CNI_PREFLIGHT_SET: 'tunnelPort=8472' },
    });
    expect(values.set).toEqual({ encapsulation: 'vxlan', tunnelPort: '8472', bgp: 'true' });
    expect(origins).toMatchObject({
      'set.encapsulation': 'flag',
      'set.tunnelPort': 'environment',
      'set.bgp': 'file',
    });
  });

  test('--peer asks for that peer alone, whatever the file lists', () => {
    file('more-nodes', '10.0.0.8\n');
    const config = file('peers.yaml', 'peers: [10.0.0.7]\npeersFile: more-nodes\n');
    const names = (flags: ConfigurationSources['flags']) =>
      load({ flags: { config, ...flags } }).values.peers.map(({ name }) => name);
    expect(names({})).toEqual(['10.0.0.7', '10.0.0.8']);
    expect(names({ peers: ['10.0.0.9=w9'] })).toEqual(['w9']);
    expect(names({ peers: ['10.0.0.9=w9'], peersFile: 'more-nodes' })).toEqual(['w9', '10.0.0.8']);
  });

  test('peers in YAML may be objects with roles, in the configuration and in a file of their own', () => {
    file('nodes.yaml', '- 10.0.0.2=w2\n- { address: 10.0.0.3, name: w3, roles: [etcd] }\n');
    expect(load({ flags: { peersFile: 'nodes.yaml' } }).values.peers).toEqual([
      { name: 'w2', addresses: { ipv4: '10.0.0.2' } },
      { name: 'w3', addresses: { ipv4: '10.0.0.3' }, roles: ['etcd'] },
    ]);
  });

  test('the own address and repeated ones are said', () => {
    const { values, notes } = load({ flags: { peers: ['10.0.0.1=w1,10.0.0.2', '10.0.0.2'] } });
    expect(values.peers.map(({ name }) => name)).toEqual(['10.0.0.2']);
    expect(notes).toEqual([
      'peer 10.0.0.2 is listed more than once and counts once',
      'peer 10.0.0.1 (w1) is this node and is left out',
    ]);
  });

  test.each([
    { given: { NO_COLOR: '1' }, want: true },
    { given: { NO_COLOR: '' }, want: false },
    { given: { NO_COLOR: '1', CNI_PREFLIGHT_NO_COLOR: 'false' }, want: false },
  ])('NO_COLOR is honoured: $given', ({ given, want }) => {
    expect(load({ env: given }).values.noColor).toBe(want);
  });

  test('variables that Kubernetes makes for a Service of our name are let pass', () => {
    expect(
      problemsOf({
        env: {
          CNI_PREFLIGHT_SERVICE_HOST: '10.43.0.9',
          CNI_PREFLIGHT_SERVICE_PORT: '10472',
          CNI_PREFLIGHT_SERVICE_PORT_HTTP: '10472',
          CNI_PREFLIGHT_PORT: 'tcp://10.43.0.9:10472',
          CNI_PREFLIGHT_PORT_10472_TCP_ADDR: '10.43.0.9',
          CNI_PREFLIGHT_LAB: 'off',
        },
      }),
    ).toEqual([]);
  });
});

describe('what is wrong with a configuration is said in full', () => {
  test.each([
    {
      flags: { timeout: 'abc' },
      want: '--timeout: "abc" is not a number of seconds from 0.01 to 60',
    },
    { flags: { timeout: '0' }, want: '--timeout: 0 is not a number of seconds from 0.01 to 60' },
    {
      flags: { interval: '-1' },
      want: '--interval: "-1" is not a number of seconds from 1 to 86400',
    },
    {
      flags: { format: 'xml' },
      want: '--format: "xml" is not a format: text, json, yaml or junit',
    },
    { flags: { set: ['ipip'] }, want: '--set: "ipip" is not an option and its value: write K=V' },
    {
      flags: { peers: ['worker-2'] },
      want: '--peer: "worker-2" is not an address: write ADDR=worker-2, or use --discover dns',
    },
    {
      flags: { peers: ['10.0.0.2=a', '10.0.0.3=a'] },
      want: '--peer: two peers are named "a": 10.0.0.2 (--peer) and 10.0.0.3; give each its own name',
    },
    { flags: { peersFile: 'none' }, want: '--peers-file: DIR/none cannot be read (no such file)' },
    {
      flags: { config: 'none.yaml' },
      want: '--config: DIR/none.yaml cannot be read (no such file)',
    },
    { flags: { config: '.' }, want: '--config: DIR cannot be read (it is a directory)' },
    { flags: { keyFile: 'none' }, want: '--key-file: DIR/none cannot be read (no such file)' },
    {
      flags: { listen: ['10.0.0.1:70000'] },
      want: '--listen: port 70000 is out of range (1 to 65535)',
    },
    {
      flags: { listen: ['10.0.0.1'] },
      want: '--listen: "10.0.0.1" has no port: write 10.0.0.1:10472',
    },
    {
      flags: { listen: ['fd00::1'] },
      want: '--listen: "fd00::1" has no port: write [fd00::1]:10472',
    },
    { flags: { listen: ['node:10472'] }, want: '--listen: "node" is not an address of this node' },
    {
      flags: { listen: ['10472'] },
      want: '--listen: "10472" is not ADDR:PORT, with an IPv6 address in brackets',
    },
    {
      flags: { discover: 'kubernetes' },
      want: '--discover: "kubernetes" is not in this version yet: use static or dns',
    },
    {
      flags: { discover: 'consul' },
      want: '--discover: "consul" is not a way to find peers: static or dns',
    },
    {
      flags: { discover: 'dns' },
      want: '--discover: "dns" needs a name to look up: give --discover-name NAME',
    },
    {
      flags: { discoverName: ['x'] },
      want: '--discover-name: a name is looked up only with --discover dns',
    },
    {
      env: { CNI_PREFLIGHT_STRICT: 'maybe' },
      want: 'CNI_PREFLIGHT_STRICT: "maybe" is not true or false',
    },
    {
      env: { CNI_PREFLIGHT_TIMEOUT: '1s' },
      want: 'CNI_PREFLIGHT_TIMEOUT: "1s" is not a number of seconds from 0.01 to 60',
    },
    {
      env: { CNI_PREFLIGHT_PEERS: '10.0.0.2' },
      want: 'CNI_PREFLIGHT_PEERS: unknown variable; did you mean CNI_PREFLIGHT_PEER?',
    },
    {
      env: { CNI_PREFLIGHT_CONFIG: 'none.yaml' },
      want: 'CNI_PREFLIGHT_CONFIG: DIR/none.yaml cannot be read (no such file)',
    },
    {
      command: 'agent' as const,
      flags: { provider: 'all' },
      want: '--provider: "all" is for check: the agent watches one provider, by name or "auto"',
    },
  ])('$want', ({ want, ...sources }) => {
    expect(problemsOf(sources)).toEqual([want]);
  });

  test.each([
    {
      yaml: 'provider: canal\npeeers: []\n',
      want: /^DIR\/bad.yaml:2: peeers: unknown setting "peeers"; did you mean peers\? \(valid: provider, set, peers, /,
    },
    { yaml: 'timeout: [1]\n', want: /^DIR\/bad.yaml:1: timeout: .*is not a number$/ },
    {
      yaml: '\ntimeout: fast\n',
      want: /^DIR\/bad.yaml:2: timeout: "fast" is not a number of seconds from 0.01 to 60$/,
    },
    {
      yaml: 'peers:\n  - 10.0.0.2\n  - worker-3\n',
      want: /^DIR\/bad.yaml:3: "worker-3" is not an address/,
    },
    { yaml: 'peers:\n  - address: 10.0.0.2\n    nmae: x\n', want: /^DIR\/bad.yaml:2: peers.0: / },
    { yaml: 'peers: [\n', want: /^DIR\/bad.yaml:2: not YAML: / },
    {
      yaml: 'provider: a\nprovider: b\n',
      want: /^DIR\/bad.yaml:2: not YAML: Map keys must be unique$/,
    },
    { yaml: '- canal\n', want: /^DIR\/bad.yaml:1: is not a map of settings$/ },
    { yaml: '['.repeat(100_000), want: /^DIR\/bad.yaml/ },
  ])('a file with $yaml', ({ yaml, want }) => {
    const [first = ''] = problemsOf({ flags: { config: file('bad.yaml', yaml) } });
    expect(first).toMatch(want);
  });

  test('an empty file, and an empty value, say nothing', () => {
    expect(problemsOf({ flags: { config: file('empty.yaml', '') } })).toEqual([]);
    expect(problemsOf({ flags: { config: file('empty.yaml', 'wait:\n') } })).toEqual([]);
  });

  test('all problems of all places come in one error', () => {
    const config = file('many.yaml', 'interval: soon\nwhatever: 1\n');
    expect(
      problemsOf({
        flags: { config, timeout: 'x', peers: ['node-a', 'node-b'] },
        env: { CNI_PREFLIGHT_STRICT: 'perhaps' },
      }).map((problem) => problem.split(' ')[0]),
    ).toEqual([
      '--timeout:',
      'CNI_PREFLIGHT_STRICT:',
      'DIR/many.yaml:1:',
      'DIR/many.yaml:2:',
      '--peer:',
      '--peer:',
    ]);
  });

  test.each([
    {
      name: 'too short',
      content: 'secret-7',
      want: 'holds a key of 8 bytes: at least 16 are needed',
    },
    {
      name: 'short but for its newline',
      content: 'fifteen-bytes!!\n',
      want: 'holds a key of 15 bytes: at least 16 are needed',
    },
    {
      name: 'too long',
      content: 'secret'.repeat(1000),
      want: 'holds a key of more than 4096 bytes',
    },
  ])('a key that is $name is refused without quoting it', ({ content, want }) => {
    const keyFile = file('bad.key', content);
    const problems = problemsOf({ flags: { keyFile } });
    expect(problems).toEqual([`--key-file: DIR/bad.key ${want}`]);
    expect(problems.join()).not.toContain(content.trim());
  });

  test.each([
    { content: 'k'.repeat(16), length: 16 },
    { content: `${'k'.repeat(4096)}\r\n`, length: 4096 },
    { content: `${'k'.repeat(16)}\n\n`, length: 17 },
  ])('a key of $length bytes loses one trailing newline and no more', ({ content, length }) => {
    expect(load({ flags: { keyFile: file('good.key', content) } }).key).toHaveLength(length);
  });

  test('a key file that everybody can read is said', () => {
    const keyFile = file('open.key', 'k'.repeat(32));
    chmodSync(keyFile, 0o644);
    expect(load({ flags: { keyFile } }).notes).toEqual([
      `the key file ${keyFile} can be read by everybody`,
    ]);
    chmodSync(keyFile, 0o600);
    expect(load({ flags: { keyFile } }).notes).toEqual([]);
  });
});
