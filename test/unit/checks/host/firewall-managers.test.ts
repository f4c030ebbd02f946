import { expect, test } from 'vitest';
import { readManagers } from '../../../../checks/host/firewall-managers.ts';

/** A machine with these files and folders. */
function files(given: Readonly<Record<string, string>>) {
  return {
    readText: (path: string) => Promise.resolve(given[path]),
    exists: (path: string) => Promise.resolve(Object.hasOwn(given, path)),
  };
}

const conf = '/etc/ufw/ufw.conf';
const slice = '/sys/fs/cgroup/system.slice';

test.each([
  { name: 'nothing to be seen', given: {}, want: { ufw: 'unknown', firewalld: 'unknown' } },
  { name: 'ufw on', given: { [conf]: '# x\nENABLED=yes\n' }, want: { ufw: 'yes' } },
  { name: 'ufw off', given: { [conf]: 'ENABLED=no\nLOGLEVEL=low\n' }, want: { ufw: 'no' } },
  { name: 'ufw in doubt', given: { [conf]: '#ENABLED=yes\n' }, want: { ufw: 'unknown' } },
  {
    name: 'firewalld as a service',
    given: { [slice]: '', [`${slice}/firewalld.service`]: '' },
    want: { firewalld: 'yes' },
  },
  { name: 'services, and no firewalld', given: { [slice]: '' }, want: { firewalld: 'no' } },
  {
    name: 'firewalld by its pid',
    given: { '/run/firewalld.pid': '77\n', '/proc/77/comm': 'firewalld\n' },
    want: { firewalld: 'yes' },
  },
  {
    name: 'a pid that another process has now',
    given: { '/run/firewalld.pid': '77\n', '/proc/77/comm': 'bash\n' },
    want: { firewalld: 'unknown' },
  },
  {
    name: 'one iptables only',
    given: { '/usr/sbin/iptables': '' },
    want: { iptables: { legacy: 'iptables', nft: 'iptables' } },
  },
  {
    name: 'both',
    given: { '/sbin/iptables': '', '/sbin/iptables-legacy': '', '/sbin/iptables-nft': '' },
    want: { iptables: { legacy: 'iptables-legacy', nft: 'iptables-nft' } },
  },
])('managers: $name', async ({ given, want }) => {
  expect(await readManagers(files(given))).toMatchObject(want);
});

test('what may not be read is unknown', async () => {
  const refuse = () => Promise.reject(new Error('EACCES'));
  expect(await readManagers({ readText: refuse, exists: refuse })).toMatchObject({
    ufw: 'unknown',
    firewalld: 'unknown',
  });
});
