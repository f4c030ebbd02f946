/** @module What the program says to a wrong call: exit code 2, and one sentence that names the place and what would be valid. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { builtProgram } from '../support/lab.ts';
import { run } from '../support/process.ts';

const directory = mkdtempSync(join(tmpdir(), 'bad-input-'));
afterAll(() => rmSync(directory, { recursive: true }));

function file(name: string, content: string): string {
  const path = join(directory, name);
  writeFileSync(path, content);
  return path;
}

const unreadableKey = file('unreadable.key', 'a key that nobody may read\n');
chmodSync(unreadableKey, 0);
const rules = join(directory, 'rules');

describe('a wrong call', () => {
  test.concurrent.each([
    {
      name: 'an unknown provider',
      args: ['check', '--provider', 'canall'],
      says: /^cni-preflight: unknown provider "canall"; did you mean canal\? \(valid: calico, canal, cilium, flannel, weave\)$/,
    },
    {
      name: 'an unknown option of the provider',
      args: ['check', '--provider', 'canal', '--set', 'tunelPort=1'],
      says: /option of Canal "tunelPort"; did you mean tunnelPort\? \(valid: /,
    },
    {
      name: 'a value that an option does not take',
      args: ['check', '--provider', 'calico', '--set', 'encapsulation=vxlann'],
      says: /option encapsulation of Calico: unknown value "vxlann"; did you mean vxlan\? \(valid: /,
    },
    {
      name: 'a port of an option out of range',
      args: ['check', '--provider', 'canal', '--set', 'tunnelPort=65536'],
      says: /option tunnelPort of Canal: 65536 is not a port \(1 to 65535\)$/,
    },
    {
      name: 'a distribution that has no such provider',
      args: ['check', '--provider', 'canal', '--distribution', 'rke3'],
      says: /"rke3".*rke2/,
    },
    {
      name: 'an unknown requirement in --only',
      args: ['check', '--provider', 'canal', '--only', 'canal.vxlam'],
      says: /^cni-preflight: --only: unknown requirement id or kind "canal\.vxlam"; did you mean canal\.vxlan\? \(valid: /,
    },
    {
      name: 'an unknown kind in --ignore',
      args: ['check', '--provider', 'canal', '--ignore', 'udp-prt'],
      says: /--ignore: unknown requirement id or kind "udp-prt"; did you mean udp-port\?/,
    },
    {
      name: 'an unknown flag',
      args: ['check', '--provide', 'canal'],
      says: /unknown option '--provide'; did you mean --provider\? \(--help lists the valid ones\)$/,
    },
    {
      name: 'an unknown command',
      args: ['chek'],
      says: /unknown command 'chek'; did you mean check\? \(valid: check, agent, /,
    },
    {
      name: 'a name without an address',
      args: ['check', '--provider', 'canal', '--peer', 'worker-2'],
      says: /^cni-preflight: --peer: "worker-2" is not an address: write ADDR=worker-2, or use --discover dns$/,
    },
    {
      name: 'name and address the wrong way round',
      args: ['check', '--provider', 'canal', '--peer', 'worker-2=10.0.0.12'],
      says: /the wrong way round: write 10\.0\.0\.12=worker-2$/,
    },
    {
      name: 'two peers of one name',
      args: ['check', '--provider', 'canal', '--peer', '10.0.0.1=a', '--peer', '10.0.0.2=a'],
      says: /two peers are named "a": 10\.0\.0\.1 \(--peer\) and 10\.0\.0\.2; give each its own name$/,
    },
    {
      name: 'a peer with a port',
      args: ['check', '--provider', 'canal', '--peer', '10.0.0.1:99999'],
      says: /port 99999 is out of range, and a peer has no port of its own: write 10\.0\.0\.1$/,
    },
    {
      name: 'a port to listen on out of range',
      args: ['agent', '--provider', 'canal', '--listen', '127.0.0.1:65536'],
      says: /^cni-preflight: --listen: port 65536 is out of range \(1 to 65535\)$/,
    },
    {
      name: 'a key file that is not there',
      args: ['agent', '--provider', 'canal', '--key-file', join(directory, 'no.key')],
      says: /^cni-preflight: --key-file: .*no\.key cannot be read \(no such file\)$/,
    },
    {
      name: 'a key file that may not be read',
      args: ['agent', '--provider', 'canal', '--key-file', unreadableKey],
      // Root reads every file, unless it has given up the right to.
      under: ['setpriv', '--bounding-set=-all', '--inh-caps=-all'],
      says: /^cni-preflight: --key-file: .*unreadable\.key cannot be read \(permission denied\)$/,
    },
    {
      name: 'a key that is too short',
      args: ['check', '--provider', 'canal', '--key-file', file('short.key', 'short\n')],
      says: /short\.key holds a key of 5 bytes: at least 16 are needed$/,
    },
    {
      name: 'a file that is not YAML',
      args: ['check', '--config', file('torn.yaml', 'provider: canal\npeers: [10.0.0.1\n')],
      says: /torn\.yaml:\d+: not YAML: /,
    },
    {
      name: 'an unknown setting in the file',
      args: ['check', '--config', file('setting.yaml', 'provider: canal\nintervall: 5\n')],
      says: /setting\.yaml:2: intervall: unknown setting "intervall"; did you mean interval\?/,
    },
    {
      name: 'an unknown provider of an agent',
      args: ['agent', '--provider', 'canall'],
      says: /unknown provider "canall"; did you mean canal\?/,
    },
    {
      name: 'all for the agent',
      args: ['agent', '--provider', 'all'],
      says: /--provider: "all" is for check: the agent watches one provider, by name or "auto"$/,
    },
    {
      name: 'an unknown format',
      args: ['check', '--provider', 'canal', '--format', 'xml'],
      says: /--format: "xml" is not a format: text, json, yaml or junit$/,
    },
    {
      name: 'a directory of rules that is not there',
      args: ['check', '--provider', 'canal', '--rules', rules],
      says: /rules/,
    },
    {
      name: 'auto, where no provider runs: what to type',
      args: ['check'],
      says: /^cni-preflight: no CNI provider runs on this node yet, .*: --provider NAME, one of calico, canal, cilium, flannel, weave; or --provider all /,
    },
  ])('$name', async ({ args, says, under = [] }) => {
    const [command = '', ...rest] = [...under, process.execPath, builtProgram(), ...args];
    const { exitCode, stdout, stderr } = await run(command, rest, {
      expectExit: 'any',
      timeoutMs: 80_000,
    });
    expect(stderr.trimEnd()).toMatch(says);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
  });

  test('with several mistakes names them all at once, each with its file and line', async () => {
    const config = file(
      'several.yaml',
      'provider: canal\ninterval: soon\npeers:\n  - worker-2\n  - 10.0.0.1=a\n  - 10.0.0.2=a\n',
    );
    const { exitCode, stderr } = await run(
      process.execPath,
      [builtProgram(), 'agent', '--config', config, '--listen', '127.0.0.1'],
      { expectExit: 'any' },
    );
    expect(exitCode).toBe(2);
    expect(stderr.split('\n')).toEqual([
      'cni-preflight: 4 problems in the configuration:',
      expect.stringMatching(/several\.yaml:2: interval: "soon" is not a number of seconds/),
      expect.stringMatching(/"127\.0\.0\.1" has no port: write 127\.0\.0\.1:10472/),
      expect.stringMatching(/several\.yaml:4: "worker-2" is not an address/),
      expect.stringMatching(/several\.yaml:6: two peers are named "a"/),
      '',
    ]);
  });
});
