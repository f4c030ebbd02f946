import { describe, expect, test } from 'vitest';
import { denialOf, selinux } from '../../../checks/selinux.ts';
import type { ParamsByKind } from '../../../rules/schema.ts';
import { type FakeFile, fakeContext, fakeHost } from '../../support/fake-host.ts';

const line = (change: Readonly<Record<string, string>> = {}): string =>
  `type=AVC msg=audit(${change['at'] ?? '1700000100.123'}:456): avc:  denied  { ${change['denied'] ?? 'write'} } for  pid=1234 comm="${change['comm'] ?? 'flanneld'}" name="net.d" dev="sda1" ino=7 scontext=system_u:system_r:container_t:s0 tcontext=system_u:object_r:etc_t:s0 tclass=dir permissive=${change['permissive'] ?? '0'}`;
const enforcing = { '/sys/fs/selinux/enforce': '1' };
const booted = { '/proc/stat': 'cpu 1 2\nbtime 1700000000\n' };
const log = (...lines: readonly string[]) => ({
  ...enforcing,
  ...booted,
  '/var/log/audit/audit.log': `${lines.join('\n')}\n`,
});

async function run(
  files: Readonly<Record<string, FakeFile>>,
  params: ParamsByKind['selinux'] = { programs: ['flannel', 'calico'] },
) {
  return await selinux.run(params, { scope: 'node' }, fakeContext({ host: fakeHost({ files }) }));
}

describe('denials', () => {
  test('the last one of a program of the provider, and how many', async () => {
    const answer = await run(
      log(line(), line({ comm: 'sshd' }), line({ denied: 'read open', at: '1700000200.000' })),
    );
    expect(answer).toMatchObject({
      outcome: 'fail',
      reason: 'selinux-denies',
      evidence: {
        program: 'flanneld',
        denied: 'read open',
        name: 'net.d',
        class: 'dir',
        count: 2,
        at: '2023-11-14T22:16:40.000Z',
      },
    });
  });

  test.each([
    { name: 'SELinux is not in use', files: {} },
    { name: 'it does not enforce', files: { ...log(line()), '/sys/fs/selinux/enforce': '0' } },
    {
      name: 'nothing was forbidden',
      files: log('type=SYSCALL msg=audit(1700000100.1:1): arch=c000003e'),
    },
    { name: 'somebody else was', files: log(line({ comm: 'sshd' })) },
    { name: 'it was before the boot', files: log(line({ at: '1699999999.999' })) },
    { name: 'it was let through', files: log(line({ permissive: '1' })) },
  ])('$name: nothing', async ({ files }) => {
    expect(await run(files)).toMatchObject({ outcome: 'pass' });
  });

  test('without a log nothing is known', async () => {
    expect(await run({ ...enforcing, ...booted })).toMatchObject({ outcome: 'unknown' });
    await expect(
      run({ ...enforcing, '/var/log/audit/audit.log': { error: 'EACCES' } }),
    ).rejects.toMatchObject({ code: 'EACCES' });
  });

  test.each([
    '',
    'type=AVC',
    line().slice(0, 60),
    line().replace('comm="flanneld"', 'comm=666C616E'),
    'x'.repeat(100_000),
  ])('a line that is none: %#', (text) => {
    expect(denialOf(text)).toBeUndefined();
  });
});

describe('policy modules', () => {
  const params = { modules: ['rke2'] };
  const store = '/var/lib/selinux/targeted/active/modules';

  test('the module is there, at any priority', async () => {
    const files = { ...enforcing, [`${store}/100/base/cil`]: '', [`${store}/200/rke2/cil`]: '' };
    expect(await run(files, params)).toMatchObject({ outcome: 'pass' });
  });

  test('others are there, and it is not', async () => {
    expect(await run({ ...enforcing, [`${store}/100/base/cil`]: '' }, params)).toMatchObject({
      outcome: 'fail',
      reason: 'selinux-policy-missing',
      evidence: { modules: 'rke2' },
    });
  });

  test('a store that is elsewhere proves nothing', async () => {
    expect(await run(enforcing, params)).toMatchObject({ outcome: 'unknown' });
    expect(
      await run({ ...enforcing, '/var/lib/selinux/targeted/semanage.lock': '' }, params),
    ).toMatchObject({ outcome: 'unknown' });
  });

  test('nobody asks where SELinux does not enforce', async () => {
    expect(await run({ [`${store}/100/base/cil`]: '' }, params)).toMatchObject({ outcome: 'pass' });
  });
});
