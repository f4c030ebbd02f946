/** Settings of the kernel that keep pods apart, made and mended for real: the finding is there, its remedy is typed, and it is gone. */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Answer } from '../../checks/check.ts';
import { effectiveSysctl, type SettingsReader } from '../../checks/settings/effective.ts';
import { createLab, type Lab, type LabNode } from '../support/lab.ts';
import {
  openRequirements,
  type RequirementQuestion,
  type Requirements,
} from '../support/requirements.ts';

let lab: Lab;
let n1: LabNode;
let folder: string;
let binds: string;
let requirements: Requirements;
beforeAll(async () => {
  lab = await createLab({ nodes: 2 });
  n1 = lab.node('n1');
  folder = mkdtempSync(join(tmpdir(), 'settings-'));
  // A copy of the whole folder: a command that replaces a file cannot do so where the file itself is mounted.
  cpSync('/etc', join(folder, 'etc'), { recursive: true, verbatimSymlinks: true });
  put({});
  binds = `mount --bind ${folder}/etc /etc; mount --bind ${folder}/usr /usr/lib/sysctl.d
    mkdir -p /run/sysctl.d; mount --bind ${folder}/run /run/sysctl.d`;
  await n1.exec('sh', [
    '-ec',
    `ip link add cni0 type bridge; ip addr add 10.244.1.1/24 dev cni0; ip link set cni0 up
    ip link add flannel.1 type vxlan id 1 local ${n1.address4} dstport 8472; ip link set flannel.1 up
    ip link add lxc1 type veth peer name cilium_host; ip link set lxc1 up; ip link set cilium_host up`,
  ]);
  requirements = openRequirements(n1, binds);
});
afterAll(async () => {
  await requirements[Symbol.asyncDispose]();
  await lab[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});
afterEach(() => {
  put({});
});

/** Puts files where n1 has its settings, and nothing else there. The folders stay the same: they are mounted. */
function put(files: Readonly<Record<string, string>>): void {
  for (const name of ['etc/sysctl.d', 'usr', 'run']) {
    mkdirSync(join(folder, name), { recursive: true });
    for (const file of readdirSync(join(folder, name))) rmSync(join(folder, name, file));
  }
  for (const [path, text] of Object.entries({ '/etc/sysctl.conf': '', ...files }))
    writeFileSync(placeOf(path), text);
}

function placeOf(path: string): string {
  return join(folder, path.replace('/usr/lib/sysctl.d', '/usr').replace('/run/sysctl.d', '/run'));
}

async function shell(line: string): Promise<string> {
  const { stdout } = await n1.exec('sh', ['-ec', `${binds}\n${line}`]);
  return stdout;
}

/** One requirement on n1. */
async function check(requirement: string, given: Given = {}): Promise<Answer> {
  return await requirements.ask({ requirement, underlay: ['e0'], ...given });
}
type Given = Omit<RequirementQuestion, 'requirement'>;

/** Every setting of the network, by name. */
async function settings(): Promise<ReadonlyMap<string, string>> {
  const text = await shell("sysctl -a -r '^net[.]ipv[46][.](conf|ip_forward)' 2>/dev/null");
  return new Map(
    text.split('\n').flatMap((line): [string, string][] => {
      const [key = '', value = ''] = line.split(' = ');
      return key === '' ? [] : [[key, value]];
    }),
  );
}

/** The finding fails, its remedy is typed, it passes; gives the names of the settings that have changed. */
async function cured(id: string, given: Given = {}): Promise<readonly string[]> {
  const found = await check(id, given);
  expect(found, JSON.stringify(found)).toMatchObject({ outcome: 'fail' });
  const remedy = found.outcome === 'fail' ? (found.remedy ?? []) : [];
  const commands = remedy.flatMap((one) => one.commands);
  expect(commands.length).toBeGreaterThan(0);
  const before = await settings();
  for (const command of commands) await shell(command);
  const after = await settings();
  const again = await check(id, given);
  expect(again, JSON.stringify(again)).toMatchObject({ outcome: 'pass' });
  return [...after].flatMap(([key, value]) => (before.get(key) === value ? [] : [key]));
}

describe('forwarding', () => {
  test('off everywhere, then on everywhere', async () => {
    expect(await check('flannel.ip-forward')).toMatchObject({ outcome: 'pass' });
    await shell('sysctl -qw net.ipv4.ip_forward=0');
    const changed = await cured('flannel.ip-forward');
    expect(changed).toEqual(
      expect.arrayContaining(['net.ipv4.ip_forward', 'net.ipv4.conf.cni0.forwarding']),
    );
    expect(
      changed.every((key) =>
        /^net\.ipv4\.(ip_forward|conf\..*\.(forwarding|accept_redirects))$/.test(key),
      ),
    ).toBe(true);
  });

  test.each(['flannel/1', 'cni0', 'e0'])('off on %s alone', async (name) => {
    await shell(`sysctl -qw net.ipv4.conf.${name}.forwarding=0`);
    expect(await cured('flannel.ip-forward')).toEqual([`net.ipv4.conf.${name}.forwarding`]);
  });

  test('of IPv6', async () => {
    const args = { set: { ipFamily: 'dual' } };
    expect(await check('flannel.ipv6-forward', args)).toMatchObject({ outcome: 'pass' });
    await shell('sysctl -qw net.ipv6.conf.all.forwarding=0');
    expect(await cured('flannel.ipv6-forward', args)).toContain('net.ipv6.conf.all.forwarding');
  });
});

describe('files of sysctl.d', () => {
  test('a hardening guide turns forwarding off: after the remedy neither program does', async () => {
    put({ '/etc/sysctl.d/90-rke2.conf': 'net.ipv4.ip_forward=1\n' });
    expect(await check('flannel.forward-files')).toMatchObject({ outcome: 'pass' });
    put({
      '/etc/sysctl.d/60-cis.conf':
        '# 3.1.1\nnet.ipv4.ip_forward = 0\nnet.ipv4.conf.all.send_redirects = 0\n',
      '/usr/lib/sysctl.d/70-x.conf': 'net.ipv4.conf.all.forwarding = 0\n',
      '/etc/sysctl.conf': 'net.ipv4.ip_forward=0\n',
    });
    expect(await cured('flannel.forward-files')).toEqual([]);
    for (const command of ['/lib/systemd/systemd-sysctl', 'sysctl -q --system']) {
      await shell(`sysctl -qw net.ipv4.ip_forward=0; ${command}`);
      expect((await shell('cat /proc/sys/net/ipv4/ip_forward')).trim(), command).toBe('1');
    }
  });
});

describe('the reverse-path filter of devices of Cilium', () => {
  test('none, then the one of a wildcard, then the one of all', async () => {
    await shell(
      'sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.lxc1.rp_filter=0 net.ipv4.conf.cilium_host.rp_filter=0',
    );
    expect(await check('cilium.rp-filter')).toMatchObject({ outcome: 'pass' });
    put({
      '/usr/lib/sysctl.d/50-default.conf':
        'net.ipv4.conf.*.rp_filter = 2\n-net.ipv4.conf.all.rp_filter\n',
    });
    // As udev does for each new device.
    await shell('/lib/systemd/systemd-sysctl --prefix=/net/ipv4/conf/lxc1');
    expect(await check('cilium.rp-filter-files-pods')).toMatchObject({ outcome: 'fail' });
    expect(await cured('cilium.rp-filter')).toEqual(['net.ipv4.conf.lxc1.rp_filter']);
    expect(await check('cilium.rp-filter-files-pods')).toMatchObject({ outcome: 'pass' });
    await shell('/lib/systemd/systemd-sysctl --prefix=/net/ipv4/conf/lxc1');
    expect(await check('cilium.rp-filter')).toMatchObject({ outcome: 'pass' });

    await shell('sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.e0.rp_filter=0');
    const changed = await cured('cilium.rp-filter');
    // What is not Cilium's keeps the filter that it had from all.
    expect(changed).toEqual(
      expect.arrayContaining(['net.ipv4.conf.all.rp_filter', 'net.ipv4.conf.e0.rp_filter']),
    );
    expect(changed.filter((key) => /lxc|cilium/.test(key))).toEqual([]);
  });
});

describe('a second way to a peer', () => {
  test('strict filtering drops what comes in by the other one: also for real', async () => {
    const n2 = lab.node('n2');
    const id = 'flannel.return-path';
    const { name, address4: address } = n2;
    const target = { scope: 'peer', name, address, family: 'ipv4', mustReach: true } as const;
    const args = { target, ownAddresses: [n1.address4] };
    await n1.exec('sh', [
      '-ec',
      `ip link add e1 type veth peer name e1 netns ${n2.namespace}; ip addr add 10.98.0.1/24 dev e1; ip link set e1 up`,
    ]);
    await n2.exec('sh', ['-ec', 'ip addr add 10.98.0.2/24 dev e1; ip link set e1 up']);
    await shell('sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.e0.rp_filter=1');
    expect(await check(id, args)).toMatchObject({ outcome: 'pass', evidence: { wayBack: 'e0' } });
    await n1.exec('ip', ['route', 'add', `${n2.address4}/32`, 'via', '10.98.0.2']);
    const pings = async (): Promise<boolean> =>
      (await n2.exec('ping', ['-c', '1', '-W', '1', n1.address4], { expectExit: 'any' }))
        .exitCode === 0;
    expect(await pings()).toBe(false);
    expect(await cured(id, args)).toEqual(['net.ipv4.conf.e0.rp_filter']);
    expect(await pings()).toBe(true);
    await n1.exec('ip', ['link', 'del', 'e1']);
  });
});

describe('both programs do what we say that they do', () => {
  const keys = ['all', 'e0', 'lxc1', 'cilium_host'].map(
    (name) => `net/ipv4/conf/${name}/rp_filter`,
  );
  const commands: Readonly<Record<SettingsReader, string>> = {
    'systemd-sysctl': '/lib/systemd/systemd-sysctl',
    'sysctl --system': 'sysctl -q --system',
  };
  const cases = Array.from({ length: 24 }, (_, seed) => ({ seed }));

  test('with files made by chance', async () => {
    const script: string[] = [];
    const expected: string[] = [];
    for (const { seed } of cases) {
      const files = filesByChance(seed);
      for (const [reader, command] of Object.entries(commands) as [SettingsReader, string][]) {
        script.push(
          'rm -f /etc/sysctl.d/* /usr/lib/sysctl.d/* /run/sysctl.d/*; : > /etc/sysctl.conf',
          ...files.map(({ path, text }) => `printf '%s' '${text}' > ${path}`),
          ...keys.map((key) => `echo 0 > /proc/sys/${key}`),
          `${command} 2>/dev/null || true`,
          `cat ${keys.map((key) => `/proc/sys/${key}`).join(' ')} | tr '\\n' ' '; echo`,
        );
        const values = keys.map((key) => effectiveSysctl(files, key, reader)?.value ?? '0');
        expected.push(values.join(' '));
      }
    }
    const lines = (await shell(script.join('\n')))
      .trim()
      .split('\n')
      .map((line) => line.trim());
    expect(lines).toEqual(expected);
  });
});

/** A few files with a few lines each, the same for the same seed (a linear congruential generator). */
function filesByChance(seed: number): readonly { readonly path: string; readonly text: string }[] {
  let state = seed * 7919 + 17;
  const pick = <T>(choices: readonly T[]): T => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return choices[(state >> 8) % choices.length] as T;
  };
  const count = pick([1, 2, 3, 4]);
  const files = new Map<string, string>();
  for (let file = 0; file < count; file += 1) {
    const folderName = pick(['/etc/sysctl.d', '/usr/lib/sysctl.d', '/run/sysctl.d', '/etc']);
    const path =
      folderName === '/etc'
        ? '/etc/sysctl.conf'
        : `${folderName}/${pick(['10-a', '50-b', '99-c'])}.conf`;
    const lines = Array.from({ length: pick([1, 2, 3]) }, () => {
      const name = pick(['all', 'e0', 'lxc1', '*', 'lxc*', '[cl]*', 'cilium_?ost']);
      const assigned = pick(['=0', ' = 1', '=2 ', '= 1', '']);
      return `${assigned === '' ? '-' : pick(['', '-', ''])}net.ipv4.conf.${name}.rp_filter${assigned}`;
    });
    files.set(path, `${lines.join('\n')}\n`);
  }
  return [...files].map(([path, text]) => ({ path, text }));
}
