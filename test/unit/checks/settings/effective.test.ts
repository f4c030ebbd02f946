import { describe, expect, test } from 'vitest';
import {
  effectiveOf,
  effectiveSysctl,
  matchesGlob,
  type SettingsFile,
  settingsReaders,
} from '../../../../checks/settings/effective.ts';

const all = 'net/ipv4/conf/all/rp_filter';
const pod = 'net/ipv4/conf/lxc1/rp_filter';
const eth0 = 'net/ipv4/conf/eth0/rp_filter';

function filesOf(given: Readonly<Record<string, string>>): readonly SettingsFile[] {
  return Object.entries(given).map(([path, text]) => ({ path, text }));
}

/** What both programs were seen to do with these files (test/lab/settings.test.ts asks them). */
const cases: readonly {
  readonly name: string;
  readonly files: Readonly<Record<string, string>>;
  readonly key: string;
  readonly systemd: string | undefined;
  readonly procps?: string | undefined;
}[] = [
  { name: 'no file', files: {}, key: all, systemd: undefined },
  {
    name: 'the later name, whatever the folder',
    files: {
      '/usr/lib/sysctl.d/95-b.conf': `${all}=2`,
      '/etc/sysctl.d/90-a.conf': `${all}=1`,
    },
    key: all,
    systemd: '2',
  },
  {
    name: 'a file of /etc hides the one of its name',
    files: {
      '/usr/lib/sysctl.d/50-a.conf': `${all}=2`,
      '/etc/sysctl.d/50-a.conf': '',
    },
    key: all,
    systemd: undefined,
  },
  {
    name: 'a file of /run hides the one of /usr/lib',
    files: {
      '/usr/lib/sysctl.d/50-a.conf': `${all}=2`,
      '/run/sysctl.d/50-a.conf': `${all}=1`,
    },
    key: all,
    systemd: '1',
  },
  {
    name: 'names without .conf are none',
    files: { '/etc/sysctl.d/50-a': `${all}=2`, '/etc/sysctl.d/README.sysctl': `${all}=2` },
    key: all,
    systemd: undefined,
  },
  {
    name: 'the later line',
    files: { '/etc/sysctl.d/50-a.conf': `${all}=2\n${all} = 1 \n` },
    key: all,
    systemd: '1',
  },
  {
    name: 'comments, spaces, a dash, dots and slashes',
    files: {
      '/etc/sysctl.d/50-a.conf': `# ${all}=1\n;${all}=1\n  -net.ipv4.conf.all.rp_filter =  2\nnonsense\n`,
    },
    key: all,
    systemd: '2',
  },
  {
    name: 'with dots, a slash stands for the dot of a name',
    files: { '/etc/sysctl.d/50-a.conf': 'net.ipv4.conf.eth0/7.rp_filter=1' },
    key: 'net/ipv4/conf/eth0.7/rp_filter',
    systemd: '1',
  },
  {
    name: 'a wildcard',
    files: { '/usr/lib/sysctl.d/50-default.conf': 'net.ipv4.conf.*.rp_filter = 2' },
    key: eth0,
    systemd: '2',
  },
  {
    name: 'a wildcard, and a line that keeps it away',
    files: {
      '/usr/lib/sysctl.d/50-default.conf':
        'net.ipv4.conf.*.rp_filter = 2\n-net.ipv4.conf.all.rp_filter\n',
    },
    key: all,
    systemd: undefined,
  },
  {
    name: 'of two wildcards the later one',
    files: {
      '/usr/lib/sysctl.d/50-default.conf': 'net.ipv4.conf.*.rp_filter = 2',
      '/etc/sysctl.d/99-cilium.conf': 'net.ipv4.conf.lxc*.rp_filter = 0',
    },
    key: pod,
    systemd: '0',
  },
  {
    name: 'of two wildcards the later one, though it says less',
    files: {
      '/usr/lib/sysctl.d/50-default.conf': 'net.ipv4.conf.*.rp_filter = 2',
      '/etc/sysctl.d/10-cilium.conf': 'net.ipv4.conf.lxc*.rp_filter = 0',
    },
    key: pod,
    systemd: '2',
  },
  {
    name: 'a name wins over a wildcard that comes later',
    files: {
      '/usr/lib/sysctl.d/50-default.conf': 'net.ipv4.conf.*.rp_filter = 2',
      '/etc/sysctl.d/10-cilium.conf': 'net.ipv4.conf.lxc1.rp_filter = 0',
    },
    key: pod,
    systemd: '0',
  },
  {
    name: 'a wildcard does not cross a slash',
    files: { '/etc/sysctl.d/50-a.conf': 'net.ipv4.*.rp_filter = 2' },
    key: eth0,
    systemd: undefined,
  },
  {
    name: 'an interface of tomorrow',
    files: { '/usr/lib/sysctl.d/50-default.conf': 'net.ipv4.conf.*.rp_filter = 2' },
    key: 'net/ipv4/conf/lxc*/rp_filter',
    systemd: '2',
  },
  {
    name: 'a pattern for tomorrow is no name',
    files: {
      '/etc/sysctl.d/10-cilium.conf': 'net.ipv4.conf.lxc*.rp_filter = 0',
      '/usr/lib/sysctl.d/50-default.conf': 'net.ipv4.conf.*.rp_filter = 2',
    },
    key: 'net/ipv4/conf/lxc*/rp_filter',
    systemd: '2',
  },
  {
    name: 'a line that keeps others away, after the assignment',
    files: {
      '/usr/lib/sysctl.d/50-a.conf': `${all}=2`,
      '/etc/sysctl.d/60-a.conf': `-${all}`,
    },
    key: all,
    systemd: undefined,
    procps: '2',
  },
  {
    name: 'the same wildcard again with the same value',
    files: {
      '/etc/sysctl.d/90-a.conf':
        'net.ipv4.conf.lxc*.rp_filter=1\nnet.ipv4.conf.*.rp_filter=2\nnet.ipv4.conf.lxc*.rp_filter=1\n',
    },
    key: pod,
    systemd: '2',
    procps: '1',
  },
  {
    name: '/etc/sysctl.conf, which systemd reads only by a link to it',
    files: { '/etc/sysctl.conf': `${all}=1`, '/etc/sysctl.d/zz.conf': `${all}=2` },
    key: all,
    systemd: '2',
    procps: '1',
  },
];

describe('what the files of sysctl.d set', () => {
  test.each(cases)('$name', ({ files, key, systemd, ...others }) => {
    const procps = 'procps' in others ? others.procps : systemd;
    const given = filesOf(files);
    expect(effectiveSysctl(given, key, 'systemd-sysctl')?.value).toBe(systemd);
    expect(effectiveSysctl(given, key, 'sysctl --system')?.value).toBe(procps);
  });

  test('where it stands', () => {
    const given = filesOf({ '/etc/sysctl.d/50-a.conf': `# hardening\n\n${all} = 1\n` });
    for (const reader of settingsReaders) {
      expect(effectiveSysctl(given, all, reader)).toMatchObject({
        file: '/etc/sysctl.d/50-a.conf',
        line: 3,
        pattern: all,
      });
    }
  });

  test('of two names of one thing the one that is written last', () => {
    const keys = ['net/ipv4/ip_forward', 'net/ipv4/conf/all/forwarding'];
    const first = filesOf({
      '/etc/sysctl.d/50-a.conf': 'net.ipv4.conf.all.forwarding=1\nnet.ipv4.ip_forward=0',
    });
    const second = filesOf({
      '/etc/sysctl.d/50-a.conf': 'net.ipv4.ip_forward=0\nnet.ipv4.conf.all.forwarding=1',
    });
    expect(effectiveOf(first, keys, 'systemd-sysctl')?.value).toBe('0');
    expect(effectiveOf(second, keys, 'systemd-sysctl')?.value).toBe('1');
    expect(effectiveOf([], keys, 'systemd-sysctl')).toBeUndefined();
  });
});

describe('wildcards', () => {
  test.each([
    ['lxc*', 'lxc', true],
    ['lxc*', 'lxc1', true],
    ['lxc*', 'xlxc', false],
    ['*c*1', 'lxc21', true],
    ['a?c', 'abc', true],
    ['a?c', 'a/c', false],
    ['[le]*', 'eth0', true],
    ['[!le]*', 'eth0', false],
    ['[^le]*', 'xeth0', true],
    ['[a-f]th[0-9]', 'eth7', true],
    ['[a-f]th[0-9]', 'gth7', false],
    ['[', '[', true],
    ['a/*/c', 'a/b/c', true],
    ['a/*/c', 'a/b/b/c', false],
    ['', '', true],
    ['*', '', true],
  ])('%s and %s: %s', (pattern, text, expected) => {
    expect(matchesGlob(pattern, text)).toBe(expected);
  });

  test('many stars cost no time', () => {
    expect(matchesGlob(`${'*a'.repeat(200)}b`, 'a'.repeat(5000))).toBe(false);
  });
});
