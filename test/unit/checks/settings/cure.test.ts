import { describe, expect, test } from 'vitest';
import { isTypable, setInFiles, setNow } from '../../../../checks/settings/cure.ts';
import type { SettingsFile } from '../../../../checks/settings/effective.ts';

const keys = ['net/ipv4/ip_forward', 'net/ipv4/conf/all/forwarding'];
const wanted = { keys, value: '1' };
const files = (given: Readonly<Record<string, string>>): readonly SettingsFile[] =>
  Object.entries(given).map(([path, text]) => ({ path, text }));
const added = "echo 'net.ipv4.ip_forward = 1' >> /etc/sysctl.d/99-zz-cni.conf";

describe('what to type for the files', () => {
  test.each([
    { name: 'no file says anything, and none needs to', given: {}, when: 'if-set', want: [] },
    { name: 'no file says anything', given: {}, when: 'always', want: [added] },
    {
      name: 'a file says what it should',
      given: { '/etc/sysctl.d/50-a.conf': 'net.ipv4.ip_forward=1' },
      when: 'always',
      want: [],
    },
    {
      name: 'a line of the administrator is changed where it stands',
      given: { '/etc/sysctl.d/50-cis.conf': '# CIS 3.1.1\nnet.ipv4.ip_forward = 0\n' },
      when: 'if-set',
      want: [
        "sed -i --follow-symlinks '2s/\\(ip_forward *=\\).*/\\1 1/' /etc/sysctl.d/50-cis.conf",
      ],
    },
    {
      name: 'a file of a package is left alone',
      given: { '/usr/lib/sysctl.d/50-x.conf': 'net.ipv4.conf.all.forwarding = 0\n' },
      when: 'if-set',
      want: [added],
    },
    {
      name: 'several lines',
      given: {
        '/etc/sysctl.d/50-cis.conf': 'net.ipv4.ip_forward = 1\nnet.ipv4.ip_forward=0\n',
        '/etc/sysctl.conf': 'net.ipv4.conf.all.forwarding=0',
      },
      when: 'if-set',
      want: [
        "sed -i --follow-symlinks '2s/\\(ip_forward *=\\).*/\\1 1/' /etc/sysctl.d/50-cis.conf",
        "sed -i --follow-symlinks '1s/\\(forwarding *=\\).*/\\1 1/' /etc/sysctl.conf",
      ],
    },
    {
      name: 'the link of Debian is the file that it leads to',
      given: {
        '/etc/sysctl.d/99-sysctl.conf': 'net.ipv4.ip_forward=0',
        '/etc/sysctl.conf': 'net.ipv4.ip_forward=0',
      },
      when: 'always',
      want: [
        "sed -i --follow-symlinks '1s/\\(ip_forward *=\\).*/\\1 1/' /etc/sysctl.d/99-sysctl.conf",
      ],
    },
    {
      name: 'a file behind everything that cannot be changed: nothing',
      given: { '/usr/lib/sysctl.d/zz.conf': 'net.ipv4.ip_forward=0' },
      when: 'always',
      want: [],
    },
    {
      name: 'a name that no shell takes',
      given: { '/etc/sysctl.d/50 cis;x.conf': 'net.ipv4.ip_forward=0' },
      when: 'if-set',
      want: [added],
    },
  ] as const)('$name', ({ given, when, want }) => {
    expect(setInFiles(wanted, files(given), when)).toEqual(want);
  });

  test('an interface of tomorrow', () => {
    const pods = { keys: ['net/ipv4/conf/lxc*/rp_filter'], value: '0' };
    const systemd = { '/usr/lib/sysctl.d/50-default.conf': 'net.ipv4.conf.*.rp_filter = 2' };
    expect(setInFiles(pods, files(systemd), 'if-set')).toEqual([
      "echo 'net.ipv4.conf.lxc*.rp_filter = 0' >> /etc/sysctl.d/99-zz-cni.conf",
    ]);
  });

  test('files that could not be read are not spoken of', () => {
    expect(setInFiles(wanted, undefined, 'always')).toEqual([]);
  });
});

describe('what to type for now', () => {
  test.each([
    ['net/ipv4/ip_forward', 'sysctl -w net.ipv4.ip_forward=1'],
    ['net/ipv4/conf/flannel.1/forwarding', 'sysctl -w net/ipv4/conf/flannel.1/forwarding=1'],
  ])('%s', (key, want) => {
    expect(setNow(key, '1')).toEqual([want]);
  });

  test.each(['a;b', '$(x)', 'a b', "a'b", '-rf', 'a\nb', ''])('%j is not typed', (name) => {
    expect(isTypable(name)).toBe(false);
    expect(setNow(name === '-rf' ? name : `net/${name};/x`, '1')).toEqual([]);
  });
});
