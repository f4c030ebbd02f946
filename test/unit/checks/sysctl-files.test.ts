import { expect, test } from 'vitest';
import { sysctlFiles } from '../../../checks/sysctl-files.ts';
import { type FakeFile, fakeContext, fakeHost } from '../../support/fake-host.ts';

const params = { keys: ['net/ipv4/ip_forward', 'net/ipv4/conf/all/forwarding'], values: ['1'] };

async function run(files: Readonly<Record<string, FakeFile>>) {
  return await sysctlFiles.run(
    params,
    { scope: 'node' },
    fakeContext({ host: fakeHost({ files }) }),
  );
}

test('no file says anything of it', async () => {
  expect(await run({})).toMatchObject({ outcome: 'pass' });
});

test('a file sets what it should', async () => {
  const answer = await run({ '/etc/sysctl.d/90-rke2.conf': 'net.ipv4.ip_forward=1\n' });
  expect(answer).toMatchObject({
    outcome: 'pass',
    evidence: { found: '1', file: '/etc/sysctl.d/90-rke2.conf', line: 1 },
  });
});

test('a hardening guide turns it off: file and line are told, and what to type', async () => {
  const answer = await run({
    '/etc/sysctl.d/10-k8s.conf': 'net.ipv4.ip_forward=1\n',
    '/etc/sysctl.d/60-cis.conf': '# CIS 3.1.1\nnet.ipv4.ip_forward = 0\n',
  });
  expect(answer).toMatchObject({
    outcome: 'fail',
    reason: 'sysctl-file-differs',
    evidence: { found: '0', file: '/etc/sysctl.d/60-cis.conf', line: 2 },
    remedy: [{ manager: 'sysctl', commands: [expect.stringContaining('sed -i')] }],
  });
  expect(answer.evidence).not.toHaveProperty('reader');
});

test('where one program reads it and the other does not, the one is named', async () => {
  const answer = await run({
    '/etc/sysctl.d/10-k8s.conf': 'net.ipv4.ip_forward=1\n',
    '/etc/sysctl.conf': 'net.ipv4.conf.all.forwarding=0\n',
  });
  expect(answer).toMatchObject({
    outcome: 'fail',
    evidence: { file: '/etc/sysctl.conf', reader: 'sysctl --system' },
  });
});

test('a link to /dev/null hides the file of its name', async () => {
  const answer = await run({
    '/etc/sysctl.d/60-cis.conf': { error: 'EINVAL' },
    '/usr/lib/sysctl.d/60-cis.conf': 'net.ipv4.ip_forward=0\n',
  });
  expect(answer).toMatchObject({ outcome: 'pass' });
});

test('a file that may not be read may be the one: not looked at is not passed', async () => {
  await expect(run({ '/etc/sysctl.d/60-cis.conf': { error: 'EACCES' } })).rejects.toMatchObject({
    code: 'EACCES',
  });
});

test('more files than any host has are not read', async () => {
  const files = Object.fromEntries(
    Array.from({ length: 300 }, (_, index) => [`/etc/sysctl.d/${index}.conf`, '']),
  );
  await expect(run(files)).rejects.toMatchObject({ code: 'EMSGSIZE' });
});
