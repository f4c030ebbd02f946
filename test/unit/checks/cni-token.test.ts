import { describe, expect, test } from 'vitest';
import { cniToken, datesOf, judgeDates } from '../../../checks/cni-token.ts';
import { type FakeFile, fakeContext, fakeHost } from '../../support/fake-host.ts';

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const token = (claims: unknown): string => `${part({ alg: 'RS256' })}.${part(claims)}.c2lnbmF0dXJl`;
const kubeconfig = (claims: unknown): string => `apiVersion: v1
kind: Config
users:
- name: calico
  user:
    token: ${token(claims)}
`;
const file = '/etc/cni/net.d/calico-kubeconfig';
const now = Date.now() / 1000;

describe('the token of the plugins', () => {
  const run = async (files: Readonly<Record<string, FakeFile>>) =>
    await cniToken.run({}, { scope: 'node' }, fakeContext({ host: fakeHost({ files }) }));

  test.each<{ name: string; files: Record<string, FakeFile>; want: object }>([
    { name: 'no file', files: {}, want: { outcome: 'skip', reason: 'not-applicable' } },
    {
      name: 'in force',
      files: { [file]: kubeconfig({ iat: now - 60, exp: now + 86_400 }) },
      want: { outcome: 'pass' },
    },
    {
      name: 'without an end, as those of secrets are',
      files: { [file]: kubeconfig({ iss: 'kubernetes/serviceaccount' }) },
      want: { outcome: 'pass', evidence: { file } },
    },
    {
      name: 'expired',
      files: { [file]: kubeconfig({ iat: now - 90_000, exp: now - 3600 }) },
      want: {
        outcome: 'fail',
        reason: 'cni-token-expired',
        evidence: { file, sinceSeconds: 3600 },
        culprit: { where: 'node' },
      },
    },
    {
      name: 'of a time to come',
      files: { [file]: kubeconfig({ nbf: now + 7200, exp: now + 90_000 }) },
      want: { outcome: 'fail', reason: 'cni-token-not-yet', evidence: { inSeconds: 7200 } },
    },
    {
      name: 'a file without a token',
      files: { [file]: 'users:\n- user:\n    client-certificate: /x\n' },
      want: { outcome: 'skip' },
    },
    {
      name: 'a token that is none of the kind',
      files: { [file]: 'users:\n- user:\n    token: abcdef\n' },
      want: { outcome: 'skip' },
    },
  ])('$name', async ({ files, want }) => {
    expect(await run(files)).toMatchObject(want);
  });

  test('nothing of it is told', async () => {
    const text = kubeconfig({ exp: now - 3600, sub: 'system:serviceaccount:kube-system:canal' });
    const told = JSON.stringify(await run({ [file]: text }));
    const [head = '', claims = '', signature = ''] = token({
      exp: now - 3600,
      sub: 'system:serviceaccount:kube-system:canal',
    }).split('.');
    for (const secret of [head, claims, signature, 'serviceaccount'])
      expect(told).not.toContain(secret);
  });

  test('a file that may not be read is the runner’s to say', async () => {
    await expect(run({ [file]: { error: 'EACCES' } })).rejects.toMatchObject({ code: 'EACCES' });
  });
});

describe('its dates', () => {
  test.each([
    { name: 'expired within what is forgiven', dates: { expires: 1000 }, want: 'pass' },
    { name: 'expired', dates: { expires: 900 }, want: 'fail' },
    { name: 'not yet, within what is forgiven', dates: { notBefore: 1050 }, want: 'pass' },
    { name: 'not yet', dates: { notBefore: 1100 }, want: 'fail' },
  ])('$name', ({ dates, want }) => {
    expect(judgeDates(file, dates, 1030).outcome).toBe(want);
  });

  test.each([
    'token: a.b.c',
    'token: a.bnVsbA.c',
    `token: a.${part([1])}.c`,
    `token: a.${part({ exp: 'x' })}.c`,
  ])('hostile text does not throw: %s', (text) => {
    expect(() => datesOf(text)).not.toThrow();
  });
});
