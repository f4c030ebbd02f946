import { release } from 'node:os';
import { describe, expect, test } from 'vitest';
import { isListed, isSafeToAsk } from '../../../../checks/host/modules.ts';
import { fakeHost } from '../../../support/fake-host.ts';

describe('modules', () => {
  const builtin = 'kernel/net/ipv4/udp_diag.ko\nkernel/net/ipv4/tunnel4.ko\n';
  const dependencies =
    'kernel/drivers/net/vxlan/vxlan.ko.zst: kernel/net/ipv4/udp_tunnel.ko.zst\nextra/wire-guard.ko.xz:\n';

  test.each([
    { listing: builtin, module: 'udp_diag', want: true },
    { listing: builtin, module: 'tcp_diag', want: false },
    { listing: builtin, module: 'diag', want: false },
    { listing: dependencies, module: 'vxlan', want: true },
    { listing: dependencies, module: 'wire_guard', want: true },
    // It only stands behind the colon: nothing says that it is installed.
    { listing: dependencies, module: 'udp_tunnel', want: false },
    { listing: '', module: 'vxlan', want: false },
  ])('$module listed: $want', ({ listing, module, want }) => {
    expect(isListed(listing, module)).toBe(want);
  });

  const status = { '/proc/self/status': 'Name:\tx\n' };
  const modular = { ...status, '/proc/modules': '' };
  test.each([
    { name: 'the kernel loads no modules', files: status, want: true },
    { name: 'nothing of /proc is to be seen', files: {}, want: false },
    { name: 'it is not loaded', files: modular, want: false },
    { name: 'it is loaded', files: { ...modular, '/sys/module/udp_diag/refcnt': '0' }, want: true },
    {
      name: 'it is built in',
      files: { ...modular, [`/lib/modules/${release()}/modules.builtin`]: builtin },
      want: true,
    },
    {
      name: 'that may not be seen',
      files: { ...modular, '/sys/module/udp_diag': { error: 'EACCES' } },
      want: false,
    },
  ])('safe to ask when $name: $want', async ({ files, want }) => {
    expect(await isSafeToAsk(fakeHost({ files }), 'udp_diag')).toBe(want);
  });
});
