import { describe, expect, test } from 'vitest';
import { judgeDevices } from '../../../checks/device-conflict.ts';
import type { Link } from '../../../checks/host/host.ts';

describe('device-conflict', () => {
  const link: Link = {
    index: 2,
    name: 'other',
    mtu: 1450,
    up: true,
    loopback: false,
    kind: 'vxlan',
    port: 8472,
    vni: 1,
    external: false,
  };
  const plain = {
    device: 'vxlan',
    port: 8472,
    vni: 1,
    own: ['flannel.1', 'flannel-v6.*'],
    external: false,
  } as const;
  const cilium = { device: 'vxlan', port: 8472, own: ['cilium_vxlan'], external: true } as const;
  const geneve = { device: 'geneve', port: 6081, own: ['cilium_geneve'], external: true } as const;

  test.each<{
    name: string;
    params: Parameters<typeof judgeDevices>[0];
    links: Link[];
    conflict?: string;
  }>([
    { name: 'no device', params: plain, links: [] },
    { name: 'the own device', params: plain, links: [{ ...link, name: 'flannel.1' }] },
    { name: 'an own device by pattern', params: plain, links: [{ ...link, name: 'flannel-v6.1' }] },
    { name: 'another port', params: plain, links: [{ ...link, port: 4789 }] },
    { name: 'another VNI on the port', params: plain, links: [{ ...link, vni: 2 }] },
    { name: 'another kind', params: plain, links: [{ ...link, kind: 'geneve' }] },
    { name: 'the same VNI', params: plain, links: [link], conflict: 'vni' },
    { name: 'the same VNI, down', params: plain, links: [{ ...link, up: false }], conflict: 'vni' },
    {
      name: 'an external device in the way of a plain one',
      params: plain,
      links: [{ ...link, external: true, vni: 0 }],
      conflict: 'mode',
    },
    {
      name: 'a leftover flannel.1 in the way of Cilium',
      params: cilium,
      links: [link],
      conflict: 'mode',
    },
    {
      name: 'a leftover that is down holds no socket',
      params: cilium,
      links: [{ ...link, up: false }],
    },
    {
      name: 'two external devices',
      params: cilium,
      links: [{ ...link, external: true, vni: 0 }],
      conflict: 'vni',
    },
    {
      name: 'the own device on another port',
      params: plain,
      links: [{ ...link, name: 'flannel.1', port: 4789 }],
      conflict: 'port',
    },
    {
      name: 'any Geneve device beside an external one',
      params: geneve,
      links: [{ ...link, kind: 'geneve', port: 6081, up: false }],
      conflict: 'mode',
    },
  ])('$name: $conflict', ({ params, links, conflict }) => {
    expect(judgeDevices(params, links)).toMatchObject(
      conflict === undefined
        ? { outcome: 'pass' }
        : { outcome: 'fail', reason: 'device-conflict', evidence: { conflict } },
    );
  });
});
