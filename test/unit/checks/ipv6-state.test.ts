import { describe, expect, test } from 'vitest';
import type { ListedRoute } from '../../../checks/host/host.ts';
import { ipv6State } from '../../../checks/ipv6-state.ts';
import { type FakeMachine, fakeContext, fakeHost } from '../../support/fake-host.ts';
import { link } from '../../support/links.ts';

async function run(question: 'enabled' | 'default-route', machine: FakeMachine) {
  const context = fakeContext({
    host: fakeHost({ links: [], ...machine }),
    interfaces: ['flannel*'],
  });
  return await ipv6State.run({ question }, { scope: 'node' }, context);
}
const setting = (name: string, key: string, value: number) => ({
  [`/proc/sys/net/ipv6/conf/${name}/${key}`]: `${value}\n`,
});

describe('IPv6 is on', () => {
  const flannel = [link('flannel-v6.1')];

  test('a kernel without it', async () => {
    expect(await run('enabled', { files: {} })).toMatchObject({
      outcome: 'fail',
      reason: 'ipv6-disabled',
      evidence: { by: 'kernel' },
    });
  });

  test('before the provider has devices, the default counts', async () => {
    const off = setting('default', 'disable_ipv6', 1);
    expect(await run('enabled', { files: off })).toMatchObject({
      outcome: 'fail',
      evidence: { interfaces: 'default' },
      remedy: [{ commands: ['sysctl -w net.ipv6.conf.default.disable_ipv6=0'] }],
    });
    expect(await run('enabled', { files: setting('default', 'disable_ipv6', 0) })).toMatchObject({
      outcome: 'pass',
    });
  });

  test('then its devices do, and no others', async () => {
    const files = {
      ...setting('default', 'disable_ipv6', 1),
      ...setting('flannel-v6.1', 'disable_ipv6', 0),
    };
    expect(await run('enabled', { files, links: flannel })).toMatchObject({ outcome: 'pass' });
    const off = {
      ...files,
      ...setting('flannel-v6.1', 'disable_ipv6', 1),
      '/etc/sysctl.d/60-cis.conf': 'net.ipv6.conf.all.disable_ipv6=1\n',
    };
    expect(await run('enabled', { files: off, links: flannel })).toMatchObject({
      outcome: 'fail',
      evidence: { interfaces: 'flannel-v6.1' },
      remedy: [
        {
          commands: [
            'sysctl -w net/ipv6/conf/flannel-v6.1/disable_ipv6=0',
            expect.stringContaining('sed -i'),
          ],
        },
      ],
    });
  });
});

describe('the default route', () => {
  const route = (protocol: number): ListedRoute => ({
    family: 'ipv6',
    destination: '::/0',
    type: 'unicast',
    table: 254,
    protocol,
    metric: 1024,
    hops: [{ interface: 'eth0', index: 2, gateway: 'fe80::1', onlink: false }],
  });
  const files = (forwarding: number, accepts: number) => ({
    ...setting('eth0', 'forwarding', forwarding),
    ...setting('eth0', 'accept_ra', accepts),
  });

  test('came from an advertisement, and no more are taken', async () => {
    expect(await run('default-route', { files: files(1, 1), routes: [route(9)] })).toMatchObject({
      outcome: 'fail',
      reason: 'default-route-expires',
      evidence: { interfaces: 'eth0' },
      remedy: [{ commands: ['sysctl -w net.ipv6.conf.eth0.accept_ra=2', expect.any(String)] }],
    });
  });

  test.each([
    { name: 'a host that does not forward', files: files(0, 1) },
    { name: 'accept_ra 2', files: files(1, 2) },
    { name: 'another program takes them', files: files(1, 0) },
  ])('$name: it stays', async ({ files: given }) => {
    expect(await run('default-route', { files: given, routes: [route(9)] })).toMatchObject({
      outcome: 'pass',
    });
  });

  test('one that an administrator made does not expire', async () => {
    expect(await run('default-route', { files: files(1, 1), routes: [route(3)] })).toMatchObject({
      outcome: 'skip',
    });
  });
});
