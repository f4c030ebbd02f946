import { describe, expect, test } from 'vitest';
import { kernelVersion, parseKernelVersion } from '../../../checks/kernel-version.ts';
import { fakeContext, fakeHost } from '../../support/fake-host.ts';

const node = { scope: 'node' } as const;
const rhel = [{ vendor: 'rhel', atLeast: '4.18.0-372' }] as const;

describe('kernel-version', () => {
  test.each([
    { release: '5.2.0-rc1', want: { numbers: [5, 2, 0], candidate: 1, build: [] } },
    { release: '6.9-rc7-amd64', want: { numbers: [6, 9, 0], candidate: 7, build: [] } },
    {
      release: '6.9.0-0.rc1.16.fc41.x86_64',
      want: { numbers: [6, 9, 0], candidate: 1, build: [0] },
    },
    { release: '4.18.0-553.el8_10.x86_64', want: { numbers: [4, 18, 0], build: [553] } },
    { release: '4.18.0-372.9.1.el8.x86_64', want: { numbers: [4, 18, 0], build: [372, 9, 1] } },
    { release: '5.15.0-1061-azure', want: { numbers: [5, 15, 0], build: [1061] } },
    { release: '6.1.0-18-amd64', want: { numbers: [6, 1, 0], build: [18] } },
    { release: '5.10.0+', want: { numbers: [5, 10, 0], build: [] } },
    {
      release: '4.14.336-257.568.amzn2.x86_64',
      want: { numbers: [4, 14, 336], build: [257, 568] },
    },
    { release: '6.18.44-fc-v669', want: { numbers: [6, 18, 44], build: [] } },
    { release: '6.6\n', want: { numbers: [6, 6, 0], build: [] } },
    { release: '', want: undefined },
    { release: 'linux', want: undefined },
    { release: '6', want: undefined },
    { release: 'v6.1', want: undefined },
    { release: '5..2', want: undefined },
  ])('$release', ({ release, want }) => {
    expect(parseKernelVersion(release)).toEqual(want);
  });

  test.each([
    { kernel: '5.2.0', operator: '>', version: '5.2', outcome: 'fail' },
    { kernel: '5.2.21-generic', operator: '>', version: '5.2', outcome: 'fail' },
    { kernel: '5.3.0', operator: '>', version: '5.2', outcome: 'pass' },
    { kernel: '5.3.0-rc1', operator: '>', version: '5.2', outcome: 'pass' },
    { kernel: '5.2.1', operator: '>', version: '5.2.0', outcome: 'pass' },
    { kernel: '5.10.0', operator: '>', version: '5.2', outcome: 'pass' },
    { kernel: '5.10.0', operator: '>=', version: '5.10', outcome: 'pass' },
    { kernel: '5.10.0-rc3', operator: '>=', version: '5.10', outcome: 'fail' },
    { kernel: '5.10.0-rc3', operator: '>=', version: '5.10.0', outcome: 'fail' },
    { kernel: '5.10.0-rc3', operator: '>=', version: '5.9', outcome: 'pass' },
    { kernel: '4.9.337', operator: '>=', version: '4.19', outcome: 'fail' },
    { kernel: '6.0.0', operator: '>=', version: '5.19', outcome: 'pass' },
    { kernel: '5.10.0', operator: '<', version: '5.10', outcome: 'fail' },
    { kernel: '5.10.0-rc1', operator: '<', version: '5.10', outcome: 'pass' },
    { kernel: '5.10.99', operator: '<=', version: '5.10', outcome: 'pass' },
    { kernel: '5.11.0', operator: '<=', version: '5.10', outcome: 'fail' },
    { kernel: '6.1.0', operator: '>=', version: '6', outcome: 'pass' },
  ] as const)('$kernel $operator $version: $outcome', async ({ kernel, outcome, ...params }) => {
    const host = fakeHost({ os: { kernel } });
    const answer = await kernelVersion.run(params, node, fakeContext({ host }));
    expect(answer).toMatchObject({
      outcome,
      evidence: { kernel, want: `${params.operator} ${params.version}` },
      ...(outcome === 'fail' ? { reason: 'kernel-too-old' } : {}),
    });
  });

  test.each([
    { kernel: '4.18.0-372.9.1.el8.x86_64', id: 'rhel', outcome: 'pass' },
    { kernel: '4.18.0-553.el8_10.x86_64', id: 'almalinux', outcome: 'pass' },
    { kernel: '4.18.0-348.el8.x86_64', id: 'rocky', outcome: 'fail' },
    { kernel: '4.18.0-553.el8_10.x86_64', id: 'custom', idLike: 'rhel fedora', outcome: 'pass' },
    // In a container os-release is that of the image.
    { kernel: '4.18.0-553.el8_10.x86_64', id: 'debian', outcome: 'pass' },
    { kernel: '4.18.0-553-generic', id: 'ubuntu', outcome: 'fail' },
    { kernel: '4.19.1-1.el8.elrepo.x86_64', id: 'rhel', outcome: 'fail' },
    { kernel: '4.18.0-999.el8.elrepo.x86_64', id: 'rhel', outcome: 'fail' },
    { kernel: '5.4.17-2136.el8uek.x86_64', id: 'ol', outcome: 'fail' },
    { kernel: '4.18.0', id: 'rhel', outcome: 'fail' },
  ])('backport: $kernel on $id: $outcome', async ({ outcome, ...os }) => {
    const params = { operator: '>=', version: '5.8', backports: rhel } as const;
    const answer = await kernelVersion.run(params, node, fakeContext({ host: fakeHost({ os }) }));
    expect(answer.outcome).toBe(outcome);
  });

  test.each(['garbage', ''])('%j cannot be read, which is neither old nor new', async (kernel) => {
    const host = fakeHost({ os: { kernel } });
    const params = { operator: '>=', version: '5.8' } as const;
    expect(await kernelVersion.run(params, node, fakeContext({ host }))).toMatchObject({
      outcome: 'unknown',
      reason: 'kernel-version-unreadable',
    });
  });
});
