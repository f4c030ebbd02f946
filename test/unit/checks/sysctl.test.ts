import { describe, expect, test } from 'vitest';
import { sysctl } from '../../../checks/sysctl.ts';
import { fakeContext, fakeHost } from '../../support/fake-host.ts';

const node = { scope: 'node' } as const;

describe('sysctl', () => {
  const key = 'net/ipv4/conf/eth0.100/rp_filter';
  const path = `/proc/sys/${key}`;
  test.each<{ name: string; given: string | undefined; more: object; want: object }>([
    { name: 'one of the values', given: '2\n', more: {}, want: { outcome: 'pass' } },
    {
      name: 'another value',
      given: '1\n',
      more: {},
      want: { outcome: 'fail', reason: 'sysctl-differs', evidence: { want: '0,2', found: '1' } },
    },
    {
      name: 'another value that the provider sets itself',
      given: '1\n',
      more: { setBy: 'cilium-agent' },
      want: { outcome: 'skip', reason: 'not-applicable' },
    },
    {
      name: 'no such setting',
      given: undefined,
      more: {},
      want: { outcome: 'fail', reason: 'sysctl-absent' },
    },
    {
      name: 'no such setting, which not every kernel has',
      given: undefined,
      more: { absent: 'skip' },
      want: { outcome: 'skip', reason: 'sysctl-not-available' },
    },
  ])('$name', async ({ given, more, want }) => {
    const host = fakeHost({ files: given === undefined ? {} : { [path]: given } });
    const params = { key, values: ['0', '2'], absent: 'fail', ...more } as const;
    expect(await sysctl.run(params, node, fakeContext({ host }))).toMatchObject(want);
  });

  test('several numbers are compared whatever stands between them', async () => {
    const host = fakeHost({ files: { '/proc/sys/net/ipv4/tcp_rmem': '4096\t131072\t6291456\n' } });
    const params = {
      key: 'net/ipv4/tcp_rmem',
      values: ['4096 131072 6291456'],
      absent: 'fail',
    } as const;
    expect((await sysctl.run(params, node, fakeContext({ host }))).outcome).toBe('pass');
  });

  test('what may not be read is the runner’s to say, not a failure', async () => {
    const host = fakeHost({ files: { [path]: { error: 'EACCES' } } });
    const params = { key, values: ['0'], absent: 'fail' } as const;
    await expect(sysctl.run(params, node, fakeContext({ host }))).rejects.toMatchObject({
      code: 'EACCES',
    });
  });

  test('a key cannot leave /proc/sys', async () => {
    const params = { key: '../../etc/shadow', values: ['0'], absent: 'fail' } as const;
    await expect(sysctl.run(params, node, fakeContext({ host: fakeHost() }))).rejects.toThrow();
  });
});
